"""The rules of a node as a graph: blocks (chains) of items (rules), compressed so that a large dump is a few hundred of them.

Only what can matter to a mark is kept: rules that read or write one, jumps towards them, verdicts. Conditions that are not followed may
hold. Chains that are made by the thousand (a service's, an endpoint's) and look alike are one block; equal optional jumps in a row
are one item that may be run any number of times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from markreg.flow import Flow, Guard, Outcome, unknown
from markreg.model import Chain, Owned, Table
from markreg.paths.uses import asks_connection
from markreg.source import Source

Reader = Callable[[str, tuple[str, ...]], Flow | None]
_UNREAD = (Outcome("accept"), Outcome("nat"), Outcome("drop"), Outcome("return"))
# So many chains alike are one; in a chain of so many rules, a jump into one of those is not read.
_MASS = 200
_LONG = 400


@dataclass(slots=True, eq=False)
class Item:
    """A rule. ``acts``: its reads and writes in order; ``jumps``: (verb, block) of its outcomes, the block None for plain verdicts.

    ``stays``: the next rule may follow although an outcome is there. ``repeats``: it stands for any number of rules, or none.
    ``narrow``, ``loose``, ``untracks`` as in Flow.
    """

    acts: tuple[Owned, ...]
    guards: tuple[Guard, ...]
    others: str
    jumps: tuple[tuple[str, Block | None], ...]
    stays: bool
    path: str
    line: int
    repeats: bool = False
    narrow: tuple[Guard, ...] = ()
    loose: bool = True
    untracks: bool = False

    @property
    def weak(self) -> bool:
        """Whether nothing is known but where it may lead."""
        return not self.acts and not self.untracks and (bool(self.others) or self.stays) and not any(b for _, b in self.jumps)

    @property
    def always(self) -> Block | None:
        """The block that every packet is sent through, where a rule does nothing else."""
        if self.acts or self.guards or self.others or self.narrow or self.untracks or self.stays or self.repeats or len(self.jumps) != 1:
            return None
        verb, callee = self.jumps[0]
        return callee if verb == "jump" else None


@dataclass(slots=True, eq=False)
class Block:
    """A chain. ``text`` is what reports print."""

    text: str
    table: Table
    name: str
    items: list[Item] = field(default_factory=list)

    @property
    def base(self) -> Chain:
        """The chain itself, with its hooks and policy."""
        return self.table.chains[self.name]


@dataclass(slots=True)
class Graph:
    """Every base chain of a node as a block, and all ``blocks`` that they call, callees first.

    ``gave_up``: (path, line) of chains that call each other in circles.
    """

    bases: list[Block]
    blocks: list[Block]
    gave_up: list[tuple[str, int]]


def graph(tables: Iterable[Table], uses: Iterable[Owned], sources: Mapping[str, Source], readers: Mapping[str, Reader]) -> Graph:
    """The graph of all tables. ``readers``: by the path of an input, what reads a rule in one of its lines."""
    placed: dict[tuple[str, str, str, str, str], dict[str, dict[int, list[Owned]]]] = {}
    for owned in uses:
        place = owned.use.place
        if place.kind == "netfilter" and place.chain:
            key = (owned.use.path, owned.use.scope.netns, place.family, place.backend, place.table)
            lines = placed.setdefault(key, {}).setdefault(place.chain, {})
            for line in owned.use.lines:
                lines.setdefault(line, []).append(owned)
    found = Graph([], [], [])
    for table in tables:
        mine = placed.get((table.path, table.netns, table.family, table.backend, table.name), {})
        builder = _Builder(table, mine, sources.get(table.path), readers.get(table.path))
        if any(chain.hooks for chain in table.chains.values()):
            found.bases += builder.build()
            found.blocks += builder.made
            found.gave_up += builder.gave_up
    return found


_Class = tuple[object, ...]


class _Builder:
    """One table."""

    def __init__(self, table: Table, uses: dict[str, dict[int, list[Owned]]], source: Source | None, reader: Reader | None) -> None:
        self.table = table
        self.uses = uses
        self.source = source
        self.reader = reader
        self.blocks: dict[str, Block] = {}
        self.classes: dict[str, int] = {}
        self.members: Counter[int] = Counter()
        self.mass: dict[int, Block] = {}
        self.made: list[Block] = []
        self.alike: dict[_Class, Block] = {}
        self.gave_up: list[tuple[str, int]] = []

    def build(self) -> list[Block]:
        self._classify()
        bases = [name for name, chain in self.table.chains.items() if chain.hooks]
        return [self._block(name) for name in bases]

    def _classify(self) -> None:
        """A number for each chain, equal where rules lead to the same classes and do the same to marks. Callees come first."""
        numbers: dict[_Class, int] = {}
        classes, steps, ends, uses = self.classes, self.table.steps, self.table.ends, self.uses
        nothing: tuple[list[int], list[str]] = ([], [])
        pending = list(self.table.chains)
        while pending:
            left: list[str] = []
            for name in pending:
                targets = steps.get(name, nothing)[1]
                try:
                    met = tuple(dict.fromkeys([classes[t] for t in targets]))
                except KeyError:
                    left.append(name)
                    continue
                own: _Class = (met, name in ends) if name not in uses else (met, name in ends, self._signature(name))
                classes[name] = numbers.setdefault(own, len(numbers))
            if len(left) == len(pending):
                known = [n for n in left if all(t in self.table.chains for t in steps[n][1])]
                for name in left:
                    classes[name] = numbers.setdefault(("circle", name), len(numbers))
                self.gave_up += [(self.table.path, steps[n][0][0]) for n in known[:1] if steps[n][0]]
                break
            pending = left
        self.members.update(classes.values())

    def _signature(self, name: str) -> _Class:
        """What a chain's rules do to marks, between its jumps."""
        marks = self.uses[name]
        lines, targets = self.table.steps.get(name, ((), ()))
        said: list[tuple[int, object]] = [(n, self.classes[t]) for n, t in zip(lines, targets, strict=True)]
        for line, found in marks.items():
            said.append((line, tuple((o.owner, o.use.field, o.use.statement, o.use.clause, o.use.effect) for o in found)))
        return tuple(what for _, what in sorted(said, key=lambda pair: pair[0]))

    def _block(self, name: str) -> Block:
        """The block of a chain and, first, of all that it calls."""
        stack = [(name, iter(self._called(name)))]
        while stack:
            here, called = stack[-1]
            following = next((t for t in called if self._target(t) is None), None)
            if following is not None:
                # Where chains call each other in circles, the call back leads nowhere.
                if following not in (n for n, _ in stack):
                    stack.append((following, iter(self._called(following))))
                continue
            stack.pop()
            if here in self.blocks:
                continue
            number = self.classes[here]
            mass = self._crowd(here)
            block = Block(" ".join(filter(None, (_program(self.table), self.table.name, here))), self.table, here)
            self.blocks[here] = block
            block.items = _compressed(list(self._items(here, mass)))
            alike = self.alike.setdefault(_content(block), block)
            if alike is not block and not block.base.hooks:
                _widen(alike, block)
                self.blocks[here] = alike
            else:
                self.made.append(block)
            if mass:
                self.mass[number] = self.blocks[here]
        return self.blocks[name]

    def _crowd(self, name: str) -> bool:
        """Whether a chain is one of so many alike that one stands for all."""
        return self.members[self.classes[name]] > _MASS and not self.table.chains[name].hooks

    def _called(self, name: str) -> list[str]:
        """The chains that a chain calls, of those that are alike by the thousand one."""
        found: dict[object, str] = {}
        for target in dict.fromkeys(self.table.steps.get(name, ((), ()))[1]):
            found.setdefault(self.classes[target] if self._crowd(target) else target, target)
        return list(found.values())

    def _target(self, name: str) -> Block | None:
        return self.blocks.get(name) or self.mass.get(self.classes[name])

    def _items(self, name: str, mass: bool) -> Iterable[Item]:
        """A chain's rules in order. In a block that stands for many chains, only what their marks say is read."""
        steps: dict[int, list[str]] = {}
        for line, target in zip(*self.table.steps.get(name, ((), ())), strict=True):
            steps.setdefault(line, []).append(target)
        marks = self.uses.get(name, {})
        ends = set(self.table.ends.get(name, ()))
        inserted = self.table.inserted
        lines = sorted({*steps, *marks, *ends})
        if inserted and not inserted.isdisjoint(lines):
            lines = [n for n in reversed(lines) if n in inserted] + [n for n in lines if n not in inserted]
        long = len(lines) > _LONG
        for line in lines:
            acts = tuple(marks.get(line, ()))
            unread = not acts and (mass or (long and all(self.members[self.classes[t]] > _MASS for t in steps.get(line, ()))))
            flow = None if unread else self._read(line, acts)
            if flow is None:
                verb = "goto" if line in self.table.gotos else "jump"
                flow = unknown([*(Outcome(verb, t) for t in steps.get(line, ())), *(_UNREAD if line in ends else ())])
            names = steps.get(line, [])
            parts = _parts(flow, acts) if {o.target for o in flow.outcomes}.issuperset(names) else []
            yield from [self._item(part, line, done, []) for part, done in parts] or [self._item(flow, line, acts, names)]

    def _read(self, line: int, acts: tuple[Owned, ...]) -> Flow | None:
        if self.reader is None or self.source is None:
            return None
        clauses = tuple(o.use.clause for o in acts if o.use.predicate is not None or o.use.effect is not None)
        return self.reader(self.source.statement(line), tuple(dict.fromkeys(clauses)))

    def _item(self, flow: Flow, line: int, acts: tuple[Owned, ...], names: list[str]) -> Item:
        jumps: dict[tuple[str, Block | None], None] = {}
        stays = flow.stays
        said = {o.target for o in flow.outcomes}
        for outcome in flow.outcomes:
            if outcome.verb not in ("jump", "goto"):
                jumps[outcome.verb, None] = None
            elif outcome.target in self.table.chains:
                target = self._target(outcome.target)
                jumps[(outcome.verb, target) if target else ("drop", None)] = None
            else:  # a target that nobody knows, or one in a verdict map
                jumps.update(dict.fromkeys((("accept", None), ("drop", None))))
                stays = True
        verb = "goto" if line in self.table.gotos else "jump"
        jumps.update(dict.fromkeys((verb, self._target(n)) for n in names if n not in said and self._target(n)))
        way = flow.guards, flow.others, tuple(jumps), stays, self.table.path, line, False
        return Item(acts, *way, flow.narrow, flow.loose, flow.untracks)


