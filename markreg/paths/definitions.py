"""What writes leave behind and what matches make of it: the questions that findings are made of, for one pair of places.

States are words of a field. A mark is 0 when a packet enters from a device, a connection's when it is new; an owner's own writes
give the other states in which its matches are asked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from markreg.bits import bit_numbers, full
from markreg.model import FIELDS, Owned, Use
from markreg.paths.order import Order
from markreg.transfer import Word


def uncertain(use: Use) -> bool:
    """Whether it is not known that a statement writes anything: a queue's verdict. A claim to write counts as a write."""
    return use.possible and use.basis == "observed"


def sets(use: Use) -> int:
    """Bits that a write can turn from 0 to 1 by itself, without a copy from elsewhere."""
    if use.effect is None or uncertain(use):
        return 0
    return (use.effect.one | use.effect.other | use.effect.toggles(use.field)) & use.mask


def may_set(use: Use) -> int:
    """Bits that a write can turn to 1, by itself or by a copy."""
    return sets(use) | (_foreign(use) if use.effect is not None and not uncertain(use) else 0)


def brings_the_same(a: Use, b: Use) -> int:
    """Bits into which two copies bring the same bit of a connection's field: the later one overwrites nothing.

    A packet's mark may have changed between two saves of it.
    """
    if a.effect is None or b.effect is None:
        return 0
    theirs = dict(b.effect.copies)
    return sum(bits & theirs.get(source, 0) for source, bits in a.effect.copies if _of_connection(source.symbol))


def _of_connection(symbol: str) -> bool:
    return symbol in FIELDS and FIELDS[symbol].carrier == "connection"


def _foreign(use: Use) -> int:
    assert use.effect is not None
    mask = 0
    for source, bits in use.effect.copies:
        if source.symbol != use.field:
            mask |= bits
    return mask & use.mask


def clears(use: Use) -> int:
    """Bits that a write can turn from 1 to 0."""
    if use.effect is None or uncertain(use):
        return 0
    effect = use.effect
    foreign = 0
    for source, bits in effect.copies:
        if source != (use.field, 0, False):
            foreign |= bits
    return (effect.zero | effect.other | foreign) & use.mask


def whole(use: Use) -> bool:
    """Whether a statement is about every bit of its field."""
    return use.mask == full(FIELDS[use.field].width)


def after(use: Use, word: Word) -> Word:
    """The field after a write, when it held ``word`` before."""
    assert use.effect is not None
    return use.effect.applied({use.field: word})


def may_be_one(word: Word) -> int:
    """Bits that can be 1."""
    return word.one | word.other | word.copied()


def differs(a: Word, b: Word) -> int:
    """Bits whose possibilities are not the same in two words."""
    mask = (a.zero ^ b.zero) | (a.one ^ b.one) | (a.other ^ b.other)
    mine, theirs = dict(a.copies), dict(b.copies)
    for source in mine.keys() | theirs.keys():
        mask |= mine.get(source, 0) ^ theirs.get(source, 0)
    return mask


def may_be_zero(word: Word) -> int:
    """Bits that can be 0."""
    return word.zero | word.other | word.copied()


@dataclass(frozen=True, slots=True)
class Definition:
    """Bits that ``origin`` may have set and, where a copy moved them, ``via`` who carried them last: in ``field``, as ``effect``."""

    origin: Owned
    field: str
    bits: int
    effect: Word
    via: tuple[Owned, ...] = ()

    @property
    def last(self) -> Owned:
        """The statement that put the bits where they are."""
        return self.via[-1] if self.via else self.origin


_MOST_COPIES = 4
_MOST = 20_000


def definitions(uses: Iterable[Owned], order: Order) -> Iterator[Definition]:
    """Every write with the bits it sets, then what copies carry from it to where, over at most four copies."""
    every = list(uses)
    writes = [o for o in every if o.use.effect is not None and not uncertain(o.use)]
    guards = _guards(every)
    supplied: dict[str, set[int]] = {}
    for owned in writes:
        supplied.setdefault(owned.use.field, set()).add(sets(owned.use))
    copies = [(o, s, bits) for o in writes for s, bits in o.use.effect.copies if s.symbol != o.use.field] if writes else []  # type: ignore[union-attr]
    pending = [Definition(o, o.use.field, sets(o.use), o.use.effect) for o in writes if sets(o.use) and o.use.effect]
    seen: set[tuple[str, str, int, str]] = set()
    count = 0
    while pending and count < _MOST:
        definition = pending.pop(0)
        count += 1
        yield definition
        if len(definition.via) == _MOST_COPIES:
            continue
        for copy, (_, shift, inverted), mask in copies:
            if copy.use.effect is None or inverted or not any(s.symbol == definition.field for s, _ in copy.use.effect.copies):
                continue
            source = next(s for s, b in copy.use.effect.copies if b == mask and s.shift == shift)
            asked = guards.get((copy.use.path, copy.use.lines[:1], definition.field), ())
            bits = _passed(definition.bits, asked, supplied.get(definition.field, ()))
            moved = (bits << shift if shift >= 0 else bits >> -shift) & mask
            key = (definition.origin.id, copy.id, moved, definition.field)
            if source.symbol != definition.field or not moved or key in seen or not meets(order, definition.last, copy):
                continue
            seen.add(key)
            value = definition.effect.shifted(shift)
            held = Word.const(0, copy.use.effect.width)
            brought = Word(held.width, one=value.one & moved, other=(value.other | value.copied()) & moved).only(moved)
            rest = copy.use.effect.only(~mask) | held.only(mask & ~moved)
            pending.append(Definition(definition.origin, copy.use.field, moved, brought | rest, (*definition.via, copy)))


_Guards = dict[tuple[str, tuple[int, ...], str], list[tuple[int, int]]]


def _guards(uses: Iterable[Owned]) -> _Guards:
    """For each line and field the (mask, value) that the line asks for before it does anything."""
    asked: _Guards = {}
    for use in (o.use for o in uses):
        if use.predicate and (value := use.predicate.exact()) is not None:
            asked.setdefault((use.path, use.lines[:1], use.field), []).append((use.predicate.mask, value))
    return asked


def _passed(bits: int, guards: Iterable[tuple[int, int]], supplied: Collection[int]) -> int:
    """What is left of the 1 bits of a definition behind guards.

    Nothing, where a guard asks for a 1 that the definition lacks and that only comes with all of its own bits: then those made no
    difference.
    """
    for mask, value in guards:
        own = bits & value
        for bit in bit_numbers(value & ~bits):
            if not any(ones >> bit & 1 and (not own or own & ~ones) for ones in supplied):
                return 0
        bits &= ~(mask & ~value)
    return bits


def meets(order: Order, first: Owned, second: Owned) -> bool:
    """Whether what ``first`` leaves can be met by ``second``: in the packet's order, or on the connection at any time."""
    if FIELDS[_written(first.use, second.use)].carrier == "connection":
        return order.connected(first.use, second.use)
    return order.meeting(first.use, second.use) is not None


def _written(first: Use, second: Use) -> str:
    return first.field if first.effect is not None else second.field
