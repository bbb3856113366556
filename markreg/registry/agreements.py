"""Bits that owners share on purpose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Literal

from markreg.bits import parse_bits
from markreg.registry.model import Registry


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a shared use: its owner (a component, or a path), and whether it reads or writes."""

    owner: str
    access: Literal["read", "write"]


def agreed(registry: Registry, a: Side, b: Side, field: str, mask: int) -> bool:
    """Whether agreements let two owners share all bits of ``mask`` with masked uses (they excuse no whole-mark use)."""
    return not mask & ~agreed_bits(registry, a, b, field)


def agreed_bits(registry: Registry, a: Side, b: Side, field: str) -> int:
    """The bits of a field that agreements let two owners share with masked uses."""
    covered = 0
    for agreement in registry.agreements:
        pairs = permutations(agreement.owners, 2)
        if agreement.field != field or not any(named(a.owner, (p,)) and named(b.owner, (q,)) for p, q in pairs):
            continue
        if all(_allowed(s, agreement.allows) for s in (a, b)):
            covered |= parse_bits(agreement.bits, registry.fields[field].width)
    return covered


def named(owner: str, owners: Iterable[str]) -> bool:
    """Whether an owner, or the component that it is a reservation of, is among these."""
    return any(owner == name or owner.partition("/")[0] == name for name in owners)


def _allowed(side: Side, allows: Mapping[str, Sequence[str]]) -> bool:
    allowed = allows.get(side.owner, allows.get(side.owner.partition("/")[0]))
    return allowed is None or side.access in allowed
