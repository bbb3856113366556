"""Dumps of flows and groups, as `openflow` knows them: what one dump says, and all of a bridge together."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Literal

from markreg.formats._openflow_scan import Scan
from markreg.formats._openflow_uses import Scanned, found_in, hops_of, ports_of, uses_of, zones_of
from markreg.formats._openflow_zones import classes, propagate
from markreg.model import CT_LABEL, CT_MARK, SKB_MARK, Opaque, Problem, Reading, Scope
from markreg.source import Source

_MARKS = frozenset({SKB_MARK.name, CT_MARK.name, CT_LABEL.name})
_DUMPED = re.compile(
    r"dump[-_.](?:flows|groups)(?:[ _]-{1,2}(?:O[ _]?)?[\w-]+?)*[ _]"
    r"(?P<bridge>(?!OpenFlow\d)[^-\s/][^\s/]*?)(?:[ _]-O[ _]?\w+)?(?:\.netns-.*|\.txt|\.log|\.out)*$"
)
_NAMED = re.compile(r"^(?:(?P<before>[^/]+?)\.openflow|(?:ovs-ofctl|openflow)\.(?P<after>[^/]+?))(?:\.netns-.*|\.\w+)?$")
_SHOWN = 5


def bridge_of(path: str) -> str:
    """The bridge that a file's name tells: ``ovs-ofctl_dump-flows_br-int``, ``br-int.openflow.txt``; empty where it tells none."""
    name = PurePosixPath(path).name
    if found := _DUMPED.search(name):
        return found["bridge"]
    if found := _NAMED.match(name):
        return found["before"] or found["after"]
    return ""


def read(source: Source, name: str, scope: Scope, fields: Collection[str] = (), thorough: bool = False) -> Reading:
    """Every statement of a dump that concerns marks, or one of ``fields`` (``ovs.reg0`` … ``ovs.reg31``, ``ovs.metadata``).

    ``thorough``: every list parsed, every match searched; the result is the same, which a test holds.
    """
    scan = Scan(_MARKS | frozenset(fields), thorough)
    scan.lines(source.data)
    hops = hops_of(scan)
    found = tuple(found_in(scan))
    groups = frozenset(scan.groups)
    asks = frozenset(h.target.removeprefix("group ") for h in hops if h.kind == "group")
    ports = ports_of(scan)
    bridge = bridge_of(source.path)
    zones = zones_of(scan, hops)
    kind: Literal["flows", "groups"] = "groups" if scan.groups or scan.grouped else "flows"
    pipeline = Scanned(bridge, source.path, scope.netns, scan.version, hops, zones, ports, groups, asks, kind, found)
    problems = []
    if scan.cut and scan.cut == scan.strange:
        problems.append(Problem(source.path, scan.cut, "truncated"))
    elif not scan.statements and not scan.replies:
        problems.append(Problem(source.path, scan.strange, "no flow or group as ovs-ofctl prints it"))
    reading = Reading(
        source.path,
        name,
        scope,
        opaque=tuple(Opaque(source.path, tuple(sorted(set(lines))), reason) for reason, lines in scan.opaque.items()),
        problems=tuple(problems),
        statements=scan.statements,
        mark_statements=scan.marked,
        pipelines=(pipeline,),
    )
    return together([reading])[0]


def together(readings: Sequence[Reading]) -> list[Reading]:
    """The readings with the zones that all dumps of a bridge tell, and what is missing of its groups."""
    bridges: dict[tuple[str, str], list[Scanned]] = {}
    for reading in readings:
        for pipeline in reading.pipelines:
            if isinstance(pipeline, Scanned):
                bridges.setdefault((pipeline.netns, pipeline.bridge), []).append(pipeline)
    return [_finished(r, bridges) if r.pipelines else r for r in readings]


def _finished(reading: Reading, bridges: dict[tuple[str, str], list[Scanned]]) -> Reading:
    scanned = next((p for p in reading.pipelines if isinstance(p, Scanned)), None)
    if scanned is None:
        return reading
    beside = bridges[scanned.netns, scanned.bridge] if scanned.bridge else [scanned]
    # Files that do not tell their bridge may be of different ones, but for flows and groups.
    beside = [*beside, *(p for p in bridges.get((scanned.netns, ""), ()) if p.kind != scanned.kind and all(p is not b for b in beside))]
    if len(beside) == 1 and reading.uses:
        return reading
    hops = [h for p in beside for h in p.hops]
    defined = frozenset(g for p in beside for g in p.groups)
    zones, known = propagate(hops), classes(hops)
    unread = []
    if missing := sorted(scanned.asks - defined, key=_number):
        named = ", ".join(missing[:_SHOWN]) + (", …" if len(missing) > _SHOWN else "")
        name = f"ovs-ofctl dump-groups {scanned.bridge}".strip()
        groups = f"group{'s'[: len(missing) > 1]} {named}"
        unread.append(Problem(name, 0, f"{reading.path} sends packets to {groups}, and this is not there: what groups write is not known"))
    return replace(reading, uses=uses_of(scanned, reading.scope, zones, known), unread=tuple(unread))


def _number(text: str) -> tuple[int, str]:
    return (int(text) if text.isdecimal() and len(text) < 12 else 1 << 40, text)
