"""A packet through the functions that markreg reads of a dump, pass by pass, with concrete words: what `ofproto/trace` is held against.

Neighbouring writes go through the reader's `meaning` and its words, matches through the predicates of its uses. Order, calls and passes are
this module's own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from markreg.bits import full
from markreg.formats import openflow
from markreg.formats._openflow_fields import CONNECTION, width_of
from markreg.formats._openflow_meaning import meaning
from markreg.formats._openflow_ops import Clear, Copy, Ct, Inner, Item, Jump, Pop, Push, Set
from markreg.formats._openflow_parse import Parser
from markreg.model import FIELDS, Scope, Use
from markreg.source import Source

ASKED = frozenset(FIELDS)
State = dict[str, int]
_LINE = re.compile(r"table=(\d+).*?priority=(\d+)")
_NAMES = {"pkt_mark": "skb_mark", "ct_mark": "ct_mark", "ct_label": "ct_label", "metadata": "ovs.metadata"}


def own_name(name: str) -> str:
    """markreg's name of a field."""
    return _NAMES.get(name, f"ovs.{name}")


@dataclass(frozen=True)
class Commit:
    """What goes to the datapath: a zone, and value and mask of mark and label (mask 0: nothing)."""

    zone: int
    mark: tuple[int, int]
    label: tuple[int, int]


@dataclass
class Pass:
    """One pass: the fields at its end and its commits in order."""

    state: State
    commits: list[Commit] = field(default_factory=list)


@dataclass
class Flow:
    """One flow of a dump: its place, what it matches, its actions."""

    priority: int
    items: tuple[Item, ...]
    matches: list[Use] = field(default_factory=list)
    writes: list[Use] = field(default_factory=list)


class Pipeline:
    """The flows of one dump as markreg reads them."""

    def __init__(self, text: str) -> None:
        source = Source("ovs-ofctl_dump-flows_br0", text.encode())
        self.reading = openflow.read(source, "openflow", Scope(), ASKED)
        self.tables: dict[int, dict[int, Flow]] = {}
        self.seen_wrong: list[str] = []
        self.zones_met = 0
        self._queue: list[tuple[int, State, str]] = []
        self._zone = ""
        self._commits: list[Commit] = []
        for line in text.splitlines():
            head, found, tail = line.partition("actions=")
            if found:
                table = int(m[1]) if (m := re.search(r"table=(\d+)", head)) else 0
                priority = int(m[1]) if (m := re.search(r"priority=(\d+)", head)) else 32768
                self.tables.setdefault(table, {})[priority] = Flow(priority, Parser(tail, (), ASKED).items())
        for use in self.reading.uses:
            flow = self.tables[int(use.place.table)][use.place.priority or 0]
            if use.predicate is not None:
                flow.matches.append(use)
            elif use.effect is not None:
                flow.writes.append(use)

    def passes(self, packet: State) -> list[Pass]:
        """Everything that becomes of a packet."""
        self._queue = [(0, dict.fromkeys(FIELDS, 0) | packet, "")]
        done = []
        for table, state, zone in self._queue:
            self._commits, self._zone = [], zone
            self._table(table, state)
            done.append(Pass(state, self._commits))
        return done

    def _table(self, table: int, state: State) -> None:
        for _, flow in sorted(self.tables.get(table, {}).items(), reverse=True):
            zones = {use.scope.zone for use in flow.matches if use.field in CONNECTION}
            if zones and self._zone:
                self.zones_met += 1
                if not zones & {self._zone, None}:
                    self.seen_wrong.append(f"table {table} priority {flow.priority} sees zone {self._zone}, not {zones}")
            if all(use.predicate is not None and use.predicate.holds(state[use.field]) for use in flow.matches):
                self._list(flow.items, table, flow, state)
                return

    def _list(self, items: Sequence[Item], table: int, flow: Flow, state: State) -> None:
        run: list[Item] = []
        for item in items:
            if all(isinstance(op, Set | Copy | Push | Pop) for op in item.ops):
                run.append(item)
                continue
            self._run(run, flow, state)
            run = []
            (op,) = item.ops
            if isinstance(op, Ct):
                self._ct(item, op, flow, state)
            elif isinstance(op, Clear):
                state |= dict.fromkeys(CONNECTION, 0)
                self._zone = ""
            elif isinstance(op, Inner):
                kept = self._zone
                self._list(op.body, table, flow, dict(state))
                self._zone = kept
            elif isinstance(op, Jump) and op.kind != "output":
                self._table(int(op.target), state)
            else:
                assert isinstance(op, Jump), op
        self._run(run, flow, state)

    def _run(self, items: Sequence[Item], flow: Flow, state: State) -> None:
        """Neighbouring writes at once; each must be among the uses of its place."""
        found = meaning(tuple(items), ASKED)
        assert not found.strange
        after = dict(state)
        for statement in found.statements:
            if statement.effect is not None:
                value = statement.effect.value(state)
                assert value is not None, statement
                after[statement.field] = value
                self._is_a_use(flow, statement.field, "", state, value)
        state |= after

    def _is_a_use(self, flow: Flow, name: str, zone: str, state: State, value: int) -> None:
        for use in flow.writes:
            if use.field == name and (not zone or use.scope.zone == zone) and use.effect is not None and use.effect.allows(value, {}):
                return
        if value != state[name]:
            self.seen_wrong.append(f"{name} becomes {value:#x} in no use of priority {flow.priority}")

    def _ct(self, item: Item, op: Ct, flow: Flow, state: State) -> None:
        found = meaning((item,), ASKED)
        zone = _zone(op.zone or "", state)
        written = dict.fromkeys(CONNECTION, (0, 0))
        after = dict(state)
        for statement in found.statements:
            if statement.effect is not None:
                value = statement.effect.value(state)
                assert value is not None, statement
                written[statement.field] = (value & statement.mask, statement.mask)
                after[statement.field] = value
                self._is_a_use(flow, statement.field, op.zone or "", state, value)
        if op.commit:
            self._commits.append(Commit(zone, written["ct_mark"], written["ct_label"]))
        if op.table is not None:
            self._queue.append((int(op.table), after, op.zone or ""))
        state |= dict.fromkeys(CONNECTION, 0)
        self._zone = ""


