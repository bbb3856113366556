"""Of which conntrack zone the connection's fields are that a table sees, and which OVN datapath is a switch, which a router.

The zone is that of the last ``ct(…,table=T)`` on the way; a small forward propagation over tables, metadata and zones finds it. No
packet is tracked when it enters a bridge (net/openvswitch/vport.c ovs_vport_receive), and patch ports clear it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from markreg.formats._openflow_meaning import UNKNOWN
from markreg.pipelines import ANY_METADATA, Hop

_MOST_STEPS = 500_000
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


@dataclass(slots=True)
class _Table:
    """The ways out of a table, by what they match of the metadata."""

    exact: dict[int, list[Hop]] = field(default_factory=dict)
    others: list[Hop] = field(default_factory=list)

    def add(self, hop: Hop) -> None:
        if hop.metadata and hop.metadata[1] == _ALL:
            self.exact.setdefault(hop.metadata[0], []).append(hop)
        else:
            self.others.append(hop)

    def out(self, metadata: int) -> Iterator[tuple[Hop, int]]:
        """The ways that a packet may take, with the metadata it then has."""
        if metadata == ANY_METADATA:
            for value, hops in self.exact.items():
                yield from ((hop, value) for hop in hops)
        else:
            yield from ((hop, metadata) for hop in self.exact.get(metadata, ()))
        yield from ((hop, metadata) for hop in self.others if _meets(metadata, hop.metadata))


def propagate(hops: Iterable[Hop]) -> Zones:
    """Every (table, metadata, zone) that a packet can be in."""
    tables: dict[str, _Table] = {}
    entered: set[str] = set()
    for hop in hops:
        if hop.kind != "learn" and hop.target:
            tables.setdefault(hop.source, _Table()).add(hop)
            entered.add(hop.target)
    zones = Zones()
    # Where tables are printed by name, the first one is that which nothing leads to.
    starts = ["0"] if "0" in tables or not tables else [t for t in tables if t not in entered and not t.startswith("group ")]
    work = [(table, 0, "") for table in starts]
    for state in work:
        zones.add(*state)
    steps = 0
    while work and zones.complete:
        table, metadata, zone = work.pop()
        for hop, value in tables[table].out(metadata) if table in tables else ():
            steps += 1
            state = (hop.target, value if hop.sets is None else hop.sets, zone if hop.zone is None else hop.zone)
            if zones.add(*state):
                work.append(state)
        zones.complete = steps < _MOST_STEPS
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
