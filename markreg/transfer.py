"""What a statement may do to a word, bit by bit: one algebra for every facility.

A `Word` holds for each bit of a word the non-empty set of what it may be: 0, 1, a copy (plain or inverted) of a bit of a
*symbol* (a field as it was before: keeping a bit is copying it from the field itself), or anything else (``other``). The
sets are held as masks over plain ints, so every operation is bit-parallel. Bits are independent of each other: an operation
is exact for each bit alone, and a superset of what can happen to them together. All masks are in bits of the word.

A `Predicate` is a test of a word under a mask. Both follow the kernel's definitions, which `docs/architecture.md` cites.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from markreg.bits import full, shifted


class Source(NamedTuple):
    """Where a copied bit comes from: bit ``i`` of the word is bit ``i - shift`` of ``symbol``, inverted or not."""

    symbol: str
    shift: int = 0
    inverted: bool = False


class Word(NamedTuple):
    """For each of ``width`` bits what it may be. Every bit is in at least one of the masks.

    ``zero``, ``one``, ``other``: bits that may be 0, 1, anything. ``copies``: for each source the bits that may be a copy.
    """

    width: int
    zero: int = 0
    one: int = 0
    copies: tuple[tuple[Source, int], ...] = ()
    other: int = 0

    @staticmethod
    def make(width: int, zero: int, one: int, copies: Mapping[Source, int], other: int) -> Word:
        """A word in normal form: masks cut to the width, sources sorted, empty ones left out."""
        all_bits = (1 << width) - 1
        if not copies:
            return Word(width, zero & all_bits, one & all_bits, (), other & all_bits)
        kept = [(source, bits) for source, mask in copies.items() if (bits := mask & all_bits)]
        if len(kept) > 1:
            kept.sort()
        return Word(width, zero & all_bits, one & all_bits, tuple(kept), other & all_bits)

    @staticmethod
    def const(value: int, width: int) -> Word:
        """The constant ``value``."""
        return Word(width, full(width) & ~value, full(width) & value)

    @staticmethod
    def entry(symbol: str, width: int) -> Word:
        """``symbol`` unchanged."""
        return Word(width, copies=((Source(symbol), full(width)),))

    @staticmethod
    def unknown(width: int) -> Word:
        """Nothing is known of any bit."""
        return Word(width, other=full(width))

    def known_zero(self) -> int:
        """Bits that can only be 0."""
        return self.zero & ~(self.one | self.other | self.copied())

    def known_one(self) -> int:
        """Bits that can only be 1."""
        return self.one & ~(self.zero | self.other | self.copied())

    def copied(self) -> int:
        """Bits that may be a copy of something."""
        mask = 0
        for _, bits in self.copies:
            mask |= bits
        return mask

    def keeps(self, symbol: str) -> int:
        """Bits that are provably what they were in ``symbol``."""
        mine = others = 0
        for source, bits in self.copies:
            if source == (symbol, 0, False):
                mine = bits
            else:
                others |= bits
        return mine & ~(self.zero | self.one | self.other | others)

    def toggles(self, symbol: str) -> int:
        """Bits that may be the inverse of what they were in ``symbol``."""
        return next((bits for source, bits in self.copies if source == (symbol, 0, True)), 0)

    def __or__(self, word: Word) -> Word:
        """Join: either of the two happens."""
        if self.copies == word.copies:
            return Word(self.width, self.zero | word.zero, self.one | word.one, self.copies, self.other | word.other)
        copies = dict(self.copies)
        for source, mask in word.copies:
            copies[source] = copies.get(source, 0) | mask
        return Word.make(self.width, self.zero | word.zero, self.one | word.one, copies, self.other | word.other)

    def __invert__(self) -> Word:
        copies = {source._replace(inverted=not source.inverted): mask for source, mask in self.copies}
        return Word.make(self.width, self.one, self.zero, copies, self.other)

    def __and__(self, word: Word) -> Word:
        """Bitwise and."""
        a, b = dict(self.copies), dict(word.copies)
        zero = self.zero | word.zero
        one = self.one & word.one
        other = (self.other & ~word.known_zero()) | (word.other & ~self.known_zero())
        copies: dict[Source, int] = {}
        for source, mask in a.items():
            copies[source] = mask & (word.one | b.get(source, 0))
            for against, theirs in b.items():
                if against == source._replace(inverted=not source.inverted):
                    zero |= mask & theirs
                elif against != source:
                    other |= mask & theirs
        for source, mask in b.items():
            copies[source] = copies.get(source, 0) | (mask & self.one)
        return Word.make(self.width, zero, one, copies, other)

    def bit_or(self, word: Word) -> Word:
        """Bitwise or (``|`` is the join)."""
        return ~(~self & ~word)

    def __xor__(self, word: Word) -> Word:
        """Bitwise exclusive or."""
        a, b = dict(self.copies), dict(word.copies)
        zero = (self.zero & word.zero) | (self.one & word.one)
        one = (self.zero & word.one) | (self.one & word.zero)
        other = self.other | word.other
        copies: dict[Source, int] = {}
        for mine, theirs in ((a, word), (b, self)):
            for source, mask in mine.items():
                inverse = source._replace(inverted=not source.inverted)
                copies[source] = copies.get(source, 0) | (mask & theirs.zero)
                copies[inverse] = copies.get(inverse, 0) | (mask & theirs.one)
        for source, mask in a.items():
            for against, bits in b.items():
                if against[:2] != source[:2]:
                    other |= mask & bits
                elif against == source:
                    zero |= mask & bits
                else:
                    one |= mask & bits
        return Word.make(self.width, zero, one, copies, other)

    def masked(self, mask: int) -> Word:
        """``self & Word.const(mask)``, for the many instructions that have a constant operand."""
        return Word(
            self.width,
            self.zero | (full(self.width) & ~mask),
            self.one & mask,
            tuple((source, bits & mask) for source, bits in self.copies if bits & mask),
            self.other & mask,
        )

    def raised(self, mask: int) -> Word:
        """``self.bit_or(Word.const(mask))``, likewise."""
        rest = full(self.width) & ~mask
        copies = tuple((source, bits & rest) for source, bits in self.copies if bits & rest)
        return Word(self.width, self.zero & rest, self.one | mask, copies, self.other & rest)

    def flipped(self, mask: int) -> Word:
        """``self ^ Word.const(mask)``, likewise."""
        zero, one = ((a & ~mask) | (b & mask) for a, b in ((self.zero, self.one), (self.one, self.zero)))
        if not self.copies:
            return Word(self.width, zero, one, (), self.other)
        copies: dict[Source, int] = {}
        for source, bits in self.copies:
            inverse = source._replace(inverted=not source.inverted)
            copies[source] = copies.get(source, 0) | (bits & ~mask)
            copies[inverse] = copies.get(inverse, 0) | (bits & mask)
        return Word.make(self.width, zero, one, copies, self.other)

    def shifted(self, amount: int) -> Word:
        """Shifted left by ``amount`` bits (right when negative); what leaves the word is lost, zeros come in."""
        copies = {source._replace(shift=source.shift + amount): shifted(mask, amount) for source, mask in self.copies}
        fresh = full(self.width) & ~shifted(full(self.width), amount)
        return Word.make(self.width, shifted(self.zero, amount) | fresh, shifted(self.one, amount), copies, shifted(self.other, amount))

    def resized(self, width: int) -> Word:
        """Cut to ``width`` bits, or extended with zeros."""
        fresh = full(width) & ~full(self.width)
        return Word.make(width, self.zero | fresh, self.one, dict(self.copies), self.other)

    def byteswapped(self) -> Word:
        """The bytes in reverse order; the width must be a multiple of 8."""
        result = Word(self.width)
        for low in range(0, self.width, 8):
            part = self.only(0xFF << low)
            copies: dict[Source, int] = {}
            move = self.width - 8 - 2 * low
            for source, mask in part.copies:
                copies[source._replace(shift=source.shift + move)] = shifted(mask, move)
            result |= Word.make(self.width, shifted(part.zero, move), shifted(part.one, move), copies, shifted(part.other, move))
        return result

    def only(self, mask: int) -> Word:
        """The possibilities of the bits in ``mask`` and none elsewhere: a part to be joined with its complement."""
        copies = tuple((source, kept) for source, bits in self.copies if (kept := bits & mask)) if self.copies else ()
        return Word(self.width, self.zero & mask, self.one & mask, copies, self.other & mask)

    def masked_into(self, base: Word, mask: int) -> Word:
        """This word in the bits of ``mask``, ``base`` in the others."""
        return self.only(mask) | base.only(~mask)

    def applied(self, values: Mapping[str, Word]) -> Word:
        """Composition: every copied symbol replaced by what it holds in ``values`` (unchanged where it is absent)."""
        result = Word(self.width, self.zero, self.one, (), self.other)
        for source, mask in self.copies:
            word = values.get(source.symbol)
            if word is None:
                result |= Word(self.width, copies=((source, mask),))
                continue
            copies = {
                Source(s.symbol, s.shift + source.shift, s.inverted != source.inverted): shifted(bits, source.shift) & mask
                for s, bits in word.copies
            }
            zero, one = (word.one, word.zero) if source.inverted else (word.zero, word.one)
            result |= Word.make(
                self.width,
                shifted(zero, source.shift) & mask,
                shifted(one, source.shift) & mask,
                copies,
                shifted(word.other, source.shift) & mask,
            )
        return result

    def allows(self, value: int, state: Mapping[str, int]) -> bool:
        """Whether the word may be ``value`` when its symbols hold ``state`` (a missing symbol may hold anything)."""
        ones, zeros = self.one | self.other, self.zero | self.other
        for (symbol, shift, inverted), mask in self.copies:
            if symbol not in state:
                ones |= mask
                zeros |= mask
                continue
            bits = shifted(~state[symbol] if inverted else state[symbol], shift)
            ones |= mask & bits
            zeros |= mask & ~bits
        return not (value & ~ones or full(self.width) & ~value & ~zeros)

    def value(self, state: Mapping[str, int]) -> int | None:
        """The word when its symbols hold ``state``; None where more than one value is possible."""
        value = self.one
        certain = self.zero ^ self.one
        seen = self.zero | self.one
        for (symbol, shift, inverted), mask in self.copies:
            if symbol not in state or mask & seen:
                return None
            bits = shifted(~state[symbol] if inverted else state[symbol], shift)
            value |= mask & bits
            certain |= mask
            seen |= mask
        return value if certain == full(self.width) and not self.other else None


def masked_set(field: str, width: int, clear: int, flip: int) -> Word:
    """``x' = (x & ~clear) ^ flip``: the form of every constant write (xt_mark.c mark_tg, tc skbedit, ovs set_field)."""
    return (Word.entry(field, width) & Word.const(~clear, width)) ^ Word.const(flip, width)


