"""Whether a use is where a reservation holds: its conntrack zone, its bridge, its kind of logical datapath."""

from __future__ import annotations

from collections.abc import Iterable

from markreg.model import Use
from markreg.registry.model import Registry, Scope
from markreg.registry.numbers import parse_ranges
from markreg.registry.scopes import scope


def within(registry: Registry, names: Iterable[str], use: Use) -> bool:
    """Whether a use may be in a reservation's scopes; what is not known of the use excludes nothing."""
    by_dimension: dict[str, list[Scope]] = {}
    for name in names:
        found = scope(registry, name)
        by_dimension.setdefault(found.dimension, []).append(found)
    zones, bridges = by_dimension.get("ct-zone", []), by_dimension.get("bridge", [])
    return (not zones or any(in_zone(s, use.scope.zone) for s in zones)) and (not bridges or any(_on_bridge(s, use) for s in bridges))


def in_zone(known: Scope, zone: str | None) -> bool:
    """Whether a zone may be one of a scope's: a register by its name, a number by its range."""
    if not zone or known.name == "zone-0":
        return True
    if not zone.isdigit():
        return zone in known.zone_registers
    return any(low <= int(zone) <= high for text in known.zones for low, high in parse_ranges(text))


def _on_bridge(known: Scope, use: Use) -> bool:
    place = use.place
    if place.datapath and known.datapath and place.datapath != known.datapath:
        return False
    names = {known.name, *known.within} if known.datapath else {known.name}
    return not place.bridge or place.bridge in names
