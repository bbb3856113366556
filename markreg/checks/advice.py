"""What would end a finding: the way out that the registry knows, the knob that moves a side, bits that are free here."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, reduce
from operator import or_

from markreg.bits import format_bits, format_mask, full
from markreg.checks import Context
from markreg.model import Owned, Use
from markreg.paths.uses import whole
from markreg.registry.agreements import named
from markreg.registry.effective import Resolver
from markreg.registry.model import Knob, ReadAt, Registry


def advice(
    context: Context,
    field: str,
    mask: int,
    owners: tuple[str, ...],
    code: str,
    writers: tuple[Owned, ...],
    readers: tuple[Owned, ...] = (),
) -> str:
    """One line of help for a finding between owners about bits of a field, which ``writers`` write or carry and ``readers`` look for."""
    registry = context.registry
    for conflict in registry.conflicts:
        sides = [o for o in owners if named(o, (p.partition("/")[0] for p in conflict.between))]
        if len(set(sides)) > 1 and conflict.way_out and _about(registry, conflict.between, field, mask):
            return conflict.way_out
    if code in ("MK102", "MK104") and (culprit := next((o for o in writers if _unmasked(o)), None)):
        return _masked(registry, culprit)
    if reader := next((o for o in readers if code == "MK101" and _unmasked(o) and o.use.access == "read"), None):
        return _compared(registry, reader, field)
    free = format_bits(_free(context, field))
    room = f"free on this node: {field} {free}" if free else f"no bit of {field} is free on this node"
    for owner in owners:
        if knob := _knob(registry, owner, field, mask, [o for o in (*writers, *readers) if o.owner == owner]):
            place = _where(knob.read[0]) if knob.read else knob.name
            return f"move {owner} with {place} ({room})"
    if mask and field == "skb_mark":
        return f"{room}; pwru --filter-mark {format_mask(mask)}/{format_mask(mask)} shows the packets"
    return room


def _unmasked(owned: Owned) -> bool:
    return whole(owned.use) and owned.use.basis == "observed"


def _masked(registry: Registry, culprit: Owned) -> str:
    """What gives a statement about the whole field a mask: whoever wrote it, or a release or setting of the component that did."""
    owner, use = culprit.owner, culprit.use
    if owner not in registry.components:
        return f"give {owner}'s statement a mask that holds its own bits alone: {_spelled(use)}"
    rows = [r for r in Resolver(registry).rows(owner) if r.field == use.field and (culprit.reservation in (None, r.path))]
    alone = [r for r in rows if r.reservation.writes == "masked" and r.mask]
    ways = []
    if alone:
        taken = next((r.reservation.since for r in rows if r.reservation.writes == "whole" and r.reservation.since), None)
        release = f" (before {taken})" if taken else ""
        ways.append(f"a release of {owner} that writes {use.field} {format_bits(alone[0].mask)} alone{release}")
    switches = [name for r in rows for name, value in r.reservation.when.items() if value in (True, (True,))]
    knobs = [k for name in dict.fromkeys(switches) if (k := registry.knob(owner, name)) and k.read]
    ways += [f"{owner} without it ({_where(k.read[0])})" for k in knobs[:1]]
    return ", or ".join(ways) or f"no setting of {owner} ends this, but a release whose statement has a mask ({_spelled(use)})"


def _spelled(use: Use) -> str:
    """A masked write as the notation of a statement has it."""
    copied = use.effect is not None and use.effect.copied() != 0
    if use.place.backend == "native":
        target = "ct mark" if use.field == "ct_mark" else "meta mark"
        return f"{target} set {target} & ~MASK | VALUE"
    if use.place.kind == "netfilter":
        return "--nfmask MASK --ctmask MASK" if copied else "--set-xmark VALUE/MASK"
    return "VALUE/MASK"


def _compared(registry: Registry, reader: Owned, field: str) -> str:
    """What ends a match of the whole field: a mask, for whatever bit another takes, it decides that match."""
    if reader.owner not in registry.components:
        return f"compare under a mask in {reader.owner}: VALUE/MASK; as it is, any bit of another decides its match, wherever that moves"
    rows = [
        r for r in Resolver(registry).rows(reader.owner) if r.field == field and r.mask and r.mask != full(registry.fields[field].width)
    ]
    held = [r for r in rows if r.reservation.status == "active" and r.reservation.reads]
    way = f"a release of {reader.owner} that compares under a mask"
    if held:
        known = {r.mask for r in held}
        way += f", as with {field} {format_bits(reduce(or_, known, 0))}"
    return f"{way}; as it is, any bit of another decides its match, wherever that moves"


@lru_cache(maxsize=8)
def _free(context: Context, field: str) -> int:
    """The bits that nobody has, nor sets in a value of the whole field."""
    from markreg.registry.free import free

    values = 0
    for use in (o.use for o in context.node.uses if o.use.field == field and whole(o.use)):
        values |= reduce(or_, (low | high for low, high in use.values if low == high), use.value or 0)
    return free(context.node, context.registry, field).mask & ~values


def _about(registry: Registry, between: tuple[str, ...], field: str, mask: int) -> bool:
    """Whether a conflict between reservations is about these bits; one between components is about all that they share."""
    resolver = Resolver(registry)
    rows = [row for path in between if "/" in path and (row := resolver.at(path))]
    return all(row.field == field and row.mask & mask for row in rows)


def _knob(registry: Registry, owner: str, field: str, mask: int, uses: Sequence[Owned]) -> Knob | None:
    """The setting that moves those bits of a component that a finding is about: of the reservations of its uses, where these are known."""
    entry = registry.components.get(owner.partition("/")[0])
    if entry is None:
        return None
    paths = {o.reservation for o in uses}
    rows = [
        r for r in Resolver(registry).rows(entry.name) if r.field == field and (r.path in paths if None not in paths else r.mask & mask)
    ]
    concerned = {r.reservation.name for r in rows}
    names = [p.from_ for p in entry.pool if p.field == field and concerned & {d.name for d in p.draw}]
    names += [r.bits_from.knob for r in entry.reservation if r.bits_from and r.field == field and r.name in concerned]
    return next((k for n in names if (k := registry.knob(entry.name, n))), None)


def _where(place: ReadAt) -> str:
    if place.env:
        return place.env
    if place.flag:
        return place.flag
    if place.kind:
        return f"{place.kind} {place.path}"
    return place.helm or place.key or place.cni or place.annotation or place.unit or place.nb or place.path
