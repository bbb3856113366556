"""The flows and groups of one bridge of Open vSwitch: tables, who calls them, and what any flow changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from markreg.switching import CT_STATE, CT_ZONE, END, Change, Copied, Entry, Flows, Forget, Go, Step, Test

# Of so many matches, of so few fields each, it is asked whether they hide flows below them.
_MOST_COVERS = 32
_SHORT = 3
CONNTRACK = frozenset({CT_STATE, CT_ZONE})


@dataclass(frozen=True, slots=True)
class Site:
    """A call of a table: in which flow, in which list, and where it goes on. ``inside``: what follows is undone (``clone``)."""

    entry: Entry
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
        self.tables: dict[str, list[Entry]] = {}
        self.misses: dict[str, bool] = {}
        self.sites: dict[str, list[Site]] = {}
        self.met: set[Entry] = set()
        for dump in dumps:
            self._add(dump.entries)
        self.changed, self.unsure = _changed(steps[n] for e in self.met for steps, n, _ in _walked(e.steps))
        for entry in (e for there in self.tables.values() for e in there):
            for steps, number, inside in _walked(entry.steps):
                step = steps[number]
                if isinstance(step, Go) and step.kind == "call":
                    self.sites.setdefault(step.target or entry.table, []).append(Site(entry, steps, number + 1, inside))

    def _add(self, entries: Iterable[Entry]) -> None:
        """Those of one dump, without what others of a higher priority hide."""
        tables: dict[str, list[Entry]] = {}
        for entry in entries:
            tables.setdefault(entry.table, []).append(entry)
        for table, there in tables.items():
            above: dict[tuple[Test, ...], int] = {}
            for entry in there:
                if entry.whole and entry.lasts and len(entry.guard) <= _SHORT:
                    above[entry.guard] = max(entry.priority, above.get(entry.guard, 0))
            covers = sorted(above.items(), key=lambda c: (len(c[0]), c[0]))[:_MOST_COVERS]
            kept = [e for e in there if e.learned or not any(p > e.priority and _covers(guard, e.guard) for guard, p in covers)]
            self.tables.setdefault(table, []).extend(kept)
            self.misses[table] = self.misses.get(table, True) and () not in above
            self.met.update(kept)

    @property
    def starts(self) -> tuple[str, ...]:
        """The tables at which packets enter: 0, or with names those that nothing leads to; none where table 0 is not in the dump."""
        if "0" in self.tables:
            return ("0",)
        own = [t for t in self.tables if not t.startswith("group ") and t != END]
        if any(t.isdecimal() for t in own):
            return ()
        return tuple(t for t in own if t not in self.sites)


def _covers(above: tuple[Test, ...], guard: tuple[Test, ...]) -> bool:
    """Whether all that ``guard`` lets through matches ``above``."""
    return all(any(t.name == c.name and t.mask & c.mask == c.mask and t.value & c.mask == c.value for t in guard) for c in above)


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
