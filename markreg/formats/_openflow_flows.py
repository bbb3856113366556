"""Every flow of a dump as the packet meets it: what it asks, and what its list does step by step.

The scan keeps only statements of marks; this is read from the text once more, when two owners' marks on one bridge may meet. Flows that
ask and do the same are one entry. Of a large dump less is kept of what they ask, which excuses less.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from markreg.formats._openflow_asks import CLAUSE, KEYWORDS, bits_asked, head_of
from markreg.formats._openflow_fields import METADATA, PREFIX
from markreg.formats._openflow_groups import apart, parted
from markreg.formats._openflow_parse import Parser
from markreg.formats._openflow_scan import lines
from markreg.formats._openflow_steps import Steps, as_set
from markreg.formats._openflow_text import PLACE, constants
from markreg.model import FIELDS
from markreg.source import Source, blank_quoted
from markreg.switching import CT_STATE, MARKED, PORT, PROTOCOL, Clause, Entry, Flows, Step

_ASKED = frozenset(FIELDS)
_GROUP = re.compile(r"(?<![\w-])group_id=([0-9]+)")
_MEMO = 10_000
_MORE_LINES = 20_000


@dataclass(frozen=True, slots=True)
class _Care:
    """How much is kept: the ``fields`` of matches (None: all) and, in lists, the numbers that fields get (else those of metadata alone),
    as long as there are no more than ``most`` kinds of flows."""

    fields: frozenset[str] | None
    numbers: bool
    most: int


_CARE = (
    _Care(None, True, 5_000),
    _Care(PROTOCOL | PORT | {METADATA, CT_STATE} | MARKED, False, 20_000),
    _Care(PROTOCOL | MARKED, False, 1 << 62),
)


def flows(source: Source) -> Flows:
    """All flows and groups of a dump, or of a file for add-flows."""
    large = source.data.count(b"\n") > _MORE_LINES
    found = None
    for care in _CARE[large:]:
        found = found or _Reader(care).read(source)
    assert found is not None
    return found


_Listed = tuple[tuple[Step, ...], tuple[Entry, ...], bool]


class _Reader:
    def __init__(self, care: _Care) -> None:
        self.care = care
        self.kinds: dict[tuple[object, ...], int] = {}
        self.made: list[tuple[Entry, ...]] = []
        self.index = array("i")
        self.more: dict[int, tuple[Entry, ...]] = {}
        self.saves: set[str] = set()
        self.alg = False
        self._lists: dict[tuple[str, ...], _Listed] = {}
        self._tails: dict[str, _Listed] = {}
        self._roles: dict[str, Callable[[Sequence[str]], tuple[str, ...]]] = {}
        self._cut = constants().split
        self._find = _clauses(care.fields).findall
        self._guards = lru_cache(_MEMO)(self._guard)

    def read(self, source: Source) -> Flows | None:
        """All of it; None where there are more kinds than wanted."""
        for number, line in enumerate(lines(source.data), 1):
            if len(self.made) > self.care.most:
                return None
            self.index.append(-1)
            if "group_id=" in line and _GROUP.search(blank_quoted(line.partition("actions=")[0])):
                self._group(line, number)
                continue
            head, found, tail = line.partition("actions=")
            if not found or '"' in head:
                both = parted(line)
                if both is None:
                    continue
                head, tail = both
            tail = tail.rstrip()
            if head.lstrip().startswith("delete"):
                continue
            table, priority, asks, lasts = head_of(head)
            clauses = self._find(asks)
            guard, whole = self._guards(tuple(clauses), asks.count(",") + 1 if asks else 0)
            steps, learned, joins = self._tails.get(tail) or self._list(tail)
            self._add(number, (table, priority, guard, whole, lasts and not joins, steps, learned))
        made = tuple(dict.fromkeys(e for found in self.made for e in found))
        return Flows(made, tuple(self.made), self.index, self.more, frozenset(self.saves), self.alg)

    def _add(self, number: int, key: tuple[str, int, tuple[Clause, ...], bool, bool, tuple[Step, ...], tuple[Entry, ...]]) -> None:
        kind = self.kinds.get(key)
        if kind is None:
            table, priority, guard, whole, lasts, steps, learned = key
            kind = self.kinds[key] = len(self.made)
            self.made.append((Entry(table, priority, guard, steps, whole, lasts), *learned))
        if self.index[-1] < 0:
            self.index[-1] = kind
        else:
            self.more[number] = (*self.more.get(number, ()), *self.made[kind])

    def _group(self, line: str, number: int) -> None:
        match = _GROUP.search(line)
        group = f"group {match[1] if match else ''}"
        for bucket in [*apart(line)][1:]:
            if (both := parted(bucket)) is not None:
                steps, learned, _ = self._list(both[1].rstrip(","))
                self._add(number, (group, 0, (), False, False, as_set(steps), learned))

    def _guard(self, clauses: tuple[tuple[str, str], ...], count: int) -> tuple[tuple[Clause, ...], bool]:
        """What a match asks, and whether that is all of it."""
        found: dict[str, Clause] = {}
        whole = len(clauses) == count
        for name, value in clauses:
            asked = bits_asked(name, value)
            whole = whole and asked is not None
            for test in asked or ():
                before = found.get(test.name, Clause(test.name, 0, 0))
                found[test.name] = Clause(test.name, before.mask | test.mask, before.value | test.value)
        return tuple(sorted(found.values())), whole

    def _list(self, tail: str) -> _Listed:
        """The steps of a list, what it learns, and whether it is one of several that decide together (``conjunction``)."""
        pieces = self._cut(tail.replace(PLACE, "?") if PLACE in tail else tail)
        shape, found = PLACE.join(pieces[::2]), tuple(pieces[1::2])
        key = (shape, *(found if self.care.numbers or shape not in self._roles else self._roles[shape](found)))
        known = self._lists.get(key)
        if known is None:
            parser = Parser(shape, found, _ASKED)
            items = parser.items()
            if not self.care.numbers:
                keys = sorted(n for n, role in parser.roles.items() if role == "key")
                self._roles[shape] = lambda texts: tuple(texts[n] for n in keys)
                key = (shape, *self._roles[shape](found))
            made = Steps(shape, None if self.care.numbers else METADATA)
            steps = tuple(made.list(items))
            self.saves |= made.saves
            self.alg = self.alg or "alg=" in tail
            known = self._lists[key] = (steps, tuple(made.extra), "conjunction(" in tail)
        if len(self._tails) < _MEMO:
            self._tails[tail] = known
        return known


def _clauses(fields: frozenset[str] | None) -> re.Pattern[str]:
    """Finds the clauses that ask one of ``fields``, with their values."""
    if fields is None:
        return CLAUSE
    names = ["dl_type", "eth_type", "nw_proto", "ip_proto", "pkt_mark", "ct_mark", "ct_label"]
    names += [f.removeprefix(PREFIX) for f in (METADATA, CT_STATE, "in_port") if f in fields]
    names += KEYWORDS
    return re.compile(rf"(?<![^,])({'|'.join(names)})(?:=(\"[^\"]*\"|[^,]*))?(?![^,])")
