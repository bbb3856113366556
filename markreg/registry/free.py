"""Which bits of a field nobody has: neither a statement of a node, nor a component on it, nor the plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from operator import or_

from markreg.bits import full
from markreg.model import Component, Node
from markreg.registry.accepted import today
from markreg.registry.effective import Effective, Resolver, layouts
from markreg.registry.model import Registry
from markreg.registry.overlaps import pool_resolver
from markreg.registry.releases import Interval

# Names (owners, or paths of reservations) with the bits they have, by name.
Holders = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Free:
    """The bits of a field and who has them.

    ``used``: by owners that have statements about a part of the field. ``reserved``: in force for components on the node.
    ``planned``: by the plan, None where none is in force. ``whole``: owners with statements about the whole field, and whether they
    write or read it: such a statement takes no bit, but whatever bit is taken, it overwrites or sees it.
    """

    field: str
    width: int
    used: Holders
    reserved: Holders
    planned: Holders | None
    whole: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def mask(self) -> int:
        """The bits that are free."""
        return full(self.width) & ~(bits(self.used) | bits(self.reserved) | bits(self.planned or ()))


def bits(holders: Holders) -> int:
    """All bits of some holders."""
    return reduce(or_, (mask for _, mask in holders), 0)


def free(node: Node, registry: Registry, field: str) -> Free:
    """What is free in a field of the registry, in all network namespaces and zones of the node at once."""
    width = registry.fields[field].width
    used: dict[str, int] = {}
    whole: dict[str, set[str]] = {}
    for owned in node.uses:
        if owned.use.field != field:
            continue
        if owned.use.mask == full(width):
            whole.setdefault(owned.owner, set()).add("reads" if owned.use.access == "read" else "writes")
        else:
            used[owned.owner] = used.get(owned.owner, 0) | owned.use.mask
    here = Resolver(registry, releases=_layouts(registry, node.components))
    return Free(
        field,
        width,
        _sorted(used.items()),
        _holders(registry, ((here, c.name) for c in node.components), field),
        _holders(registry, _planned(registry), field) if registry.kind == "plan" else None,
        tuple((owner, tuple(sorted(does))) for owner, does in sorted(whole.items())),
    )


def _layouts(registry: Registry, components: Iterable[Component]) -> dict[str, Interval]:
    """The layouts that fit what the node shows."""
    entries = ((c, registry.components.get(c.name)) for c in components)
    return {c.name: i for c, entry in entries if entry for i in layouts(entry) if i.name == c.layout}


def _planned(registry: Registry) -> Iterator[tuple[Resolver, str]]:
    """What the plan puts on nodes of any pool, or without pools what its file declares."""
    for name, pool in registry.node_pools.items():
        resolver = pool_resolver(registry, name)
        yield from ((resolver, c.partition("/")[0]) for c in pool.components)
    if not registry.node_pools:
        resolver = Resolver(registry)
        yield from ((resolver, c) for c in registry.declared)


def _holders(registry: Registry, components: Iterable[tuple[Resolver, str]], field: str) -> Holders:
    held: dict[str, int] = {}
    for resolver, component in components:
        for row in resolver.rows(component):
            if row.field == field and (row.in_force or _kept(row)):
                held[row.path] = held.get(row.path, 0) | _meant(row, full(registry.fields[field].width))
    return _sorted((path, mask) for path, mask in held.items() if mask)


def _meant(row: Effective, everything: int) -> int:
    """The bits that mean something to a row: of one that takes the whole field those that its codes set."""
    return row.mask if row.mask != everything else reduce(or_, (code for code, _ in row.codes), 0)


def _kept(row: Effective) -> bool:
    """Whether a retired reservation still keeps others out."""
    r = row.reservation
    return r.status == "retired" and r.free_after is not None and today() < r.free_after


def _sorted(holders: Iterable[tuple[str, int]]) -> Holders:
    return tuple(sorted(holders))
