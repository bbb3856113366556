"""Flows of Open vSwitch, pair by pair: what a write or a copy leaves, and whether a match turns by it.

`openflow.Zones` says which bits of a write may still be there where another flow is met: on the packet's way through the tables, and on
the connection at any later packet. States are words of a field: 0, or what the reader's own writes leave there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from markreg.model import FIELDS, Owned, Use
from markreg.paths.collision import Collision, Proof
from markreg.paths.openflow import concerned
from markreg.paths.uses import clears, connection, matches, means, sets, uncertain, whole
from markreg.paths.witness import Step
from markreg.transfer import Word

# The bits of the first one's field that the second may meet, all as -1.
Meets = Callable[[Owned, Owned], int]
# The hops between two.
Way = Callable[[Owned, Owned], tuple[str, ...]]
_MOST_COPIES = 4
_MOST = 20_000
_MOST_PAIRS = 1_000


@dataclass(frozen=True, slots=True)
class _Carried:
    """Bits that ``origin`` may have set and, where copies moved them, ``via`` who carried them: in ``name``, as ``effect``."""

    origin: Owned
    name: str
    bits: int
    effect: Word
    via: tuple[Owned, ...] = ()

    @property
    def last(self) -> Owned:
        return self.via[-1] if self.via else self.origin


def pairs(uses: Iterable[Owned], meets: Meets, way: Way) -> Iterator[Collision]:
    """The collisions in which a flow reads, writes or carries; the first of each kind with the tables on the way."""
    known: set[tuple[str, str, str, str, str]] = set()
    for found in _found(uses, meets):
        key = (found.code, found.writer, found.reader, found.carrier, found.name)
        if key not in known:
            known.add(key)
            found.steps = tuple(_with_hops(found.steps, way))
        yield found


def _with_hops(steps: Sequence[Step], way: Way) -> Iterator[Step]:
    """Steps with what lies between them."""
    for number, step in enumerate(steps):
        last = steps[number - 1].owned if number else None
        if last is not None and step.owned is not None and concerned(last.use, step.owned.use):
            yield from (Step("hop", None, text=text) for text in way(last, step.owned))
        yield step


def _found(uses: Iterable[Owned], meets: Meets) -> Iterator[Collision]:
    every = list(uses)
    if not any(concerned(o.use, o.use) for o in every):
        return
    writers = [o for o in every if o.use.effect is not None and not uncertain(o.use)]
    own: dict[tuple[str, str], list[Owned]] = {}
    for owned in writers:
        own.setdefault((owned.owner, owned.use.field), []).append(owned)
    readers = [o for o in every if matches(o)]
    asks = [o for o in every if o.use.effect is None and o.use.predicate is None and not whole(o.use)]
    carried = list(_carried(writers, meets))
    told = _Told()
    whose: dict[tuple[str, str], list[_Carried]] = {}
    for definition in carried:
        whose.setdefault((definition.origin.owner, definition.name), []).append(definition)
    matching, asking = _by_owner(readers), _by_owner((*readers, *asks))
    for definition in carried:
        for owner, there in matching.get(definition.name, {}).items():
            if owner == definition.origin.owner == definition.last.owner:
                continue
            for reader in there:
                if concerned(definition.last.use, reader.use) and not told.enough("MK101", definition.origin, reader, definition.bits):
                    yield from told.noted(_decides(definition, reader, own, meets))
    for writer in writers:
        for reader in _others(asking, writer):
            if concerned(writer.use, reader.use) and not told.enough("MK102", writer, reader, clears(writer.use)):
                theirs = whose.get((reader.owner, writer.use.field), ())
                yield from told.noted(_loses(writer, reader, theirs, meets))
    written = _by_owner(writers)
    for first in writers:
        for second in _others(written, first):
            if concerned(first.use, second.use):
                mask = sets(first.use) & clears(second.use) | means(first.use) & means(second.use)
                if mask and not told.enough("MK103", first, second, mask) and (mask := mask & meets(first, second)):
                    yield from told.noted((_made("MK103", first, second, mask),))


def _by_owner(uses: Iterable[Owned]) -> dict[str, dict[str, list[Owned]]]:
    """Uses by field and owner."""
    found: dict[str, dict[str, list[Owned]]] = {}
    for owned in uses:
        found.setdefault(owned.use.field, {}).setdefault(owned.owner, []).append(owned)
    return found


def _others(uses: dict[str, dict[str, list[Owned]]], owned: Owned) -> Iterator[Owned]:
    """What other owners have of the field of a use."""
    for owner, there in uses.get(owned.use.field, {}).items():
        if owner != owned.owner:
            yield from there


class _Told:
    """What was found of two owners in a field: after so many pairs of statements one that adds no bit is not asked for any more."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str, str], tuple[int, int]] = {}

    def enough(self, code: str, writer: Owned, reader: Owned, bits: int) -> bool:
        """Whether all of ``bits`` that the reader's statement has are told."""
        mask, count = self._found.get((code, writer.owner, reader.owner, reader.use.field), (0, 0))
        return count >= _MOST_PAIRS and not bits & reader.use.mask & ~mask

    def noted(self, found: Iterable[Collision]) -> Iterator[Collision]:
        """Passes collisions on."""
        for one in found:
            key = ("MK101" if one.code == "MK104" else one.code, one.writer, one.reader, one.name)
            mask, count = self._found.get(key, (0, 0))
            self._found[key] = mask | one.mask, count + 1
            yield one


