"""Tier 2: an exact walk of concrete marks for one question, which confirms a finding or does not, and remembers the way.

Conditions on marks are decided, devices and protocols are kept as sets of representatives, every other condition may hold and may fail.
A chain is walked once for each state that comes in. What is left on a connection comes back with any later packet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markreg.model import SKB_MARK
from markreg.paths.crossings import NOWHERE, Crossing, Evidence
from markreg.paths.effects import Mark, Question
from markreg.paths.graph import Block
from markreg.paths.lives import CLASSES, MAPS, Course, Life, courses, turned
from markreg.paths.packets import BARE, Ends
from markreg.paths.relevance import Planned, Relevance
from markreg.paths.rules import Rules, TooManyError
from markreg.paths.trail import LATER, UNSHOWN, Found, State, Trail, Via, Ways, freed
from markreg.paths.uses import connection

# Far more than any real node was seen to need.
MOST_STATES = 30_000
# What an error about a connection is: its protocol is another than the connection's.
_ERRORS = ("icmp", "icmpv6")


# What connections hold: what had to be freed for it, their protocol, their marks, and whether an answer has come.
_Held = tuple[int, int, tuple[Mark, ...], bool]
_Pool = dict[_Held, Trail | None]
_Passed = tuple[str, str, str, int, State]
_Plan = tuple[Life, Sequence[Planned], Course]


@dataclass(slots=True)
class _Memory:
    """What connections of a course hold, and what was walked already."""

    pool: _Pool
    done: set[tuple[str, str, State, _Held]]
    passed: set[_Passed]


class Walk(Rules):
    """One question, on all lives of a family."""

    def __init__(
        self,
        question: Question,
        family: str,
        ways: Sequence[Life],
        relevant: Relevance,
        freeing: bool = False,
        most: int = MOST_STATES,
        ends: Ends | None = None,
        evidence: Evidence = NOWHERE,
    ) -> None:
        super().__init__(question, family, relevant, freeing, most, ends, evidence)
        self.lives = ways
        self._crossed: dict[str, Ways] = {}
        self._proto = 0

    def run(self) -> Found:
        """Walks every life until connections hold nothing new."""
        plans = [(life, self.relevant.plan(life)) for life in self.lives]
        # Classes of packets are told apart by conditions on states, and by chains of type nat.
        mapped = any(isinstance(e, Block) and e.base.kind == "nat" for _, plan in plans for s in plan for e in s.entries)
        plain = [k for k in CLASSES if not k.endswith("-again")]
        apart = self.asked or len(self.packets.kinds["proto"].names) > 1  # an error's protocol is another than its connection's
        kinds = [*(CLASSES if mapped else plain)] if apart else ["new", "established"] if mapped else ["new"]
        kinds += BARE[1:] if self.relevant.shape.invalid else ()
        memories = [(course, _Memory({}, set(), set())) for course in courses(self.lives, self.evidence.local)]
        try:
            before = -1
            while before != (before := sum(map(len, self._crossed.values()))):
                for course, memory in memories:
                    for held, trail in memories[0][1].pool.items() if course.follows else ():
                        memory.pool.setdefault(held, trail)
                    self._connections([(life, plan, course) for life, plan in plans if life.name in course.classes], kinds, memory)
        except (TooManyError, RecursionError):
            self.found.capped = True
        return self.found

    def _connections(self, plans: Sequence[_Plan], kinds: Sequence[str], memory: _Memory) -> None:
        """All packets of connections that go these ways."""
        first: _Pool = {(0, self.packets.kinds["proto"].any, tuple(Mark() for _ in self.names), False): None}
        more = True
        while more:
            more = False
            left: _Pool = {}
            for life, plan, course in plans:
                there = course.classes[life.name]
                for start, way in [*self._starts(life).items()]:
                    for kind in [k for k in kinds if k in there or k in BARE] or ["established"]:
                        pool = self._held(kind, kinds, {} if life.name in course.later else first, memory.pool)
                        fresh = {h: t for h, t in pool.items() if (life.name, kind, start, h) not in memory.done}
                        memory.done.update((life.name, kind, start, h) for h in fresh)
                        more = more or bool(fresh)
                        for proto in dict.fromkeys(held[1] for held in fresh):
                            self._proto = proto if kind.startswith("related") else 0
                            alike = {held: trail for held, trail in fresh.items() if held[1] == proto}
                            self._live(life, plan, kind, (start, way), alike if self._proto else fresh, left, memory.passed)
                            if not self._proto:
                                break
            for held, trail in left.items():
                memory.pool.setdefault(held, trail)

    @staticmethod
    def _held(kind: str, kinds: Sequence[str], first: _Pool, pool: _Pool) -> _Pool:
        """What a connection may hold when a packet of a class comes. The first one is new; nat asks its chains for no other."""
        if kind == BARE[1] or (kind == "new" and "new-again" in kinds):
            return first
        if kind == "new" and len(kinds) == 1:
            return {**first, **pool}
        early = {held: trail for held, trail in pool.items() if not held[3]} if kind.startswith("new") else pool
        return {**first, **early} if kind == "new" else early

    def _starts(self, life: Life) -> dict[State, Trail | None]:
        """How packets come to a life: with a mark of 0, and from other lives."""
        kinds = self.packets.kinds
        leaving = self._devices("oif")
        if life.name == "loopback":
            leaving = kinds["oif"].any if self.relevant.shape.reroutes else kinds["oif"].of(("lo",))
        iif, oif = (self._devices("iif"), kinds["oif"].none) if life.device else (kinds["iif"].none, leaving)
        marks = tuple(Mark() for _ in self.names)
        ends = self.ends.any if self.ends else ()
        unshown = UNSHOWN if life.name == "loopback" else 0
        fresh: Ways = {State(iif, oif, kinds["proto"].any, unshown, marks, "", ends): None} if life.begins else {}
        return {**fresh, **self._crossed.get(life.name, {})}

    def _devices(self, kind: str) -> int:
        """All devices; what goes over lo is a life of its own, where a rule names it."""
        known = self.packets.kinds[kind]
        return known.any & ~known.of(("lo",)) if self.evidence.loops and not known.crowded else known.any

    def _live(
        self,
        life: Life,
        plan: Sequence[Planned],
        kind: str,
        start: tuple[State, Trail | None],
        pool: _Pool,
        left: _Pool,
        passed: set[_Passed],
    ) -> None:
        kinds = self.packets.kinds
        state, way = start
        states: Ways = {}
        for (wished, proto, marks, _), trail in pool.items():
            held = tuple(m if connection(n) else old for n, m, old in zip(self.names, marks, state.marks, strict=True))
            before = (
                Trail(trail, LATER) if trail and any(m.written for n, m in zip(self.names, marks, strict=True) if connection(n)) else None
            )
            proto = proto | kinds["proto"].of(_ERRORS) if self._proto else proto
            # No connection is looked up for what a flowtable sends on (net/netfilter/nf_flow_table_ip.c nf_flow_offload_ip_hook).
            bare = kind if kind in BARE else BARE[1] if life.name == "offloaded" else state.bare
            # Where a packet over lo left something, the next one of the connection goes there, too.
            wished = wished if before and life.name == "loopback" else freed(state.freed, wished)
            here = state._replace(proto=proto & state.proto, freed=wished, marks=held, bare=bare)
            states.setdefault(here, Trail(before, way) if way else before)
        sides = set("sd")
        self._rejected, self._known = {}, False
        for stage in plan:
            if stage.turns:
                self._known = stage.name == "lo"
                states = self._rejected if life.name == "rejected" else states | self._rejected if stage.name == "answer" else states
                if stage.name == "answer" and self.evidence.answered(self.family) and not kind.startswith("new"):
                    states = {}  # a socket takes the mark of the packet that opens it (include/net/inet_sock.h inet_request_mark)
                kind, states = turned(kind, stage.name), self._turned(stage.name, states)
                sides = set("sd") if stage.name == "answer" else set()
                continue
            if life.device and stage.name in ("forward", "postrouting"):
                states = {s._replace(oif=kinds["oif"].any) if s.oif == kinds["oif"].none else s: t for s, t in states.items()}
            there = sides & set(MAPS.get(stage.name, ""))
            states = self._mapped(states, there)
            sides -= there
            # What was here before goes the same way again.
            at = life.name, kind, stage.name, self._proto
            states = {s: t for s, t in states.items() if (*at, s) not in passed}
            passed.update((*at, s) for s in states)
            dropped: Ways = {}
            states = self._stage(stage, kind, states, dropped)
            if stage.connections:  # packets end between hooks, too, and others of the connection run beside them
                self._keep(states, kind, left)
                self._keep(dropped, kind, left)
            if stage.name == "output" and self.relevant.shape.reroutes:
                every = kinds["oif"].any if life.name == "loopback" else self._devices("oif")
                states = {s._replace(oif=every): t for s, t in states.items()}
        self._keep(states, kind, left)
        for crossing in life.exits:
            self._cross(crossing, states)

    def _turned(self, name: str, states: Ways) -> Ways:
        """Packets that come back in by lo, or whose answer goes out."""
        kinds = self.packets.kinds
        if name == "lo":
            out, into = kinds["oif"].of(("lo",)), kinds["iif"].of(("lo",))
            return {s._replace(iif=into, oif=kinds["oif"].none): Trail(t, Via("over loopback")) for s, t in states.items() if s.oif & out}
        protocols = kinds["proto"].of(self.evidence.answered(self.family) or ())
        ends = self.ends.any if self.ends else ()
        after: Ways = {}
        for state, trail in states.items():
            if proto := state.proto & protocols:
                answer = State(kinds["iif"].none, kinds["oif"].any, proto, state.freed, state.marks, state.bare, ends)
                after[answer] = Trail(trail, Via("as an answer"))
        return after

    def _cross(self, crossing: Crossing, states: Ways) -> None:
        """Packets that go on in another life: with their mark, as somebody else's packet."""
        kinds = self.packets.kinds
        out, into = kinds["oif"].of(crossing.out), kinds["iif"].of(crossing.into)
        asks, proto = kinds["proto"].of(crossing.asks), kinds["proto"].of(crossing.gives)
        devices = (kinds["iif"].none, kinds["oif"].any) if crossing.target == "encapsulated" else (into, kinds["oif"].none)
        ends = self.ends.any if self.ends else ()
        met = self._crossed.setdefault(crossing.target, {})
        for state, trail in states.items():
            marks = tuple(m if n == SKB_MARK.name else Mark() for n, m in zip(self.names, state.marks, strict=True))
            if any(m.mine | m.theirs | m.lost for m in marks) and state.proto & asks and (not crossing.out or state.oif & out):
                named = crossing.shown or bool(crossing.out and not state.oif & ~out)
                wished = state.freed if named else freed(state.freed, UNSHOWN)
                met.setdefault(State(*devices, proto, wished, marks, "", ends), Trail(trail, Via(crossing.text)))

    def _keep(self, states: Ways, kind: str, pool: _Pool) -> None:
        """What stays on the connection."""
        none = Mark()
        for state, trail in states.items():
            held = tuple(m if connection(n) else none for n, m in zip(self.names, state.marks, strict=True))
            pool.setdefault((state.freed, self._proto or state.proto, held, not kind.startswith("new")), trail)
