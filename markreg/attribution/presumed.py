"""Uses that no input could have shown, but that the registry knows of a component on the node (registry.md section 3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from markreg.bits import full
from markreg.model import Access, Component, Owned, Place, Reading, Scope, Use
from markreg.registry import positions
from markreg.registry.effective import Effective, Resolver, Settings, layouts
from markreg.registry.model import Registry
from markreg.registry.numbers import deposit, joined
from markreg.registry.releases import Interval
from markreg.registry.scopes import scope
from markreg.registry.signatures import kinds_of
from markreg.resources import shown
from markreg.transfer import Predicate, Word

# Where a statement leaves no line in any dump of rules; a socket's mark is only ever written.
_HIDDEN = {"bpf": ("write", "read"), "socket": ("write",)}
_MOST_CODES = 256
_FAMILIES = {"ipv4": "ip", "ipv6": "ip6"}


def presumed(
    components: Sequence[Component],
    readings: Sequence[Reading],
    registry: Registry,
    *,
    settings: Mapping[str, Settings] | None = None,
    observed: Sequence[Owned] = (),
) -> tuple[Owned, ...]:
    """Uses of basis ``registry``: of present components, what is in force ``via`` bpf or socket where no such capture was read.

    They are numbered after those ``observed``, which say what a socket's mark is where any may be: the one that its rules ask for. A use
    writes or leaves the field as it is (``possible``).
    """
    first = len(observed) + 1
    shown = {kind for reading in readings for kind in kinds_of(reading.format)}
    hidden = {via: accesses for via, accesses in _HIDDEN.items() if via not in shown}
    chosen: dict[str, str | Interval] = {}
    for component in components:
        entry = registry.components.get(component.name)
        for layout in layouts(entry) if entry and component.layout else ():
            if layout.name == component.layout:
                chosen[component.name] = layout
    resolver = Resolver(registry, settings, chosen)
    found: list[Owned] = []
    for component in components:
        for row in resolver.in_force(component.name):
            for via, access in _ways(row, hidden):
                use = _use(registry, row, via, access, codes_of(row) or _asked(observed, component.name, row))
                if use:
                    by = f"registry {row.path}"
                    found.append(Owned(f"u{first + len(found)}", use, component.name, row.path, by, component.confidence))
    return tuple(found)


def _ways(row: Effective, hidden: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, Access]]:
    for via in row.reservation.via:
        accesses = hidden.get(via, ())
        if "write" in accesses and row.reservation.changes:
            yield via, "write"
        if "read" in accesses and row.reservation.reads:
            yield via, "read"


def _asked(observed: Sequence[Owned], component: str, row: Effective) -> list[int]:
    """The one value for which a component's own rules look in all bits of a row."""
    asked = (o.use.predicate for o in observed if o.owner == component and o.use.field == row.field and o.use.predicate)
    exact = {value for p in asked if p.mask == row.mask and (value := p.exact() or p.inverse().exact())}
    return [*exact] if len(exact) == 1 else []


def _use(registry: Registry, row: Effective, via: str, access: Access, codes: Sequence[int]) -> Use | None:
    scopes = [scope(registry, name) for name in row.scope]
    if any(s.dimension == "netns" for s in scopes) and "host" not in row.scope:
        return None
    families = {_FAMILIES[s.name] for s in scopes if s.name in _FAMILIES}
    where = Scope(family=families.pop() if len(families) == 1 else "inet")
    width = registry.fields[row.field].width
    origin = row.reservation.origin
    line = positions.of_file(origin.path).find((*origin.keys, "name"))[0]
    whole = row.reservation.writes == "whole" and access == "write"
    mask = full(width) if whole else row.mask
    effect = effect_of(row.field, width, mask, row.mask, codes) if access == "write" else None
    predicate = None
    if access == "read" and codes:
        predicate = Predicate(row.field, mask, joined((c, c) for c in codes), codes[0] if len(codes) == 1 else None)
    return Use(
        field=row.field,
        access=access,
        mask=mask,
        place=Place(via, f"{row.path} by {via}, as registered", where.family),
        scope=where,
        path=shown(origin.path),
        lines=(line,),
        clause=row.reservation.name,
        effect=effect,
        predicate=predicate,
        statement=row.path,
        basis="registry",
        possible=access == "write",
    )


def codes_of(row: Effective) -> list[int]:
    """The values in place that a row may hold; none where any may be."""
    if row.codes:
        return sorted({code for code, _ in row.codes})
    if row.ranges is None:
        # A flag of one bit, when it is written at all, is set.
        return [row.mask] if row.mask.bit_count() == 1 else []
    if sum(high - low + 1 for low, high in row.ranges) > _MOST_CODES:
        return []
    return [deposit(n, row.mask) for low, high in row.ranges for n in range(low, high + 1)]


def effect_of(field: str, width: int, mask: int, own: int, codes: Sequence[int]) -> Word:
    """What a masked write of some code (of any value where there are none) makes of a field: ``mask`` is written, ``own`` may be set."""
    base = Word.entry(field, width)
    if not codes:
        return Word(width, mask, own).masked_into(base, mask)
    result = Word.const(codes[0], width).masked_into(base, mask)
    for code in codes[1:]:
        result |= Word.const(code, width).masked_into(base, mask)
    return result
