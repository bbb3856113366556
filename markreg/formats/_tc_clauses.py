"""What the clauses of tc do to marks: grammar/tc.lark gives the words, this module their meaning.

The functions are those of the kernel: net/sched/cls_fw.c, cls_u32.c, cls_flower.c, cls_flow.c, em_meta.c, sch_cake.c, act_skbedit.c,
act_connmark.c, act_ctinfo.c, act_ct.c, act_ife.c with act_meta_mark.c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING, cast

from markreg.bits import BitsError, full, parse_value_mask, parse_word
from markreg.model import CT_LABEL, CT_MARK, SKB_MARK, Access, Field
from markreg.resources import grammar
from markreg.transfer import Predicate, Word, masked_set

if TYPE_CHECKING:
    from lark import Lark, Token, Tree

_ALL = full(32)
_LONGEST = 4000
_MARK_NAMES = frozenset({"nf_mark", "fwmark", "nfmark"})


class ClauseError(ValueError):
    """A text that mentions a mark and has no meaning here; the message says why."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One effect on one field, and the part of the text (from ``start`` to ``end``) that says it. ``zone`` where it is said."""

    field: str
    access: Access
    mask: int
    start: int
    end: int
    effect: Word | None = None
    predicate: Predicate | None = None
    possible: bool = False
    zone: str | None = None


@cache
def kinds() -> tuple[str, ...]:
    """The classifiers, actions and queues that have a meaning here."""
    return tuple(_MEANINGS)


@cache
def _parser() -> Lark:
    from lark import Lark

    return Lark(grammar("tc"), parser="lalr", lexer="contextual", propagate_positions=True, start=list(_MEANINGS))


@lru_cache(maxsize=16384)
def clauses(kind: str, text: str) -> tuple[Clause, ...]:
    """What a text of a kind does to marks. Raises ClauseError."""
    from lark.exceptions import UnexpectedInput

    if len(text) > _LONGEST:
        raise ClauseError(f"tc {kind}: too long to be one")
    try:
        tree = _parser().parse(text, start=kind)
    except UnexpectedInput as error:
        at = getattr(error, "pos_in_stream", None)
        rest = "the end" if at is None or at >= len(text) else repr(text[at:].split(None, 1)[0][:40])
        raise ClauseError(f"tc {kind}: unexpected {rest}") from None
    try:
        return tuple(_MEANINGS[kind](_Words(tree)))
    except BitsError as error:
        raise ClauseError(f"tc {kind}: {error}") from None


class _Words:
    """The parts of a parsed text by the names that the grammar gives them."""

    def __init__(self, tree: Tree[Token]) -> None:
        self.tree = tree
        self.zone: str | None = None
        for part in self.parts("zone"):
            self.zone = self.words(part)[-1].partition("/")[0]

    def parts(self, name: str) -> list[Tree[Token]]:
        return [c for c in self.tree.children if not isinstance(c, str) and c.data == name]

    def has(self, kind: str) -> bool:
        return any(isinstance(c, str) and c.type == kind for c in self.tree.children)

    @staticmethod
    def words(part: Tree[Token]) -> list[str]:
        return [str(c) for c in part.children if isinstance(c, str)]

    def read(self, part: Tree[Token], field: Field, mask: int, predicate: Predicate | None = None) -> Clause:
        return Clause(field.name, "read", mask, *_span(part), predicate=predicate, zone=self._zone(field))

    def write(self, part: Tree[Token] | Token, field: Field, effect: Word, possible: bool = False) -> Clause:
        copied = any(source.symbol != field.name for source, _ in effect.copies)
        mask = full(field.width) & ~effect.keeps(field.name)
        access: Access = "copy" if copied else "write"
        return Clause(field.name, access, mask, *_span(part), effect, possible=possible, zone=self._zone(field))

    def _zone(self, field: Field) -> str | None:
        return self.zone if field.carrier == "connection" else None


def _span(part: Tree[Token] | Token) -> tuple[int, int]:
    if isinstance(part, str):
        return cast(int, part.start_pos), cast(int, part.end_pos)
    return part.meta.start_pos, part.meta.end_pos


def _fw(words: _Words) -> Iterator[Clause]:
    for part in words.parts("handle"):
        value, mask = parse_value_mask(words.words(part)[1], 32)
        yield words.read(part, SKB_MARK, mask, Predicate.equals(SKB_MARK.name, value, mask))


def _u32(words: _Words) -> Iterator[Clause]:
    for part in words.parts("u32_mark"):
        value, mask = (parse_word(w, 32) for w in words.words(part)[1:])
        yield words.read(part, SKB_MARK, mask, Predicate.equals(SKB_MARK.name, value, mask))


def _flower(words: _Words) -> Iterator[Clause]:
    # fl_set_masked_key: the key is reduced by the mask before it is compared.
    for part in words.parts("ct_mark"):
        value, mask = parse_value_mask(words.words(part)[1], 32)
        yield words.read(part, CT_MARK, mask, Predicate.equals(CT_MARK.name, value & mask, mask))
    for part in words.parts("ct_label"):
        value, mask = _label(words.words(part)[1])
        yield words.read(part, CT_LABEL, mask, Predicate.equals(CT_LABEL.name, value & mask, mask))


def _flow(words: _Words) -> Iterator[Clause]:
    mask = _ALL
    for part in words.parts("and_"):
        mask &= parse_word(words.words(part)[1], 32)
    for part in words.parts("shift"):
        mask &= _ALL << min(parse_word(words.words(part)[1], 32), 32)
    for part in words.parts("keys"):
        if "mark" in words.words(part)[1].split(",") and mask:
            yield words.read(part, SKB_MARK, mask)


