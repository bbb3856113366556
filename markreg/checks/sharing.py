"""Bits that two owners share: MK101 to MK104 and MK106."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from markreg.checks import Context
from markreg.checks.advice import advice
from markreg.checks.located import locations
from markreg.checks.severity import limited
from markreg.checks.words import bits_of
from markreg.model import FIELDS, Finding, Owned, Severity, Use
from markreg.paths.definitions import (
    Definition,
    after,
    brings_the_same,
    clears,
    definitions,
    differs,
    may_be_one,
    may_be_zero,
    meets,
    sets,
    uncertain,
    whole,
)
from markreg.paths.exclusion import Exclusion
from markreg.registry.agreements import Side, agreed
from markreg.transfer import Word

_Key = tuple[str, str, str, str, str, bool]


@dataclass(slots=True)
class _Pair:
    """One finding in the making: everything that says the same of two owners and a field."""

    mask: int = 0
    writers: dict[str, Owned] = field(default_factory=dict)
    readers: dict[str, Owned] = field(default_factory=dict)
    victims: dict[str, Owned] = field(default_factory=dict)
    carriers: dict[str, Owned] = field(default_factory=dict)
    occurrences: int = 0

    def add(self, mask: int, writer: Owned, reader: Owned, victim: Owned | None = None, carriers: Iterable[Owned] = ()) -> None:
        """One more pair of statements."""
        self.mask |= mask
        self.writers.setdefault(writer.id, writer)
        self.readers.setdefault(reader.id, reader)
        if victim:
            self.victims.setdefault(victim.id, victim)
        self.carriers.update((c.id, c) for c in carriers)
        self.occurrences += 1


def check(context: Context, earlier: tuple[Finding, ...]) -> Iterator[Finding]:
    """One finding for each code, pair of owners and field."""
    del earlier
    work = _Sharing(context)
    work.decided()
    work.claimed_twice()
    work.apart()
    for (code, writer, reader, name, carrier, weak), pair in work.pairs.items():
        strong = work.pairs.get((code, writer, reader, name, carrier, False))
        if not weak or strong is None:
            yield _finding(context, code, writer, reader, name, carrier, weak, pair)


class _Sharing:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.order = context.order
        self.pairs: dict[_Key, _Pair] = {}
        self.uses = _representatives(context.node.uses)
        self.readers = [o for o in self.uses if _matches(o)]
        self.writers = [o for o in self.uses if o.use.effect is not None and not uncertain(o.use)]
        self.exclusion = Exclusion(context.order, context.node.tables, context.sources, self.writers)

    def note(self, code: str, writer: Owned, reader: Owned, mask: int, weak: bool = False, **more: object) -> None:
        """Adds a pair. ``weak``: only a presumed use makes it one."""
        if writer.use.basis == reader.use.basis == "manifest":
            return  # nobody has seen a rule of either: what their reservations share is MK305
        carrier = more.get("carriers")
        name = carrier[-1].owner if isinstance(carrier, tuple) and carrier and code == "MK104" else ""
        key = (code, writer.owner, reader.owner, reader.use.field, name, weak)
        self.pairs.setdefault(key, _Pair()).add(mask, writer, reader, **more)  # type: ignore[arg-type]

    def agreed(self, writer: Owned, reader: Owned, mask: int, reads: bool = True) -> bool:
        """Whether the registry lets both have the bits; it never covers a write of the whole field."""
        if whole(writer.use):
            return False
        sides = Side(writer.owner, "write"), Side(reader.owner, "read" if reads else "write")
        return agreed(self.context.registry, *sides, reader.use.field, mask)

    def decided(self) -> None:
        """MK101, MK102, MK104: a match of one owner that another's write decides, or whose bits are lost."""
        by_field: dict[str, list[Owned]] = {}
        for reader in self.readers:
            by_field.setdefault(reader.use.field, []).append(reader)
        own: dict[tuple[str, str], list[Owned]] = {}
        for writer in self.writers:
            own.setdefault((writer.owner, writer.use.field), []).append(writer)
        found = list(definitions(self.uses, self.order))
        mine: dict[tuple[str, str], list[Definition]] = {}
        for definition in found:
            mine.setdefault((definition.origin.owner, definition.field), []).append(definition)
            for reader in by_field.get(definition.field, ()):
                self._decides(definition, reader, own.get((reader.owner, definition.field), []), own)
        kept = [o for o in self.uses if o.use.predicate is None and o.use.effect is None and not whole(o.use)]
        for writer in self.writers:
            for reader in (*by_field.get(writer.use.field, ()), *(o for o in kept if o.use.field == writer.use.field)):
                if reader.owner != writer.owner and clears(writer.use) & reader.use.mask:
                    self._loses(writer, reader, mine.get((reader.owner, writer.use.field), []))

    def _decides(self, definition: Definition, reader: Owned, own: list[Owned], all_own: dict[tuple[str, str], list[Owned]]) -> None:
        origin, last = definition.origin, definition.last
        stale = origin.owner == reader.owner
        if not definition.bits & reader.use.mask or (stale and last.owner == reader.owner):
            return
        mask, weak = self._turned(definition, reader, own), False
        if not mask & definition.bits:
            mask, weak = self._turned(definition, reader, own, presumed=True), True
        mask &= definition.bits
        if not mask or not meets(self.order, last, reader) or self.exclusion.apart(last.use, reader.use, mask):
            return
        foreign = [c for c in definition.via if c.owner not in (origin.owner, reader.owner)]
        if stale or foreign:
            kept = all_own.get((reader.owner, definition.origin.use.field if not definition.via else _source(definition)), [])
            if not foreign or any(sets(o.use) & mask for o in kept if o.use.field != reader.use.field):
                return
            self.note("MK104", origin, reader, mask, weak, carriers=tuple(foreign))
        elif not self.agreed(origin, reader, mask):
            self.note("MK101", origin, reader, mask, weak, carriers=definition.via)

    def _turned(self, definition: Definition, reader: Owned, own: list[Owned], presumed: bool = False) -> int:
        """The bits by which a definition turns a match: from a mark of 0, or from what the reader's own writes leave."""
        zero = Word.const(0, FIELDS[definition.field].width)
        come = definition.effect.applied({definition.field: zero})
        mask = _decided_bits(reader, zero, come)
        for write in own:
            if (write.use.basis == "registry") is not presumed or not meets(self.order, write, reader):
                continue
            state = after(write.use, zero)
            if state.copied() & reader.use.mask:
                continue  # what a restore brings is not known, so nothing can be said to break it
            if meets(self.order, write, definition.last):
                mask |= _decided_bits(reader, state, definition.effect.applied({definition.field: state}))
            if meets(self.order, definition.last, write):
                mask |= _decided_bits(reader, state, after(write.use, come))
        return mask

    def _loses(self, writer: Owned, reader: Owned, mine: list[Definition]) -> None:
        zero = Word.const(0, FIELDS[writer.use.field].width)
        for definition in mine:
            victim = definition.last
            lost = definition.bits & clears(writer.use) & reader.use.mask & ~brings_the_same(victim.use, writer.use)
            if not lost or victim.use is writer.use:
                continue
            state = definition.effect.applied({definition.field: zero})
            mask = lost & _decided_bits(reader, state, after(writer.use, state))
            if not mask or self.agreed(writer, reader, mask):
                continue
            if not meets(self.order, victim, writer) or not meets(self.order, writer, reader):
                continue
            if not self.exclusion.apart(writer.use, reader.use, mask) and not self.exclusion.apart(victim.use, writer.use, mask):
                self.note("MK102", writer, reader, mask, victim=definition.origin, carriers=definition.via)

    def claimed_twice(self) -> None:
        """MK103: two owners write the same bits on one path and nobody is seen to read them in between."""
        for first in self.writers:
            for second in self.writers:
                if first.owner == second.owner or first.use.field != second.use.field:
                    continue
                mask = sets(first.use) & clears(second.use) | _means(first.use) & _means(second.use)
                mask &= ~self._told(first.owner, second.owner, first.use.field)
                if not mask or self.agreed(first, second, mask, reads=False) or not meets(self.order, first, second):
                    continue
                if not self.exclusion.apart(first.use, second.use, mask):
                    self.note("MK103", first, second, mask)

    def apart(self) -> None:
        """MK106: the same bits, and no way from one to the other that matters."""
        for first in self.writers:
            for second in self.uses:
                if first.owner == second.owner or first.use.field != second.use.field or second.use.possible:
                    continue
                if self.order.separate(first.use, second.use):
                    continue
                meant = second.use.mask if second.use.effect is None else _means(second.use)
                mask = sets(first.use) & meant & ~self._told(first.owner, second.owner, first.use.field)
                if mask and not self.agreed(first, second, mask, reads=second.use.effect is None):
                    self.note("MK106", first, second, mask)

    def _told(self, a: str, b: str, name: str) -> int:
        """The bits of a field that findings between two owners speak of already."""
        mask = 0
        for (_, writer, reader, told, carrier, _), pair in self.pairs.items():
            if told == name and {a, b} <= {writer, reader, carrier}:
                mask |= pair.mask
        return mask


