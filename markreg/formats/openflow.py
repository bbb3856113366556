"""OpenFlow of Open vSwitch: ``ovs-ofctl dump-flows`` and ``dump-groups``, ``ovs-appctl bridge/dump-flows``, files for add-flows.

A use is a group of flows that are equal in table, priority, fields, masks and zone. Registers and metadata are fields when asked for
(``ovs.reg0`` …): each is a word of its bridge. The dumps of one bridge belong together (`together`): groups hold half of what a load
balancer writes, and the zone that a match sees is told by the flows that lead there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Literal

from markreg.formats._openflow_scan import Scan
from markreg.formats._openflow_uses import Scanned, found_in, hops_of, ports_of, uses_of, zones_of
from markreg.formats._openflow_zones import classes, propagate
from markreg.model import CT_LABEL, CT_MARK, PIPELINE, SKB_MARK, Opaque, Problem, Reading, Scope
from markreg.source import Source

NAMES = ("openflow",)
# What is read only when asked for.
ON_DEMAND = frozenset(f.name for f in PIPELINE)

_MARKS = frozenset({SKB_MARK.name, CT_MARK.name, CT_LABEL.name})
_REPLY = re.compile(r"^\s*(?:NXST|OFPST)_(?:FLOW|GROUP_DESC|GROUP)(?: | reply|\b)", re.MULTILINE)
_FLOW = re.compile(
    r"^[ \t]*(?:add |modify |delete )?(?:cookie=0x[0-9a-fA-F]+|duration=[0-9.]+s"
    r"|(?:table(?:_id)?|priority|idle_timeout|hard_timeout)=[0-9]+"
    r"|(?:in_port|ct_state|ip|ipv6|arp|tcp|udp|dl_type|metadata)(?=[=, ]))[^\n]*[ ,\t]actions?[ \t]*=",
    re.MULTILINE,
)
_GROUP = re.compile(r"^[ \t]*(?:add )?group_id=[0-9]+,[ \t]*type=\w+", re.MULTILINE)
_FOREIGN = re.compile(r"^(?:#!|apiVersion:|kind:|```|---[ \t\r]*$|\*[a-z]+[ \t\r]*$|table \w+ \S+ \{)|[ ,]match=\(", re.MULTILINE)
_DUMPED = re.compile(
    r"dump[-_.](?:flows|groups)(?:[ _]-{1,2}(?:O[ _]?)?[\w-]+?)*[ _]"
    r"(?P<bridge>(?!OpenFlow\d)[^-\s/][^\s/]*?)(?:[ _]-O[ _]?\w+)?(?:\.netns-.*|\.txt|\.log|\.out)*$"
)
_NAMED = re.compile(r"^(?:(?P<before>[^/]+?)\.openflow|(?:ovs-ofctl|openflow)\.(?P<after>[^/]+?))(?:\.netns-.*|\.\w+)?$")
_SHOWN = 5


def detect(source: Source) -> str | None:
    """By the header of a reply, or by a line that is a flow or a group."""
    head = source.head()
    if _FOREIGN.search(head):
        return None
    return NAMES[0] if _REPLY.search(head) or _FLOW.search(head) or _GROUP.search(head) else None


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
