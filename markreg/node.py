"""From sources to a node: every input read, sets filled in, uses given their owners."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from markreg.attribution import attribute
from markreg.attribution.presumed import presumed
from markreg.captures import once
from markreg.deployed import deploy, interesting, known_of, with_deployed
from markreg.inputs import Gathered, Known
from markreg.model import Input, MarkSet, Node, Reading
from markreg.registry.model import Registry


def read(known: Sequence[Known], fields: frozenset[str] = frozenset(), keep: Callable[[Reading], Reading] | None = None) -> list[Reading]:
    """What each source says. Rules that name an ipset are read again when the sets of their namespace are known.

    ``fields``: registers that are read as marks are. A notation of which several dumps tell one thing puts them together.
    ``keep``: leaves out of a reading what nobody will look at, before the next is read.
    """
    readings = [keep(_read(k, fields)) if keep else _read(k, fields) for k in known]
    sets: dict[str, dict[str, MarkSet]] = {}
    for reading in readings:
        sets.setdefault(reading.scope.netns, {}).update((s.name, s) for s in reading.sets)
    for number, entry in enumerate(known):
        resolve = getattr(entry.format, "resolve", None)
        if resolve and (there := sets.get(entry.scope.netns)):
            readings[number] = resolve(entry.source, replace(readings[number], scope=entry.scope), there)
    for together in dict.fromkeys(t for k in known if (t := getattr(k.format, "together", None))):
        readings = together(readings)
    return readings


def _read(known: Known, fields: frozenset[str]) -> Reading:
    """One source; ``fields`` are for the notations that have some of them."""
    if asked := fields & getattr(known.format, "ON_DEMAND", frozenset()):
        found: Reading = known.format.read(known.source, known.name, known.scope, fields=asked)  # type: ignore[call-arg]
        return found
    return known.format.read(known.source, known.name, known.scope)


def build(gathered: Gathered, registry: Registry, fields: frozenset[str] = frozenset()) -> Node:
    """The node that the gathered sources describe; ``fields``: registers that are asked for."""
    keep = interesting(registry) if gathered.repository else None
    readings = once(read(gathered.known, fields | _planned(registry), keep))
    if not gathered.repository:
        # What commands in a manifest would do is seen in the rules of the node.
        readings = [replace(r, uses=(), tables=(), rules=(), opaque=()) if r.documents else r for r in readings]
    deployed = deploy(readings, registry, gathered.pool)
    settings, releases = known_of(deployed)
    components, uses = attribute(readings, registry, releases=releases, settings=settings)
    components, uses, told = with_deployed(components, uses, deployed, registry, gathered.repository)
    uses += presumed([c for c in components if c.name not in told], readings, registry, settings=settings, observed=uses)
    return Node(
        inputs=tuple(_input(r) for r in readings),
        components=components,
        uses=uses,
        tables=tuple(t for r in readings for t in r.tables),
        rules=tuple(x for r in readings for x in r.rules),
        opaque=tuple(o for r in readings for o in r.opaque),
        problems=(*gathered.problems, *(p for r in readings for p in r.problems)),
        unread=(*gathered.unread, *(p for r in readings for p in r.unread)),
        skipped=gathered.skipped,
        seen=tuple(x for r in readings for x in r.seen),
        pipelines=tuple(p for r in readings for p in r.pipelines),
        rows=tuple(x for r in readings for x in r.rows),
        zones=tuple(x for r in readings for x in r.zones),
        deployed=deployed,
        repository=gathered.repository,
        pool=gathered.pool,
        programs=tuple(p for r in readings for p in r.programs),
        devices=tuple(d for r in readings for d in r.devices),
        sysctls=tuple(x for r in readings for x in r.sysctls),
    )


def _planned(registry: Registry) -> frozenset[str]:
    """The fields in which a plan reserves something itself: registers among them are read as marks are."""
    names = registry.declared if registry.kind == "plan" else ()
    return frozenset(row.field for name in names for row in registry.components[name].reservation if row.field)


def _input(reading: Reading) -> Input:
    not_understood = len({line for o in reading.opaque for line in o.lines})
    return Input(reading.path, reading.format, reading.scope, reading.statements, reading.mark_statements, not_understood)