def _matches(owned: Owned) -> bool:
    """Whether a use tests bits: a comparison that can turn out both ways, or a claim to read them."""
    use = owned.use
    if use.predicate is None:
        return use.effect is None and use.basis != "observed"
    return not use.predicate.always() and not use.predicate.never()


def _decided_bits(reader: Owned, before: Word, later: Word) -> int:
    """The examined bits that ``later`` may hold otherwise, if that can turn the match."""
    predicate = reader.use.predicate
    if predicate is not None:
        other = predicate.inverse()
        if not (predicate.may_hold(before) and other.may_hold(later)) and not (other.may_hold(before) and predicate.may_hold(later)):
            return 0
    return (
        reader.use.mask & differs(before, later) & ((may_be_one(later) & may_be_zero(before)) | (may_be_zero(later) & may_be_one(before)))
    )


def _means(use: Use) -> int:
    """The bits that a write claims: its mask, or what it sets where it writes the whole word; a copy claims none."""
    return sets(use) if whole(use) or use.access == "copy" else use.mask


def _source(definition: Definition) -> str:
    """The field from which the last copy took the bits."""
    return definition.via[-2].use.field if len(definition.via) > 1 else definition.origin.use.field


def _representatives(uses: Iterable[Owned]) -> list[Owned]:
    """One use for all that are alike in everything the questions ask for, so that a hundred endpoints count as one."""
    chosen: dict[tuple[object, ...], Owned] = {}
    for owned in uses:
        use = owned.use
        place = use.place
        exact = place.chain if any(place.chain == c for c in ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")) else place.hooks
        key = (owned.owner, use.field, use.access, use.effect, use.predicate, use.possible, use.scope, place.kind, place.table)
        chosen.setdefault((*key, place.backend, place.priority, place.hooks, exact, use.statement), owned)
    return list(chosen.values())


_SAYS = {
    "MK101": "{writer} sets {bits}, which decides a match of {reader}",
    "MK102": "{writer} overwrites {bits}, which {reader} set before and reads again",
    "MK103": "{writer} and {reader} both write {bits} on one path",
    "MK104": "{carrier} carries {bits} of {writer} to a match of {reader}",
    "MK106": "{writer} and {reader} both use {bits}, on paths that are not seen to meet",
}
_CONFIDENCE = {"low": 0, "medium": 1, "high": 2}


def _evidence(owned: Owned) -> tuple[bool, int]:
    return owned.use.basis != "registry", _CONFIDENCE[owned.confidence]


_SEVERITY: dict[str, Severity] = {"MK101": "error", "MK102": "error", "MK103": "warning", "MK104": "error", "MK106": "note"}


def _finding(context: Context, code: str, writer: str, reader: str, name: str, carrier: str, weak: bool, pair: _Pair) -> Finding:
    bits = bits_of(name, pair.mask)
    seconds = list(pair.readers.values())
    places = [*locations(context, "writer", pair.writers.values())]
    places += locations(context, "reader", [o for o in seconds if o.use.effect is None])
    places += locations(context, "writer", [o for o in seconds if o.use.effect is not None])
    places += locations(context, "victim", pair.victims.values())
    places += locations(context, "carrier", pair.carriers.values())
    owners = (writer, reader, carrier) if carrier else (writer, reader)
    message = _SAYS[code].format(writer=writer, reader=reader, bits=bits, carrier=carrier)
    sides = [max(side.values(), key=_evidence) for side in (pair.writers, pair.readers, pair.victims) if side]
    severity = "note" if weak else limited(_SEVERITY[code], *sides)
    first, last = next(iter(pair.writers.values())), next(iter(pair.readers.values()))
    causes = (*pair.writers.values(), *pair.carriers.values())
    help_ = "" if severity == "note" else advice(context, name, pair.mask, (writer, reader), code, causes)
    path = () if code == "MK106" else _path(context, first, last, tuple(pair.carriers.values())[:3])
    return Finding(code, severity, message, name, pair.mask, owners, tuple(places), help_, pair.occurrences, path)


def _path(context: Context, writer: Owned, reader: Owned, carriers: tuple[Owned, ...]) -> tuple[dict[str, object], ...]:
    steps: list[dict[str, object]] = [{"step": "write", "use": writer.id, "place": writer.use.place.text}]
    steps += [{"step": "copy", "use": c.id, "place": c.use.place.text} for c in carriers]
    meeting = context.order.meeting((carriers or (writer,))[-1].use, reader.use)
    if meeting and meeting.first != meeting.second:
        steps.append({"step": "hop", "place": f"{meeting.first} to {meeting.second}"})
    steps.append({"step": "read" if reader.use.effect is None else "write", "use": reader.id, "place": reader.use.place.text})
    return tuple(steps)
