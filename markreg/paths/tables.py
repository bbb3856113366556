"""A write's way through the tables of Open vSwitch: where its bits may still be, and what is known of the packets there.

Reaching definitions of one write over tables. A state has the bits that are still as the write left them, on some way, and what holds
for the packet on every way: values of header fields that it matched, of registers that it was given. A flow that asks something else is
not met. ``resubmit`` comes back with what the table left; ``clone`` and a group's bucket are undone; ``ct(table=…)`` begins anew
(ofproto/ofproto-dpif-xlate.c xlate_table_action, xlate_group_bucket, compose_recirculate_action).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from markreg.paths.bridges import CONNTRACK, Alike, Bridge, Site
from markreg.switching import ALL_STATES, CT_STATE, END, HEADERS, MARKED, PORT, TRACKED, Change, Clause, Copied, Entry, Forget, Leave, Step

# By field the bits that are known, as mask and value.
Known = dict[str, tuple[int, int]]
Key = tuple[str, str]
# ``write``: where the write is; ``in``: at a table's flows; ``back``: at the end of a table, from where the write's packet returns.
Node = tuple[str, Key]
_NOWHERE: Node = ("", ("", ""))

START: Known = {**{f"ovs.reg{n}": (0xFFFFFFFF, 0) for n in range(32)}, "ovs.metadata": ((1 << 64) - 1, 0), CT_STATE: (ALL_STATES, 0)}


@dataclass(slots=True)
class State:
    """``live``: bits of the field as the write left them; ``known`` as above."""

    live: int
    known: Known


def fits(guard: Iterable[Clause], known: Known) -> bool:
    """Whether a packet of which ``known`` holds may match. Marks themselves never say no: that is what is contended for."""
    for name, mask, value in guard:
        have = known.get(name)
        if have is not None and (have[1] ^ value) & have[0] & mask:
            return False
    return True


def with_guard(known: Known, guard: Iterable[Clause]) -> Known:
    """What holds for a packet that matched."""
    found = dict(known)
    for name, mask, value in guard:
        have = found.get(name, (0, 0))
        found[name] = have[0] | mask, have[1] | value
    return found


def _both(a: Known, b: Known) -> Known:
    """What holds either way."""
    if a == b:
        return a
    found: Known = {}
    for name, (mask, value) in a.items():
        other = b.get(name)
        if other is not None and (same := mask & other[0] & ~(value ^ other[1])):
            found[name] = same, value & same
    return found


class Spread:
    """What becomes of ``bits`` of a field that one write leaves. ``hulls``: what holds of all packets at a table.

    ``lost``: it went where nobody can say, or too far: then it may be anywhere.
    """

    def __init__(
        self, bridges: Mapping[str, Bridge], name: str, bits: int, value: int | None, hulls: Mapping[Key, State], most: int
    ) -> None:
        self.bridges, self.name, self.bits, self.value, self.hulls = bridges, name, bits, value, hulls
        self.lost = False
        self.steps = 0
        self.at: dict[Key, State] = {}
        self.seen: dict[Alike, int] = {}
        self.first: dict[Alike, Node] = {}
        self._before: dict[Node, dict[Node, None]] = {}
        self._most = most
        self._kills = not any(name in b.saves for b in bridges.values())
        self._left: dict[Key, State] = {}
        self._back: dict[Key, State] = {}
        self._waits: dict[Key, dict[tuple[object, ...], None]] = {}
        self._work: dict[tuple[object, ...], None] = {}
        self._task: tuple[object, ...] = ()
        self._node = _NOWHERE
        self._asked = frozenset().union(*(b.asked for b in bridges.values())) - MARKED - {name}

    # ---- beginnings

    def enter(self, key: Key, known: Known) -> None:
        """Packets with all of the bits come to a table from outside."""
        self._in(key, State(self.bits, self._of_use(known)), None)

    def begin(self, key: Key, entry: Entry) -> None:
        """A flow writes the bits."""
        self._work["write", key, entry] = None

    def run(self) -> None:
        """Until nothing changes."""
        while self._work and not self.lost:
            task = next(iter(self._work))
            del self._work[task]
            self._task = task
            kind, key = task[0], task[1]
            assert isinstance(key, tuple)
            if kind == "in":
                self._node = ("in", key)
                self._table(key)
            elif kind == "write":
                self._node = ("write", key)
                self._write(key, task[2])  # type: ignore[arg-type]
            else:
                self._node = ("back", key)
                self._return(key, task[2])  # type: ignore[arg-type]

    # ---- tasks

    def _table(self, key: Key) -> None:
        bridge, state = self.bridges[key[0]], self.at[key]
        left = State(0, {})
        self.lost = self.lost or (bridge.parts and key[1] not in bridge.tables)
        if key[1] not in bridge.tables or bridge.misses[key[1]]:
            left = State(state.live, state.known)
        for alike in bridge.tables.get(key[1], ()):
            if not any(fits(guard, state.known) for guard in alike.guards):
                continue
            end = self._list(alike.steps, State(state.live, self._with(state.known, alike.common)), key, alike)
            if end is not None and end.live:
                left = end if not left.live else State(left.live | end.live, _both(left.known, end.known))
        if left.live:
            self._join(self._left, key, left, self._waits.get(key, ()))

    def _write(self, key: Key, entry: Entry) -> None:
        bridge = self.bridges[key[0]]
        hull = self._of_use(self.hulls[key].known if key in self.hulls else {})
        guard = bridge.sure(entry.guard)
        if not fits(guard, hull):
            return
        end = self._list(entry.steps, State(0, self._with(hull, guard)), key, bridge.alike[entry])
        if end is not None and end.live:
            self._returned(key, end)
        if END in bridge.tables:
            self._in((key[0], END), State(self.bits, {}), self._node)

    def _return(self, key: Key, site: Site) -> None:
        """Back to a flow that may have called the table where the write is."""
        bridge, state = self.bridges[key[0]], self._back[key]
        above = (key[0], site.alike.table)
        facts = self._of_use(self.hulls[above].known if above in self.hulls else {})
        # What no flow changes was so at the call, too.
        stays = {n: k for n, k in state.known.items() if n not in bridge.changed}
        if not any(fits(guard, stays) and fits(guard, facts) for guard in site.alike.guards):
            return
        facts = {n: k for n, k in self._with(facts, site.alike.common).items() if n not in bridge.changed}
        if not fits((Clause(n, *k) for n, k in facts.items()), state.known):
            return
        known = self._with(state.known, (Clause(n, *k) for n, k in facts.items()))
        end = self._list(site.steps, State(state.live, known), above, site.alike, site.after)
        if end is not None and end.live and not site.inside:
            self._returned(above, end)

    # ---- a list

    def _list(self, steps: Sequence[Step], state: State, key: Key, alike: Alike, start: int = 0) -> State | None:
        """The state after a list from step ``start``; None where nothing of the write is left, or a call has not come back yet. The
        state that is given is used up."""
        bridge, live, known = self.bridges[key[0]], state.live, state.known
        writing = self._task[0] == "write"  # the write may still come, or come again
        self.steps += 1 + len(steps)
        if self.steps > self._most:
            self.lost = True
        for step in islice(steps, start, None):
            if live:
                self._note(alike, live)
            elif not writing:
                return None
            if isinstance(step, Change):
                live = self._change(step, live, known)
            elif isinstance(step, Forget):
                for name in step.names:
                    known.pop(name, None)
            elif isinstance(step, Leave):
                self._leave(bridge, State(live, known))
            elif isinstance(step, Copied):
                self._list(step.steps, State(live, dict(known)), key, alike)
            elif step.kind == "again":
                if live and step.target:
                    again = {n: k for n, k in known.items() if n not in CONNTRACK and n not in step.loses}
                    self._in((key[0], step.target), State(live, {**again, CT_STATE: (TRACKED, TRACKED)}), self._node)
                for name in CONNTRACK:
                    known.pop(name, None)
            elif step.kind == "copy":
                if live:
                    self.lost = self.lost or step.target not in bridge.tables
                    self._in((key[0], step.target), State(live, dict(known)), self._node)
            else:
                target = (key[0], step.target or alike.table)
                stable = {n: k for n, k in known.items() if n not in bridge.changed}
                if not live:
                    known = stable
                    continue
                self._in(target, State(live, {n: k for n, k in known.items() if n not in step.loses}), self._node)
                self._waits.setdefault(target, {})[self._task] = None
                left = self._left.get(target)
                if left is None and not writing:
                    return None
                live, known = (left.live, {**left.known, **stable}) if left else (0, stable)
        if live:
            self._note(alike, live)
        return State(live, known)

    def _change(self, step: Change, live: int, known: Known) -> int:
        if step.name != self.name:
            if step.name in self._asked:
                mask, value = known.get(step.name, (0, 0))
                if step.value is None:
                    known[step.name] = mask & ~step.mask, value & ~step.mask
                else:
                    known[step.name] = mask | step.mask, (value & ~step.mask) | step.value
            return live
        if self._kills and not step.own:
            live &= ~step.mask
        same = self.value is None or step.value is None or not (self.value ^ step.value) & step.mask & self.bits
        if self._task[0] == "write" and same and step.mask & self.bits:
            live |= step.mask & self.bits
        return live

    def _leave(self, bridge: Bridge, state: State) -> None:
        """Through a patch port nothing goes but the packet and its mark (ofproto/ofproto-dpif-xlate.c patch_port_output)."""
        if state.live and self.name == "skb_mark":
            known = {n: k for n, k in state.known.items() if n in HEADERS and n not in PORT}
            for peer in bridge.peers:
                for start in self.bridges[peer].starts:
                    self._in((peer, start), State(state.live, self._of_use({**known, **START})), self._node)

    # ---- states

    def _of_use(self, known: Known) -> Known:
        """What any flow asks of it, but of no marks, and not of the field that is contended for."""
        return {n: k for n, k in known.items() if n in self._asked}

    def _with(self, known: Known, guard: Iterable[Clause]) -> Known:
        """What holds for a packet that matched."""
        return with_guard(known, (t for t in guard if t.name in self._asked))

    def _note(self, alike: Alike, live: int) -> None:
        self.seen[alike] = self.seen.get(alike, 0) | live
        self.first.setdefault(alike, self._node)

    def _in(self, key: Key, state: State, node: Node | None) -> None:
        self._join(self.at, key, state, (("in", key),))
        if node is not None and node != ("in", key):
            self._before.setdefault(("in", key), {})[node] = None

    def _returned(self, key: Key, state: State) -> None:
        sites = self.bridges[key[0]].sites.get(key[1], ())
        self._join(self._back, key, state, [("back", key, site) for site in sites])
        if self._node != ("back", key):
            self._before.setdefault(("back", key), {})[self._node] = None

    def _join(self, states: dict[Key, State], key: Key, state: State, tasks: Iterable[tuple[object, ...]]) -> None:
        old = states.get(key)
        if old is not None:
            live, known = old.live | state.live, _both(old.known, state.known)
            if live == old.live and known == old.known:
                return
            state = State(live, known)
        states[key] = state
        self._work.update(dict.fromkeys(tasks))

    def way(self, node: Node) -> tuple[Node, ...]:
        """The shortest way there from the write."""
        ways: list[tuple[Node, ...]] = [(node,)]
        known = {node}
        for way in ways:
            if way[0][0] == "write":
                return way
            for before in self._before.get(way[0], ()):
                if before not in known:
                    known.add(before)
                    ways.append((before, *way))
        return ()