@dataclass(frozen=True, slots=True)
class Predicate:
    """A test of ``field & mask``: it holds for the closed intervals ``accepts`` (ascending, disjoint).

    ``negated`` only tells how it was written (``accepts`` has it applied already), ``value`` the number it was written with.
    """

    field: str
    mask: int
    accepts: tuple[tuple[int, int], ...]
    value: int | None = None
    negated: bool = False

    @staticmethod
    def equals(field: str, value: int, mask: int, negated: bool = False) -> Predicate:
        """``(x & mask) == value``, as xt_mark.c mark_mt and nft compare: a value bit outside the mask never matches."""
        inside = value & mask == value
        accepts: tuple[tuple[int, int], ...] = ((value, value),) if inside else ()
        if negated:
            accepts = tuple(_gaps(value, mask)) if inside else ((0, mask),)
        return Predicate(field, mask, accepts, value, negated)

    def holds(self, word: int) -> bool:
        """Whether the test holds for a word."""
        bits = word & self.mask
        return any(low <= bits <= high for low, high in self.accepts)

    def never(self) -> bool:
        """No word can match."""
        return not self.accepts

    def always(self) -> bool:
        """Every word matches."""
        return self.accepts == ((0, self.mask),)

    def inverse(self) -> Predicate:
        """The test that holds where this one does not."""
        gaps: list[tuple[int, int]] = []
        start = 0
        for low, high in self.accepts:
            if start < low:
                gaps.append((start, (low - 1) & self.mask))
            start = ((high | ~self.mask) + 1) & self.mask if high != self.mask else self.mask + 1
        if start <= self.mask:
            gaps.append((start, self.mask))
        return Predicate(self.field, self.mask, tuple(gaps), self.value, not self.negated)

    def exact(self) -> int | None:
        """The one value of ``field & mask`` that matches, if there is just one."""
        if len(self.accepts) == 1 and self.accepts[0][0] == self.accepts[0][1]:
            return self.accepts[0][0]
        return None

    def may_hold(self, word: Word) -> bool:
        """Whether some value that ``word`` may have matches (bits independent; exact for single values)."""
        zeros = word.zero | word.other | word.copied()
        ones = word.one | word.other | word.copied()
        value = self.exact()
        if value is not None:
            return not (value & ~ones or self.mask & ~value & ~zeros)
        low = self.mask & ones & ~zeros
        high = self.mask & ones
        return any(start <= high and low <= end for start, end in self.accepts)


def _gaps(value: int, mask: int) -> list[tuple[int, int]]:
    """What is left of 0..mask without ``value``, with ends that ``x & mask`` can take."""
    below, above = (value - 1) & mask, ((value | ~mask) + 1) & mask
    return ([(0, below)] if value else []) + ([(above, mask)] if value != mask else [])
