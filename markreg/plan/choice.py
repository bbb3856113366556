"""Which bits a new reservation should get: smallest conflict first.

Nothing that the plan reserves, nothing that a node was seen to use; then the fewest known components, those that use the bits by
default before those that do so only at other settings or in other releases; then alignment; then the lowest bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from markreg.bits import format_bits, format_mask, full, runs
from markreg.plan.observed import Observed
from markreg.registry import scopes
from markreg.registry.accepted import today
from markreg.registry.effective import Effective, Resolver, layouts
from markreg.registry.model import Registry, Reservation
from markreg.registry.overlaps import pool_resolver


class NothingFitsError(ValueError):
    """No bits or numbers can be had; the message gives the reason and the nearest possibility."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for: ``width`` bits in a row somewhere in ``field``, or exactly ``bits``; carriers as in a reservation's scope."""

    owner: str
    field: str
    width: int
    bits: int | None = None
    scope: tuple[str, ...] = ("host",)


@dataclass(frozen=True, slots=True)
class Choice:
    """Bits, and three lines that say why."""

    mask: int
    why: tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class _Around:
    """Who has which bits of a field: by name. ``usual``: known components by default, ``seldom``: at other settings or releases."""

    planned: Mapping[str, int]
    observed: Mapping[str, int]
    usual: Mapping[str, int]
    seldom: Mapping[str, int]
    whole: tuple[str, ...]

    def taken(self) -> int:
        mask = 0
        for held in (*self.planned.values(), *self.observed.values()):
            mask |= held
        return mask


def choose(registry: Registry, wish: Wish, observed: Observed, audits: int) -> Choice:
    """The best place. ``audits``: how many were given. Raises NothingFitsError."""
    width = registry.fields[wish.field].width
    around = _around(registry, wish, observed)
    places = [wish.bits] if wish.bits is not None else list(_places(width, wish.width))
    free = [mask for mask in places if not mask & around.taken()]
    if not free:
        raise NothingFitsError(_refusal(wish, around, width, places))
    ranked = sorted(free, key=lambda mask: _rank(mask, around, wish.width))
    best = ranked[0]
    return Choice(best, _explained(registry, wish, around, best, ranked, audits))


def _places(width: int, size: int) -> Iterator[int]:
    return (full(size) << low for low in range(width - size + 1))


def _rank(mask: int, around: _Around, size: int) -> tuple[int, int, bool, int]:
    usual = sum(1 for held in around.usual.values() if held & mask)
    seldom = sum(1 for held in around.seldom.values() if held & mask)
    low = (mask & -mask).bit_length() - 1
    step = 1 << max(size - 1, 0).bit_length()
    return usual, seldom, bool(low % step), low


def _around(registry: Registry, wish: Wish, observed: Observed) -> _Around:
    everything = full(registry.fields[wish.field].width)
    planned: dict[str, int] = {}
    whole: dict[str, None] = {}
    there: set[str] = set()
    for resolver, component in planned_components(registry, wish.owner, observed):
        there.add(component)
        planned |= _pools(resolver, component, wish.field)
        for row in _near(registry, wish, resolver.rows(component)):
            if not (row.in_force or kept(registry, component, row.reservation)):
                continue
            if row.mask != everything:
                planned[row.path] = planned.get(row.path, 0) | row.mask
            else:
                whole.setdefault(row.component)
                planned[row.path] = planned.get(row.path, 0) | _codes(row)
    seen: dict[str, int] = {}
    for use in observed.uses:
        if use.field == wish.field and use.owner != wish.owner:
            if use.whole(registry.fields[wish.field].width):
                whole.setdefault(use.owner)
            else:
                name = f"{use.owner} in {use.file}"
                seen[name] = seen.get(name, 0) | use.mask
    usual, seldom = _known(registry, wish, there | {wish.owner})
    return _Around({k: v for k, v in planned.items() if v}, seen, usual, seldom, tuple(whole))


def _pools(resolver: Resolver, component: str, field: str) -> dict[str, int]:
    """The bits of a component's pools: what is not drawn today is still its own to draw."""
    entry = resolver.registry.components.get(component)
    settings = resolver.settings(component)
    found = {}
    for pool in entry.pool if entry else ():
        value = settings.get(pool.from_)
        if pool.field == field and isinstance(value, int):
            found[f"{component} {pool.from_}"] = value & full(resolver.registry.fields[field].width)
    return found


def planned_components(registry: Registry, owner: str, observed: Observed) -> Iterator[tuple[Resolver, str]]:
    """The components that the bits must be kept from, as they are in each pool: of the pools with the owner, else of all; what the
    plan itself declares; what was recognised on nodes."""
    pools = {n: p for n, p in registry.node_pools.items() if owner in {c.partition("/")[0] for c in p.components}} or registry.node_pools
    done: set[str] = set()
    for name, pool in pools.items():
        resolver = pool_resolver(registry, name)
        for component in dict.fromkeys(c.partition("/")[0] for c in pool.components):
            done.add(component)
            yield resolver, component
    rest = Resolver(registry)
    yield from ((rest, c) for c in registry.declared if c not in done)
    for found in observed.components:
        entry = registry.components.get(found.name)
        if entry and found.name not in done and found.name not in registry.declared:
            fitting = [i for i in layouts(entry) if i.name == found.layout]
            yield Resolver(registry, releases={found.name: fitting[0]} if fitting else {}), found.name


