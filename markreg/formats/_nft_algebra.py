"""Expressions of nft as words of the algebra, and comparisons of them as tests of a field.

Bits are followed one by one, so ``(meta mark & 0xff00) >> 8 == 3`` is a test of bits 8-15 for 0x300.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, cast

from markreg.bits import BitsError, full, parse_int, parse_word
from markreg.formats._nft_sets import Intervals, label, merge
from markreg.model import CT_LABEL, CT_MARK, SKB_MARK
from markreg.transfer import Predicate, Word

if TYPE_CHECKING:
    from lark import Token, Tree

SK_MARK = "sk_mark"
_FIELDS = {"mark": SKB_MARK.name, "meta mark": SKB_MARK.name, "ct mark": CT_MARK.name, "ct label": CT_LABEL.name, "socket mark": SK_MARK}
# Operands that are not marks and have fewer bits than a mark (RFC 2474, RFC 3168, 802.1Q, ports).
_CODE_POINT = re.compile(r"cs([0-7])|af([1-4])([1-3])")  # RFC 2474, RFC 2597
_NARROW = ((re.compile(r".*\bdscp"), 6), (re.compile(r".*\becn"), 2), (re.compile(r"vlan id"), 12), (re.compile(r".*\b[sd]port"), 16))


class ExpressionError(ValueError):
    """An expression that has no meaning here; the message says why."""


def fields(tree: Tree[Token] | Token, hashes: bool = True) -> list[str]:
    """The fields that an expression reads, in order, each once; without ``hashes`` those that only hashes read are left out."""
    return list(dict.fromkeys(_keys(tree, hashes)))


def _keys(tree: Tree[Token] | Token, hashes: bool) -> Iterator[str]:
    if isinstance(tree, str) or (tree.data == "hash" and not hashes):
        return
    if tree.data == "key":
        yield field_of(str(tree.children[0]))
    elif tree.data == "fib" and "mark" in re.findall(r"\w+", str(tree.children[0])):
        yield SKB_MARK.name
    for child in tree.children:
        yield from _keys(child, hashes)


def field_of(text: str) -> str:
    """The field that a key's text names."""
    words = text.split()
    return _FIELDS[" ".join((words[0], words[-1]) if len(words) > 1 else words)]


def number(token: str, labels: bool) -> int:
    """A number; of a label, the bit with that number."""
    return label(parse_int(token)) if labels else parse_word(token, 32)


def word(tree: Tree[Token], labels: bool = False) -> Word:
    """What an expression's value may be. ``labels``: it is a connection's label, 128 bits, whose numbers are bits."""
    width = 128 if labels else 32
    kind = str(tree.data)
    first = tree.children[0]
    if kind == "number":
        return Word.const(number(str(first), labels), width)
    if kind == "key":
        return Word.entry(field_of(str(first)), width)
    if kind == "hash":
        low, high = hashed(tree)
        return Word.unknown(width).masked_into(Word.const(low, width), full((low ^ high).bit_length()))
    if kind == "symbol":
        raise ExpressionError(f"{first} is a name whose value is not known here")
    if kind == "list":
        return _joined([word(t, labels) for t in cast("list[Tree[Token]]", tree.children)])
    if kind in ("lshift", "rshift"):
        left, amount = cast("list[Tree[Token]]", tree.children)
        if amount.data != "number" or (by := parse_int(str(amount.children[0]))) >= width:
            raise ExpressionError(f"a shift by {amount.children[0]} is outside a word of {width} bits")
        return word(left, labels).shifted(by if kind == "lshift" else -by)
    if kind in ("or_", "xor", "and_"):
        a, b = (_operand(t, tree, labels) for t in cast("list[Tree[Token]]", tree.children))
        return a.bit_or(b) if kind == "or_" else a ^ b if kind == "xor" else a & b
    return Word.unknown(_width(str(first), width)).resized(width)


def _joined(words: list[Word]) -> Word:
    result = words[0]
    for other in words[1:]:
        result = result.bit_or(other)
    return result