def _made(code: str, writer: Owned, reader: Owned, mask: int, victim: Owned | None = None, via: Sequence[Owned] = ()) -> Collision:
    carrier = via[-1].owner if code == "MK104" else ""
    proof: Proof = "presumed" if _guessed(writer, reader) else "shown"
    found = Collision(code, writer.owner, reader.owner, carrier, reader.use.field, mask, proof)
    found.readers[reader.id] = reader
    found.writers[writer.id] = writer
    if victim:
        found.victims[victim.id] = victim
    found.carriers.update((o.id, o) for o in via)
    last = "read" if reader.use.effect is None else "write"
    middle = [*([victim] if victim else []), writer, *via]
    found.steps = (*(Step(_kind(o, writer, victim), o, _line(o)) for o in middle), Step(last, reader, _line(reader)))
    found.pairs = 1
    return found


def _guessed(*sides: Owned) -> bool:
    return any(o.use.basis == "registry" for o in sides)


def _kind(owned: Owned, writer: Owned, victim: Owned | None) -> str:
    return "victim" if owned is victim else "write" if owned is writer else "copy"


def _line(owned: Owned) -> int:
    return owned.use.lines[0] if owned.use.lines else 0


def _carried(writers: list[Owned], meets: Meets) -> Iterator[_Carried]:
    """Every write with the bits it sets, then what copies carry from it to where."""
    copies = [(o, s, bits) for o in writers if o.use.effect for s, bits in o.use.effect.copies if s.symbol != o.use.field]
    pending = [_Carried(o, o.use.field, sets(o.use), o.use.effect) for o in writers if sets(o.use) and o.use.effect]
    seen: set[tuple[str, str, int, str]] = set()
    for count, definition in enumerate(pending):
        if count > _MOST:
            return
        yield definition
        if len(definition.via) == _MOST_COPIES:
            continue
        for copy, (symbol, shift, inverted), mask in copies:
            moved = (definition.bits << shift if shift >= 0 else definition.bits >> -shift) & mask
            key = (definition.origin.id, copy.id, moved, definition.name)
            if symbol != definition.name or inverted or not moved or key in seen or not (met := meets(definition.last, copy)):
                continue
            seen.add(key)
            met &= definition.bits
            if not (moved := (met << shift if shift >= 0 else met >> -shift) & mask):
                continue
            assert copy.use.effect is not None
            value = definition.effect.shifted(shift).resized(copy.use.effect.width)
            brought = Word(value.width, one=value.one & moved, other=(value.other | value.copied()) & moved).only(moved)
            rest = copy.use.effect.only(~mask) | Word.const(0, value.width).only(mask & ~moved)
            pending.append(_Carried(definition.origin, copy.use.field, moved, brought | rest, (*definition.via, copy)))


