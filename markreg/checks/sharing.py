"""Bits that one owner puts where another looks: MK101 to MK104 and MK106, asked of the packet's way (docs/architecture.md)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import TYPE_CHECKING

from markreg.bits import shifted
from markreg.checks import Context
from markreg.checks.advice import advice
from markreg.checks.located import locations
from markreg.checks.severity import limited
from markreg.checks.words import bits_of, sub_fields
from markreg.model import Finding, Owned, Severity
from markreg.paths.uses import means, sets, whole
from markreg.registry.agreements import Side, agreed

if TYPE_CHECKING:
    from markreg.paths.collision import Collision
    from markreg.paths.witness import Step

_ORDER = ("MK102", "MK101", "MK104", "MK103")


def check(context: Context, earlier: tuple[Finding, ...]) -> Iterator[Finding]:
    """One finding for each code, pair of owners and field."""
    del earlier
    told: dict[tuple[frozenset[str], str], int] = {}
    # The surest first, and nothing by the order of the inputs: what one finding says of two owners, no later one says again.
    found = sorted(context.paths.collisions, key=lambda c: (_ORDER.index(c.code), c.doubt, c.writer, c.reader, c.carrier, c.name))
    for collision in found:
        if (kept := _kept(context, collision, told)) is None:
            continue
        for pair in _pairs(kept):
            told[pair, kept.name] = told.get((pair, kept.name), 0) | kept.mask
        yield _report(context, kept)
    yield from _apart(context, told)


def _pairs(collision: Collision) -> set[frozenset[str]]:
    owners = [o for o in (collision.writer, collision.reader, collision.carrier) if o]
    pairs = {frozenset((a, b)) for a in owners for b in owners if a != b or collision.writer == collision.reader == a}
    return pairs | {frozenset((collision.writer, o.owner)) for o in collision.victims.values()}


def _kept(context: Context, collision: Collision, told: dict[tuple[frozenset[str], str], int]) -> Collision | None:
    """A collision without what the registry agrees to; None if nothing is left of it."""
    code, mask = collision.code, collision.mask
    if code == "MK103":
        mask &= ~told.get((frozenset((collision.writer, collision.reader)), collision.name), 0)
    if code == "MK104":
        return None if _keeps(context, collision) else collision
    writers = {k: o for k, o in collision.writers.items() if whole(o.use) or not _agreed(context, collision, o.use.field, mask)}
    return replace(collision, mask=mask, writers=writers) if mask and writers else None


def _agreed(context: Context, collision: Collision, written: str, mask: int) -> bool:
    """Whether the registry lets a write of a field go where it goes: to the match, or to where the reader itself takes it from."""
    sides = Side(collision.writer, "write"), Side(collision.reader, "write" if collision.code == "MK103" else "read")
    if agreed(context.registry, *sides, collision.name, mask):
        return True
    if written == collision.name or any(o.owner != collision.reader for o in collision.carriers.values()):
        return False
    taken = 0
    for effect in (o.use.effect for o in collision.carriers.values()):
        for source, bits in effect.copies if effect else ():
            if source.symbol == written:
                taken |= shifted(bits & mask, -source.shift)
    return bool(taken) and agreed(context.registry, *sides, written, taken)


def _keeps(context: Context, collision: Collision) -> bool:
    """Whether the reader itself keeps these bits where they are carried from: then a copy brings it what it wants."""
    writes = (o.use for o in context.node.uses if o.owner == collision.reader and o.use.field != collision.name)
    return any(u.effect is not None and (sets(u) | u.effect.copied()) & u.mask & collision.mask for u in writes)


def _apart(context: Context, told: dict[tuple[frozenset[str], str], int]) -> Iterator[Finding]:
    """MK106: the same bits, and no way from one to the other that matters."""
    pairs: dict[tuple[str, str, str], _Pair] = {}
    said: dict[tuple[frozenset[str], str], int] = {}
    uses = _representatives(context.node.uses)
    for first in (o for o in uses if o.use.effect is not None and (ones := sets(o.use)) and ones):
        for second in uses:
            if first.owner == second.owner or first.use.field != second.use.field or second.use.possible:
                continue
            if _told_elsewhere(context, first, second) or context.paths.separate(first.use, second.use):
                continue
            meant = second.use.mask if second.use.effect is None else means(second.use)
            key = (frozenset((first.owner, second.owner)), first.use.field)
            mask = sets(first.use) & meant & ~told.get(key, 0)
            if (first.owner, second.owner, first.use.field) not in pairs:
                mask &= ~said.get(key, 0)
            if not mask:
                continue
            sides = Side(first.owner, "write"), Side(second.owner, "read" if second.use.effect is None else "write")
            if whole(first.use) or not agreed(context.registry, *sides, first.use.field, mask):
                said[key] = said.get(key, 0) | mask
                pairs.setdefault((first.owner, second.owner, first.use.field), _Pair()).add(mask, first, second)
    if not pairs:
        return
    from markreg.paths.collision import Collision

    for (writer, reader, name), pair in pairs.items():
        yield _report(
            context, Collision("MK106", writer, reader, "", name, pair.mask, "shown", pair.seconds, pair.firsts, pairs=pair.count)
        )


def _told_elsewhere(context: Context, first: Owned, second: Owned) -> bool:
    """Whether a pair with a registered use is for others to tell: MK305, or `registered` in a repository."""
    bases = {first.use.basis, second.use.basis}
    return "manifest" in bases and (context.node.repository or len(bases) == 1)


@dataclass(slots=True)
class _Pair:
    """The statements of two owners with bits in common."""

    mask: int = 0
    firsts: dict[str, Owned] = field(default_factory=dict)
    seconds: dict[str, Owned] = field(default_factory=dict)
    count: int = 0

    def add(self, mask: int, first: Owned, second: Owned) -> None:
        """One more pair of statements."""
        self.mask |= mask
        self.firsts.setdefault(first.id, first)
        self.seconds.setdefault(second.id, second)
        self.count += 1


def _representatives(uses: Iterable[Owned]) -> list[Owned]:
    """One use for all that are alike, so that a hundred endpoints count as one."""
    chosen: dict[tuple[object, ...], Owned] = {}
    for owned in uses:
        use = owned.use
        place = use.place
        key = (owned.owner, use.field, use.access, use.effect, use.predicate, use.possible, use.scope, place.kind, place.table)
        chosen.setdefault((*key, place.backend, place.priority, place.hooks, use.statement), owned)
    return list(chosen.values())


_SAYS = {
    "MK101": "{writer} sets {bits}, which decides a match of {reader}",
    "MK102": "{writer} overwrites {bits}, which {reader} set before and reads again",
    "request": "{writer} overwrites {bits}, which {requester} set before for {reader} to read",
    "MK103": "{writer} and {reader} both write {bits} on one path",
    "MK104": "{carrier} carries {bits} of {writer} to a match of {reader}",
    "MK106": "{writer} and {reader} both use {bits}, on paths that are not seen to meet",
}
_CONFIDENCE = {"low": 0, "medium": 1, "high": 2}
_SEVERITY: dict[str, Severity] = {"MK101": "error", "MK102": "error", "MK103": "warning", "MK104": "error", "MK106": "note"}


def _evidence(owned: Owned) -> tuple[bool, int]:
    return owned.use.basis != "registry", _CONFIDENCE[owned.confidence]


def _report(context: Context, found: Collision) -> Finding:
    """The finding of a collision. What a walk did not show as things are is no error."""
    code, name = found.code, found.name
    firsts, seconds, victims, carriers = ([*d.values()] for d in (found.writers, found.readers, found.victims, found.carriers))
    bits = bits_of(name, found.mask) + sub_fields(context.registry, name, (*firsts, *seconds))
    both = [o for pair in zip_longest(firsts, (o for o in seconds if o.use.effect is not None)) for o in pair if o is not None]
    places = [*locations(context, "writer", both)]
    places += locations(context, "reader", [o for o in seconds if o.use.effect is None])
    places += locations(context, "victim", victims)
    places += locations(context, "carrier", carriers)
    owners = tuple(o for o in (found.writer, found.reader, found.carrier) if o)
    lost = [] if any(o.owner == found.reader for o in victims) else sorted({o.owner for o in victims})
    saying = _SAYS["request" if code == "MK102" and lost else code]
    message = saying.format(writer=found.writer, reader=found.reader, bits=bits, carrier=found.carrier, requester=" and ".join(lost))
    sides = [max(side, key=_evidence) for side in (firsts, seconds, victims) if side]
    severity = limited("note" if found.proof == "presumed" else _SEVERITY[code], *sides)
    if severity == "error" and found.proof in ("shielded", "not followed"):
        severity = "warning"
        message += ", once marks of a third owner no longer stand in the way" if found.proof == "shielded" else ""
    pair = (found.writer, found.reader)
    help_ = "" if severity == "note" else advice(context, name, found.mask, pair, code, (*firsts, *carriers), tuple(seconds))
    return Finding(code, severity, message, name, found.mask, owners, tuple(places), help_, found.pairs, path_of(found.steps, found.proof))


def path_of(steps: Iterable[Step], proof: str) -> tuple[dict[str, object], ...]:
    """The steps of a witness as findings hold them; the last says how it was confirmed."""
    result: list[dict[str, object]] = []
    for step in steps:
        if step.owned is None:
            result.append({"step": step.kind, "place": step.text})
            continue
        said: dict[str, object] = {"step": step.kind, "use": step.owned.id, "place": step.owned.use.place.text}
        said |= {"path": step.owned.use.path, "line": step.line} if step.line else {}
        result.append({**said, "assumes": [*step.assumes]} if step.assumes else said)
    if result:
        result[-1]["confirmed"] = proof
    return tuple(result)
