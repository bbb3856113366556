"""Every flow of a dump as the packet meets it: what it asks, and what its list does step by step.

The scan keeps only statements of marks; this is read from the text once more, when two owners' marks on one bridge may meet. Flows that
ask and do the same are one entry. Of a dump with a great many kinds, less of what they ask is kept, which excuses less.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from markreg.formats._openflow_asks import CLAUSE, head_of, tests
from markreg.formats._openflow_fields import METADATA
from markreg.formats._openflow_groups import apart, parted
from markreg.formats._openflow_parse import Parser
from markreg.formats._openflow_steps import Steps, as_set
from markreg.formats._openflow_text import PLACE, constants
from markreg.model import FIELDS
from markreg.source import Source, blank_quoted, decode
from markreg.switching import CT_STATE, MARKED, PORT, PROTOCOL, Entry, Flows, Step, Test

_ASKED = frozenset(FIELDS)
# As many entries of one dump are walked with all that they ask; then addresses and registers are left out, then all but protocols.
_MOST_ENTRIES = 5_000
_BROAD = PROTOCOL | PORT | {METADATA, CT_STATE}
_KEPT: tuple[frozenset[str] | None, ...] = (None, _BROAD, PROTOCOL)
_MOST_STEPS = 2_000

_GROUP = re.compile(r"(?<![\w-])group_id=([0-9]+)")


def flows(source: Source) -> Flows:
    """All flows and groups of a dump, or of a file for add-flows."""
    for kept in _KEPT[:-1]:
        found = _Reader(kept, _MOST_ENTRIES).read(source)
        if found is not None:
            return found
    last = _Reader(_KEPT[-1], 1 << 62).read(source)
    assert last is not None
    return last


class _Reader:
    """One reading. ``kept``: the fields of matches that are kept, None for all; without all, numbers in actions are not."""

    def __init__(self, kept: frozenset[str] | None, most: int) -> None:
        self.kept = kept
        self.most = most
        self.values = kept != PROTOCOL
        self.entries: dict[tuple[object, ...], tuple[Entry, ...]] = {}
        self.by_line: dict[int, tuple[Entry, ...]] = {}
        self.saves: set[str] = set()
        self.alg = False
        self._lists: dict[tuple[str, ...], tuple[tuple[Step, ...], tuple[Entry, ...], bool]] = {}
        self._roles: dict[str, Callable[[Sequence[str]], tuple[str, ...]]] = {}
        self._cut = constants().split

    def read(self, source: Source) -> Flows | None:
        """All of it; None where there are more kinds than wanted."""
        guards = lru_cache(4096)(self._guard)
        for number, line in enumerate(decode(source.data).split("\n"), 1):
            if len(self.entries) > self.most:
                return None
            if "group_id=" in line and _GROUP.search(blank_quoted(line.partition("actions=")[0])):
                self._group(line, number)
                continue
            both = parted(line)
            if both is None or both[0].lstrip().startswith("delete"):
                continue
            table, priority, asks, lasts = head_of(both[0])
            guard, whole = guards(asks)
            steps, learned, joins = self._list(both[1])
            self._add(number, (table, priority, guard, whole, lasts and not joins, steps), learned)
        made = tuple(dict.fromkeys(e for found in self.entries.values() for e in found))
        return Flows(made, self.by_line, frozenset(self.saves), self.alg)

    def _add(self, number: int, key: tuple[str, int, tuple[Test, ...], bool, bool, tuple[Step, ...]], learned: tuple[Entry, ...]) -> None:
        found = self.entries.get((*key, learned))
        if found is None:
            table, priority, guard, whole, lasts, steps = key
            found = self.entries[(*key, learned)] = (Entry(table, priority, guard, steps, whole, lasts), *learned)
        known = self.by_line.get(number)
        self.by_line[number] = found if known is None else (*known, *found)

    def _group(self, line: str, number: int) -> None:
        match = _GROUP.search(line)
        group = f"group {match[1] if match else ''}"
        for bucket in [*apart(line)][1:]:
            if (both := parted(bucket)) is not None:
                steps, learned, _ = self._list(both[1].rstrip(","))
                self._add(number, (group, 0, (), False, False, as_set(steps)), learned)

    def _guard(self, asks: str) -> tuple[tuple[Test, ...], bool]:
        """What a match asks, and whether that is all of it."""
        found: dict[str, Test] = {}
        whole = True
        for name, value in CLAUSE.findall(asks):
            asked = tests(name, value)
            whole = whole and asked is not None
            for test in asked or ():
                if self.kept is not None and test.name not in self.kept and test.name not in MARKED:
                    whole = False
                    continue
                before = found.get(test.name, Test(test.name, 0, 0))
                found[test.name] = Test(test.name, before.mask | test.mask, before.value | test.value)
        return tuple(sorted(found.values())), whole

    # ---- lists

    def _list(self, tail: str) -> tuple[tuple[Step, ...], tuple[Entry, ...], bool]:
        """The steps of a list, what it learns, and whether it is one of several that decide together (``conjunction``)."""
        pieces = self._cut(tail.replace(PLACE, "?") if PLACE in tail else tail)
        shape, found = PLACE.join(pieces[::2]), tuple(pieces[1::2])
        key = (shape, *(found if self.values or shape not in self._roles else self._roles[shape](found)))
        known = self._lists.get(key)
        if known is None:
            parser = Parser(shape, found, _ASKED)
            items = parser.items()
            if not self.values:
                keys = sorted(n for n, role in parser.roles.items() if role == "key")
                self._roles[shape] = lambda texts: tuple(texts[n] for n in keys)
                key = (shape, *self._roles[shape](found))
            made = Steps(shape, self.values)
            steps = tuple(made.list(items))[:_MOST_STEPS]
            self.saves |= made.saves
            self.alg = self.alg or "alg=" in tail
            known = self._lists[key] = (steps, tuple(made.extra), "conjunction(" in tail)
        return known