def _decides(definition: _Carried, reader: Owned, own: dict[tuple[str, str], list[Owned]], meets: Meets) -> Iterator[Collision]:
    origin, last = definition.origin, definition.last
    stale = origin.owner == reader.owner
    if not definition.bits & reader.use.mask or (stale and last.owner == reader.owner):
        return
    mask = definition.bits & _turned(definition, reader, own.get((reader.owner, definition.name), []), meets)
    if not mask or not (mask := mask & meets(last, reader)):
        return
    foreign = [c for c in definition.via if c.owner not in (origin.owner, reader.owner)]
    if stale or foreign:
        if foreign:
            yield _made("MK104", origin, reader, mask, via=foreign)
    else:
        yield _made("MK101", origin, reader, mask, via=definition.via)


def _turned(definition: _Carried, reader: Owned, own: list[Owned], meets: Meets) -> int:
    """The bits by which a definition turns a match: from a mark of 0, or from what the reader's own writes leave."""
    zero = Word.const(0, FIELDS[definition.name].width)
    come = definition.effect.applied({definition.name: zero})
    mask = _decided(reader, zero, come)
    for write in own:
        if not meets(write, reader):
            continue
        state = _after(write.use, zero)
        if state.copied() & reader.use.mask:
            continue  # what a restore brings is not known, so nothing can be said to break it
        if meets(write, definition.last):
            mask |= _decided(reader, state, definition.effect.applied({definition.name: state}))
        if meets(definition.last, write):
            mask |= _decided(reader, state, _after(write.use, come))
    return mask


def _loses(writer: Owned, reader: Owned, carried: Iterable[_Carried], meets: Meets) -> Iterator[Collision]:
    """``carried``: what the reader's owner has in the field."""
    zero, cleared = Word.const(0, FIELDS[writer.use.field].width), clears(writer.use) & reader.use.mask
    for definition in carried:
        lost = definition.bits & cleared
        if not lost or definition.last.use is writer.use:
            continue
        lost &= ~_brings_the_same(definition.last.use, writer.use)
        if not lost:
            continue
        state = definition.effect.applied({definition.name: zero})
        mask = lost & _decided(reader, state, _after(writer.use, state))
        if mask and (mask := mask & meets(definition.last, writer)) and (mask := mask & meets(writer, reader)):
            yield _made("MK102", writer, reader, mask, definition.origin, definition.via)


def _brings_the_same(a: Use, b: Use) -> int:
    """Bits into which two copies bring the same bit of a connection's field: the later one overwrites nothing."""
    if a.effect is None or b.effect is None:
        return 0
    theirs = dict(b.effect.copies)
    return sum(bits & theirs.get(source, 0) for source, bits in a.effect.copies if connection(source.symbol))


def _after(use: Use, word: Word) -> Word:
    """The field after a write, when it held ``word`` before."""
    assert use.effect is not None
    return use.effect.applied({use.field: word})


def _decided(reader: Owned, before: Word, later: Word) -> int:
    """The examined bits that ``later`` may hold otherwise, if that can turn the match."""
    predicate = reader.use.predicate
    if predicate is not None:
        other = predicate.inverse()
        if not (predicate.may_hold(before) and other.may_hold(later)) and not (other.may_hold(before) and predicate.may_hold(later)):
            return 0
    ones = [w.one | w.other | w.copied() for w in (before, later)]
    zeros = [w.zero | w.other | w.copied() for w in (before, later)]
    return reader.use.mask & _differs(before, later) & (ones[1] & zeros[0] | zeros[1] & ones[0])


def _differs(a: Word, b: Word) -> int:
    """Bits whose possibilities are not the same in two words."""
    mask = (a.zero ^ b.zero) | (a.one ^ b.one) | (a.other ^ b.other)
    mine, theirs = dict(a.copies), dict(b.copies)
    for source in mine.keys() | theirs.keys():
        mask |= mine.get(source, 0) ^ theirs.get(source, 0)
    return mask
