"""What the expressions of an nft rule do to marks: grammar/nft.lark gives the words, this module their meaning.

The functions are those of the kernel: net/netfilter/nft_meta.c, nft_ct.c, nft_socket.c, nft_bitwise.c, nft_lookup.c, nft_numgen.c,
nft_hash.c, nft_fib.c and nfnetlink_queue.c. nft writes whole words; what keeps bits is an expression that reads the same key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING, cast

from markreg.bits import BitsError, full
from markreg.formats._iptables_clauses import Clause, ClauseError
from markreg.formats._nft_algebra import SK_MARK, ExpressionError, fields, hashed, test, word
from markreg.formats._nft_sets import Intervals, NamedSet, data, keys, prefix
from markreg.model import CT_LABEL, FIELDS, SKB_MARK
from markreg.resources import grammar
from markreg.transfer import Predicate, Word

if TYPE_CHECKING:
    from lark import Lark, Token, Tree

    Part = Tree[Token]

_ALL = full(32)
# Far more than the kernel takes in one rule, sets left aside; the grammar needs 15 µs a word.
_LONGEST = 16384
_LISTED = re.compile(r"0x[0-9a-f]{8}")
_SETS = re.compile(r"\{[^{}]*\}")
_KEY = re.compile(r"(?<![\w.-])(?:mark|label)(?![\w.-])")
# Extensions of xtables that can read or write a mark: nft shows their name and no more.
_XT_MARKS = re.compile(r"(?:conn|h|ip)?mark(?:_m)?|connlabel|tproxy|socket|bpf|unknown", re.IGNORECASE)
_XT_SET = re.compile(r"xt\s+target\s+\"?SET\"?|xt_SET")
_XT_QUEUE = re.compile(r"NFQUEUE|QUEUE")


@dataclass(frozen=True, slots=True)
class Parsed:
    """A rule: its clauses with where each begins in the text, and why what is not understood is not."""

    clauses: tuple[tuple[int, Clause], ...]
    opaque: tuple[str, ...] = ()


@cache
def _parser() -> Lark:
    from lark import Lark

    return Lark(grammar("nft"), parser="lalr", lexer="contextual", propagate_positions=True)


@lru_cache(maxsize=16384)
def _tree(text: str) -> Part:
    """The pieces of a rule. Raises ClauseError."""
    from lark.exceptions import UnexpectedInput

    if len(_SETS.sub("", text) if "{" in text else text) > _LONGEST:
        raise ClauseError("the rule is longer than any that nft takes")
    try:
        return _parser().parse(text)
    except UnexpectedInput as error:
        at = getattr(error, "pos_in_stream", None)
        rest = "the end" if at is None or at >= len(text) else repr(text[at : at + 40].split(None, 1)[0])
        raise ClauseError(f"unexpected {rest}") from None


def parse(text: str, sets: Mapping[str, NamedSet]) -> Parsed:
    """The clauses of a rule whose quoted strings are empty; ``sets`` are those of its table.

    Raises ClauseError for a rule that mentions a mark in a way this module does not know.
    """
    found: list[tuple[int, Clause]] = []
    opaque: list[str] = []
    try:
        for piece in cast("list[Part]", _tree(text).children):
            start, end = piece.meta.start_pos, piece.meta.end_pos
            found += [(start, replace(clause, text=text[start:end])) for clause in _Piece(piece, sets).clauses(opaque)]
    except (BitsError, ExpressionError) as error:
        raise ClauseError(str(error)) from None
    except RecursionError:
        raise ClauseError("the expression is nested too deeply") from None
    return Parsed(tuple(found), tuple(dict.fromkeys(opaque)))


class _Piece:
    """One piece of a rule, by its kind in the grammar."""

    def __init__(self, piece: Part, sets: Mapping[str, NamedSet]) -> None:
        self.piece = piece
        self.sets = sets

    def clauses(self, opaque: list[str]) -> Iterator[Clause]:
        """What it reads and writes."""
        kind, children = str(self.piece.data), self.piece.children
        if kind == "queue":
            yield Clause(SKB_MARK.name, "write", _ALL, effect=Word.unknown(32) | Word.entry(SKB_MARK.name, 32), possible=True)
        elif kind == "xt":
            yield from _extension(str(children[0]), opaque)
        elif kind == "body" and _KEY.search(text := str(children[0])):
            # The element that a rule adds to a set; its parts read what they name.
            inner = re.sub(r"[{}:,]", " ", text)
            for _, clause in parse(inner.strip(), self.sets).clauses:
                yield replace(clause, predicate=None)
        elif kind == "lone":
            yield from self._read(cast("Part", children[0]))
        elif kind == "assign":
            yield from self._assign(cast("Part", children[0]), cast("Part", children[1]))
        elif kind == "match":
            yield from self._match(cast("Part", children[0]), str(children[1]) if len(children) > 2 else "", cast("Part", children[-1]))
        elif kind == "select":
            yield from self._select(cast("Part", children[0]), str(children[-1]))

    def _assign(self, target: Part, value: Part) -> Iterator[Clause]:
        name = _single(target)
        source = cast("Part", value.children[0])
        if value.data == "map":
            yield from self._select(source, str(value.children[-1]))
        elif name not in FIELDS:
            yield from self._read(source)
        if name is None or name not in FIELDS:
            return
        labels, width = name == CT_LABEL.name, FIELDS[name].width
        values: Intervals = ()
        if value.data == "map":
            known = data(self._bodies(str(value.children[-1])), labels)
            effect, values = known or (Word.unknown(width), ())
        elif len(source.children) != 1:
            raise ExpressionError("a concatenation is not a mark")
        else:
            expression = cast("Part", source.children[0])
            effect = word(expression, labels)
            if expression.data == "hash":
                values = (hashed(expression),)
        if labels:
            # The kernel ors the bits into the label: nft_ct.c nft_ct_set_eval with data as its own mask.
            effect = Word.entry(name, width).bit_or(effect)
        yield _write(name, effect, values)
        if value.data != "map":
            yield from self._sources(name, effect, source)

    def _sources(self, name: str, effect: Word, source: Part) -> Iterator[Clause]:
        """The reads of other fields whose bits come along, and of those that a hash takes in."""
        for part in source.iter_subtrees():
            if part.data == "hash":
                for child in part.children:
                    if not isinstance(child, str):
                        yield from self._read(child)
        for other in fields(source, hashes=False):
            if other == name or other not in FIELDS:
                continue
            mask = 0
            for (symbol, shift, _), bits in effect.copies:
                if symbol == other:
                    mask |= bits >> shift if shift >= 0 else bits << -shift
            yield Clause(other, "read", mask or full(FIELDS[other].width))

    def _match(self, left: Part, relation: str, right: Part) -> Iterator[Clause]:
        if not fields(left):
            return
        name = _single(left)
        if name is not None:
            yield from self._compare(name, cast("Part", left.children[0]), relation, right)
            return
        token = right.children[0] if len(right.children) == 1 else None
        if isinstance(token, str):
            yield from self._select(left, str(token), relation in ("!=", "ne"))
        else:
            yield from self._read(left)

    def _compare(self, name: str, left: Part, relation: str, right: Part) -> Iterator[Clause]:
        """A comparison of an expression of one field."""
        if name == SK_MARK or name not in FIELDS:
            return
        labels = name == CT_LABEL.name
        value, negated = word(left, labels), relation in ("!=", "ne")
        kind = str(right.data)
        found: Predicate | None
        if kind == "rhs":
            allowed = self._intervals(str(right.children[0]), 0, labels)
            found = None if allowed is None else test(value, name, allowed)
        elif labels:
            value, found = _label_test(value, relation, right)
        else:
            value, allowed = _bounds(value, relation, right)
            found = test(value, name, allowed)
            if found and found.never() and len(allowed) == 1:
                found = replace(found, value=allowed[0][0])
        if found is None:
            yield Clause(name, "read", _examined(value, name))
        else:
            yield Clause(name, "read", found.mask, predicate=found.inverse() if negated else found)

    def _select(self, left: Part, source: str, negated: bool = False) -> Iterator[Clause]:
        """A look-up of a concatenation, or of one expression, in a set or map."""
        for position, part in enumerate(cast("list[Part]", left.children)):
            for name in fields(part):
                if name not in FIELDS:
                    continue
                value = word(part, name == CT_LABEL.name)
                single = _single(left) == name or part.data not in ("fib", "hash")
                allowed = self._intervals(source, position, name == CT_LABEL.name) if single else None
                found = test(value, name, allowed) if allowed is not None else None
                if found is None or (negated and len(left.children) > 1):
                    yield Clause(name, "read", _examined(value, name))
                else:
                    yield Clause(name, "read", found.mask, predicate=found.inverse() if negated else found)

    def _read(self, concat: Part) -> Iterator[Clause]:
        """An expression that steers something which is no comparison."""
        for part in cast("list[Part]", concat.children):
            for name in fields(part):
                if name in FIELDS:
                    yield Clause(name, "read", _examined(word(part, name == CT_LABEL.name), name))

    def _bodies(self, source: str) -> list[str]:
        if source.startswith("{"):
            return [source]
        known = self.sets.get(source[1:])
        return known.bodies if known and known.known else []

    def _intervals(self, source: str, position: int, labels: bool) -> Intervals | None:
        bodies = self._bodies(source)
        if not bodies:
            return None
        if source.startswith("{"):
            mapped = self.piece.data == "select" or any(t.data == "map" for t in self.piece.iter_subtrees())
        else:
            mapped = ":" in self.sets[source[1:]].type
        allowed = keys(bodies, position, mapped)
        if not labels or allowed is None:
            return allowed
        if any(low != high or high > 127 for low, high in allowed):
            return None
        return tuple((1 << low, 1 << low) for low, _ in allowed)


def _single(concat: Part) -> str | None:
    """The field of an expression that is no concatenation and reads one field outside fib and hashes."""
    if len(concat.children) != 1:
        return None
    part = cast("Part", concat.children[0])
    found = fields(part)
    inside = any(t.data in ("fib", "hash") for t in part.iter_subtrees())
    return found[0] if len(found) == 1 and not inside else None


def _bounds(value: Word, relation: str, right: Part) -> tuple[Word, Intervals]:
    """What a number, range or prefix on the right side allows, and the expression to hold it against."""
    sides = cast("list[Part]", right.children)
    if right.data == "range":
        return value, ((_constant(sides[0]), _constant(sides[1])),)
    number = _constant(sides[0])
    if right.data == "slashed":
        items = cast("list[Part]", sides[1].children)
        if len(items) != 1 or items[0].data != "number":
            raise ExpressionError("a mark is not compared with flags")
        mask = prefix(str(items[0].children[0]))
        # nft cuts what is typed, and lists what is left of (mark & mask) == number, which may have more bits and never holds.
        number &= _ALL if _LISTED.fullmatch(str(sides[0].children[0])) else mask
        return value & Word.const(mask, 32), ((number, number),)
    if relation in ("<", "lt"):
        return value, ((0, number - 1),) if number else ()
    if relation in (">", "gt"):
        return value, ((number + 1, _ALL),) if number < _ALL else ()
    if relation in ("<=", "le", ">=", "ge"):
        return value, ((0, number),) if relation in ("<=", "le") else ((number, _ALL),)
    return value, ((number, number),)


def _label_test(value: Word, relation: str, right: Part) -> tuple[Word, Predicate | None]:
    """What a label is held against, and the test before any ``!=``: without ``==`` one of the bits must be set, as for every bit mask."""
    sides = cast("list[Part]", right.children)
    name, flags = CT_LABEL.name, right.data == "slashed"
    if right.data == "range" or relation not in ("", "!", "==", "eq", "!=", "ne"):
        return value, None
    wanted = _constant(sides[0], True)
    if flags:
        value &= Word.const(_constant(sides[1], True), 128)
    elif relation in ("", "!"):
        value &= Word.const(wanted, 128)
        if value.keeps(name) != wanted:
            return value, None
        if wanted & (wanted - 1):
            return value, Predicate.equals(name, 0, wanted, negated=relation == "")
        return value, Predicate.equals(name, wanted, wanted, negated=relation == "!")
    found = test(value, name, ((wanted, wanted),))
    return value, replace(found, value=wanted) if found and found.never() else found


def _constant(tree: Part, labels: bool = False) -> int:
    value = word(tree, labels).value({})
    if value is None:
        raise ExpressionError("the right side is no constant")
    return value


def _examined(value: Word, name: str) -> int:
    """The bits of a field that a value depends on; all where that is not told by bit."""
    mask = 0
    for (symbol, shift, _), bits in value.copies:
        if symbol == name:
            mask |= bits >> shift if shift >= 0 else bits << -shift
    return mask or full(FIELDS[name].width)


def _write(name: str, effect: Word, values: Intervals) -> Clause:
    copied = any(source.symbol != name for source, _ in effect.copies)
    changed = full(effect.width) & ~effect.keeps(name)
    return Clause(name, "copy" if copied else "write", changed, effect=effect, values=values)


def _extension(text: str, opaque: list[str]) -> Iterator[Clause]:
    """An extension of xtables, which nft shows by name alone."""
    name = re.split(r"[\s_]", text, maxsplit=1)[-1].rpartition(" ")[-1].strip('"')
    if _XT_QUEUE.fullmatch(name):
        yield Clause(SKB_MARK.name, "write", _ALL, effect=Word.unknown(32) | Word.entry(SKB_MARK.name, 32), possible=True)
    elif _XT_MARKS.fullmatch(name) or _XT_SET.fullmatch(text):
        opaque.append(f"{text}: nft does not show what it does, capture iptables-nft-save")
