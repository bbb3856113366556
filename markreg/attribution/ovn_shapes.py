"""What rules/ovn says of OVN's own flows: where its stages are in each release, and what its flows write to marks."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from markreg.registry import releases
from markreg.registry.numbers import Ranges, parse_ranges
from markreg.resources import rules

STATEFUL = _IN, _OUT = "ls_in_stateful", "ls_out_stateful"


@dataclass(frozen=True, slots=True)
class Layout:
    """The releases ``first`` to ``last`` (both included), with OpenFlow table numbers of stages that write marks."""

    first: str
    last: str
    stages: dict[str, int]

    def has(self, release: releases.Release) -> bool:
        """Whether a release is one of these."""
        return releases.parse(self.first) <= release <= releases.parse(self.last)


@dataclass(frozen=True, slots=True)
class FlowShape:
    """Reservations of OVN that one flow writes together, where, and whether the packet goes on in the same list of actions.

    ``always``: those without which it writes nothing of their field.
    """

    writes: frozenset[str]
    always: frozenset[str]
    stages: frozenset[str]
    priority: Ranges
    follows: bool

    def at(self, table: int, priority: int | None, known: Collection[Layout]) -> bool:
        """Whether such a flow may stand in a table (-1: not known which); without a known layout in any."""
        if self.priority and priority is not None and not any(low <= priority <= high for low, high in self.priority):
            return False
        if not self.stages or not known or table < 0:
            return True
        return any(layout.stages.get(stage) == table for layout in known for stage in self.stages)


@cache
def layouts() -> tuple[Layout, ...]:
    """Every layout, oldest first."""
    return tuple(Layout(x["first"], x["last"], x["stages"]) for x in _read("layouts")["layout"])


@cache
def shapes() -> tuple[FlowShape, ...]:
    """What flows write."""
    return tuple(
        FlowShape(
            frozenset(x["writes"]),
            frozenset(x.get("always", ())),
            frozenset(x.get("stages", ())),
            parse_ranges(x["priority"]) if "priority" in x else (),
            x.get("follows", True),
        )
        for x in _read("shapes")["flow"]
    )


def fitting(tables: Collection[int]) -> tuple[Layout, ...]:
    """The layouts whose two stateful stages are these tables; with one table alone those that have it as either."""
    if len(tables) == 2:
        low, high = sorted(tables)
        return tuple(x for x in layouts() if (x.stages[_IN], x.stages[_OUT]) == (low, high))
    return tuple(x for x in layouts() if tables and set(tables) <= {x.stages[_IN], x.stages[_OUT]})


def named(found: Iterable[Layout]) -> str:
    """Releases in words: ``22.12.1 to 23.03.3``."""
    ends = list(found)
    return ends[0].first if ends[0].first == ends[-1].last else f"{ends[0].first} to {ends[-1].last}"


@cache
def _read(name: str) -> dict[str, list[dict[str, Any]]]:
    import tomllib

    return tomllib.loads((rules("ovn") / f"{name}.toml").read_text(encoding="utf-8"))