def kept(registry: Registry, component: str, row: Reservation) -> bool:
    """Whether a tombstone still keeps others out: until its date; without one for good if it is the plan's own, else not."""
    if row.status != "retired":
        return False
    return today() < row.free_after if row.free_after else component in registry.declared


def _near(registry: Registry, wish: Wish, rows: Iterable[Effective]) -> Iterator[Effective]:
    field = registry.fields[wish.field]
    return (row for row in rows if row.field == wish.field and not scopes.disjoint(registry, field, row.scope, wish.scope))


def _codes(row: Effective) -> int:
    mask = 0
    for code, _ in row.codes:
        mask |= code
    return mask


def _known(registry: Registry, wish: Wish, but: set[str]) -> tuple[dict[str, int], dict[str, int]]:
    everything = full(registry.fields[wish.field].width)
    usual: dict[str, int] = {}
    seldom: dict[str, int] = {}
    newest = Resolver(registry)
    for name, entry in registry.components.items():
        if name in but:
            continue
        for layout in layouts(entry):
            resolver = Resolver(registry, releases={name: layout})
            for row in _near(registry, wish, resolver.rows(name)):
                if row.reservation.status != "retired" and row.mask != everything:
                    seldom[name] = seldom.get(name, 0) | row.mask
        for row in _near(registry, wish, newest.in_force(name)):
            if row.mask != everything:
                usual[name] = usual.get(name, 0) | row.mask
    return usual, {name: mask & ~usual.get(name, 0) for name, mask in seldom.items() if mask & ~usual.get(name, 0)}


def _said(field: str, mask: int) -> str:
    return f"{field} {'bit' if mask.bit_count() == 1 else 'bits'} {format_bits(mask)} ({format_mask(mask)})"


def _company(mask: int, around: _Around) -> str:
    usual = [name for name, held in around.usual.items() if held & mask]
    seldom = [name for name, held in around.seldom.items() if held & mask and name not in usual]
    said = [_list(usual, "by default")] if usual else []
    said += [_list(seldom, "at other settings or in other releases")] if seldom else []
    return "; ".join(said) or "none"


def _list(names: list[str], how: str) -> str:
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    return f"{shown} {how}"


def _explained(registry: Registry, wish: Wish, around: _Around, best: int, ranked: list[int], audits: int) -> tuple[str, str, str]:
    seen = f"nothing in {audits} audit{'s' * (audits > 1)} uses" if audits else "no audit was given to say what nodes use"
    first = f"{_said(wish.field, best)}: no reservation that shares nodes with {wish.owner} has " + (
        f"{'it' if best.bit_count() == 1 else 'them'}, {seen}{' ' + ('it' if best.bit_count() == 1 else 'them') if audits else ''}"
    )
    second = f"other known components there: {_company(best, around)}"
    if around.whole:
        second += f"; {', '.join(around.whole)} {'uses' if len(around.whole) == 1 else 'use'} the whole field, whichever bits are taken"
    if wish.bits is not None:
        third = "asked for with --bits"
    else:
        after = next((m for m in ranked[1:] if not m & best), None)
        third = f"best of {len(ranked)} free place{'s' * (len(ranked) > 1)}" + (
            f"; next: bits {format_bits(after)} ({_company(after, around)})" if after else ""
        )
    return first, second, third


def _refusal(wish: Wish, around: _Around, width: int, places: list[int]) -> str:
    """Why nothing fits, and what comes nearest."""
    taken = around.taken()
    free = full(width) & ~taken
    if wish.bits is not None:
        holders = [name for held in (around.planned, around.observed) for name, mask in held.items() if mask & wish.bits]
        reason = f"{_said(wish.field, wish.bits)} cannot be had: {', '.join(holders[:5])} {'has' if len(holders) == 1 else 'have'} "
        reason += f"{format_bits(wish.bits & taken)}"
        size = wish.bits.bit_count()
        low = (wish.bits & -wish.bits).bit_length() - 1
        near = [mask for mask in _places(width, size) if not mask & taken]
        best = min(near, key=lambda m: abs((m & -m).bit_length() - 1 - low), default=None)
        if best is not None:
            return f"{reason}; the nearest free: bits {format_bits(best)}"
    else:
        reason = f"{wish.field} has no {wish.width} free bits in a row"
    longest = max((part for part in _runs(free)), key=int.bit_count, default=0)
    left = f"the longest free run is {format_bits(longest)}" if longest else "no bit is free"
    candidates = places or list(_places(width, min(wish.width, width)))
    nearest = min(candidates, key=lambda m: ((m & taken).bit_count(), *_rank(m, around, wish.width)))
    holders = [name for held in (around.planned, around.observed) for name, mask in held.items() if mask & nearest]
    giving = f"{', '.join(holders[:5])} would have to give up {format_bits(nearest & taken)}"
    return f"{reason}: {left}; nearest: bits {format_bits(nearest)}, where {giving}"


def _runs(mask: int) -> Iterator[int]:
    return (full(high - low + 1) << low for low, high in runs(mask))
