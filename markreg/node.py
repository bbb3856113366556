"""From sources to a node: every input read, sets filled in, uses given their owners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from markreg.attribution import attribute
from markreg.attribution.presumed import presumed
from markreg.captures import once
from markreg.inputs import Gathered, Known
from markreg.model import Input, MarkSet, Node, Reading
from markreg.registry.model import Registry


def read(known: Sequence[Known]) -> list[Reading]:
    """What each source says. Rules that name an ipset are read again when the sets of their namespace are known."""
    readings = [k.format.read(k.source, k.name, k.scope) for k in known]
    sets: dict[str, dict[str, MarkSet]] = {}
    for reading in readings:
        sets.setdefault(reading.scope.netns, {}).update((s.name, s) for s in reading.sets)
    for number, entry in enumerate(known):
        resolve = getattr(entry.format, "resolve", None)
        if resolve and (there := sets.get(entry.scope.netns)):
            readings[number] = resolve(entry.source, replace(readings[number], scope=entry.scope), there)
    return readings


def build(gathered: Gathered, registry: Registry) -> Node:
    """The node that the gathered sources describe."""
    readings = once(read(gathered.known))
    components, uses = attribute(readings, registry)
    uses += presumed(components, readings, registry, first=len(uses) + 1)
    return Node(
        inputs=tuple(_input(r) for r in readings),
        components=components,
        uses=uses,
        tables=tuple(t for r in readings for t in r.tables),
        rules=tuple(x for r in readings for x in r.rules),
        opaque=tuple(o for r in readings for o in r.opaque),
        problems=(*gathered.problems, *(p for r in readings for p in r.problems)),
        unread=tuple(gathered.unread),
        skipped=gathered.skipped,
        seen=tuple(x for r in readings for x in r.seen),
    )


def _input(reading: Reading) -> Input:
    not_understood = len({line for o in reading.opaque for line in o.lines})
    return Input(reading.path, reading.format, reading.scope, reading.statements, reading.mark_statements, not_understood)
