"""What of a node's rules concerns a question, and how all else may be left: so that a walk is over few rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from markreg.model import SKB_MARK, Owned
from markreg.paths.graph import Block, Item
from markreg.paths.lives import Life, Stage, Stop
from markreg.paths.packets import BARE, Ends, Packets
from markreg.paths.selectors import Selector
from markreg.paths.uses import connection

# A filter of more rules is one that lets some packets pass.
_FEW = 40


@dataclass(frozen=True, slots=True)
class Planned:
    """A stage as far as it matters to a question. ``orders``: in which its entries may come. ``connections``: it may write there.
    ``turns`` as in Stage."""

    name: str
    orders: tuple[tuple[Block | Stop, ...], ...]
    maybe: bool
    connections: bool
    turns: bool = False

    @property
    def entries(self) -> tuple[Block | Stop, ...]:
        """Its entries in one of the orders."""
        return self.orders[0]


class Relevance:
    """Which blocks and items concern some bits of a reader's, and how the others may be left.

    ``meant``: bits that the writer in question claims; ``parties``: whose doings are in question, where that is known; ``close``: chains
    that only drop packets count, too.
    """

    def __init__(
        self,
        shape: Shape,
        reader: str,
        bits: Mapping[str, int],
        meant: Mapping[str, int],
        parties: frozenset[str] | None = None,
        close: bool = True,
    ) -> None:
        self.shape, self.reader, self.bits, self.meant, self.parties = shape, reader, bits, meant, parties
        self.packets = shape.packets
        self.filters: AbstractSet[int] = shape.filters if close else frozenset()
        # The same for every question about these bits.
        self._items, self._matters, self._doings = shape.chosen.setdefault((close, tuple(sorted(bits.items()))), ({}, {}, {}))
        self._same: dict[int, Block] = {}
        self._first: dict[object, Block] = {}

    def matters(self, block: Block) -> bool:
        """Whether a block or what it calls reads or writes one of the bits, or takes packets or their connections away."""
        number = id(block)
        if number not in self._matters:
            matters = any(mask & self.bits.get(name, 0) for name, mask in self.shape.touched[number].items())
            self._matters[number] = matters or number in self.shape.untracks or number in self.filters
        return self._matters[number]

    def ends(self) -> Ends | None:
        """Addresses and ports as far as rules that matter ask for them; None where they tell nothing, or fewer than two rules do: nothing
        can exclude each other."""
        blocks = [b for b in self.shape.blocks if self.matters(b)]
        asking = [i for b in blocks for i in self.items(b) if i.narrow]
        found = [i.narrow for i in asking] + [s.narrow for s in self.shape.selectors]
        narrow = [kept for asked in found if (kept := [g for g in asked if g.kind not in self.shape.rewrites])]
        ends = Ends(g for kept in narrow for g in kept) if len(narrow) > 1 else None
        return ends if ends and ends.divided else None

    def plan(self, life: Life) -> list[Planned]:
        """The stages of a life at which something matters; none where all is before or behind an answer: then it is another life's."""
        result: list[Planned] = []
        turn = next((n for n, stage in enumerate(life.stages) if stage.turns), None)
        for number, stage in enumerate(life.stages):
            if turn == number:
                if not result and stage.name == "answer":
                    return []
                result.append(Planned(stage.name, ((),), False, False, True))
                continue
            groups = [kept for group in stage.groups if (kept := tuple(e for e in group if self._wanted(e, stage)))]
            if not groups:
                continue
            orders = {tuple(e for group in groups for e in group): None}
            # Of equal priorities the one registered last is run first, which no listing shows.
            orders[tuple(e for group in groups for e in group[::-1])] = None
            writes = any(self._connections(e) for group in groups for e in group)
            result.append(Planned(stage.name, tuple(orders), stage.maybe, writes))
        return [] if result and result[-1].turns and result[-1].name == "answer" else result

    def _wanted(self, entry: Block | Stop, stage: Stage) -> bool:
        if isinstance(entry, Stop):
            use = entry.owned.use
            return bool(use.mask & self.bits.get(use.field, 0)) and (use.effect is not None or entry.owned.owner == self.reader)
        if self.matters(entry):
            return True
        exits = self.exits(entry)
        ends = "accept" not in exits and ("return" not in exits or entry.base.policy.lower() == "drop")
        return (
            ends
            or "reject" in exits
            or ("nat" in exits and any(isinstance(e, Block) and self.matters(e) for group in stage.groups for e in group))
        )

    def _connections(self, entry: Block | Stop) -> bool:
        if isinstance(entry, Stop):
            return connection(entry.owned.use.field)
        return any(connection(name) for name in self.shape.touched[id(entry)])

    def exits(self, block: Block) -> tuple[str, ...]:
        """How a block may be left."""
        return self.shape.exits[id(block)]

    def items(self, block: Block) -> list[Item]:
        """The rules of a block that can matter, those that only may end it as one where they stand in a row."""
        number = id(block)
        if number not in self._items:
            self._items[number] = list(self._chosen(block))
        return self._items[number]

    def same(self, block: Block) -> Block:
        """One block for all in which third owners do the same, addresses apart: no witness names their rules, unless they copy."""
        number = id(block)
        if number not in self._same:
            if number not in self._doings:
                self._doings[number] = _doings(block, self.items(block))
            owners, doings = self._doings[number]
            alike = self.parties is not None and doings is not None and not owners & self.parties
            self._same[number] = self._first.setdefault(doings, block) if alike else block
        return self._same[number]

    def _chosen(self, block: Block) -> Iterator[Item]:
        waiting: Item | None = None
        for item in block.items:
            acts = tuple([a for a in item.acts if a.use.mask & self.bits.get(a.use.field, 0)])
            if not (acts or item.jumps or item.untracks):
                continue
            if acts or item.untracks or any(callee and self.matters(callee) for _, callee in item.jumps):
                if waiting:
                    yield waiting
                    waiting = None
                if len(acts) < len(item.acts):
                    item = self._without(item, acts)
                yield item
                continue
            item = self._left(self._without(item, ()) if item.acts else item)
            if not item.jumps:
                continue
            if not (item.others or item.stays):
                if waiting:
                    yield waiting
                    waiting = None
                yield item
                continue
            jumps = dict.fromkeys((*(waiting.jumps if waiting else ()), *item.jumps))
            waiting = Item((), (), item.others or "a condition", tuple(jumps), True, item.path, item.line)
        if waiting:
            yield waiting

    @staticmethod
    def _without(item: Item, acts: tuple[Owned, ...]) -> Item:
        """A rule with only these acts: what else it asks of marks may hold."""
        gone = any(a.use.predicate is not None for a in item.acts if a not in acts)
        others = item.others or ("another mark" if gone else "")
        return replace(item, acts=acts, others=others, loose=item.loose or gone)

    def _left(self, item: Item) -> Item:
        """A rule whose jumps lead to nothing of interest, as what they may end in."""
        jumps: dict[tuple[str, Block | None], None] = {}
        stays = item.stays
        for verb, callee in item.jumps:
            for exit_ in self.exits(callee) if callee else (verb,):
                if callee and verb == "jump" and exit_ == "return":
                    stays = True
                else:
                    jumps[exit_, None] = None
        return replace(item, acts=(), jumps=tuple(jumps), stays=stays, repeats=False)


