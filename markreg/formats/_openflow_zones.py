"""Of which conntrack zone the connection's fields are that a table sees, and which OVN datapath is a switch, which a router.

The zone is that of the last ``ct(…,table=T)`` on the way; a small forward propagation over tables, metadata and zones finds it. No
packet is tracked when it enters a bridge (net/openvswitch/vport.c ovs_vport_receive), and patch ports clear it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from markreg.formats._openflow_meaning import UNKNOWN
from markreg.pipelines import ANY_METADATA, Hop

_MOST_STATES = 200_000
_ALL = (1 << 64) - 1
# OVN: ct_commit and ct_lb take the zone of a switch port from reg13, of a router from reg11 (ovn lib/actions.c encode_ct_lb,
# include/ovn/logical-fields.h MFF_LOG_CT_ZONE, MFF_LOG_DNAT_ZONE); its logical ingress begins in table 8.
_CLASSES = {"reg13": "switch", "reg11": "router"}
_OTHER = {"switch": "router", "router": "switch"}
_INGRESS = "8"

Guard = tuple[int, int] | None


@dataclass(slots=True)
class Zones:
    """What `propagate` found: by table the zones for each metadata value that packets have there."""

    _seen: dict[str, dict[int, set[str]]] = field(default_factory=dict)
    complete: bool = True

    def at(self, table: str, guard: Guard) -> tuple[str, ...]:
        """The zones that flows of ``table`` which match ``guard`` may see; ``?`` alone where that is not known, empty text for none."""
        found = self._seen.get(table) if self.complete else None
        if not found:
            return (UNKNOWN,)
        zones = {z for value, seen in found.items() if _meets(value, guard) for z in seen}
        if not zones or UNKNOWN in zones:
            return (UNKNOWN,)
        return tuple(sorted(zones - {""})) or ("",)

    def add(self, table: str, metadata: int, zone: str) -> bool:
        """Notes a state; whether it is new."""
        zones = self._seen.setdefault(table, {}).setdefault(metadata, set())
        if zone in zones:
            return False
        zones.add(zone)
        return True


def _meets(metadata: int, guard: Guard) -> bool:
    return guard is None or metadata == ANY_METADATA or metadata & guard[1] == guard[0]


def propagate(hops: Iterable[Hop]) -> Zones:
    """Every (table, metadata, zone) that a packet can be in."""
    by_table: dict[str, dict[Guard, list[Hop]]] = {}
    entered: set[str] = set()
    for hop in hops:
        if hop.kind != "learn" and hop.target:
            by_table.setdefault(hop.source, {}).setdefault(hop.metadata, []).append(hop)
            entered.add(hop.target)
    zones = Zones()
    starts = ["0"] if "0" in by_table or not by_table else [t for t in by_table if t not in entered and not t.startswith("group ")]
    work = [(table, 0, "") for table in starts]
    steps = 0
    for state in work:
        zones.add(*state)
    while work:
        table, metadata, zone = work.pop()
        guards = by_table.get(table, {})
        exact = [(metadata, _ALL), None] if metadata != ANY_METADATA else list(guards)
        others = [g for g in guards if g and g[1] != _ALL] if metadata != ANY_METADATA else []
        for guard in (*exact, *others):
            if not _meets(metadata, guard):
                continue
            for hop in guards.get(guard, ()):
                steps += 1
                came = guard[0] if guard and guard[1] == _ALL else metadata
                state = (hop.target, came if hop.sets is None else hop.sets, zone if hop.zone is None else hop.zone)
                if zones.add(*state):
                    work.append(state)
        if steps > _MOST_STATES:
            zones.complete = False
            break
    return zones


def classes(hops: Iterable[Hop]) -> dict[int, str]:
    """The metadata values of OVN's switches and routers; nothing where the flows are not laid out as OVN lays them out."""
    found: dict[int, str] = {}
    ports: set[int] = set()
    peers: list[tuple[int, int]] = []
    for hop in hops:
        exact = hop.metadata[0] if hop.metadata and hop.metadata[1] == _ALL else None
        if exact is not None and hop.kind == "ct" and hop.zone in _CLASSES:
            found.setdefault(exact, _CLASSES[hop.zone])
        if hop.target == _INGRESS and hop.sets not in (None, ANY_METADATA, 0):
            if hop.source == "0":
                ports.add(hop.sets or 0)
            elif exact is not None:
                peers.append((exact, hop.sets or 0))
    if not ports:
        return {}
    for value in ports:
        found.setdefault(value, "switch")
    for _ in range(2):
        for a, b in peers:
            for one, other in ((a, b), (b, a)):
                if one in found:
                    found.setdefault(other, _OTHER[found[one]])
    return found


def class_of(zone: str, guard: Guard, known: dict[int, str]) -> str:
    """The kind of datapath of a statement, by the zone it writes to, else by the metadata it matches."""
    if not known:
        return ""
    if zone in _CLASSES:
        return _CLASSES[zone]
    return known.get(guard[0], "") if guard and guard[1] == _ALL else ""
