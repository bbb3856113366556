"""What a write does to single bits, for tier 1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from markreg.bits import bit_numbers
from markreg.model import FIELDS, Owned


@dataclass(frozen=True, slots=True)
class Change:
    """What a write does to one bit: ``zero``/``one`` it may make it so itself, ``keeps``, or copies of slots: that of a bit's 0, which
    that of its 1 follows."""

    slot: int
    zero: bool
    one: bool
    keeps: bool
    sources: tuple[tuple[int, bool], ...]
    socket: bool


def changes(act: Owned, slots: Mapping[tuple[str, int], int]) -> Iterator[Change]:
    """The changes of a write, for each bit of the field that has a slot."""
    use = act.use
    assert use.effect is not None
    for bit in bit_numbers(use.mask):
        slot = slots.get((use.field, bit))
        if slot is None:
            continue
        zero, one = (bool((mask | use.effect.other) >> bit & 1) for mask in (use.effect.zero, use.effect.one))
        keeps = socket = False
        sources: list[tuple[int, bool]] = []
        for (symbol, shift, inverted), mask in use.effect.copies:
            if not mask >> bit & 1:
                continue
            if (symbol, shift) == (use.field, 0):
                keeps, zero, one = keeps or not inverted, zero or inverted, one or inverted
            elif (source := slots.get((symbol, bit - shift))) is not None:
                sources.append((source, inverted))
            elif symbol in FIELDS:  # nobody writes there
                zero, one = zero or not inverted, one or inverted
            else:
                socket = True
        yield Change(slot, zero, one, keeps, tuple(sources), socket)