def _ematch(words: _Words) -> Iterator[Clause]:
    negated = False
    for child in words.tree.children:
        if isinstance(child, str):
            negated = child.lower() == "not"
            continue
        left, right = (c for c in child.children if not isinstance(c, str))
        operator = words.words(child)[1]
        for one, other in ((left, right), (right, left)):
            if words.words(one)[0] in _MARK_NAMES:
                yield _meta(words, child, words.words(one), words.words(other), operator if one is left else "", negated)
        negated = False


def _meta(words: _Words, part: Tree[Token], mark: list[str], other: list[str], operator: str, negated: bool) -> Clause:
    """em_meta.c shifts right first, then masks, then compares numbers without sign."""
    options = dict(zip(mark[1::2], mark[2::2], strict=True))
    shift = min(parse_word(options.get("shift", "0"), 32), 32)
    small = parse_word(options.get("mask", "0"), 32) or _ALL
    mask = small << shift & _ALL
    if not operator or len(other) > 1 or not (other[0][0].isdigit() or other[0][0] == "-"):
        return words.read(part, SKB_MARK, mask)
    # print_value in tc/em_meta.c prints the number with a sign.
    value = _ALL + 1 - parse_word(other[0][1:], 32) if other[0][0] == "-" else parse_word(other[0], 32)
    if operator == "eq":
        test = Predicate.equals(SKB_MARK.name, value << shift, mask, negated)
        if test.value is not None and test.value > _ALL:
            test = replace(test, value=value)
    else:
        below = operator == "lt"
        edges = ((value, _ALL) if below else (0, value)) if negated else ((0, value - 1) if below else (value + 1, _ALL))
        low, high = edges[0] << shift, min(edges[1] << shift | full(shift), mask)
        test = Predicate(SKB_MARK.name, mask, ((low, high),) if low <= high else (), value << shift & _ALL, negated)
    return words.read(part, SKB_MARK, mask, test)


def _cake(words: _Words) -> Iterator[Clause]:
    for part in words.parts("fwmark"):
        if mask := parse_word(words.words(part)[1], 32):
            yield words.read(part, SKB_MARK, mask)


def _skbedit(words: _Words) -> Iterator[Clause]:
    for part in words.parts("mark"):
        value, mask = parse_value_mask(words.words(part)[1], 32)
        if mask:
            yield words.write(part, SKB_MARK, masked_set(SKB_MARK.name, 32, mask, value & mask))


def _connmark(words: _Words) -> Iterator[Clause]:
    whole = words.tree
    yield words.write(whole, SKB_MARK, Word.entry(CT_MARK.name, 32))
    yield words.read(whole, CT_MARK, _ALL)


def _ctinfo(words: _Words) -> Iterator[Clause]:
    for part in words.parts("cpmark"):
        said = words.words(part)
        mask = parse_word(said[1], 32) if len(said) > 1 else _ALL
        yield words.write(part, SKB_MARK, Word.entry(CT_MARK.name, 32) & Word.const(mask, 32))
        if mask:
            yield words.read(part, CT_MARK, mask)
    for part in words.parts("dscp"):
        mask, state = (*(parse_word(w, 32) for w in words.words(part)[1:]), 0)[:2]
        if mask | state:
            yield words.read(part, CT_MARK, mask | state)


def _ct(words: _Words) -> Iterator[Clause]:
    # tcf_ct_act_set_mark and _labels: a mask of 0 writes nothing; bits of the mark's value outside the mask are set all the same.
    if not words.has("COMMIT"):
        return
    for part in words.parts("mark"):
        value, mask = parse_value_mask(words.words(part)[1], 32)
        if mask:
            kept = Word.entry(CT_MARK.name, 32) & Word.const(~mask, 32)
            yield words.write(part, CT_MARK, kept.bit_or(Word.const(value, 32)))
    for part in words.parts("label"):
        value, mask = _label(words.words(part)[1])
        if mask:
            yield words.write(part, CT_LABEL, masked_set(CT_LABEL.name, CT_LABEL.width, mask, value))


def _ife(words: _Words) -> Iterator[Clause]:
    for child in words.tree.children:
        if isinstance(child, str) and child.type == "ALLOW_MARK":
            yield replace(Clause(SKB_MARK.name, "read", _ALL, *_span(child)))
        elif isinstance(child, str) and child.type == "DECODE":
            yield words.write(child, SKB_MARK, Word.unknown(32), possible=True)


def _label(text: str) -> tuple[int, int]:
    """Value and mask from bytes in the order of memory, the lowest first (hexstring_n2a in iproute2's lib/utils.c)."""
    value, slash, mask = text.partition("/")
    if not slash:
        return _bytes(value), full(8 * (len(value) // 2)) if len(value) < 32 else full(CT_LABEL.width)
    return _bytes(value), _bytes(mask)


def _bytes(text: str) -> int:
    if len(text) % 2 or len(text) > CT_LABEL.width // 4:
        raise BitsError(f"not a connection label: {text[:40]!r}")
    return int.from_bytes(bytes.fromhex(text), "little")


_MEANINGS: dict[str, Callable[[_Words], Iterator[Clause]]] = {
    "fw": _fw,
    "u32": _u32,
    "flower": _flower,
    "flow": _flow,
    "ematch": _ematch,
    "cake": _cake,
    "skbedit": _skbedit,
    "connmark": _connmark,
    "ctinfo": _ctinfo,
    "ct": _ct,
    "ife": _ife,
}
