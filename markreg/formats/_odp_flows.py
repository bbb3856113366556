"""Flows of a datapath, as `odp` knows them: what their matches and actions do with marks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple, cast

from markreg.bits import full
from markreg.formats.odp import KEYS
from markreg.model import CT_LABEL, CT_MARK, FIELDS, SKB_MARK, Access, Opaque, Place, Problem, Reading, Scope, Use
from markreg.resources import grammar
from markreg.source import Source
from markreg.transfer import Predicate, Word, masked_set

if TYPE_CHECKING:
    from lark import Lark, Token, Tree

KIND = "datapath"
_FLOW = re.compile(rf"(?:^|[ \t:])(?:ufid:[0-9a-f-]{{36}}, ?)?(?:{KEYS})\(")
_ACTIONS = re.compile(r"(?:^|[, ])actions: ?")
_MARK = re.compile(r"skb_mark|ct_mark|ct_label")
_READ = re.compile(r"(?<![\w])(?:skb_mark|ct_mark|ct_label)\([^()]*\)")
_STRAY = re.compile(r"(?<![\w])(?:skb_mark|ct_mark|ct_label)\(|(?<![\w.])ct\([^()]*(?:mark|label)=")
_OPEN = re.compile(r"(?<![\w.])(?:set\((?=skb_mark\()|ct\()")
_OUTER = re.compile(r"(?<![\w.])(?:clone|sample|check_pkt_len|dec_ttl)\(")
_WAY = re.compile(r"(?<![\w.])(?:ct\(|(ct_clear)\b|ct(?=[,)]|$)|recirc\((0x[0-9a-fA-F]{1,8}|[0-9]{1,10})\))")
_ZONE = re.compile(r"(?<![\w.])zone=(\d{1,5})(?!\d)")
_RECIRC = re.compile(r"(?<![\w.])recirc_id\((0x[0-9a-fA-F]{1,8}|[0-9]{1,10})\)")
_CT_ZONE = re.compile(r"(?<![\w.])ct_zone\((0x[0-9a-fA-F]{1,4}|[0-9]{1,5})(?:/(0x[0-9a-fA-F]{1,4}|[0-9]{1,5}))?\)")
_LONGEST = 4096
_MANY = "many"


class OdpError(ValueError):
    """A clause that names a mark and was not understood."""


class Deed(NamedTuple):
    """What a clause does: a read with its predicate or a write with its effect; ``zone`` of a write, as the clause says it."""

    access: Access
    field: str
    mask: int
    clause: str
    effect: Word | None = None
    predicate: Predicate | None = None
    zone: str | None = None


def read(source: Source, name: str, scope: Scope) -> Reading:
    """Every match and action that names a mark."""
    reader = _Reader(source.path, scope)
    lines = source.text().replace("\0", "\ufffd").split("\n")
    flows = [(number, line.rstrip("\r")) for number, line in enumerate(lines, 1) if "(" in line and _FLOW.search(line)]
    for _, line in flows:
        reader.follow(line)
    for number, line in flows:
        reader.flow(number, line)
    framed = {number for number, _ in flows}
    for number, line in enumerate(lines, 1):
        if number not in framed and _STRAY.search(line):
            reader.opaque.setdefault("names a mark and is no flow of a datapath", []).append(number)
    problems = []
    if flows and flows[-1][0] == len(lines) and flows[-1][1].count("(") != flows[-1][1].count(")"):
        problems.append(Problem(source.path, len(lines), "truncated"))
    return Reading(
        source.path,
        name,
        scope,
        reader.uses(),
        opaque=tuple(Opaque(source.path, tuple(where), reason) for reason, where in reader.opaque.items()),
        problems=tuple(problems),
        statements=len(flows),
        mark_statements=len(reader.marked.union(*reader.opaque.values())),
    )


@cache
def _parser() -> Lark:
    from lark import Lark

    return Lark(grammar("odp"), parser="lalr", lexer="contextual", maybe_placeholders=False)


@lru_cache(maxsize=16384)
def deeds(clause: str) -> tuple[Deed, ...]:
    """What one clause (a key, a set action, a conntrack action) does with marks. Raises OdpError."""
    from lark.exceptions import UnexpectedInput

    if len(clause) > _LONGEST:
        raise OdpError("a clause longer than any datapath prints")
    try:
        tree = _parser().parse(clause)
    except UnexpectedInput:
        raise OdpError("of another form than the datapath prints") from None
    node = cast("Tree[Token]", tree.children[0])
    words = [str(child) for child in node.children]
    if node.data == "key":
        value, mask = _number(words[0], words[1:])
        return (Deed("read", words[0], mask, clause, None, Predicate.equals(words[0], value & mask, mask)),) if mask else ()
    if node.data == "set":
        return tuple(_written(words[0], words[1:], clause, None))
    said = {str(a.children[0]): [str(w) for w in a.children[1:]] for a in node.children if not isinstance(a, str) and a.data == "number"}
    zone = said.get("zone", ["0"])[0]
    if any(not isinstance(a, str) and a.data == "text" and a.children[0] in ("zone", "mark", "label") for a in node.children):
        raise OdpError("a zone, mark or label that is no number")
    nested = [a for a in node.children if not isinstance(a, str) and a.data == "nested" and a.children[0] != "nat"]
    if any(_MARK.search(str(word)) for a in nested for word in a.scan_values(lambda _: True)):
        raise OdpError("an argument of ct that names a mark")
    fields = (("mark", CT_MARK.name), ("label", CT_LABEL.name))
    return tuple(d for key, name in fields if key in said for d in _written(name, said[key], clause, str(int(zone, 0)) if zone else None))


def _number(name: str, words: list[str]) -> tuple[int, int]:
    whole = full(FIELDS[name].width)
    try:
        value, mask = int(words[0], 0), int(words[1], 0) if len(words) > 1 else whole
    except ValueError:
        raise OdpError("a number of another form than the datapath prints") from None
    if value > whole or mask > whole:
        raise OdpError(f"a number that does not fit into {FIELDS[name].width} bits")
    return value, mask


def _written(name: str, words: list[str], clause: str, zone: str | None) -> list[Deed]:
    value, mask = _number(name, words)
    touched = mask | value
    effect = masked_set(name, FIELDS[name].width, touched, value)
    return [Deed("write", name, touched, clause, effect, None, zone)] if touched else []


def _closed(text: str, start: int) -> int:
    """Past the parenthesis that closes the one that ends before ``start``; past the end where none does."""
    depth = 1
    for match in re.finditer(r"[()]", text[start : start + _LONGEST]):
        depth += 1 if match[0] == "(" else -1
        if not depth:
            return start + match.end()
    return len(text) + 1


@dataclass(slots=True)
class _Reader:
    path: str
    scope: Scope
    zones: dict[int, str] = field(default_factory=dict)
    found: dict[tuple[Deed, str | None, bool], list[int]] = field(default_factory=dict)
    opaque: dict[str, list[int]] = field(default_factory=dict)
    marked: set[int] = field(default_factory=set)

    def follow(self, line: str) -> None:
        """Notes in which zone packets were looked up before they come back by ``recirc``."""
        if "recirc(" not in line or (actions := _ACTIONS.search(line)) is None:
            return
        zone, at = "", actions.end()
        while match := _WAY.search(line, at):
            at = match.end()
            if match[2]:
                known = self.zones.setdefault(int(match[2], 0), zone)
                if known != zone:
                    self.zones[int(match[2], 0)] = _MANY
            elif match[1]:
                zone = ""
            elif match[0] == "ct(":
                at = _closed(line, at)
                said = _ZONE.search(line, match.end(), at)
                zone = said[1] if said else "0"
            else:
                zone = "0"

    def flow(self, number: int, line: str) -> None:
        """One flow."""
        if not (_MARK.search(line) or "mark=" in line or "label=" in line):
            return
        actions = _ACTIONS.search(line)
        head, tail = (line[: actions.start()], line[actions.end() :]) if actions else (line, "")
        if "ct_" in head or "skb_mark" in head:
            zone = self._looked_up(head)
            for match in _READ.finditer(head):
                self._clause(match[0], number, zone, False)
        if "mark" in tail or "label=" in tail:
            self._actions(tail, number)

    def _looked_up(self, head: str) -> str | None:
        """The zone of the entry that a match on ct_mark looks at, None where it is not known."""
        if said := _CT_ZONE.search(head):
            mask = int(said[2], 0) if said[2] else 0xFFFF
            if mask == 0xFFFF:
                return str(int(said[1], 0))
        recirc = _RECIRC.search(head)
        zone = self.zones.get(int(recirc[1], 0), "") if recirc else ""
        return None if zone in ("", _MANY) else zone

    def _actions(self, tail: str, number: int) -> None:
        at = 0
        inner = [(m.start(), _closed(tail, m.end())) for m in _OUTER.finditer(tail)]
        rest = []
        while match := _OPEN.search(tail, at):
            end = _closed(tail, match.end())
            rest.append(tail[at : match.start()])
            at = end
            possible = any(start < match.start() < stop for start, stop in inner)
            clause = tail[match.start() : end]
            if match[0] != "ct(" or "mark=" in clause or "label=" in clause:
                self._clause(clause, number, None, possible)
        if _MARK.search("".join((*rest, tail[at:]))):
            self.opaque.setdefault("an action that names a mark and is none that markreg knows", []).append(number)

    def _clause(self, clause: str, number: int, zone: str | None, possible: bool) -> None:
        try:
            found = deeds(clause)
        except OdpError as error:
            self.opaque.setdefault(str(error), []).append(number)
            return
        for deed in found:
            where = zone if deed.access == "read" and deed.field != SKB_MARK.name else deed.zone
            lines = self.found.setdefault((deed, where, possible), [])
            if lines[-1:] != [number]:
                lines.append(number)
            self.marked.add(number)

    def uses(self) -> tuple[Use, ...]:
        """All uses. Equal clauses are one with many lines: the datapath has a flow for every kind of packet."""
        place = Place(KIND, "datapath flows", self.scope.family)
        return tuple(
            Use(
                deed.field,
                deed.access,
                deed.mask,
                place,
                Scope(self.scope.netns, self.scope.family, zone),
                self.path,
                tuple(lines),
                deed.clause,
                deed.effect,
                deed.predicate,
                statement=deed.clause,
                possible=possible,
            )
            for (deed, zone, possible), lines in self.found.items()
        )
