"""Whether a packet can go from one flow of Open vSwitch to another: through its bridge's tables, or, on a connection, at all.

The flows of a bridge are read from its dumps when two owners are first asked about. Where they cannot be told, because table 0 or a group
is not in the inputs or there are too many ways, the answer is that nobody knows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from markreg.formats import openflow
from markreg.model import Use
from markreg.paths.bridges import Bridge
from markreg.paths.tables import START, Known, Node, Spread, State, fits, with_guard
from markreg.switching import END, Entry, Flows

if TYPE_CHECKING:
    from markreg.devices import Device
    from markreg.pipelines import Pipeline
    from markreg.rows import Row
    from markreg.source import Source

# So many steps of lists are followed for one write, and for all of them.
_MOST = 300_000
_MOST_TOGETHER = 1_500_000
# So many flows are compared with what is known of a write's packets.
_MOST_COMPARED = 1_000_000
_ICMP = frozenset({1, 58})
# The bridge of a port of which nothing says the bridge.
_UNKNOWN = "?"


class _Space:
    """The bridges of one switch, those of one network namespace."""

    def __init__(self, bridges: dict[str, Bridge]) -> None:
        self.bridges = bridges
        self.left = _MOST_TOGETHER
        self._hull: Mapping[tuple[str, str], State] | None = None
        self.spreads: dict[tuple[object, ...], Spread] = {}

    def hull(self) -> Mapping[tuple[str, str], State]:
        """What holds of every packet at a table; nothing is said of tables that none is seen to come to."""
        if self._hull is None:
            spread = Spread(self.bridges, "", 1, None, {}, _MOST)
            for name, bridge in self.bridges.items():
                for table in bridge.starts:
                    spread.enter((name, table), START)
            spread.run()
            self._hull = {} if spread.lost else spread.at
        return self._hull


class Switches:
    """All bridges whose flows are there in full. ``devices`` and ``rows``: those of the switch's own database tell its patch ports."""

    def __init__(
        self, pipelines: Iterable[Pipeline], sources: Mapping[str, Source], devices: Iterable[Device] = (), rows: Iterable[Row] = ()
    ) -> None:
        self._pipelines, self._sources = tuple(pipelines), sources
        self._whole = {p.path for p in self._pipelines}
        self._peers = _peers(devices, rows)
        self._spaces: dict[str, _Space] = {}
        self._dumps: dict[str, Flows | None] = {}
        self._entries: dict[int, tuple[Use, tuple[Entry, ...]]] = {}
        self._compared = 0

    def reach(self, first: Use, second: Use) -> int | None:
        """The bits of the field of ``first`` that it may have left, where ``second`` meets them on the same packet; None: nobody knows."""
        spread = self._spread(first)
        where = self._where(second)
        if spread is None or where is None or where[0] is not self._space(first.scope.netns):
            return None
        self._compared += 1 + len(self._of(second))
        if spread.lost or self._compared > _MOST_COMPARED:
            return None
        bridge, found = where[1], 0
        for entry in self._of(second):
            alike = bridge.alike.get(entry)
            if alike is None:
                continue
            if _by_match(second):
                state = spread.at.get((bridge.name, entry.table)) if entry.table == second.place.table else None
                if state is not None and fits(bridge.sure(entry.guard), state.known):
                    found |= state.live
            else:
                found |= spread.seen.get(alike, 0)
        return found

    def way(self, first: Use, second: Use) -> tuple[str, ...]:
        """The hops between two flows of which the second meets what the first left."""
        spread, where = self._spread(first), self._where(second)
        if spread is None or where is None or spread.lost:
            return ()
        bridge = where[1]
        ways: list[tuple[Node, ...]] = []
        for entry in self._of(second):
            if _by_match(second):
                node: Node | None = ("in", (bridge.name, entry.table))
                state = spread.at.get((bridge.name, entry.table)) if entry.table == second.place.table else None
                if state is None or not state.live or not fits(bridge.sure(entry.guard), state.known):
                    continue
            else:
                node = spread.first.get(bridge.alike[entry]) if entry in bridge.alike else None
            if node is not None:
                ways.append(spread.way(node))
        shortest: tuple[Node, ...] = min(ways, key=len, default=())
        return _hops(shortest)

    def apart(self, first: Use, second: Use) -> bool:
        """Whether no connection is met by both flows: they are of other protocols, or one of them is never met at all."""
        a, b = self._kinds(first), self._kinds(second)
        return a is not None and b is not None and not any(_one_kind(x, y) for x in a for y in b)

    # ---- flows

    def _space(self, netns: str) -> _Space:
        space = self._spaces.get(netns)
        if space is None:
            named: dict[str, list[Flows]] = {}
            counted: Counter[str] = Counter()
            for pipeline in self._pipelines:
                if pipeline.netns == netns and (dump := self._dump(pipeline.path)) is not None:
                    named.setdefault(_name(pipeline), []).append(dump)
                    counted[_name(pipeline)] += pipeline.kind == "flows"
            for pipeline in self._pipelines:
                # A file that tells no bridge may be of any: groups, and flows for the groups that do.
                if pipeline.netns == netns and not pipeline.bridge and (dump := self._dump(pipeline.path)) is not None:
                    for other in self._pipelines:
                        if other.netns == netns and other.kind != pipeline.kind and _name(other) in named and other is not pipeline:
                            named[_name(other)].append(dump)
            bridges: dict[str, Bridge] = {}
            for name, dumps in named.items():
                peers = [p for p in self._peers.get((netns, name), ()) if p in named]
                # A bridge that was dumped table by table may not be there in full.
                bridges[name] = Bridge(name, dumps, peers, counted[name] > 1)
            space = self._spaces[netns] = _Space(bridges)
        return space

    def _dump(self, path: str) -> Flows | None:
        if path not in self._dumps:
            source = self._sources.get(path)
            self._dumps[path] = openflow.flows(source) if source is not None and openflow.detect(source) else None
        return self._dumps[path]

    def _where(self, use: Use) -> tuple[_Space, Bridge] | None:
        """The bridge of a flow, if packets are seen to come in there."""
        if use.place.kind != "openflow" or use.basis != "observed":
            return None
        space = self._space(use.scope.netns)
        bridge = space.bridges.get(use.place.bridge or use.path)
        return (space, bridge) if bridge is not None and bridge.starts and self._of(use) else None

    def _of(self, use: Use) -> tuple[Entry, ...]:
        """The flows and buckets of a use."""
        known = self._entries.get(id(use))
        if known is None:
            dump = self._dump(use.path) if use.path in self._whole else None
            known = self._entries[id(use)] = use, tuple(dict.fromkeys(e for n in use.lines for e in dump.at(n))) if dump else ()
        return known[1]

    def _spread(self, use: Use) -> Spread | None:
        where = self._where(use)
        if where is None or use.effect is None:
            return None
        space, bridge = where
        entries = self._of(use)
        key = (bridge.name, use.field, use.mask, use.value, entries)
        spread = space.spreads.get(key)
        if spread is None:
            hulls = space.hull()
            spread = space.spreads[key] = Spread(space.bridges, use.field, use.mask, use.value, hulls, min(_MOST, space.left))
            for entry in entries:
                if entry in bridge.alike:
                    spread.begin((bridge.name, entry.table), entry)
            spread.run()
            space.left = max(space.left - spread.steps, 0)
        return spread

    def _kinds(self, use: Use) -> frozenset[tuple[int | None, int | None]] | None:
        """The protocols of the packets that a flow is met by: as type and number, None for any."""
        where = self._where(use)
        if where is None:
            return None
        space, bridge = where
        found = set()
        for entry in self._of(use):
            if entry not in bridge.alike:
                continue
            if entry.learned:
                return frozenset({(None, None)})
            hull = space.hull().get((bridge.name, entry.table), State(0, {})).known
            if not fits(bridge.sure(entry.guard), hull):
                continue
            known = {n: k for n, k in with_guard(hull, bridge.sure(entry.guard)).items() if n not in bridge.changed}
            found.add((_whole(known, "dl_type", 0xFFFF), None if bridge.alg else _whole(known, "nw_proto", 0xFF)))
        return frozenset(found)


