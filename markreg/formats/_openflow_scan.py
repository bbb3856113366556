"""The lines of a dump of flows or groups: what each does is looked up by the exact text of its actions, then by their shape.

100,000 lines have some thousand texts of action lists, these some dozen shapes. A shape is parsed once; lines that differ only in
values are one group. Nothing is kept of a line that concerns no field which was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from markreg.formats._openflow_fields import PREFIX, clauses, mention
from markreg.formats._openflow_groups import (
    ACTS,
    GOES,
    STRANGE,
    Known,
    Lines,
    Listing,
    Match,
    Shape,
    There,
    Values,
    apart,
    compared,
    parted,
    taken,
)
from markreg.formats._openflow_meaning import meaning
from markreg.formats._openflow_parse import Parser
from markreg.formats._openflow_text import PLACE, constants
from markreg.source import blank_quoted, decode

_MEMO = 10_000
_CHUNK = 1 << 18
GROUPS = "groups"
_MOST_PORTS = 256
MOST_ZONES = 20_000
_MOST_METADATA = 65_536

_TABLE = re.compile(r"(?<![\w-])table(?:_id)?=(\"[^\"]*\"|[^,\s]+)")
_DIGITS = re.compile(r"[0-9]{1,9}")
_HEX = re.compile(r"[0-9a-fA-F]+")
_METADATA_KEY = re.compile(r"(?<![\w-])metadata=([^,\s]+)")
_ZONE = re.compile(r"(?<![\w-])ct_zone=([0-9a-fA-Fx]+)(?=[,\s]|$)")
_GROUP = re.compile(r"(?<![\w-])group_id=([0-9]+)")
_VERSION = re.compile(r"\bOF1\.([0-9]+)\b")
_WARNING = re.compile(r"^[^|]*\|(?:\d+\||[^|]*\|)?[^|]*\|?(?:WARN|INFO|ERR|DBG|EMER)\|")
_DEFAULT_PRIORITY = 32768


def lines(data: bytes) -> Iterator[str]:
    """The lines of a dump, without their ends."""
    at = 0
    while at < len(data):
        end = data.find(b"\n", at + _CHUNK) + 1 or len(data)
        text = decode(data[at:end])
        yield from text.removesuffix("\n").split("\n")
        at = end


@dataclass(slots=True)
class Scan:
    """One dump. ``actions`` and ``matches`` are its groups: by table and metadata, priority, and list or clause."""

    asked: frozenset[str]
    thorough: bool = False
    statements: int = 0
    marked: int = 0
    version: int = 0
    replies: int = 0
    tables: dict[tuple[str, str], There] = field(default_factory=dict)
    actions: dict[tuple[int, str, int], tuple[There, Listing, Lines]] = field(default_factory=dict)
    matches: dict[tuple[int, str, Match], tuple[There, Lines]] = field(default_factory=dict)
    loads: dict[str, set[tuple[str, int]]] = field(default_factory=dict)
    groups: set[str] = field(default_factory=set)
    grouped: bool = False
    opaque: dict[str, list[int]] = field(default_factory=dict)
    cut: int = 0
    strange: int = 0
    _memo: dict[str, Known] = field(default_factory=dict)
    _shapes: dict[str, Shape] = field(default_factory=dict)
    _listings: int = 0
    _room: int = field(init=False)
    _interest: re.Pattern[str] = field(init=False)
    _clause: re.Pattern[str] = field(init=False)
    _cut: Callable[[str], list[str]] = field(init=False)

    def __post_init__(self) -> None:
        self._room = 0 if self.thorough else _MEMO
        self._interest = mention(self.asked)
        self._clause = clauses(self.asked)
        self._cut = constants().split

    def lines(self, data: bytes) -> None:
        """Every line of the dump."""
        memo, tables, actions, number, whole = self._memo, self.tables, self.actions, 0, ""
        marks = not any(name.startswith(PREFIX) for name in self.asked)
        for line in lines(data):
            number += 1
            head, found, tail = line.partition("actions=")
            if not found or '"' in head or "group_id=" in head:
                if "group_id=" in head and "actions" not in head:
                    self._buckets(line, number)
                    continue
                both = parted(line)
                if both is None:
                    self._no_flow(line, number)
                    continue
                whole, tail = both
                head = blank_quoted(whole)
            else:
                tail = tail.rstrip()
            self.statements += 1
            at = head.find("table=")
            table = head[at + 6 : head.find(",", at)] if at > 0 else ""
            if not table.isalnum():
                found_at = _TABLE.search(head) if "table" in head else None
                table = (whole[found_at.start(1) : found_at.end(1)] if '"' in head else found_at[1]) if found_at else "0"
                table = table.strip('"')
            at = head.find("metadata=")
            metadata = head[at + 9 : head.find(",", at)] if at > 0 else ""
            if at >= 0 and not metadata.isalnum():
                metadata = m[1] if (m := _METADATA_KEY.search(head)) else ""
            there = tables.get((table, metadata)) or self._table(table, metadata)
            listing, values, ports, flags = memo.get(tail) or self._list(tail)
            if ports and len(there.ports) < _MOST_PORTS:
                there.ports.update(ports)
            if flags & GOES:
                there.hops[listing.number] = listing
            concerned = ("mark=" in head or "label=" in head) if marks else self._clause.search(head) is not None
            if concerned or self.thorough:
                concerned = self._matches(head, there, number)
            if flags & ACTS:
                at = head.find("priority=")
                priority = head[at + 9 : head.find(",", at)] if at >= 0 else ""
                key = (there.number, priority, listing.number)
                group = actions.get(key)
                if group is None:
                    group = actions[key] = (there, listing, Lines())
                group[2].add(values, number, _cookie(head))
                concerned = True
            if flags & STRANGE:
                self._refuse(listing.meaning.strange, number)
                concerned = True
            self.marked += concerned
        if data and not data.endswith(b"\n"):
            self.cut = number

    def _table(self, table: str, metadata: str) -> There:
        """Flows of one table and metadata; a table that tells a great many apart is looked at as if it told none."""
        if len(self.tables) >= _MOST_METADATA and metadata:
            return self.tables.get((table, "")) or self._table(table, "")
        there = self.tables[table, metadata] = There(len(self.tables), table, metadata)
        return there

    def _list(self, tail: str) -> Known:
        """An action list that was not seen before."""
        pieces = self._cut(tail.replace(PLACE, "?") if PLACE in tail else tail)
        text, found = PLACE.join(pieces[::2]), tuple(pieces[1::2])
        shape = self._shapes.get(text)
        if shape is None:
            shape = self._shapes[text] = self._shape(text, found)
        for register, slot, shift in shape.loads:
            numbers = self.loads.setdefault(register, set())
            if len(numbers) < MOST_ZONES:
                numbers.add((found[slot] if slot >= 0 else "", shift))
        key = shape.key(found)
        listing = shape.listings.get(key)
        if listing is None:
            listing = self._listing(text, found, shape.slots)
            # A number that does not fit says nothing of lists with other numbers.
            if not (listing.flags & STRANGE and shape.slots):
                shape.listings[key] = listing
        ports = (*shape.ports(found), *listing.names) if shape.sends else ()
        known = (listing, shape.values(found), ports, listing.flags)
        if self._room:
            self._memo[tail] = known
            self._room -= 1
            if not self._room and self.statements < 2 * _MEMO:  # hardly any text came twice
                self._memo.clear()
        return known

    def _shape(self, text: str, found: Values) -> Shape:
        parser = Parser(text, found, self.asked)
        parser.items()
        slots = tuple(sorted(n for n, role in parser.roles.items() if role == "value"))
        keys = sorted(n for n, role in parser.roles.items() if role == "key")
        sends = bool(parser.ports or parser.names)
        return Shape(taken(keys), taken(slots), slots, taken(parser.ports), tuple(dict.fromkeys(parser.loads)), sends)

    def _listing(self, text: str, found: Values, slots: tuple[int, ...]) -> Listing:
        parser = Parser(text, found, self.asked)
        said = meaning(parser.items(), self.asked)
        flags = GOES * bool(said.goings) | ACTS * bool(said.statements) | STRANGE * bool(said.strange)
        self._listings += 1
        return Listing(self._listings, text, found, slots, said, tuple(parser.names), flags)

    def _matches(self, head: str, there: There, number: int) -> bool:
        """The clauses of a match that test a field; whether there was one."""
        found = self._clause.findall(head)
        if not found:
            return False
        at = head.find("priority=")
        priority = head[at + 9 : head.find(",", at)] if at >= 0 else ""
        zone = m[1] if (m := _ZONE.search(head)) else ""
        for name, text in found:
            value, slash, mask = text.partition("/")
            match = Match(name, mask if slash else "", zone)
            key = (there.number, priority, match)
            group = self.matches.get(key)
            if group is None or (value,) not in group[1].by:
                if compared(match, value) is None:
                    self._refuse((f"{name}: not a number that fits",), number)
                    continue
                if group is None:
                    group = self.matches[key] = (there, Lines())
            group[1].add((value,), number, _cookie(head))
        return True

    def _buckets(self, line: str, number: int) -> None:
        """A group: each bucket is a list of its own."""
        group = m[1] if (m := _GROUP.search(line)) else ""
        self.groups.add(group)
        self.statements += 1
        concerned = False
        first, *buckets = line.replace("bucket=", "\n").split("\n") if '"' not in line else apart(line)
        if self._interest.search(blank_quoted(first)):
            self._refuse(("group: may read it, it is not known how",), number)
            concerned = True
        for bucket in buckets:
            both = parted(bucket)
            if both is None:
                if self._interest.search(blank_quoted(bucket)):
                    self._refuse(("bucket: is in no form that is known",), number)
                    concerned = True
                continue
            tail = both[1].rstrip(",")
            listing, values, _, flags = self._memo.get(tail) or self._list(tail)
            if flags & GOES:
                there = self.tables.get((f"group {group}", "")) or self._table(f"group {group}", "")
                there.hops[listing.number] = listing
            if flags & ACTS:
                everywhere = self.tables.get((GROUPS, "")) or self._table(GROUPS, "")
                key = (everywhere.number, "", listing.number)
                self.actions.setdefault(key, (everywhere, listing, Lines()))[2].add(values, number, 0)
            if flags & STRANGE:
                self._refuse(listing.meaning.strange, number)
            concerned = concerned or flags > GOES
        self.marked += concerned

    def _no_flow(self, line: str, number: int) -> None:
        """A header, a warning, an empty line; or something that mentions a field and is none of these."""
        text = line.strip()
        if "reply" in text:
            self.replies += 1
            self.grouped = self.grouped or "GROUP" in text
            if found := _VERSION.search(text):
                self.version = max(self.version, 10 + int(found[1]))
            elif text.startswith("NXST"):
                self.version = max(self.version, 10)
            return
        if not text or text.startswith(("#", "delete")) or _WARNING.match(text):
            return
        if self._interest.search(text):
            self._refuse(("mentions it and is no flow",), number)
            self.marked += 1
        else:
            self.strange = self.strange or number

    def _refuse(self, reasons: Sequence[str], number: int) -> None:
        for reason in reasons:
            lines = self.opaque.setdefault(reason, [])
            if not lines or lines[-1] != number:
                lines.append(number)


def _cookie(head: str) -> int:
    at = head.find("cookie=0x")
    if at < 0:
        return 0
    text = head[at + 9 : head.find(",", at)]
    return int(text, 16) if len(text) <= 16 and text.isalnum() and _HEX.fullmatch(text) else 0


def priority_of(text: str) -> int:
    """The priority of a flow by what stands after ``priority=``, which is all of a match that no comma follows."""
    found = _DIGITS.match(text)
    return int(found[0]) if found else _DEFAULT_PRIORITY