class Shape:
    """What holds of blocks whatever the question. ``rewrites``: what of addresses and ports (flow.NARROW) anything may change."""

    def __init__(self, blocks: Sequence[Block], selectors: Iterable[Selector] = (), rewrites: Iterable[str] = ()) -> None:
        self.selectors, self.rewrites = tuple(selectors), frozenset(rewrites)
        self.blocks = blocks
        self.chosen: dict[tuple[bool, tuple[tuple[str, int], ...]], tuple[dict[int, list[Item]], dict[int, bool], dict[int, _Doings]]] = {}
        self.touched: dict[int, dict[str, int]] = {}
        self.untracks: set[int] = set()
        self.exits: dict[int, tuple[str, ...]] = {}
        for block in blocks:
            touched: dict[str, int] = {}
            exits: dict[str, None] = {}
            open_ = True
            for item in block.items:
                if item.untracks or any(id(callee) in self.untracks for _, callee in item.jumps):
                    self.untracks.add(id(block))
                for act in item.acts:
                    touched[act.use.field] = touched.get(act.use.field, 0) | act.use.mask
                for verb, callee in item.jumps:
                    if callee is None:
                        exits[verb] = None
                        continue
                    for name, mask in self.touched.get(id(callee), {}).items():
                        touched[name] = touched.get(name, 0) | mask
                    exits.update(dict.fromkeys(e for e in self.exits.get(id(callee), ("return",)) if e != "return" or verb == "goto"))
                back = any(verb == "jump" and callee and "return" in self.exits.get(id(callee), ("return",)) for verb, callee in item.jumps)
                if _certain(item) and not back:
                    open_ = False  # what stands behind an unconditional verdict no packet meets
                    break
            if open_:
                exits["return"] = None
            self.touched[id(block)] = touched
            self.exits[id(block)] = tuple(exits)
        guards = [g for b in blocks for i in b.items for g in i.guards]
        self.packets = Packets((*guards, *(g for s in self.selectors for g in s.guards)))
        self.mapped = any(verb == "nat" for b in blocks for i in b.items for verb, _ in i.jumps)
        # Whether a packet that a socket sent may get another route, and so another device, at the output hook.
        routed = (b for b in blocks if b.base.kind == "route" and any(h.hook == "output" for h in b.base.hooks))
        self.reroutes = self.mapped or any(SKB_MARK.name in self.touched[id(b)] for b in routed)
        self.filters: set[int] = set()
        for block in blocks:
            if _filters(block) or any(id(callee) in self.filters for item in block.items for _, callee in item.jumps):
                self.filters.add(id(block))
        self.families = any(g.kind == "family" for b in blocks for i in b.items for g in i.guards)
        self.asked = any(g.kind == "state" for g in guards)
        self.invalid = any(g.kind == "state" and BARE[1] in g.values for g in guards)


