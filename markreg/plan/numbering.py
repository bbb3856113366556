"""Which numbers of a sub-field a new reservation should get: collector ids, application ids, observation points in blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from markreg.bits import full, parse_int
from markreg.plan.choice import NothingFitsError, kept, planned_components
from markreg.plan.observed import Observed
from markreg.registry import numbers
from markreg.registry.effective import Effective, Resolver, layouts
from markreg.registry.model import Registry


@dataclass(frozen=True, slots=True)
class Numbers:
    """A closed range of numbers, and three lines that say why."""

    low: int
    high: int
    why: tuple[str, str, str]

    @property
    def text(self) -> str:
        """As ``value_range`` has it."""
        return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"


def parent_of(registry: Registry, path: str) -> Effective:
    """The reservation whose numbers are handed out, in its newest layout. Raises KeyError where there is none."""
    entry = registry.components[path.partition("/")[0]]
    found = [Resolver(registry, releases={entry.name: layout}).at(path) for layout in reversed(layouts(entry))]
    rows = [row for row in found if row and row.mask]
    if not rows:
        raise KeyError(path)
    return next((row for row in rows if row.in_force), rows[0])


def choose(
    registry: Registry,
    owner: str,
    parent: Effective,
    count: int,
    value: int | None,
    observed: Observed,
    used: Mapping[str, Mapping[int, str]],
) -> Numbers:
    """``count`` numbers in a row, or those from ``value`` on. ``used``: what dumps show, by reservation. Raises NothingFitsError."""
    allowed = numbers.parse_ranges(parent.reservation.value_range or "") if parent.reservation.value_range else ((0, _largest(parent)),)
    taken = _taken(registry, owner, parent, observed, used)
    gaps = _without(allowed, taken)
    where = f"{parent.path} ({parent.reservation.value_range or f'0-{_largest(parent)}'})"
    if value is not None:
        low, high = value, value + count - 1
        if not numbers.ranges_within(((low, high),), gaps):
            raise NothingFitsError(_refused(parent, low, high, allowed, taken, gaps, count))
        third = "asked for with --value"
    else:
        fitting = [_aligned(gap, count) for gap in gaps if gap[1] - gap[0] + 1 >= count]
        if not fitting:
            longest = max(gaps, key=lambda g: g[1] - g[0], default=None)
            left = f"the longest free run is {longest[0]}-{longest[1]}" if longest else "none is free"
            raise NothingFitsError(f"{where} has no {count} free numbers in a row: {left}; taken: {_shown(taken)}")
        low = min(fitting, key=lambda n: (count > 1 and bool(n % _step(count)), n))
        high = low + count - 1
        third = f"the lowest {'block' if count > 1 else 'number'} of {sum(b - a + 1 for a, b in gaps)} free ones" + (
            f", aligned to {_step(count)}" if count > 1 and not low % _step(count) else ""
        )
    first = f"{where}: {low if low == high else f'{low}-{high}'} is in no reservation"
    files = sorted({file for found in used.values() for file in found.values()} | {u.file for u in observed.uses})
    second = f"not used in {', '.join(files[:5])}" if files else "no audit or northbound dump was given to say what is in use"
    second += f"; taken: {_shown(taken)}" if taken else "; nothing of it is taken"
    return Numbers(low, high, (first, second, third))


def _largest(parent: Effective) -> int:
    return full(parent.mask.bit_count())


def _step(count: int) -> int:
    return 1 << (count - 1).bit_length()


def _aligned(gap: tuple[int, int], count: int) -> int:
    """The first place in a gap, on a round number if one fits."""
    step = _step(count)
    low = -(-gap[0] // step) * step
    return low if count > 1 and low + count - 1 <= gap[1] else gap[0]


def _taken(
    registry: Registry, owner: str, parent: Effective, observed: Observed, used: Mapping[str, Mapping[int, str]]
) -> dict[tuple[int, int], str]:
    """Ranges that cannot be handed out, and who has them: components that share nodes with the owner, and what was seen."""
    taken: dict[tuple[int, int], str] = {}
    for resolver, component in planned_components(registry, owner, observed):
        for made in resolver.rows(component):
            row = made.reservation
            above = row.within if row.within and "/" in row.within else f"{component}/{row.within}"
            if (
                row.within is None
                or above != parent.path
                or not (made.in_force or row.status != "retired" or kept(registry, component, row))
            ):
                continue
            if not made.in_force and row.when:
                continue
            ranges = numbers.parse_ranges(row.value_range) if row.value_range else _coded(row.values, parent.mask)
            taken.update(dict.fromkeys(ranges, made.path))
    family = {parent.path, *(f"{parent.component}/{n.rpartition('/')[2]}" for n in parent.reservation.alternatives)}
    for path in family:
        taken.update({(n, n): f"{path} in {file}" for n, file in used.get(path, {}).items()})
    for use in observed.uses:
        inside = use.mask & parent.mask and use.field == parent.field
        if inside and use.value is not None and (use.reservation in family or use.owner == parent.component):
            number = numbers.extract(use.value & parent.mask, parent.mask)
            if number:
                taken[number, number] = f"{use.owner} in {use.file}"
    return taken


def _coded(values: Iterable[str], mask: int) -> numbers.Ranges:
    return numbers.joined((n, n) for n in (numbers.extract(parse_int(v), mask) for v in values))


def _without(allowed: numbers.Ranges, taken: Iterable[tuple[int, int]]) -> numbers.Ranges:
    gaps: list[tuple[int, int]] = []
    blocked = numbers.joined(taken)
    for low, high in allowed:
        at = low
        for start, end in blocked:
            if end < at or start > high:
                continue
            if start > at:
                gaps.append((at, start - 1))
            at = end + 1
        if at <= high:
            gaps.append((at, high))
    return tuple(gaps)


def _shown(taken: Mapping[tuple[int, int], str]) -> str:
    said = [f"{low if low == high else f'{low}-{high}'} ({who})" for (low, high), who in sorted(taken.items())]
    return ", ".join(said[:4]) + (f" and {len(said) - 4} more" if len(said) > 4 else "")


def _refused(
    parent: Effective,
    low: int,
    high: int,
    allowed: numbers.Ranges,
    taken: Mapping[tuple[int, int], str],
    gaps: numbers.Ranges,
    count: int,
) -> str:
    asked = str(low) if low == high else f"{low}-{high}"
    if not numbers.ranges_within(((low, high),), allowed):
        reason = f"{asked} is not inside {parent.path}, {', '.join(f'{a}-{b}' for a, b in allowed)}"
    else:
        holders = [f"{who} has {a if a == b else f'{a}-{b}'}" for (a, b), who in sorted(taken.items()) if a <= high and low <= b]
        reason = f"{asked} of {parent.path} cannot be had: {', '.join(holders[:4])}"
    fitting = [min(max(low, a), b - count + 1) for a, b in gaps if b - a + 1 >= count]
    if not fitting:
        return f"{reason}; nothing of that size is free"
    best = min(fitting, key=lambda n: abs(n - low))
    return f"{reason}; the nearest free: {best if count == 1 else f'{best}-{best + count - 1}'}"
