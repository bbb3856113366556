"""What a plan pins, held against what the components take (MK306)."""

from __future__ import annotations

from collections.abc import Iterator

from markreg.model import Finding, Location
from markreg.registry import positions
from markreg.registry.effective import Resolver
from markreg.registry.model import NodePool, Registry

CODE = "MK306"


def refused(registry: Registry, pool: NodePool, resolver: Resolver) -> Iterator[Finding]:
    """MK306 for each setting of a pool that its component refuses, as ``resolver`` (that of the pool) has them."""
    for name in dict.fromkeys(c.partition("/")[0] for c in pool.components):
        for knob, why in resolver.refused(name):
            found = positions.of_file(pool.origin.path)
            line, column, end = found.find((*pool.origin.keys, "settings", name, knob), value=True)
            place = Location("writer", name, "registry", pool.origin.path, line, column, end, found.line(line))
            message = f"{name} refuses what pool {pool.name} pins: {why}"
            yield Finding(CODE, "error", message, owners=(name,), locations=(place,), help=f"markreg plan {name} looks for another value")
