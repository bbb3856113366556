"""Numbers of the machine: constants, and words of the one algebra with what their unknown bits hang on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

from markreg.bits import bit_numbers, full
from markreg.transfer import Source, Word

WIDTH = 64
ALL = full(WIDTH)
LOW = full(32)
NOWHERE: frozenset[str] = frozenset()
_MOST_ORIGINS = 12
_MOST_TAINTS = 64

# Bits of symbols, as pairs of symbol and mask in the order of the names.
Deps: TypeAlias = tuple[tuple[str, int], ...]


class Scalar(NamedTuple):
    """A number that is no constant.

    ``taint``: bits of it that may be anything, and the bits of symbols that had a part in that. Copies among the possibilities of such a
    bit say the same of one bit alone. ``origin``: where unknown bits come from (``map:rules+4``, ``.rodata:cfg_mask``, ``skb.hash``).
    ``same``: bits that are what they were in the mark at entry, whatever their possibilities; only paths that meet say that.
    """

    word: Word
    taint: tuple[tuple[int, Deps], ...] = ()
    origin: frozenset[str] = NOWHERE
    same: int = 0


Number: TypeAlias = int | Scalar

UNKNOWN = Scalar(Word.unknown(WIDTH))
_LOW = {size: Word(WIDTH, zero=ALL & ~full(8 * size), other=full(8 * size)) for size in (1, 2, 4, 8)}


def unknown(size: int, origin: str = "") -> Scalar:
    """``size`` bytes of which nothing is known, extended with zeros."""
    word = _LOW.get(size) or Word(WIDTH, zero=ALL & ~full(8 * size), other=full(8 * size))
    return Scalar(word, (), frozenset({origin}) if origin else NOWHERE)


def symbol(name: str, width: int = 32) -> Scalar:
    """The word ``name``, extended with zeros."""
    return Scalar(Word(WIDTH, zero=ALL & ~full(width), copies=((Source(name), full(width)),)))


def word_of(value: Number) -> Word:
    """Any number as a word of 64 bits."""
    return Word(WIDTH, zero=ALL & ~value, one=value) if isinstance(value, int) else value.word


def settled(word: Word, taint: tuple[tuple[int, Deps], ...], origin: frozenset[str]) -> Number:
    """A number in its plainest form."""
    if not word.other:
        if not word.copies:
            if not word.zero & word.one:
                return word.one
            return Scalar(word)
        return Scalar(word)
    return Scalar(word, taint, origin)


def joined(a: Number, b: Number) -> Number:
    """Either of the two. What may be anything may be 0 or 1 too: those possibilities are not kept beside it."""
    if a is b:
        return a
    if isinstance(a, int):
        if isinstance(b, int):
            return a if a == b else Scalar(Word(WIDTH, ALL & ~(a & b), a | b))
        a, b = b, a
    word = a.word
    if isinstance(b, int):
        if not (b & ~(word.one | word.other) or ALL & ~(b | word.zero | word.other)):
            return a if not a.same else a._replace(same=0)
        free = ALL & ~word.other
        return Scalar(Word(WIDTH, word.zero | (free & ~b), word.one | (free & b), word.copies, word.other), a.taint, a.origin)
    other = b.word
    anything = word.other | other.other
    zero, one = (word.zero | other.zero) & ~anything, (word.one | other.one) & ~anything
    taint = a.taint if a.taint == b.taint else _merged(a.taint + b.taint)
    if word.copies == other.copies:
        return Scalar(Word(WIDTH, zero, one, word.copies, anything), taint, _both(a.origin, b.origin))
    copies = dict(word.copies)
    for source, mask in other.copies:
        copies[source] = copies.get(source, 0) | mask
    return Scalar(Word(WIDTH, zero, one, tuple(sorted(copies.items())), anything), taint, _both(a.origin, b.origin))


def _both(a: frozenset[str], b: frozenset[str]) -> frozenset[str]:
    if a is b or not b:
        return a
    if not a:
        return b
    union = a | b
    return union if len(union) <= _MOST_ORIGINS else frozenset(sorted(union)[:_MOST_ORIGINS])


def merged_deps(parts: Iterable[tuple[str, int]]) -> Deps:
    """Bits of symbols with every symbol once."""
    found: dict[str, int] = {}
    for name, mask in parts:
        if mask:
            found[name] = found.get(name, 0) | mask
    return tuple(sorted(found.items()))


def _merged(taint: Iterable[tuple[int, Deps]]) -> tuple[tuple[int, Deps], ...]:
    """Equal dependencies once; few enough of them."""
    found: dict[Deps, int] = {}
    for mask, on in taint:
        if mask and on:
            found[on] = found.get(on, 0) | mask
    if len(found) > _MOST_TAINTS:
        mask = 0
        for bits in found.values():
            mask |= bits
        found = {merged_deps(part for on in found for part in on): mask}
    return tuple(sorted((mask, on) for on, mask in found.items()))


def _cut(taint: tuple[tuple[int, Deps], ...], mask: int) -> tuple[tuple[int, Deps], ...]:
    return tuple((bits & mask, on) for bits, on in taint if bits & mask) if taint else taint


def _moved(taint: tuple[tuple[int, Deps], ...], amount: int) -> tuple[tuple[int, Deps], ...]:
    if not taint:
        return taint
    return tuple((bits, on) for mask, on in taint if (bits := (mask << amount if amount >= 0 else mask >> -amount) & ALL))


def deps(value: Number, mask: int = ALL) -> Iterator[tuple[str, int]]:
    """The bits of symbols on which the bits ``mask`` of a number hang."""
    if isinstance(value, Scalar):
        for source, bits in value.word.copies:
            if bits & mask:
                yield source.symbol, ((bits & mask) >> source.shift if source.shift >= 0 else (bits & mask) << -source.shift)
        for bits, on in value.taint:
            if bits & mask:
                yield from on


def ones(value: Number) -> int:
    """Bits that may be 1; as a number also the largest value."""
    if isinstance(value, int):
        return value
    _, _, mask, copies, other = value.word
    mask |= other
    for _, bits in copies:
        mask |= bits
    return mask


def _mixed(a: Scalar, b: Scalar, word: Word, taint_a: int, taint_b: int) -> Number:
    """The result of a bitwise operation: where a copy met something unknown it stays a possibility, so that what it hangs on is known."""
    if word.other and (a.word.copies or b.word.copies):
        copies = dict(word.copies)
        for source, mask in (*a.word.copies, *b.word.copies):
            if bits := mask & word.other:
                copies[source] = copies.get(source, 0) | bits
        word = Word.make(WIDTH, word.zero, word.one, copies, word.other)
    taint: tuple[tuple[int, Deps], ...] = ()
    if a.taint or b.taint:
        taint = _merged((*_cut(a.taint, taint_a & word.other), *_cut(b.taint, taint_b & word.other)))
    return settled(word, taint, _both(a.origin, b.origin))


def conj(a: Number, b: Number) -> Number:
    """Bitwise and."""
    if isinstance(a, int):
        if isinstance(b, int):
            return a & b
        a, b = b, a
    if isinstance(b, int):
        if b == ALL:
            return a
        word = a.word
        may = ones(a)
        if not may & ~b:
            return a
        if not may & b:
            return 0
        return settled(word.masked(b), _cut(a.taint, b), a.origin)
    return _mixed(a, b, a.word & b.word, ALL & ~b.word.known_zero(), ALL & ~a.word.known_zero())


def disj(a: Number, b: Number) -> Number:
    """Bitwise or."""
    if isinstance(a, int):
        if isinstance(b, int):
            return a | b
        a, b = b, a
    if isinstance(b, int):
        return settled(a.word.raised(b), _cut(a.taint, ALL & ~b), a.origin) if b else a
    if not ones(a) & ones(b):
        return _spliced(a, b)
    return _mixed(a, b, a.word.bit_or(b.word), ALL & ~b.word.known_one(), ALL & ~a.word.known_one())


def _spliced(a: Scalar, b: Scalar) -> Number:
    """Or where no bit may be 1 in both: every bit is that of the one that may be 1 there."""
    high = ones(b)
    word = b.word.masked_into(a.word, high)
    return settled(word, _merged((*_cut(a.taint, ~high), *_cut(b.taint, high))), _both(a.origin, b.origin))


def excl(a: Number, b: Number) -> Number:
    """Bitwise exclusive or."""
    if isinstance(a, int):
        if isinstance(b, int):
            return a ^ b
        a, b = b, a
    if isinstance(b, int):
        return Scalar(a.word.flipped(b), a.taint, a.origin) if b else a
    return _mixed(a, b, a.word ^ b.word, ALL, ALL)


def inverse(a: Number) -> Number:
    """Every bit inverted."""
    return excl(a, ALL)


def shifted(a: Number, amount: int) -> Number:
    """Shifted left (right when negative) within 64 bits."""
    if isinstance(a, int):
        return a << amount & ALL if amount >= 0 else a >> -amount
    if not amount:
        return a
    return settled(a.word.shifted(amount), _moved(a.taint, amount), a.origin)


def low(a: Number, bits: int) -> Number:
    """The low ``bits`` bits, extended with zeros."""
    return a & (1 << bits) - 1 if isinstance(a, int) else conj(a, (1 << bits) - 1)


def single(word: Word) -> int:
    """Bits that have one possibility, and one that says what they are."""
    seen, twice = word.zero | word.other, word.other | word.zero & word.one
    seen |= word.one
    for _, bits in word.copies:
        twice |= seen & bits
        seen |= bits
    return ALL & ~twice


def spread(a: Number, bit: int, upto: int) -> Number:
    """The bits above ``bit``, up to but not including ``upto``, made equal to it; higher ones 0."""
    above = full(upto) & ~full(bit + 1)
    if isinstance(a, int):
        return (a & full(upto)) | above if a >> bit & 1 else a & full(bit + 1)
    word = a.word
    copies = dict(word.only(full(bit + 1)).copies)
    for source, mask in word.copies:
        if mask >> bit & 1:
            for number in bit_numbers(above):
                far = source._replace(shift=source.shift + number - bit)
                copies[far] = copies.get(far, 0) | 1 << number
    zero, one, other = ((mask & full(bit + 1)) | (above if mask >> bit & 1 else 0) for mask in (word.zero, word.one, word.other))
    taint = [(mask & full(bit + 1), on) for mask, on in a.taint]
    taint += [(above, merged_deps(deps(a, 1 << bit)))] if other & above else []
    return settled(Word.make(WIDTH, zero | (ALL & ~full(upto)), one, copies, other), _merged(taint), a.origin)


def swapped(a: Number, bits: int) -> Number:
    """The low ``bits`` bits with their bytes in reverse order, extended with zeros."""
    if isinstance(a, int):
        return int.from_bytes((a & full(bits)).to_bytes(bits // 8, "little"), "big")
    word = a.word.resized(bits).byteswapped().resized(WIDTH)
    taint = []
    for mask, on in a.taint:
        for start in range(0, bits, 8):
            taint += [((mask >> start & 0xFF) << bits - 8 - start, on)]
    return settled(word, _merged(taint), a.origin)


def anything(parts: Iterable[Number], mask: int) -> Number:
    """Any number within ``mask`` that was made out of others."""
    if not mask:
        return 0
    every = list(parts)
    on = merged_deps(part for value in every for part in deps(value))
    origin = NOWHERE
    for value in every:
        origin = _both(origin, value.origin if isinstance(value, Scalar) else NOWHERE)
    return Scalar(Word(WIDTH, zero=ALL & ~mask, other=mask), ((mask, on),) if on else (), origin)
