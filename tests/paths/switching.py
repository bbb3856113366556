"""Random flow tables, and a packet's way through them with who wrote each bit: brute force, and nothing of markreg's.

`tests/oracle/test_switch_paths_ovs.py` holds it against ofproto/trace, `test_switches.py` holds the analysis against it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

WORDS = ("pkt_mark", "reg0", "reg1")
OTHERS = ("reg2", "metadata")
TABLES = 6
GROUPS = 2
FULL = 0xFFFFFFFF
_DEEPEST = 40
Bits = dict[str, list["Writer | None"]]


@dataclass(frozen=True)
class Action:
    """``set`` and ``move`` of a word, ``resubmit``, ``goto``, ``group``, ``ct``, ``clone``, ``address`` (the source's), ``output``."""

    kind: str
    name: str = ""
    value: int = 0
    mask: int = FULL
    table: int = 0
    port: int = 0
    source: str = ""
    body: tuple[Action, ...] = ()

    def text(self) -> str:
        """As ovs-ofctl takes it."""
        if self.kind == "set":
            return f"set_field:{self.value:#x}/{self.mask:#x}->{self.name}"
        if self.kind == "move":
            low = (self.mask & -self.mask).bit_length() - 1
            span = f"[{low}..{low + self.mask.bit_count() - 1}]"
            return f"move:{_nxm(self.source)}{span}->{_nxm(self.name)}{span}"
        if self.kind == "clone":
            return f"clone({','.join(a.text() for a in self.body)})"
        return {
            "resubmit": f"resubmit({self.port or ''},{self.table})",
            "goto": f"goto_table:{self.table}",
            "group": f"group:{self.table}",
            "ct": f"ct(table={self.table})",
            "address": "set_field:10.0.0.9->nw_src",
            "output": "output:2",
        }[self.kind]


def _nxm(name: str) -> str:
    return f"NXM_NX_{name.upper()}"


@dataclass(frozen=True)
class Flow:
    """One flow; ``match`` by field as value and mask."""

    table: int
    priority: int
    match: tuple[tuple[str, int, int], ...]
    actions: tuple[Action, ...]

    def text(self, actions: str = "") -> str:
        """As ovs-ofctl takes it, with ``actions`` in place of its own."""
        said = ",".join(_clause(*c) for c in self.match)
        list_ = actions or ",".join(a.text() for a in self.actions) or "drop"
        return f"table={self.table},priority={self.priority}{',' if said else ''}{said},actions={list_}"


def _clause(name: str, value: int, mask: int) -> str:
    if name == "proto":
        return {6: "tcp", 17: "udp", 1: "ip", 0: "arp"}[value]
    if name == "nw_src":
        return f"nw_src=10.0.0.{value}"
    if name == "tracked":
        return f"ct_state={'+' if value else '-'}trk"
    return f"{name}={value}" if name == "in_port" else f"{name}={value:#x}/{mask:#x}"


@dataclass(frozen=True)
class Writer:
    """Who wrote a bit: a flow or bucket by its line, and the action."""

    line: int
    action: Action
    group: bool = False


@dataclass(frozen=True)
class Meeting:
    """Bits of ``name`` that ``writer`` left, where a match of ``line`` asks them, or its list uses or overwrites them (``acts``)."""

    writer: Writer
    name: str
    line: int
    group: bool
    acts: Action | None
    bits: int


@dataclass
class Case:
    """Flows (a line each, from 1), groups (their buckets) and packets."""

    flows: list[Flow]
    groups: list[tuple[tuple[Action, ...], ...]]
    packets: list[dict[str, int]]

    def text(self) -> str:
        """The flows, a line each."""
        return "".join(f"{f.text()}\n" for f in self.flows)

    def buckets(self) -> str:
        """The groups, a line each."""
        lists = [",".join(f"bucket=actions={','.join(a.text() for a in b) or 'drop'}" for b in g) for g in self.groups]
        return "".join(f"group_id={n},type=all,{text}\n" for n, text in enumerate(lists, 1))


def case(seed: int, rich: bool = True) -> Case:
    """A random case: some are simple, so that much is excluded in them."""
    random = Random(seed)
    flows = []
    for table in range(TABLES):
        for priority in sorted(random.sample(range(1, 40), random.randint(2, 5)), reverse=True):
            match = _match(random)
            tracked = any(name == "proto" and value in (6, 17, 1) for name, value, _ in match)
            flows.append(Flow(table, priority, match, _actions(random, table, tracked, rich)))
        if random.random() < 0.8:
            flows.append(Flow(table, 0, (), _actions(random, table, False, rich)))
    groups = [tuple(_bucket(random, rich) for _ in range(random.randint(1, 2))) for _ in range(GROUPS)]
    packets = [{"in_port": port, "proto": proto, "nw_src": n} for port in (1, 2, 3) for proto in (6, 17, 0) for n in (1, 2, 3)]
    random.shuffle(packets)
    return Case(flows, groups, packets)


def _match(random: Random) -> tuple[tuple[str, int, int], ...]:
    found: dict[str, tuple[int, int]] = {}
    for _ in range(random.choice((1, 1, 1, 2, 2, 3))):
        kind = random.random()
        if kind < 0.25:
            found["in_port"] = random.randint(1, 3), FULL
        elif kind < 0.4:
            found["proto"] = random.choice((6, 17, 1, 0)), 0xFF
        elif kind < 0.5:
            found["proto"] = random.choice((6, 17)), 0xFF
            found["nw_src"] = random.randint(1, 3), FULL
        elif kind < 0.55:
            found["tracked"] = random.randint(0, 1), 1
        else:
            mask = random.choice((0x1, 0x3, 0xF, 0x30))
            found[random.choice((*WORDS, "pkt_mark", *OTHERS))] = random.choice((0, 1, 2, 0x10, FULL)) & mask, mask
    order = sorted(found, key=lambda n: (n != "proto", n))
    return tuple((name, *found[name]) for name in order)


def _actions(random: Random, table: int, tracked: bool, rich: bool, depth: int = 0, inside: bool = False) -> tuple[Action, ...]:
    found: list[Action] = []
    for _ in range(random.randint(0, 4)):
        kind = random.random()
        mask = random.choice((0x1, 0x3, 0xF, 0x30, 0xFF, FULL))
        if kind < 0.4:
            name = random.choice((*WORDS, "pkt_mark", *OTHERS))
            found.append(Action("set", name, random.choice((0, 1, 2, 0x10, FULL)) & mask, mask))
        elif kind < 0.48 and rich:
            name, source = random.sample(WORDS, 2)
            found.append(Action("move", name, mask=mask, source=source))
        elif kind < 0.75 and table + 1 < TABLES:
            port = random.randint(1, 3) if rich and random.random() < 0.08 else 0
            found.append(Action("resubmit", table=random.randint(table + 1, TABLES - 1), port=port))
        elif kind < 0.82 and depth < 2 and rich:
            found.append(Action("clone", body=_actions(random, table, tracked, rich, depth + 1, True)))
        elif kind < 0.87 and not inside and rich and table < TABLES - 2:
            found.append(Action("group", table=random.randint(1, GROUPS)))
        elif kind < 0.92 and tracked and table + 1 < TABLES and rich:
            found.append(Action("ct", table=random.randint(table + 1, TABLES - 1)))
        elif kind < 0.95 and tracked and rich:
            found.append(Action("address"))
        else:
            found.append(Action("output"))
    if not depth and not inside and table + 1 < TABLES and random.random() < 0.6:
        found.append(Action("goto", table=random.randint(table + 1, min(table + 2, TABLES - 1))))
    return tuple(found) if not depth or found else (Action("output"),)


def _bucket(random: Random, rich: bool) -> tuple[Action, ...]:
    """Writes, and somewhere among them one way on."""
    found = [a for a in _actions(random, 1, False, rich, inside=True) if a.kind in ("set", "move")]
    way = Action("resubmit", table=random.randint(TABLES - 2, TABLES - 1)) if random.random() < 0.7 else Action("output")
    found.insert(random.randint(0, len(found)), way)
    return tuple(found)


@dataclass
class Packet:
    """Fields, and who wrote each bit of the words."""

    fields: dict[str, int]
    bits: Bits

    def copy(self) -> Packet:
        """Another one."""
        return Packet(dict(self.fields), {name: list(b) for name, b in self.bits.items()})


@dataclass
class Walk:
    """One packet's way: ``matched`` flows in order, what it met, and the words at the end of each pass."""

    case: Case
    matched: list[tuple[int, int]] = field(default_factory=list)
    met: set[Meeting] = field(default_factory=set)
    ends: list[dict[str, int]] = field(default_factory=list)
    _queue: list[tuple[int, Packet]] = field(default_factory=list)

    def run(self, packet: dict[str, int]) -> Walk:
        """The packet from table 0, and whatever comes back from conntrack."""
        start = dict.fromkeys((*WORDS, *OTHERS), 0) | {"tracked": 0} | packet
        self._queue = [(0, Packet(start, {name: [None] * 32 for name in WORDS}))]
        for table, one in self._queue:
            self._table(table, one, 0, 0)
            self.ends.append({name: one.fields[name] for name in (*WORDS, *OTHERS)})
        return self

    def _table(self, table: int, packet: Packet, port: int, depth: int) -> None:
        assert depth < _DEEPEST
        there = [(line, f) for line, f in enumerate(self.case.flows, 1) if f.table == table]
        for number, (line, flow) in enumerate(there):
            for name, value, mask in flow.match:
                if name in WORDS:
                    # Whether the word decides: with the value asked for, this flow would match and none above it.
                    asked = packet.fields | {name: packet.fields[name] & ~mask | value & mask}
                    if _matches(flow, asked, port) and not any(_matches(above, asked, port) for _, above in there[:number]):
                        self._meets(packet, name, mask, line, False, None)
        found = next(((line, f) for line, f in there if _matches(f, packet.fields, port)), None)
        if found is not None:
            self.matched.append((table, found[1].priority))
            self._list(found[1].actions, packet, table, found[0], False, depth)

    def _meets(self, packet: Packet, name: str, mask: int, line: int, group: bool, acts: Action | None) -> None:
        writers: dict[Writer, int] = {}
        for bit in range(32):
            writer = packet.bits[name][bit]
            if mask >> bit & 1 and writer is not None:
                writers[writer] = writers.get(writer, 0) | 1 << bit
        self.met |= {Meeting(w, name, line, group, acts, bits) for w, bits in writers.items()}

    def _list(self, actions: tuple[Action, ...], packet: Packet, table: int, line: int, group: bool, depth: int) -> None:
        for action in actions:
            if action.kind in ("set", "move"):
                self._write(action, packet, line, group)
            elif action.kind in ("resubmit", "goto"):
                self._table(action.table, packet, action.port, depth + 1)
            elif action.kind == "clone":
                self._list(action.body, packet.copy(), table, line, group, depth + 1)
            elif action.kind == "group":
                for bucket in self.case.groups[action.table - 1]:
                    # A bucket is an action set: all writes come first.
                    ordered = tuple(sorted(bucket, key=lambda a: a.kind not in ("set", "move")))
                    self._list(ordered, packet.copy(), table, action.table, True, depth + 1)
            elif action.kind == "ct":
                again = packet.copy()
                again.fields["tracked"] = 1
                self._queue.append((action.table, again))
            elif action.kind == "address" and packet.fields["proto"]:
                packet.fields["nw_src"] = 9

    def _write(self, action: Action, packet: Packet, line: int, group: bool) -> None:
        value = action.value
        if action.kind == "move":
            self._meets(packet, action.source, action.mask, line, group, action)
            value = packet.fields[action.source]
        if action.name in WORDS:
            self._meets(packet, action.name, action.mask, line, group, action)
            for bit in range(32):
                if action.mask >> bit & 1:
                    packet.bits[action.name][bit] = Writer(line, action, group)
        packet.fields[action.name] = packet.fields[action.name] & ~action.mask | value & action.mask


def _matches(flow: Flow, fields: dict[str, int], port: int) -> bool:
    return all(_holds(c, fields, port) for c in flow.match)


def _holds(clause: tuple[str, int, int], fields: dict[str, int], port: int) -> bool:
    name, value, mask = clause
    if name == "proto":
        return fields["proto"] == value or (value == 1 and fields["proto"] != 0)
    if name == "in_port" and port:
        return port == value
    return fields[name] & mask == value