def _operand(tree: Tree[Token], whole: Tree[Token], labels: bool) -> Word:
    """An operand; beside one that is no mark a name is one of its names, like a code point of DSCP."""
    others = cast("list[Tree[Token]]", whole.children)
    if tree.data == "symbol" and any(t.data in ("selector", "payload") for other in others for t in other.iter_subtrees()):
        point = _CODE_POINT.fullmatch(str(tree.children[0]))
        if not point:
            return Word.unknown(128 if labels else 32)
        selector, assured, precedence = (int(group or 0) for group in point.groups())
        return Word.const(selector << 3 or assured << 3 | precedence << 1, 32)
    return word(tree, labels)


def _width(text: str, most: int) -> int:
    if text.startswith("@"):
        return min(parse_int(text.rpartition(",")[2]), most)
    return next((bits for pattern, bits in _NARROW if pattern.match(text)), most)


def hashed(tree: Tree[Token]) -> tuple[int, int]:
    """Lowest and highest result of numgen, jhash or symhash."""
    tokens = [t for t in tree.children if isinstance(t, str)]
    options = {a.type: parse_word(str(b), 32) for a, b in pairwise(tokens) if a.type in ("MOD", "OFFSET")}
    if not (count := options["MOD"]):
        raise BitsError("a remainder by 0")
    low = options.get("OFFSET", 0)
    return low, min(low + count - 1, full(32))


def test(value: Word, field: str, allowed: Intervals) -> Predicate | None:
    """The test that ``value`` is in one of the intervals, as one of ``field``; None where the field's bits alone do not tell."""
    mask = _in_place(value, field)
    if mask is not None:
        accepts = tuple(_under(mask, allowed))
        return Predicate(field, mask, accepts, accepts[0][0] if len(accepts) == 1 and accepts[0][0] == accepts[0][1] else None)
    if any(low != high for low, high in allowed):
        return None
    wanted: list[tuple[int, int]] = []
    mask = 0
    for single, _ in allowed:
        found = _equal(value, field, single)
        if found is None:
            return None
        mask = found[0]
        wanted += [(found[1], found[1])] if found[2] else []
    accepts = tuple(_under(mask, tuple(merge(wanted))))
    return Predicate(field, mask, accepts, accepts[0][0] if len(accepts) == 1 and accepts[0][0] == accepts[0][1] else None)


def _in_place(value: Word, field: str) -> int | None:
    """The bits of the field that are compared, where each stands at its place and all others are 0."""
    mask = value.keeps(field)
    return mask if value.known_zero() == full(value.width) & ~mask else None


def _equal(value: Word, field: str, wanted: int) -> tuple[int, int, bool] | None:
    """What the field must be under a mask so that ``value`` is ``wanted``, and whether that is possible."""
    if value.other or value.zero & value.one:
        return None
    possible = not (value.known_one() & ~wanted or value.known_zero() & wanted or wanted > full(value.width))
    mask = must = seen = 0
    for (symbol, shift, inverted), bits in value.copies:
        if symbol != field or bits & (seen | value.zero | value.one):
            return None
        seen |= bits
        there = bits >> shift if shift >= 0 else bits << -shift
        want = (~wanted if inverted else wanted) & bits
        want = want >> shift if shift >= 0 else want << -shift
        possible &= not (mask & there & (must ^ want))
        mask, must = mask | there, must | want
    return mask, must, possible


def _under(mask: int, intervals: Intervals) -> Iterator[tuple[int, int]]:
    """The values that ``x & mask`` can take in each of the ascending intervals, neighbours joined."""
    last: tuple[int, int] | None = None
    for low, high in intervals:
        first, end = _ceiling(low, mask), _floor(min(high, mask), mask)
        if first is None or first > end:
            continue
        if last and first <= ((last[1] | ~mask) + 1) & mask:
            last = (last[0], end)
        else:
            if last:
                yield last
            last = (first, end)
    if last:
        yield last


def _ceiling(value: int, mask: int) -> int | None:
    """The least value under a mask that is not below ``value``."""
    if not (outside := value & ~mask):
        return value
    below = full(outside.bit_length())
    up = ((value | below | ~mask) + 1) & mask
    return up if up > value else None


def _floor(value: int, mask: int) -> int:
    """The greatest value under a mask that is not above ``value``."""
    outside = value & ~mask
    below = full(outside.bit_length())
    return (value & mask & ~below) | (mask & below) if outside else value