def _whole(known: Known, name: str, mask: int) -> int | None:
    have = known.get(name, (0, 0))
    return have[1] if have[0] & mask == mask else None


def _one_kind(a: tuple[int | None, int | None], b: tuple[int | None, int | None]) -> bool:
    """Whether both may be of one connection; an error message of ICMP is of the connection that it is about."""
    if None not in (a[0], b[0]) and a[0] != b[0]:
        return False
    return None in (a[1], b[1]) or a[1] == b[1] or a[1] in _ICMP or b[1] in _ICMP


def _by_match(use: Use) -> bool:
    """Whether a use is a clause of a flow's match, not a part of its list."""
    return use.effect is None and use.predicate is not None


def _name(pipeline: Pipeline) -> str:
    return pipeline.bridge or pipeline.path


def _hops(nodes: Iterable[Node]) -> tuple[str, ...]:
    """From table to table; the pseudo-table at the end is told as what it is."""
    found: list[str] = []
    last: Node | None = None
    for node in nodes:
        if last is not None and last[1] != node[1]:
            back = "back " if node[0] == "back" else ""
            found.append(f"{_shown(last)} {back}to {_shown(node, last)}")
        last = node
    return tuple(found)


def _shown(node: Node, last: Node | None = None) -> str:
    bridge, table = node[1]
    text = "the action set" if table == END else table if table.startswith("group ") else f"table {table}"
    return text if last is None or last[1][0] == bridge else f"{bridge} {text}"


def _peers(devices: Iterable[Device], rows: Iterable[Row]) -> dict[tuple[str, str], tuple[str, ...]]:
    """By network namespace and bridge the bridges behind its patch ports."""
    peers = {r.text("name"): r.pairs("options").get("peer", "") for r in rows if r.table == "Interface"}
    ports = {(d.netns, d.name): d.bridge for d in devices if d.kind == "patch" and d.bridge not in ("", _UNKNOWN)}
    found: dict[tuple[str, str], dict[str, None]] = {}
    for (netns, name), bridge in ports.items():
        if other := ports.get((netns, peers.get(name, ""))):
            found.setdefault((netns, bridge), {})[other] = None
    return {key: tuple(there) for key, there in found.items()}
