"""What would end a finding: the way out that the registry knows, the knob that moves a side, bits that are free here."""

from __future__ import annotations

from functools import lru_cache

from markreg.bits import format_bits, format_mask
from markreg.checks import Context
from markreg.model import Owned
from markreg.paths.uses import whole
from markreg.registry.agreements import named
from markreg.registry.effective import Resolver
from markreg.registry.model import Knob, ReadAt, Registry


def advice(context: Context, field: str, mask: int, owners: tuple[str, ...], code: str, writers: tuple[Owned, ...]) -> str:
    """One line of help for a finding between owners about bits of a field, which ``writers`` write or carry."""
    registry = context.registry
    for conflict in registry.conflicts:
        sides = [o for o in owners if named(o, (p.partition("/")[0] for p in conflict.between))]
        if len(set(sides)) > 1 and conflict.way_out and _about(registry, conflict.between, field, mask):
            return conflict.way_out
    if code in ("MK102", "MK104") and any(whole(o.use) and o.use.basis == "observed" for o in writers):
        culprit = next(o for o in writers if whole(o.use) and o.use.basis == "observed")
        return f"give {culprit.owner}'s statement a mask that holds its own bits alone"
    free = format_bits(_free(context, field))
    room = f"free on this node: {field} {free}" if free else f"no bit of {field} is free on this node"
    for owner in owners:
        if knob := _knob(registry, owner, field):
            place = _where(knob.read[0]) if knob.read else knob.name
            return f"move {owner} with {place} ({room})"
    if mask and field == "skb_mark":
        return f"{room}; pwru --filter-mark {format_mask(mask)}/{format_mask(mask)} shows the packets"
    return room


@lru_cache(maxsize=8)
def _free(context: Context, field: str) -> int:
    from markreg.registry.free import free

    return free(context.node, context.registry, field).mask


def _about(registry: Registry, between: tuple[str, ...], field: str, mask: int) -> bool:
    """Whether a conflict between reservations is about these bits; one between components is about all that they share."""
    resolver = Resolver(registry)
    rows = [row for path in between if "/" in path and (row := resolver.at(path))]
    return all(row.field == field and row.mask & mask for row in rows)


def _knob(registry: Registry, owner: str, field: str) -> Knob | None:
    """The setting that moves bits of a component in a field."""
    entry = registry.components.get(owner.partition("/")[0])
    if entry is None:
        return None
    names = [p.from_ for p in entry.pool if p.field == field]
    names += [r.bits_from.knob for r in entry.reservation if r.bits_from and r.field == field]
    return next((k for n in names if (k := registry.knob(entry.name, n))), None)


def _where(place: ReadAt) -> str:
    if place.env:
        return place.env
    if place.flag:
        return place.flag
    if place.kind:
        return f"{place.kind} {place.path}"
    return place.helm or place.key or place.cni or place.annotation or place.unit or place.nb or place.path