def _zone(text: str, state: State) -> int:
    if text.isdigit():
        return int(text)
    found = re.fullmatch(r"(reg\d+)(?:\[(\d+)\.\.(\d+)\])?", text)
    assert found, text
    low, high = int(found[2] or 0), int(found[3] or 15)
    return state[f"ovs.{found[1]}"] >> low & full(high - low + 1)


# ---- what the switch says


def traced(text: str) -> list[Pass]:
    """The passes that `ofproto/trace` printed."""
    found = []
    for part in re.split(r"^=+\nrecirc\(.*\n=+\n", text, flags=re.MULTILINE):
        start = re.search(r"^Flow: (.*)", part, re.MULTILINE)
        final = re.search(r"^Final flow: (.*)", part, re.MULTILINE)
        actions = re.search(r"^Datapath actions: (.*)", part, re.MULTILINE)
        assert start and final and actions, part
        said = start[1] if final[1] == "unchanged" else final[1]
        found.append(Pass(_fields(said), list(_commits(actions[1]))))
    return found


def _fields(text: str) -> State:
    state = dict.fromkeys(FIELDS, 0)
    for name, value in re.findall(r"(?<![\w])(pkt_mark|ct_mark|ct_label|metadata|reg\d+)=(0x[0-9a-f]+|\d+)", text):
        state[own_name(name)] = int(value, 0)
    return state


def _commits(text: str) -> list[Commit]:
    found = []
    for match in re.finditer(r"(?<![\w])ct\(commit([^()]*(?:\([^()]*\)[^()]*)*)\)", text):
        words = dict(re.findall(r"(zone|mark|label)=([^,]+)", match[1]))
        found.append(Commit(int(words.get("zone", "0")), _masked(words.get("mark"), "ct_mark"), _masked(words.get("label"), "ct_label")))
    return found


def _masked(text: str | None, name: str) -> tuple[int, int]:
    if text is None:
        return 0, 0
    value, slash, mask = text.partition("/")
    return int(value, 0), int(mask, 0) if slash else full(width_of(name))