def _parts(flow: Flow, acts: tuple[Owned, ...]) -> list[tuple[Flow, tuple[Owned, ...]]]:
    """The rules that one with choices stands for, each with what it reads; what it writes, it writes before. None where not all of
    its choices come after the same."""
    reads = [a for a in acts if a.use.effect is None]
    writes = [a for a in acts if a.use.effect is not None]
    if not flow.choices or flow.untracks or (reads and writes) or any(map(asks_connection, (a.use for a in writes))):
        return []
    first = [(replace(flow, outcomes=(), stays=False), acts)] if writes else []
    return first + [(choice, tuple(reads)) for choice in flow.choices]


def _program(table: Table) -> str:
    if table.backend == "native":
        return f"nft {table.family}"
    return {"ip": "iptables", "ip6": "ip6tables", "arp": "arptables", "bridge": "ebtables"}.get(table.family, "iptables")


def _compressed(items: list[Item]) -> list[Item]:
    """The items without those that do nothing, and runs of what is alike as one."""
    result: list[Item] = []
    for item in items:
        if not item.acts and not item.jumps and not item.untracks:
            continue
        verbs = {_plain(block): verb for verb, block in item.jumps if block}
        if verbs and not item.acts and not item.untracks and all(exits is not None for exits in verbs):
            item = _inlined(item)
            if not item.jumps:
                continue
        last = result[-1] if result else None
        if last and item.weak and last.weak:
            jumps = tuple(dict.fromkeys((*last.jumps, *item.jumps)))
            result[-1] = Item((), (), last.others or item.others, jumps, True, last.path, last.line)
            continue
        if last and item.acts == last.acts and item.others and last.others and item.jumps == last.jumps and item.untracks is last.untracks:
            guards = item.guards if item.guards == last.guards else ()
            way = guards, last.others, last.jumps, True, last.path, last.line
            result[-1] = Item(last.acts, *way, repeats=True, untracks=last.untracks)
            continue
        result.append(item)
    return result


