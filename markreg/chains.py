"""Chains as a graph: which hooks reach a chain."""

from __future__ import annotations

from collections.abc import Collection

from markreg.model import Hook, Table


def reach(table: Table, wanted: Collection[str]) -> dict[str, int]:
    """For each chain reachable from a base chain: which of ``wanted`` it is or leads to, as a mask of their positions."""
    bit = {name: 1 << i for i, name in enumerate(wanted)}
    done: dict[str, int] = {}
    steps = table.steps
    for base, chain in table.chains.items():
        if not chain.hooks or base in done:
            continue
        stack = [base]
        while stack:
            name = stack[-1]
            if name in done:
                # A chain still being walked counts as leading nowhere: the kernel refuses loops, a hand-made file may hold one.
                mask = bit.get(name, 0)
                for _, target in steps.get(name, ()):
                    mask |= done.get(target, 0)
                done[name] = mask
                stack.pop()
                continue
            done[name] = bit.get(name, 0)
            stack.extend([t for _, t in steps.get(name, ()) if t not in done])
    return done


def hooks_of(table: Table, wanted: Collection[str]) -> dict[str, tuple[Hook, ...]]:
    """The hooks from which each of ``wanted`` is reached, in the order of the base chains; none for a chain nobody jumps to."""
    masks = reach(table, wanted)
    return {
        name: tuple(h for base, chain in table.chains.items() if masks.get(base, 0) >> i & 1 for h in chain.hooks)
        for i, name in enumerate(wanted)
    }
