"""Action lists to statements, each one of interest by grammar/openflow.lark.

The constants that were cut out of a list are put back by number. What a constant is for (``roles``) tells which lines are one group:
those that are equal but for values.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

from markreg.bits import BitsError, full, parse_int
from markreg.formats._openflow_fields import METADATA, PREFIX, Part, mention, parts, zone_of
from markreg.formats._openflow_ops import (
    Clear,
    Copy,
    Ct,
    Fill,
    Inner,
    Item,
    Jump,
    Learn,
    Look,
    Op,
    Other,
    Pop,
    Push,
    Set,
    Strange,
)
from markreg.formats._openflow_text import PLACE, ShapeError, leaf, split

if TYPE_CHECKING:
    from lark import Token, Tree

Role = Literal["key", "value"]

_WORD = re.compile(r"[A-Za-z_][\w-]*")
_LEAVES = frozenset(
    {"load", "set_field", "move", "push", "pop", "write_metadata", "resubmit", "goto_table", "group", "output"}
    | {"check_pkt_larger", "multipath", "bundle_load", "sample"}
)
_NUMBER = re.compile(r"[0-9]+\Z")
_FIELD = re.compile(r"\w+\[|(?:NXM|OXM|NXOXM)_|x{0,2}reg[0-9]|in_port(?![\w-])")
_PLAIN = re.compile(r"(load|set_field|move|push|pop|write_metadata)[(=]")
_DEEPEST = 32
_PORTS = frozenset({"LOCAL", "NORMAL"})
# Options of learn, not fields of the flow that is learned.
_OPTIONS = frozenset({"idle_timeout", "hard_timeout", "priority", "cookie", "fin_idle_timeout", "fin_hard_timeout", "limit"})


class Load(NamedTuple):
    """A register gets a number whose low 16 bits count where it is used as a zone: constant ``slot`` (-1: not known) moved by ``shift``."""

    register: str
    slot: int
    shift: int


class Parser:
    """One list. ``text`` is its shape with ``constants``, or the text itself with none.

    ``roles``: by number of constant, ``key`` where it is part of what a line does, ``value`` where it is a number that an asked field
    gets. ``loads`` and ``ports`` (numbers of constants) and ``names`` (ports by name) are what else is of use.
    """

    def __init__(self, text: str, constants: Sequence[str], asked: frozenset[str]) -> None:
        self.text = text
        self.constants = constants
        self.asked = asked
        self.roles: dict[int, Role] = {}
        self.loads: list[Load] = []
        self.ports: list[int] = []
        self.names: list[str] = []
        self._mention = mention(asked)
        self._places = [m.start() for m in re.finditer(PLACE, text)] if constants else []
        # Numbers in registers matter to a mark only where something moves in the same list.
        self._moves = bool(re.search(r"move:|push:", text) and self._mention.search(text))

    def items(self) -> tuple[Item, ...]:
        """Every statement of the list."""
        return self._list(0, len(self.text), 0)

    def _list(self, start: int, end: int, depth: int) -> tuple[Item, ...]:
        return tuple(Item(self._action(begin, stop, depth), begin, stop) for begin, stop in split(self.text, start, end))

    def _action(self, start: int, end: int, depth: int) -> tuple[Op, ...]:
        word = match[0] if (match := _WORD.match(self.text, start, end)) else ""
        after = self.text[start + len(word) : start + len(word) + 1] if start + len(word) < end else ""
        try:
            if depth > _DEEPEST:
                raise ShapeError("lists in lists, too deep")
            if after == "(" and word in ("ct", "clone", "write_actions", "learn"):
                if self.text[end - 1] != ")":
                    raise ShapeError("is cut off")
                inside = (start + len(word) + 1, end - 1)
                if word == "ct":
                    return (self._ct(*inside, depth),)
                if word == "learn":
                    return (self._learn(*inside),)
                return (Inner(word == "write_actions", self._list(*inside, depth + 1)),)
            if word == "ct_clear":
                return (Clear(),)
            if (word.upper() in _PORTS and not after) or self.text[start:end] == PLACE or _NUMBER.match(self.text, start, end):
                return (self._port(start, end),)
            if word == "output" and after == ":" and not _FIELD.match(self.text, start + len("output:"), end):
                return (self._port(start + len("output:"), end),)
            if word in _LEAVES and after:
                return tuple(self._known(start, end))
        except (ShapeError, BitsError) as error:
            reason = str(error)
            # Another line of this shape may have numbers that fit: what it does is found out anew for each.
            for slot in range(bisect_left(self._places, start), bisect_left(self._places, end)):
                self.roles.setdefault(slot, "key")
        else:
            reason = "may read or write it, it is not known how"
        if self._mention.search(self.text, start, end):
            return (Strange(f"{word}: {reason}"),)
        return (Other(),)

    # ---- statements of the grammar

    def _known(self, start: int, end: int) -> Iterator[Op]:
        text = self.text[start:end]
        # A key ends at a colon, an equals sign or a parenthesis (lib/ofp-parse.c): load(1->NXM_NX_CT_MARK[]) is one, too.
        if (odd := _PLAIN.match(text)) and (text[odd.end() - 1] == "=" or text[-1] == ")"):
            text = f"{odd[1]}:{text[odd.end() :].removesuffix(')' * (text[odd.end() - 1] == '('))}"
        tree = leaf(text, "action").children[0]
        kind, children = tree.data, list(tree.children)  # type: ignore[union-attr]
        if kind in ("load", "set_field"):
            yield from self._set(children[0], self._part(children[1]), start)
        elif kind == "write_metadata":
            yield from self._set(children[0], parts("metadata"), start)
        elif kind == "move":
            yield from self._move(self._named(children[0]), self._named(children[1]))
        elif kind in ("push", "pop"):
            yield (Push if kind == "push" else Pop)(self._part(children[0]))
        elif kind == "resubmit":
            yield from self._resubmit(children, start)
        elif kind in ("goto", "group"):
            yield Jump(str(kind), self._word(children[0], start))
        elif kind == "output":
            yield from self._output(children)
        elif kind == "check":
            yield from (Fill(part, 1) for part in self._part(children[1]))
        elif kind in ("multipath", "bundle_load"):
            yield from self._hash(str(kind), children, start)
        elif kind == "sample":
            for part in self._parts_in(children):
                yield Look(part)

    def _set(self, value: Tree[Token], target: tuple[Part, ...], at: int) -> Iterator[Op]:
        """A number, or a symbol such as ANY, into bits; it counts from the lowest of them."""
        words = value.children
        symbolic = words[0].type != "CONST"  # type: ignore[union-attr]
        whole = sum(part.width for part in target)
        plain = not any(part.field in self.asked or part.field.startswith(PREFIX) for part in target)
        if plain or symbolic:
            yield from (Fill(part, full(part.width)) for part in target)
            return
        wanted = any(part.field in self.asked for part in target) or self._moves
        key = any(part.field == METADATA for part in target)
        role: Role | None = "key" if key else "value" if wanted else None
        slot, text = self._constant(words[0], at, role)
        mask = full(whole)
        if words[1:] and words[1] is not None:
            mask = self._number(words[1], at, "key") & mask
        number = parse_int(text) if role else 0
        if number > full(whole):
            raise ShapeError(f"{text} does not fit into {whole} bits")
        done = 0
        for part in target:
            bits = mask >> done & full(part.width)
            if part.field.startswith(f"{PREFIX}reg") and part.low < 16 and bits:
                exact = part.low == 0 and bits & 0xFFFF == 0xFFFF
                self.loads.append(Load(part.field.removeprefix(PREFIX), slot if exact else -1, -done))
            if bits and role:
                yield Set(part.field, bits << part.low, (number >> done & bits) << part.low, slot, part.low - done)
            elif bits:
                yield Fill(part, full(part.width))
            done += part.width

    def _move(self, source: tuple[str, str], target: tuple[str, str]) -> Iterator[Op]:
        """Bits of one field, or of several words that lie side by side, into another."""
        come, go = parts(*source), parts(*target)
        if not come or not go:
            raise ShapeError("bits that the field does not have")
        width = min(sum(p.width for p in come), sum(p.width for p in go))
        come, go = _cut_to(come, width), _cut_to(go, width)
        while come and go:
            size = min(come[0].width, go[0].width)
            yield Copy(go[0]._replace(width=size), come[0]._replace(width=size))
            if go[0].field.startswith(f"{PREFIX}reg") and go[0].low < 16:
                self.loads.append(Load(go[0].field.removeprefix(PREFIX), -1, 0))
            come, go = _without(come, size), _without(go, size)

    def _resubmit(self, children: Sequence[Tree[Token] | Token | None], at: int) -> Iterator[Op]:
        found = [c for c in children if c is not None and not (hasattr(c, "type") and c.type == "CT")]
        table = next((c for c in found if c.data == "target"), None)  # type: ignore[union-attr]
        yield Jump("resubmit", self._word(table, at) if table is not None else "")

    def _output(self, children: Sequence[Tree[Token] | Token]) -> Iterator[Op]:
        """To a port that a field holds."""
        yield from (Look(part) for part in self._parts_in(children))
        yield Jump("output", "")

    def _port(self, start: int, end: int) -> Jump:
        """To a port by its number or name."""
        if self.text[start:end] == PLACE:
            self.ports.append(bisect_left(self._places, start))
        else:
            self.names.append(self.text[start:end])
        return Jump("output", "")

    def _hash(self, kind: str, children: Sequence[Tree[Token] | Token], at: int) -> Iterator[Op]:
        """The number of a link, or of a port, into a field: the last argument, or the fifth."""
        given = [c.children[0] for c in children]  # type: ignore[union-attr]
        found = given[-1] if kind == "multipath" else given[4] if len(given) > 4 else None
        if found is None or not hasattr(found, "data"):
            raise ShapeError("has no target")
        target = self._part(found)
        most = full(sum(p.width for p in target))
        if kind == "multipath" and any(p.field in self.asked for p in target):
            if len(given) < 6 or hasattr(given[3], "data"):
                raise ShapeError("has no number of links")
            most = max(self._number(given[3], at, "key") - 1, 0)
        for part in target:
            yield Fill(part, min(most, full(part.width)))

    # ---- lists in parentheses

    def _ct(self, start: int, end: int, depth: int) -> Ct:
        commit, table, body = False, None, None
        known: str | None = "0"
        reads: tuple[Part, ...] = ()
        for begin, stop in split(self.text, start, end):
            text = self.text[begin:stop]
            if text == "commit":
                commit = True
            elif text.startswith("exec(") and text.endswith(")"):
                body = self._list(begin + len("exec("), stop - 1, depth + 1)
            elif text.startswith(("zone=", "table=")):
                tree = leaf(text, "argument")
                first = tree.children[0]
                if tree.data == "table":
                    table = self._word(first, begin)
                elif hasattr(first, "type"):
                    known = str(self._number(first, begin, "key"))
                else:
                    reads = self._part(first)
                    known = zone_of(reads)
            elif self._mention.search(text):
                raise ShapeError("is in no form that is known")
        return Ct(commit, known, table, body, reads)

    def _learn(self, start: int, end: int) -> Learn:
        table = "0"
        compares: list[tuple[Part, int | None]] = []
        writes: list[Set | Fill] = []
        reads: list[Part] = []
        result: tuple[Part, ...] = ()
        for begin, stop in split(self.text, start, end):
            text = self.text[begin:stop]
            if text.startswith("table="):
                table = self._word(leaf(text, "argument").children[0], begin)
                continue
            word = match[0] if (match := _WORD.match(text)) else ""
            if word in _OPTIONS or not self._mention.search(text):
                continue
            tree = leaf(text, "spec")
            first, last = cast("Tree[Token]", tree.children[0]), cast("Tree[Token]", tree.children[-1])
            if tree.data == "put":
                if hasattr(first, "data"):
                    reads += self._part(first)
                    writes += (Fill(part, full(part.width)) for part in self._part(last))
                else:
                    number, target = self._number(first, begin, "key"), self._part(last)
                    for part in target:
                        writes.append(Set(part.field, part.mask, (number & full(part.width)) << part.low))
                        number >>= part.width
            elif tree.data == "sent":
                reads += self._part(first)
            elif tree.data == "result":
                result = self._part(first)
            elif tree.data == "copied":
                reads += self._part(first)
                compares += ((part, None) for part in self._part(first))
            elif last.data == "part":
                reads += self._part(last)
                compares += ((part, None) for part in self._part(first))
            else:
                number = self._number(last.children[0], begin, "key")
                for part in self._part(first):
                    compares.append((part, number & full(part.width)))
                    number >>= part.width
        return Learn(table, tuple(compares), tuple(writes), tuple(reads), result)

    # ---- words

    def _constant(self, token: Token | Tree[Token], at: int, role: Role | None) -> tuple[int, str]:
        """The number of a constant in the list (-1 where the text was not cut) and its text."""
        if token != PLACE:
            return -1, str(token)
        slot = bisect_left(self._places, at + (token.start_pos or 0))  # type: ignore[union-attr]
        if role:
            self.roles[slot] = role
        return slot, self.constants[slot]

    def _number(self, token: Token | Tree[Token], at: int, role: Role) -> int:
        return parse_int(self._constant(token, at, role)[1])

    def _word(self, tree: Token | Tree[Token], at: int) -> str:
        """The name or number of a table or group."""
        text = self._constant(tree.children[0], at, "key")[1]  # type: ignore[union-attr]
        return text.strip('"')

    @staticmethod
    def _named(tree: Token | Tree[Token] | None) -> tuple[str, str]:
        words = [str(c) for c in tree.children if c is not None]  # type: ignore[union-attr]
        return words[0], words[1] if len(words) > 1 else ""

    def _part(self, tree: Token | Tree[Token] | None) -> tuple[Part, ...]:
        found = parts(*self._named(tree))
        if not found:
            raise ShapeError("bits that the field does not have")
        return found

    def _parts_in(self, children: Sequence[Tree[Token] | Token | None]) -> Iterator[Part]:
        """The fields among arguments."""
        for child in children:
            if child is None or isinstance(child, str):  # a Token
                continue
            if child.data == "part":
                yield from self._part(child)
            else:
                yield from self._parts_in(child.children)


def _cut_to(found: tuple[Part, ...], width: int) -> tuple[Part, ...]:
    kept: list[Part] = []
    for part in found:
        if width > 0:
            kept.append(part._replace(width=min(part.width, width)))
        width -= part.width
    return tuple(kept)


def _without(found: tuple[Part, ...], width: int) -> tuple[Part, ...]:
    first = found[0]
    rest = (first._replace(low=first.low + width, width=first.width - width),) if first.width > width else ()
    return rest + found[1:]