# The owners in a block, and what it does whoever they are; None where it calls others or copies.
_Doings = tuple[frozenset[str], object]


def _doings(block: Block, items: Sequence[Item]) -> _Doings:
    uses = [a.use for i in items for a in i.acts]
    copying = any((s.symbol, s.shift) != (u.field, 0) for u in uses if u.effect for s, _ in u.effect.copies)
    if block.base.hooks or copying or any(callee for i in items for _, callee in i.jumps):
        return frozenset(), None
    done = tuple(
        (
            tuple((a.use.field, a.use.mask, id(a.use.effect), a.use.values, a.use.predicate, a.use.possible, a.use.basis) for a in i.acts),
            *(i.guards, bool(i.others), i.jumps, i.stays, i.repeats, i.untracks),
        )
        for i in items
    )
    return frozenset(a.owner for i in items for a in i.acts), done


def _certain(item: Item) -> bool:
    """Whether every packet takes a rule's way."""
    return bool(item.jumps) and not (item.others or item.guards or item.stays or any(a.use.predicate for a in item.acts))


def _filters(block: Block) -> bool:
    """Whether a chain drops packets by what is known of them, in so few rules that each can be followed."""
    if len(block.items) > _FEW:
        return False
    plain = [i for i in block.items if i.jumps and not any(callee for _, callee in i.jumps)]
    drops = block.base.policy.lower() == "drop" or any(verb in ("drop", "reject") for i in plain for verb, _ in i.jumps)
    return drops and any(g.kind in (*Packets.KINDS, "state") and not (i.others or i.stays) for i in plain for g in i.guards)
