"""What writes leave behind and what matches make of it: the questions that findings are made of, for one pair of places.

States are words of a field. A mark is 0 when a packet enters from a device, a connection's when it is new; an owner's own writes
give the other states in which its matches are asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from markreg.bits import full
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
    writes = [o for o in uses if o.use.effect is not None]
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
            moved = (definition.bits << shift if shift >= 0 else definition.bits >> -shift) & mask
            key = (definition.origin.id, copy.id, moved, definition.field)
            if source.symbol != definition.field or not moved or key in seen or not meets(order, definition.last, copy):
                continue
            seen.add(key)
            value = definition.effect.shifted(shift)
            held = Word.const(0, copy.use.effect.width)
            brought = Word(held.width, one=value.one & moved, other=(value.other | value.copied()) & moved).only(moved)
            rest = copy.use.effect.only(~mask) | held.only(mask & ~moved)
            pending.append(Definition(definition.origin, copy.use.field, moved, brought | rest, (*definition.via, copy)))


def meets(order: Order, first: Owned, second: Owned) -> bool:
    """Whether what ``first`` leaves can be met by ``second``: in the packet's order, or on the connection at any time."""
    if FIELDS[_written(first.use, second.use)].carrier == "connection":
        return order.connected(first.use, second.use)
    return order.meeting(first.use, second.use) is not None


def _written(first: Use, second: Use) -> str:
    return first.field if first.effect is not None else second.field