def _content(block: Block) -> _Class:
    """What a chain does, apart from where it stands and from conditions that are not followed."""
    return tuple(
        (tuple((a.owner, a.use.field, a.use.clause, a.use.effect, a.use.predicate, a.use.possible, a.use.scope) for a in item.acts), *rest)
        for item in block.items
        for jumps in [tuple((verb, id(to)) for verb, to in item.jumps)]
        for rest in [(item.guards, bool(item.others), jumps, item.stays, item.repeats, item.untracks)]
    )


def _widen(block: Block, other: Block) -> None:
    """Two chains as one: where they ask for other addresses, what they ask for is not known."""
    for mine, theirs in zip(block.items, other.items, strict=True):
        if (mine.narrow, mine.loose) != (theirs.narrow, theirs.loose):
            mine.narrow, mine.loose = (), True


def _plain(block: Block) -> frozenset[str] | None:
    """How a block of which nothing is known but verdicts may be left; None for one that does more."""
    if any(not item.weak for item in block.items) or block.base.hooks:
        return None
    return frozenset({"return", *(verb for item in block.items for verb, _ in item.jumps)})


def _inlined(item: Item) -> Item:
    """A jump into blocks of which nothing is known but verdicts, as these verdicts."""
    jumps: dict[tuple[str, Block | None], None] = {}
    stays = item.stays
    for verb, block in item.jumps:
        for exit_ in sorted(_plain(block) or ()) if block else (verb,):
            if block and exit_ == "return" and verb == "jump":
                stays = True
            else:
                jumps[exit_, None] = None
    return Item((), item.guards, item.others, tuple(jumps), stays, item.path, item.line, False, item.narrow, item.loose)
