"""Can a packet meet one place before another? By hooks, priorities and the order of rules inside a base chain.

A packet's way is a *life*: what comes from a device and is forwarded or delivered, and what a socket sends (docs/architecture.md).
Guards and verdicts are not looked at here: two places that can only be met in one order are told apart, all others may meet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from markreg.chains import closure
from markreg.model import FIELDS, Hook, Table, Use
from markreg.paths.openflow import Zones, concerned

# Where hooks and lookups come in each life. mangle OUTPUT looks the route up again (ip_route_me_harder): _REROUTE.
_LIVES: dict[str, dict[str, int]] = {
    "forward": {
        name: i
        for i, name in enumerate(
            ("tc-ingress", "ingress", "prerouting", "route", "xfrm-fwd", "forward", "xfrm-out", "postrouting", "egress", "tc-egress")
        )
    },
    "input": {name: i for i, name in enumerate(("tc-ingress", "ingress", "prerouting", "route", "xfrm-in", "input"))},
    "output": {name: i for i, name in enumerate(("socket", "route", "output", "xfrm-out", "postrouting", "egress", "tc-egress"))},
}
# Where what no rule shows may act: programs on devices, sockets.
_ELSEWHERE: dict[str, dict[str, tuple[str, ...]]] = {
    "bpf": {"write": ("tc-ingress", "socket"), "read": ("route", "tc-egress")},
    "socket": {"write": ("socket",), "read": ()},
}
_REROUTE = Hook("output", -150)
# Below this priority a packet has no connection yet: nf_conntrack's NF_IP_PRI_CONNTRACK.
_CONNTRACK = -200


class Position(NamedTuple):
    """One point of one life; ``late`` orders a lookup after the rules of the same priority."""

    life: str
    slot: int
    priority: int
    late: bool
    hook: str


@dataclass(frozen=True, slots=True)
class Meeting:
    """That a packet can go from one place to another: the life and the hooks where it meets them."""

    life: str
    first: str
    second: str


def positions(use: Use) -> Iterator[Position]:
    """Every point at which a packet may meet a use."""
    for hook in _hooks(use):
        for life, slots in _LIVES.items():
            if hook.hook in slots:
                yield Position(life, slots[hook.hook], hook.priority, False, hook.hook)
    if use.place.kind == "rule":
        yield Position("output", _LIVES["output"]["output"], _REROUTE.priority, True, "route")


def _hooks(use: Use) -> tuple[Hook, ...]:
    place = use.place
    if place.kind == "rule":
        return (Hook("route", 0),)
    if place.kind == "xfrm":
        return tuple(Hook(h, 0) for h in ("xfrm-in", "xfrm-fwd", "xfrm-out") if h[5:] in place.text.split() or "state" in place.text)
    if place.kind in _ELSEWHERE and not place.hooks:
        return tuple(Hook(h, 0) for h in _ELSEWHERE[place.kind]["read" if use.effect is None else "write"])
    return place.hooks


def alive(use: Use) -> bool:
    """Whether a packet can meet a use with the field it is about: connections exist only after conntrack has looked."""
    if use.place.kind == "netfilter" and FIELDS[use.field].carrier == "connection":
        return any(h.priority >= _CONNTRACK for h in use.place.hooks)
    return bool(_hooks(use))


class Order:
    """The order of places on one node. ``tables`` are all its tables, ``zones`` the conntrack zones of its bridges."""

    def __init__(self, tables: tuple[Table, ...], zones: Zones | None = None) -> None:
        self._zones = zones or Zones()
        self._tables = {(t.path, t.netns, t.family, t.backend, t.name): t for t in tables}
        self._precedes: dict[tuple[object, ...], bool] = {}

    def meeting(self, first: Use, second: Use) -> Meeting | None:
        """How a packet that has met ``first`` can meet ``second`` afterwards; None if it cannot."""
        if concerned(first, second):
            return Meeting("bridge", "", "") if self._zones.meet(first, second) else None
        way = next(self.ways(first, second), None)
        return Meeting(way[0].life, way[0].hook, way[1].hook) if way else None

    def ways(self, first: Use, second: Use) -> Iterator[tuple[Position, Position]]:
        """Every pair of points, of one life and in this order, at which a packet can meet two places."""
        if first.scope.netns != second.scope.netns or not families_meet(first.scope.family, second.scope.family):
            return
        later = sorted(positions(second))
        for a in sorted(positions(first)):
            for b in later:
                if a.life != b.life or (a.slot, a.priority, a.late) > (b.slot, b.priority, b.late):
                    continue
                if a[:4] != b[:4] or self.before(first, second, a.hook):
                    yield a, b

    def connected(self, first: Use, second: Use) -> bool:
        """Whether what one use leaves on a connection can be met by another, at this or any later packet."""
        if concerned(first, second):
            return self._zones.meet(first, second)
        same_zone = None in (first.scope.zone, second.scope.zone) or first.scope.zone == second.scope.zone
        return (
            first.scope.netns == second.scope.netns
            and families_meet(first.scope.family, second.scope.family)
            and same_zone
            and alive(first)
            and alive(second)
        )

    def separate(self, first: Use, second: Use) -> bool:
        """Whether two statements about a connection are in different conntrack zones."""
        return self._zones.separate(first, second)

    def before(self, first: Use, second: Use, hook: str) -> bool:
        """Order inside one hook and priority: the kernel's registration order is not visible, that of rules in a chain is."""
        a, b = first.place, second.place
        key = (first.path, first.scope.netns, a.family, a.backend, a.table)
        if key != (second.path, second.scope.netns, b.family, b.backend, b.table) or (table := self._tables.get(key)) is None:
            return True
        bases = [name for name, chain in table.chains.items() if any(h.hook == hook for h in chain.hooks)]
        return any(self._in_chain(table, key, base, first, second, frozenset()) for base in bases)

    def _in_chain(self, table: Table, key: tuple[str, ...], chain: str, first: Use, second: Use, above: frozenset[str]) -> bool:
        memo = (*key, chain, first.place.chain, first.lines[0], second.place.chain, second.lines[-1])
        if memo not in self._precedes:
            self._precedes[memo] = self._walk(table, key, chain, first, second, above)
        return self._precedes[memo]

    def _walk(self, table: Table, key: tuple[str, ...], chain: str, first: Use, second: Use, above: frozenset[str]) -> bool:
        if chain in above:
            return False
        wanted = {first.place.chain, second.place.chain}
        earliest = first.lines[0] if first.place.chain == chain else None
        latest = second.lines[-1] if second.place.chain == chain else None
        both: list[str] = []
        lines, targets = table.steps.get(chain, ((), ()))
        below: dict[str, set[str]] = {}
        for line, target in zip(lines, targets, strict=True):
            if target not in below:
                below[target] = closure(table, [target]) & wanted
            found = below[target]
            if first.place.chain in found:
                earliest = line if earliest is None else min(earliest, line)
            if second.place.chain in found:
                latest = line if latest is None else max(latest, line)
                if first.place.chain in found:
                    both.append(target)
        if earliest is None or latest is None:
            return False
        if earliest < latest:
            return True
        return any(self._in_chain(table, key, t, first, second, above | {chain}) for t in dict.fromkeys(both))


def families_meet(a: str, b: str) -> bool:
    """Whether a packet can be of both families; ``inet`` is both IPv4 and IPv6."""
    return a == b or ("inet" in (a, b) and {a, b} <= {"inet", "ip", "ip6"})
