"""The flows and groups of one bridge of Open vSwitch: tables, who calls them, and what any flow changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from markreg.switching import CT_STATE, CT_ZONE, END, Change, Clause, Copied, Entry, Flows, Forget, Go, Step

# Of so many matches, of so few fields each, it is asked whether they hide flows below them.
_MOST_COVERS = 32
_SHORT = 3
CONNTRACK = frozenset({CT_STATE, CT_ZONE})


@dataclass(frozen=True, slots=True, eq=False)
class Alike:
    """Flows of one table that do the same: what they ask, each, and what all of them ask; nothing of fields that a match may see
    otherwise than they are."""

    table: str
    steps: tuple[Step, ...]
    guards: tuple[tuple[Clause, ...], ...]
    common: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class Site:
    """A call of a table: in which flows, in which list, and where it goes on. ``inside``: what follows is undone (``clone``)."""

    alike: Alike
    steps: tuple[Step, ...]
    after: int
    inside: bool


class Bridge:
    """The flows and groups of a bridge. ``peers``: bridges behind its patch ports. ``parts``: tables may be missing."""

    def __init__(self, name: str, dumps: Sequence[Flows], peers: Iterable[str] = (), parts: bool = False) -> None:
        self.name = name
        self.parts = parts
        self.peers = tuple(peers)
        self.saves = frozenset().union(*(d.saves for d in dumps))
        self.alg = any(d.alg for d in dumps)
        self.misses: dict[str, bool] = {}
        met = [e for dump in dumps for e in self._met(dump.entries)]
        self.asked = frozenset(t.name for e in met for t in e.guard)
        self.changed, self.unsure = _changed(steps[n] for e in met for steps, n, _ in _walked(e.steps))
        doing: dict[tuple[str, tuple[Step, ...]], list[Entry]] = {}
        for entry in met:
            doing.setdefault((entry.table, entry.steps), []).append(entry)
        self.tables: dict[str, list[Alike]] = {}
        self.alike: dict[Entry, Alike] = {}
        self.sites: dict[str, list[Site]] = {}
        for (table, steps), entries in doing.items():
            guards = tuple(dict.fromkeys(self.sure(e.guard) for e in entries))
            alike = Alike(table, steps, guards, _common(guards))
            self.tables.setdefault(table, []).append(alike)
            self.alike.update(dict.fromkeys(entries, alike))
            for list_, number, inside in _walked(steps):
                step = list_[number]
                if isinstance(step, Go) and step.kind == "call":
                    self.sites.setdefault(step.target or table, []).append(Site(alike, list_, number + 1, inside))

    def sure(self, guard: tuple[Clause, ...]) -> tuple[Clause, ...]:
        """What a match asks of fields that it sees as they are."""
        return tuple(t for t in guard if t.name not in self.unsure)

    def _met(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Those of one dump that no others of a higher priority hide."""
        tables: dict[str, list[Entry]] = {}
        for entry in entries:
            tables.setdefault(entry.table, []).append(entry)
        for table, there in tables.items():
            above: dict[tuple[Clause, ...], int] = {}
            for entry in there:
                if entry.whole and entry.lasts and len(entry.guard) <= _SHORT:
                    above[entry.guard] = max(entry.priority, above.get(entry.guard, 0))
            covers = sorted(above.items(), key=lambda c: (len(c[0]), c[0]))[:_MOST_COVERS]
            self.misses[table] = self.misses.get(table, True) and () not in above
            yield from (e for e in there if e.learned or not any(p > e.priority and _covers(guard, e.guard) for guard, p in covers))

    @property
    def starts(self) -> tuple[str, ...]:
        """The tables at which packets enter: 0, or with names those that nothing leads to; none where table 0 is not in the dump."""
        if "0" in self.tables:
            return ("0",)
        own = [t for t in self.tables if not t.startswith("group ") and t != END]
        if any(t.isdecimal() for t in own):
            return ()
        return tuple(t for t in own if t not in self.sites)


def _covers(above: tuple[Clause, ...], guard: tuple[Clause, ...]) -> bool:
    """Whether all that ``guard`` lets through matches ``above``."""
    return all(any(t.name == c.name and t.mask & c.mask == c.mask and t.value & c.mask == c.value for t in guard) for c in above)


def _common(guards: Sequence[tuple[Clause, ...]]) -> tuple[Clause, ...]:
    """What all of several matches ask."""
    found = {t.name: t for t in guards[0]}
    for guard in guards[1:]:
        there = {t.name: t for t in guard}
        kept = [(n, t.mask & there[n].mask & ~(t.value ^ there[n].value), t.value) for n, t in found.items() if n in there]
        found = {name: Clause(name, mask, value & mask) for name, mask, value in kept if mask}
        if not found:
            break
    return tuple(found.values())


def _walked(steps: tuple[Step, ...], inside: bool = False) -> Iterator[tuple[tuple[Step, ...], int, bool]]:
    """Every step, as its list and its number there."""
    for number, step in enumerate(steps):
        yield steps, number, inside
        if isinstance(step, Copied):
            yield from _walked(step.steps, True)


def _changed(steps: Iterable[Step]) -> tuple[frozenset[str], frozenset[str]]:
    """The fields that any flow changes, and those that a match may see otherwise than they are (``resubmit(port,…)``)."""
    changed: set[str] = set()
    unsure: set[str] = set()
    for step in steps:
        if isinstance(step, Change):
            changed.add(step.name)
        elif isinstance(step, Forget):
            changed |= step.names
        elif isinstance(step, Go) and step.kind == "call":
            unsure |= step.loses
        elif isinstance(step, Go) and step.kind == "again":
            changed |= CONNTRACK
    return frozenset(changed | unsure), frozenset(unsure)
