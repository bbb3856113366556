"""One packet of a walk through the hooks: what stands there by priority, chains as control flow, the conditions of rules."""

from __future__ import annotations

from collections.abc import Iterable

from markreg.flow import NARROW
from markreg.paths.answers import Answers
from markreg.paths.crossings import Evidence
from markreg.paths.effects import Question
from markreg.paths.graph import Block, Item
from markreg.paths.lives import MAPPED, Stop, connected, maps
from markreg.paths.packets import BARE, Ends, decided
from markreg.paths.relevance import Planned, Relevance
from markreg.paths.selectors import Selector
from markreg.paths.trail import UNSHOWN, State, Trail, Ways
from markreg.paths.uses import asks_connection

# Hooks whose devices are not those of the others: a bridge has ports.
_OWN_DEVICES = ("tc-ingress", "ingress", "egress", "tc-egress")
# Among themselves those of a bridge see the same ports (net/bridge/br_input.c, br_forward.c).
_FROM_PORTS = ("bridge-prerouting", "bridge-input", "bridge-forward")
_TO_PORTS = ("bridge-forward", "bridge-output", "bridge-postrouting")


class TooManyError(Exception):
    """The walk has seen more states than it may."""


class Rules(Answers):
    """The hooks of one namespace, for a question."""

    def __init__(
        self,
        question: Question,
        family: str,
        relevant: Relevance,
        freeing: bool,
        most: int,
        ends: Ends | None,
        evidence: Evidence,
    ) -> None:
        super().__init__(question, relevant.meant, freeing)
        self.family, self.relevant, self.most = family, relevant, most
        self.ends, self.evidence = ends, evidence
        self.asked = relevant.shape.asked
        self.packets = relevant.packets
        self.seen = 0
        self._memo: dict[tuple[int, str, bool], dict[State, dict[tuple[str, State], Trail | None]]] = {}
        self.mapping = MAPPED if evidence.helps else MAPPED[:1]
        self._rejected: Ways = {}
        # Whether packets bring their connection along.
        self._known = False

    def _mapped(self, states: Ways, sides: Iterable[str]) -> Ways:
        """States after nat may have changed the addresses and ports of these sides."""
        if not self.ends or not self.relevant.shape.mapped:
            return states
        ends = self.ends
        for side in sides:
            states = {s._replace(ends=ends.mapped(s.ends, side)): t for s, t in states.items()}
        return states

    def _stage(self, stage: Planned, kind: str, states: Ways, dropped: Ways) -> Ways:
        after: Ways = dict(states) if stage.maybe else {}
        for order in stage.orders:
            free: Ways = {s: Trail(t, stage.name) for s, t in states.items()}
            mapped: Ways = {}
            for entry in order:
                if self.ends and (side := maps(entry, stage.name)):
                    free, mapped = self._mapped(free, side), self._mapped(mapped, side)
                if isinstance(entry, Stop):
                    free, mapped = free if entry.mapped else self._stop(entry, free), self._stop(entry, mapped)
                elif entry.base.kind != "nat":
                    free = self._base(entry, stage.name, kind, free, dropped)[0]
                    mapped = self._base(entry, stage.name, kind, mapped, dropped)[0]
                elif kind in self.mapping:
                    free, more = self._base(entry, stage.name, kind, free, dropped)
                    mapped = {**more, **mapped}
            after = {**mapped, **free, **after}
        return after

    def _stop(self, stop: Stop, states: Ways) -> Ways:
        if asks_connection(stop.owned.use) and any(s.bare for s in states):
            bare = {s: t for s, t in states.items() if s.bare}
            return {**bare, **self._stop(stop, {s: t for s, t in states.items() if not s.bare})}
        if stop.owned.use.effect is None:
            for state, trail in states.items():
                if stop.selector and not self._selected(stop.selector, state):
                    continue
                self._read(stop.owned, None, state, trail)
            return states
        after = dict(states)
        for state, trail in states.items():
            self._claimed(stop.owned, None, state, trail)
            for changed in self._written(stop.owned, state):
                if changed != state:
                    after.setdefault(changed, Trail(trail, (stop.owned, None)))
        return after

    def _selected(self, selector: Selector, state: State) -> bool:
        """Whether what a routing rule asks beside the mark may hold for a packet."""
        device = state.iif != self.packets.kinds["iif"].none
        if selector.local is not None and selector.local is device:
            return False
        fitting = [(getattr(state, g.kind), self.packets.fitting(g)) for g in selector.guards]
        if self.ends:
            fitting += [(state.ends[NARROW.index(g.kind)], self.ends.fitting(g)) for g in selector.narrow]
        return all(fits is None or bool(here & fits) for here, fits in fitting)

    def _base(self, block: Block, hook: str, kind: str, states: Ways, dropped: Ways) -> tuple[Ways, Ways]:
        if not states or not self.relevant.matters(block):
            # Nothing there concerns the question; the packet may be dropped, which ends this way.
            exits = self.relevant.exits(block)
            if "reject" in exits:
                self._rejected |= states
            on = "accept" in exits or ("return" in exits and block.base.policy.lower() != "drop")
            return (states if on else {}), (states if "nat" in exits else {})
        alive = connected(block, hook, self._known)
        kind = kind if self.asked else ""
        on_: Ways = {}
        mapped: Ways = {}
        devices = self.packets.kinds["iif"].any, self.packets.kinds["oif"].any
        own = hook in _OWN_DEVICES or hook.startswith("bridge-")
        ports = hook in _FROM_PORTS, hook in _TO_PORTS
        for state, trail in states.items():
            self._above = trail
            known = [(there and port) or every for there, port, every in zip(ports, state.ports, devices, strict=True)]
            into = state._replace(iif=known[0], oif=known[1]) if own else state
            if into.bare and block.base.kind == "nat":
                on_.setdefault(state, trail)
                continue
            here = into.bare if into.bare and kind else kind
            for (verb, after), way in self._block(block, here, alive and not into.bare, into).items():
                if own:
                    port = after.iif if ports[0] else state.ports[0], after.oif if ports[1] else state.ports[1]
                    after = after._replace(iif=state.iif, oif=state.oif, ports=port)
                if verb == "nat":
                    mapped.setdefault(after, Trail(trail, way) if way else trail)
                elif verb == "accept" or (verb == "return" and block.base.policy.lower() != "drop"):
                    on_.setdefault(after, Trail(trail, way) if way else trail)
                else:
                    dropped.setdefault(after, Trail(trail, way) if way else trail)
                    if verb == "reject":
                        self._rejected.setdefault(after, dropped[after])
        return on_, mapped

    def _block(self, block: Block, kind: str, alive: bool, state: State) -> dict[tuple[str, State], Trail | None]:
        """How a chain is left by a packet, with what happened there; walked once for each state."""
        block = self._same(block)
        memo = self._memo.setdefault((id(block), kind, alive), {})
        if (known := memo.get(state)) is not None:
            return known
        exits: dict[tuple[str, State], Trail | None] = {}
        memo[state] = exits  # where chains call each other in circles, a call leads nowhere
        states: Ways = {state: None}
        idle: set[int] = set()  # what was called and would change nothing if it were called again
        for item in self.relevant.items(block):
            after: Ways = {}
            pending = list(states.items())
            callee = item.always
            if callee and self.relevant.matters(callee):
                if (target := id(self._same(callee))) in idle:
                    continue
                while pending:
                    here, trail = pending.pop()
                    for (verb, then), way in self._called(callee, kind, alive, here, trail):
                        if verb == "return":
                            after.setdefault(then, way)
                        else:
                            exits.setdefault((verb, then), way)
                if after.keys() == states.keys():
                    idle.add(target)
                    continue
            idle.clear()
            while pending:
                here, trail = pending.pop()
                for verb, then, way in self._item(item, kind, alive, here, trail):
                    if verb != "next":
                        exits.setdefault((verb, then), way)
                    elif then not in after:
                        after[then] = way
                        if item.repeats and then not in states:
                            pending.append((then, way))
            states = after
            self.seen += len(states)
            if self.seen > self.most:
                raise TooManyError
            if not states:
                break
        for then, way in states.items():
            exits.setdefault(("return", then), way)
        return exits

    def _item(self, item: Item, kind: str, alive: bool, state: State, trail: Trail | None) -> Iterable[tuple[str, State, Trail | None]]:
        """What a rule makes of one packet: how it goes on, in which state, by which way."""
        yes, met = state, True
        for guard in item.guards:
            if guard.kind in ("state", "family"):
                held = decided(guard, self.family, kind)
                if held is False:
                    met = False
                    break
                if held is None:
                    yield "next", yes, trail
                continue
            fits = self.packets.fitting(guard)
            if fits is None:
                yield "next", yes, trail
                continue
            here = getattr(yes, guard.kind)
            if here & ~fits:
                yield "next", yes._replace(**{guard.kind: here & ~fits}), trail
            if not here & fits:
                met = False
                break
            yes = yes._replace(**{guard.kind: here & fits})
            if yes.freed & UNSHOWN and self.evidence.naming(guard):
                yes = yes._replace(freed=yes.freed & ~UNSHOWN)
        if not met:
            yield "next", yes, trail
            return
        open_ = bool(item.others)
        if self.ends and item.narrow:
            open_ = item.loose
            for guard in item.narrow:
                fits = self.ends.fitting(guard)
                at = NARROW.index(guard.kind)
                if fits is None:
                    open_ = True
                    continue
                if rest := yes.ends[at] & ~fits:
                    yield "next", _ending(yes, at, rest), trail
                if not yes.ends[at] & fits:
                    return
                yes = _ending(yes, at, yes.ends[at] & fits)
        if open_:
            yield "next", state, trail
        states: list[tuple[State, Trail | None]] = [(yes, trail)]
        for act in item.acts:
            following: list[tuple[State, Trail | None]] = []
            for now, way in states:
                if not alive and asks_connection(act.use):
                    # A match fails, a target of iptables does nothing, an expression of nft ends the rule.
                    yield "next", now, way
                    if act.use.effect is not None or act.use.predicate is None:
                        following.append((now, way))
                elif act.use.effect is not None:
                    following += self._wrote(act, item, now, way)
                    if open_:
                        for then, after in following:
                            yield "next", then, after
                else:
                    self._read(act, item, now, way)
                    for held, then in self._asked(act, now):
                        if held:
                            following.append((then, way))
                        else:
                            yield "next", then, way
            states = following
        for now, way in states:
            if item.untracks and not alive:  # not where it has one already (net/netfilter/xt_CT.c, nft_ct.c nft_notrack_eval)
                now = now._replace(bare=BARE[0])
            if item.stays or not item.jumps:
                yield "next", now, way
            for verb, callee in item.jumps:
                if callee is None:
                    yield verb, now, way
                elif not self.relevant.matters(callee):
                    for exit_ in self.relevant.exits(callee):
                        yield ("next" if exit_ == "return" and verb == "jump" else exit_), now, way
                else:
                    for (exit_, then), after in self._called(callee, kind, alive, now, way):
                        yield ("next" if exit_ == "return" and verb == "jump" else exit_), then, after

    def _same(self, block: Block) -> Block:
        """One block for all that do the same to packets whose addresses are not followed."""
        return block if self.ends else self.relevant.same(block)

    def _called(
        self, callee: Block, kind: str, alive: bool, state: State, way: Trail | None
    ) -> list[tuple[tuple[str, State], Trail | None]]:
        """How a chain that is called is left, with the way from the caller's first rule."""
        above = self._above
        if way:
            self._above = Trail(above, way)
        exits = self._block(callee, kind, alive, state)
        self._above = above
        return [(out, Trail(way, inner) if inner else way) for out, inner in exits.items()]


def _ending(state: State, at: int, ends: int) -> State:
    return state._replace(ends=(*state.ends[:at], ends, *state.ends[at + 1 :]))
