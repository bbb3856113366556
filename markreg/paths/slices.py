"""Bits that can be walked apart: nothing that is done to those of a slice, and no rule that leads to it, asks for other bits.

A walk of a slice is as exact as one of all bits, because rules that touch other bits only change nothing in it. It has far fewer states:
thirty rules that each may set a bit of their own make 2**30.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from markreg.bits import bit_numbers, shifted
from markreg.model import Owned, Use
from markreg.paths.crossings import Evidence
from markreg.paths.graph import Block, Item
from markreg.paths.relevance import Shape
from markreg.paths.uses import asks_connection

Bits = dict[str, int]
_Frozen = tuple[tuple[str, int], ...]


class Slices:
    """What bits depend on which, in a namespace."""

    def __init__(self, shape: Shape, uses: Iterable[Owned], evidence: Evidence) -> None:
        # Where some of the first are followed, the second must be.
        self._needs: dict[tuple[_Frozen, _Frozen], None] = {}
        self._copies: dict[tuple[str, str, int, int], None] = {}
        self._always: Bits = {}
        self._known: dict[tuple[_Frozen, str, int], _Frozen] = {}
        for owned in uses:
            use = owned.use
            if _undivided(use):
                self._need({use.field: use.mask}, {use.field: use.mask})
            for (symbol, shift, _), bits in use.effect.copies if use.effect else ():
                if (symbol, shift) != (use.field, 0):
                    self._copies[use.field, symbol, shift, bits] = None
        for block in shape.blocks:
            for item in block.items:
                self._ruled(item, block, shape, evidence)

    def _ruled(self, item: Item, block: Block, shape: Shape, evidence: Evidence) -> None:
        """What a rule makes depend on what."""
        called = [callee for _, callee in item.jumps if callee]
        beside = len(item.acts) > 1 or bool(item.jumps)
        asks = _masks(a for a in item.acts if a.use.predicate is not None or (beside and asks_connection(a.use)))
        done = _masks(item.acts if len(item.acts) > 1 else [a for a in item.acts if a.use.effect is not None])
        for callee in called:
            _add(done, shape.touched[id(callee)])
        if any(evidence.naming(g) for g in item.guards):
            # By such a rule a packet shows that its way is one.
            _add(self._always, _masks(item.acts))
            _add(self._always, done)
        if not asks:
            return
        exits = {e for verb, callee in item.jumps for e in (shape.exits[id(callee)] if callee else (verb,))}
        if exits - {"return"} or item.untracks or any(id(callee) in shape.untracks for callee in called):
            _add(self._always, asks)
            return
        if any(verb == "goto" or callee is None for verb, callee in item.jumps):
            _add(done, shape.touched[id(block)])  # the rest of the chain may not be met
        if done:
            self._need(done, asks)

    def _need(self, done: Mapping[str, int], asks: Mapping[str, int]) -> None:
        self._needs[tuple(sorted(done.items())), tuple(sorted(asks.items()))] = None

    def of(self, asked: Mapping[str, int], tracked: Mapping[str, int]) -> Sequence[Bits]:
        """The slices, of the bits that are ``tracked``, in which all that is done to the ``asked`` ones can be judged."""
        limits = tuple(sorted(tracked.items()))
        found: dict[_Frozen, None] = {}
        for name, mask in asked.items():
            for bit in bit_numbers(mask & tracked.get(name, 0)):
                key = (limits, name, bit)
                if key not in self._known:
                    self._known[key] = self._closed({name: 1 << bit}, tracked)
                found[self._known[key]] = None
        slices = [dict(one) for one in found]
        return [one for one in slices if not any(one is not other and _within(one, other) for other in slices)]

    def _closed(self, bits: Bits, tracked: Mapping[str, int]) -> _Frozen:
        _add(bits, self._always)
        while True:
            before = dict(bits)
            for done, asks in self._needs:
                if any(bits.get(n, 0) & m for n, m in done):
                    _add(bits, dict(asks))
            for target, source, shift, mask in self._copies:
                if wanted := bits.get(target, 0) & mask:
                    _add(bits, {source: shifted(wanted, -shift)})
            bits = {n: kept for n, m in bits.items() if (kept := m & tracked.get(n, 0))}
            if bits == before:
                return tuple(sorted(bits.items()))


def _undivided(use: Use) -> bool:
    """Whether what a statement does to one bit is not known without its others: a test, and a write that may leave all as it was."""
    if use.effect is None:
        return True
    kept = next((bits for source, bits in use.effect.copies if source == (use.field, 0, False)), 0)
    copied = 0
    for (symbol, shift, _), bits in use.effect.copies:
        copied |= bits if (symbol, shift) != (use.field, 0) else 0
    return bool(kept & use.mask & (use.effect.zero | use.effect.one | use.effect.other | copied))


def _masks(acts: Iterable[Owned]) -> Bits:
    found: Bits = {}
    for act in acts:
        _add(found, {act.use.field: act.use.mask})
    return found


def _add(bits: Bits, more: Mapping[str, int]) -> None:
    for name, mask in more.items():
        bits[name] = bits.get(name, 0) | mask


def _within(one: Bits, other: Bits) -> bool:
    return all(not mask & ~other.get(name, 0) for name, mask in one.items())
