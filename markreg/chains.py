"""Chains as a graph: which hooks reach a chain."""

from __future__ import annotations

from collections.abc import Iterable

from markreg.model import Hook, Table


def closure(table: Table, start: str) -> set[str]:
    """``start`` and every chain that its rules lead to. Set operations only: a node of ten thousand services has 50,000 chains."""
    steps = table.steps
    seen, frontier = {start}, {start}
    while frontier:
        found: set[str] = set().union(*[steps[name][1] for name in frontier if name in steps])
        frontier = found - seen
        seen |= frontier
    return seen


def hooks_of(table: Table, wanted: Iterable[str]) -> dict[str, tuple[Hook, ...]]:
    """The hooks from which each of ``wanted`` is reached, in the order of the base chains; none for a chain nobody jumps to."""
    result: dict[str, tuple[Hook, ...]] = dict.fromkeys(wanted, ())
    below: dict[str, set[str]] = {}
    for base, chain in table.chains.items():
        if not chain.hooks:
            continue
        reached = {base}
        for target in dict.fromkeys(table.steps.get(base, ((), ()))[1]):
            if target not in below:
                below[target] = closure(table, target) & result.keys()
            reached |= below[target]
        for name in reached & result.keys():
            result[name] += chain.hooks
    return result
