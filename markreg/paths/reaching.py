"""Tier 1: reaching definitions, bit by bit. Linear in rules, blind to which bits come together, and never too small.

A *definition* is a write that gave a bit its value, and the copy that moved it last. The state of a packet has for each bit two sets of
definitions, as the bits of an int: who may have made it 0, who 1. A chain is summarised once: it is run on symbols for what comes in, and
the summary is applied wherever it is called, so that what one caller brings does not leak to another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markreg.bits import bit_numbers, full
from markreg.model import FIELDS, SKB_MARK, Owned
from markreg.paths.changes import Change, changes
from markreg.paths.facts import Definition, Facts, Symbol
from markreg.paths.graph import Block, Item
from markreg.paths.lives import CLASSES, MAPPED, Life, Stop, connected, courses, turned
from markreg.paths.packets import BARE, decided
from markreg.paths.uses import asks_connection, connection

_ENTRY = 1
State = list[int]
Exits = dict[str, State]
# By block, class of packets, and whether they have a connection: all states in which packets come.
Entries = dict[tuple[int, str, bool], tuple[Block, State]]


class Reaching:
    """The analysis of one namespace and family."""

    def __init__(self, family: str, ways: Sequence[Life], blocks: Sequence[Block], uses: Iterable[Owned], local: bool = True) -> None:
        self.family, self.local = family, local
        self.lives = ways
        self.blocks = blocks
        written: dict[str, int] = {}
        self.sockets: list[Owned] = []
        for owned in uses:
            use = owned.use
            if use.effect is not None and use.field in FIELDS:
                written[use.field] = written.get(use.field, 0) | use.mask
                if use.place.kind == "socket":
                    self.sockets.append(owned)
        self.slots = {key: 2 * n for n, key in enumerate((f, b) for f, mask in sorted(written.items()) for b in bit_numbers(mask))}
        self.facts = Facts(self.slots, [None])
        self._numbers: dict[tuple[str | int, str, str], int] = {}
        self._carried: dict[tuple[str, int], int] = {}
        self._changes: dict[str, tuple[Change, ...]] = {}
        self._looked: dict[str, tuple[int, ...]] = {}
        self._symbols = 0
        self._summaries: dict[tuple[int, str, bool], Exits] = {}
        self._entries: Entries = {}
        self._crossed: dict[str, State] = {}
        self._rejected: State | None = None
        # Whether packets bring their connection along.
        self._known = False
        states = [v for b in blocks for i in b.items for g in i.guards if g.kind == "state" for v in g.values]
        self._asked = bool(states)
        # Classes of packets without a connection, where there may be such.
        untracks = any(i.untracks for b in blocks for i in b.items)
        self._bare = tuple(kind for kind, there in zip(BARE, (untracks, BARE[1] in states), strict=True) if there)

    def run(self) -> Facts:
        """The facts of all lives."""
        ways = [(course, [0] * (2 * len(self.slots))) for course in courses(self.lives, self.local)]
        before: object = None
        while before != (now := (dict(self._crossed), [list(left) for _, left in ways])):
            before = now
            for course, left in ways:
                if course.follows:
                    left[:] = _or(left, ways[0][1])
                for life in self.lives:
                    for kind in (*course.classes[life.name], *self._bare) if life.name in course.classes else ():
                        self._live(life, kind, left)
        self._collect()
        return self.facts

    def _start(self, life: Life, kind: str, left: State) -> State | None:
        """A packet's fields when it comes. On a connection there is 0 at first, and then what packets before it left."""
        crossed = self._crossed.get(life.name)
        if crossed is None and not life.begins:
            return None
        state = list(crossed) if crossed else [0] * (2 * len(self.slots))
        for (name, _), slot in self.slots.items():
            if connection(name):
                state[slot] = left[slot] | (_ENTRY if kind == "new" else 0)
                state[slot + 1] = left[slot + 1]
            elif life.begins:
                state[slot] |= _ENTRY
        return state

    def _cross(self, life: Life, state: State) -> None:
        """What a packet's mark brings to the lives that its end leads to."""
        brought = [0] * len(state)
        for (name, _), slot in self.slots.items():
            if name == SKB_MARK.name:
                brought[slot : slot + 2] = state[slot : slot + 2]
        for crossing in life.exits:
            known = self._crossed.get(crossing.target)
            self._crossed[crossing.target] = _or(known, brought) if known else brought

    def _live(self, life: Life, kind: str, left: State) -> None:
        state = self._start(life, kind, left)
        # No connection is looked up for what a flowtable sends on (net/netfilter/nf_flow_table_ip.c nf_flow_offload_ip_hook).
        kind = BARE[1] if life.name == "offloaded" else kind
        self._rejected, self._known = None, False
        for stage in life.stages:
            if stage.turns:
                kind, self._known = kind if kind in BARE else turned(kind, stage.name), stage.name == "lo"
                state = _joined([None if life.name == "rejected" else state, self._rejected])
            if state is None or stage.turns:
                continue
            orders = [stage.groups]
            if any(len(group) > 1 for group in stage.groups):
                # Of equal priorities the one registered last is run first, which no listing shows.
                orders.append(tuple(group[::-1] for group in stage.groups))
            passed = [self._stage(order, stage.name, kind, state, left) for order in orders]
            if stage.maybe:
                passed.append(state)
            state = _joined(passed)
            self._leave(state, left)  # packets end between hooks, too, and others of the connection run beside them
        if state is not None:
            self._cross(life, state)

    def _leave(self, state: State | None, left: State) -> None:
        """What stays on the connection."""
        if state is not None:
            for (name, _), slot in self.slots.items():
                if connection(name):
                    left[slot] |= state[slot]
                    left[slot + 1] |= state[slot + 1]

    def _stage(self, groups: Iterable[tuple[Block | Stop, ...]], hook: str, kind: str, state: State, left: State) -> State | None:
        free: State | None = state
        mapped: State | None = None
        for entry in (e for group in groups for e in group):
            if isinstance(entry, Stop):
                free, mapped = free if entry.mapped else self._stop(entry, free), self._stop(entry, mapped)
            elif entry.base.kind != "nat":
                free = self._base(entry, hook, kind, free, left)[0]
                mapped = self._base(entry, hook, kind, mapped, left)[0]
            elif kind in MAPPED:
                # The first mapping ends the work of all nat chains of this hook (net/netfilter/nf_nat_core.c nf_nat_inet_fn).
                free, more = self._base(entry, hook, kind, free, left)
                mapped = _joined([mapped, more])
        return _joined([free, mapped])

    def _stop(self, stop: Stop, state: State | None) -> State | None:
        if state is None:
            return None
        self._note(stop.owned, state)
        if stop.owned.use.effect is None:
            return state
        return _joined([state, self._written(stop.owned, state)])

    def _base(self, block: Block, hook: str, kind: str, state: State | None, left: State) -> tuple[State | None, State | None]:
        """A base chain: the state after it, and where it mapped an address."""
        if state is None:
            return None, None
        alive = connected(block, hook, self._known) and kind not in BARE
        kind = kind if self._asked else ""
        key = (id(block), kind, alive)
        known = self._entries.get(key)
        self._entries[key] = (block, _or(known[1], state) if known else state)
        exits = {verb: self._applied(summary, state) for verb, summary in self._summary(block, kind, alive).items()}
        self._leave(exits.get("drop"), left)
        self._leave(exits.get("reject"), left)
        self._rejected = _joined([self._rejected, exits.get("reject")])
        ended = None if block.base.policy.lower() == "drop" else exits.get("return")
        if block.base.policy.lower() == "drop":
            self._leave(exits.get("return"), left)
        return _joined([ended, exits.get("accept")]), exits.get("nat")

    def _summary(self, block: Block, kind: str, alive: bool) -> Exits:
        key = (id(block), kind, alive)
        if key not in self._summaries:
            self._summaries[key] = {}  # where chains call each other in circles, a call does nothing
            symbols = [1 << self._number(Symbol(slot, None)) for slot in range(2 * len(self.slots))]
            for callee in self.blocks if block.base.hooks else ():
                if callee.table is block.table and not callee.base.hooks and (id(callee), kind, alive) not in self._summaries:
                    self._summaries[id(callee), kind, alive] = self._body(callee, symbols, kind, alive, None)
            self._summaries[key] = self._body(block, symbols, kind, alive, None)
        return self._summaries[key]

    def _collect(self) -> None:
        """Every chain once more, callers first, on all that comes in: what reads and writes meet."""
        for block in reversed(self.blocks):
            for kind in (*CLASSES, *BARE) if self._asked else ("",):
                for alive in (True, False):
                    if entry := self._entries.get((id(block), kind, alive)):
                        self._body(block, entry[1], kind, alive, self._entries)

    def _body(self, block: Block, state: State, kind: str, alive: bool, entries: Entries | None) -> Exits:
        """A chain on a state: its exits. With ``entries`` what is met is noted, and handed on to the chains it calls."""
        exits: Exits = {}
        now: State | None = state
        for item in block.items:
            if now is None:
                break
            here, now = now, self._item(item, now, exits, kind, alive, entries)
            while item.repeats and now is not None and (again := _or(here, now)) != here:
                here, now = again, self._item(item, again, exits, kind, alive, entries)
        _leave(exits, "return", now)
        return exits

    def _item(
        self,
        item: Item,
        state: State,
        exits: Exits,
        kind: str,
        alive: bool,
        entries: Entries | None,
    ) -> State | None:
        """The state after a rule for packets that go on."""
        # Packets are untracked or invalid for other reasons, too.
        holds = [None if set(BARE) & {*g.values} else decided(g, self.family, kind) for g in item.guards]
        if False in holds:
            return state
        uncertain = bool(item.others) or None in holds
        on: State | None = list(state) if uncertain else None
        now: State | None = state
        for act in item.acts:
            if now is None:
                break
            use = act.use
            if not alive and asks_connection(use):
                # A match fails, a target of iptables does nothing, an expression of nft ends the rule.
                on = _joined([on, now])
                if use.effect is None and use.predicate is not None:
                    now = None
                continue
            if entries is not None:
                self._note(act, now)
            if use.effect is not None:
                after = self._written(act, now)
                now = _or(now, after) if use.possible else after
                on = _joined([on, now]) if uncertain else on
            elif use.predicate is not None:
                yes, no = self._asked_of(act, now)
                on, now = _joined([on, no]), yes
        if now is None:
            return on
        stays = item.stays or not item.jumps
        for verb, callee in item.jumps:
            if callee is None:
                _leave(exits, verb, now)
                continue
            if entries is not None:
                key = (id(callee), kind, alive)
                known = entries.get(key)
                entries[key] = (callee, _or(known[1], now) if known else now)
            for exit_, summary in self._summary(callee, kind, alive).items():
                after = self._applied(summary, now)
                if exit_ == "return" and verb == "jump":
                    on = _joined([on, after])
                else:
                    _leave(exits, exit_, after)
        return _joined([on, now]) if stays else on

    def _asked_of(self, act: Owned, state: State) -> tuple[State | None, State | None]:
        """The states where a match holds and where it does not."""
        predicate = act.use.predicate
        assert predicate is not None
        if predicate.always():
            return state, None
        if predicate.never():
            return None, state
        value, inverse = predicate.exact(), False
        if value is None:
            value, inverse = predicate.inverse().exact(), True
        if value is None:
            return state, state
        same = self._pruned(state, predicate.field, predicate.mask, value)
        single = predicate.mask & (predicate.mask - 1) == 0
        other = self._pruned(state, predicate.field, predicate.mask, predicate.mask & ~value) if single else state
        return (other, same) if inverse else (same, other)

    def _pruned(self, state: State, name: str, mask: int, value: int) -> State:
        result = list(state)
        for bit in bit_numbers(mask):
            slot = self.slots.get((name, bit))
            if slot is not None:
                result[slot if value >> bit & 1 else slot + 1] = 0
        return result

    def _written(self, act: Owned, state: State) -> State:
        own = 1 << self._number(Definition(act, None))
        result = list(state)
        for change in self._changes_of(act):
            zero = own if change.zero else 0
            one = own if change.one else 0
            if change.keeps:
                zero |= state[change.slot]
                one |= state[change.slot + 1]
            for source, inverted in change.sources:
                zero |= self._moved(act, state[source ^ inverted])
                one |= self._moved(act, state[source ^ 1 ^ inverted])
            if change.socket:
                zero |= own
                one |= own
                for owned in self.sockets:
                    one |= 1 << self._number(Definition(owned, act))
            result[change.slot], result[change.slot + 1] = zero, one
        return result

    def _changes_of(self, act: Owned) -> tuple[Change, ...]:
        if act.id not in self._changes:
            self._changes[act.id] = tuple(changes(act, self.slots))
        return self._changes[act.id]

    def _moved(self, act: Owned, found: int) -> int:
        """Definitions after a copy moved them. A 0 that nobody wrote is the copier's."""
        key = (act.id, found)
        if key not in self._carried:
            result = 0
            for number in bit_numbers(found):
                definition = self.facts.definitions[number]
                if isinstance(definition, Symbol):
                    result |= 1 << self._number(Symbol(definition.slot, act, definition.first or act))
                else:
                    result |= 1 << self._number(Definition(definition.origin, act) if definition else Definition(act, None))
            self._carried[key] = result
        return self._carried[key]

    def _number(self, definition: Definition | Symbol) -> int:
        via = definition.via.id if definition.via else ""
        if isinstance(definition, Symbol):
            key: tuple[str | int, str, str] = (definition.slot, via, definition.first.id if definition.first else "")
        else:
            key = (definition.origin.id, via, "")
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.facts.definitions)
            self.facts.definitions.append(definition)
            if isinstance(definition, Symbol):
                self._symbols |= 1 << number
        return number

    def _applied(self, summary: State, state: State) -> State:
        """A summary's exit for what comes in."""
        result: State = []
        for said in summary:
            symbols = said & self._symbols
            value = said ^ symbols
            while symbols:
                low = symbols & -symbols
                symbols ^= low
                symbol = self.facts.definitions[low.bit_length() - 1]
                assert isinstance(symbol, Symbol)
                value |= self._brought(symbol, state[symbol.slot])
            result.append(value)
        return result

    def _brought(self, symbol: Symbol, found: int) -> int:
        """What a symbol stands for, when there is ``found`` in its slot."""
        if symbol.via is None or symbol.first is None:
            return found
        return self._moved(symbol.via, found if symbol.first is symbol.via else self._moved(symbol.first, found))

    def _note(self, act: Owned, state: State) -> None:
        """What a use meets: a read in the bits that it examines, a write in its whole field."""
        met = self.facts.met.setdefault(act.id, {})
        for slot in self._noted(act):
            met[slot] = met.get(slot, 0) | state[slot]
            met[slot + 1] = met.get(slot + 1, 0) | state[slot + 1]

    def _noted(self, act: Owned) -> tuple[int, ...]:
        if act.id not in self._looked:
            mask = act.use.mask if act.use.effect is None else full(FIELDS[act.use.field].width)
            found = (self.slots.get((act.use.field, bit)) for bit in bit_numbers(mask))
            self._looked[act.id] = tuple(slot for slot in found if slot is not None)
        return self._looked[act.id]


def _or(a: State, b: State) -> State:
    return a if a is b else [x if x is y else x | y for x, y in zip(a, b, strict=True)]


def _joined(states: Iterable[State | None]) -> State | None:
    result: State | None = None
    for state in states:
        if state is not None:
            result = state if result is None else _or(result, state)
    return result


def _leave(exits: Exits, verb: str, state: State | None) -> None:
    if state is not None:
        exits[verb] = _or(exits[verb], state) if verb in exits else state
