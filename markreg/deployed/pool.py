"""The components that a plan's node pool puts beside what manifests deploy, with what it pins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from markreg.deployment import Deployed, Mention, Setting
from markreg.registry import positions
from markreg.registry.model import NodePool, Registry
from markreg.resources import shown


def beside(deployed: Sequence[Deployed], registry: Registry, name: str) -> tuple[Deployed, ...]:
    """What is deployed and what the pool names besides, by name. A setting that only the plan has counts as set."""
    pool = registry.node_pools[name]
    known = {d.name: d for d in deployed}
    for component in dict.fromkeys(c.partition("/")[0] for c in pool.components):
        here = known.get(component)
        pinned = _pinned(pool, component)
        if here is None:
            at = mention(pool, ("components",))
            known[component] = Deployed(component, "high", (at,), (f"pool {name}",), pinned, pool.releases.get(component))
        else:
            names = {s.knob for s in here.settings}
            added = tuple(s for s in pinned if s.knob not in names)
            known[component] = replace(here, settings=here.settings + added, release=here.release or pool.releases.get(component))
    return tuple(sorted(known.values(), key=lambda d: d.name))


def _pinned(pool: NodePool, component: str) -> tuple[Setting, ...]:
    settings = pool.settings.get(component, {})
    return tuple(Setting(knob, value, mention(pool, ("settings", component, knob))) for knob, value in settings.items())


def mention(pool: NodePool, keys: tuple[str, ...]) -> Mention:
    """Where a key of a pool stands in its registry file."""
    found = positions.of_file(pool.origin.path)
    line, column, end = found.find((*pool.origin.keys, *keys), value=True)
    return Mention(shown(pool.origin.path), line, column, end, found.line(line)[column - 1 : end - 1], f"pool {pool.name}")
