"""Chains as a graph: which hooks reach a chain."""

from __future__ import annotations

from collections.abc import Iterable

from markreg.model import Hook, Table


def closure(table: Table, starts: Iterable[str]) -> set[str]:
    """``starts`` and every chain that their rules lead to. Set operations only: a node of ten thousand services has 50,000 chains."""
    steps = table.steps
    seen, frontier = set(starts), set(starts)
    while frontier:
        frontier = set().union(*[steps[name][1] for name in frontier if name in steps]) - seen
        seen |= frontier
    return seen


def hooks_of(table: Table, wanted: Iterable[str]) -> dict[str, tuple[Hook, ...]]:
    """The hooks from which each of ``wanted`` is reached, in the order of the base chains; none for a chain nobody jumps to."""
    result: dict[str, tuple[Hook, ...]] = dict.fromkeys(wanted, ())
    reached = {name: {name} for name, chain in table.chains.items() if chain.hooks}
    entered: dict[str, tuple[str, ...]] = {}
    for base in reached:
        for target in dict.fromkeys(table.steps.get(base, ((), ()))[1]):
            entered[target] = (*entered.get(target, ()), base)
    # What the same base chains jump to is followed at once: most of a table hangs below one chain that several jump to.
    groups: dict[tuple[str, ...], list[str]] = {}
    for target, bases in entered.items():
        groups.setdefault(bases, []).append(target)
    for bases, targets in groups.items():
        found = closure(table, targets) & result.keys()
        for base in bases:
            reached[base] |= found
    for base, names in reached.items():
        for name in names & result.keys():
            result[name] += table.chains[base].hooks
    return result
