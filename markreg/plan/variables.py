"""The settings that move bits, and the nearest value of each that keeps certain reservations off certain bits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from markreg.bits import bit_numbers, full, parse_int, runs
from markreg.registry import numbers
from markreg.registry.effective import Resolver
from markreg.registry.model import ComponentEntry, Knob, Limit, Pool, Registry, Reservation
from markreg.registry.releases import Interval

# Sums of: agreements left, knobs turned, bits taken on or kept in spite of others, bits given up, known components on new bits, distance.
Cost = tuple[int, int, int, int, int, int]
NOTHING: Cost = (0, 0, 0, 0, 0, 0)
# Bits that reservations must not have, by path.
Forbidden = Mapping[str, int]


def added(a: Cost, b: Cost) -> Cost:
    """The sum of two costs."""
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3], a[4] + b[4], a[5] + b[5])


@dataclass(frozen=True, slots=True)
class Choice:
    """A value of a knob and what it costs to turn the knob to it."""

    value: int
    cost: Cost


@dataclass(frozen=True, slots=True)
class Variable:
    """A knob that moves bits. ``current``: its value now. ``paths``: the reservations that move with it.

    ``shares``: for the knob of a pool what is drawn, in order: path and width (None: the rest); empty for a knob that says bits itself.
    ``taken_off``: bits of the knob that are not drawn from. ``weight``: agreements that end when it is turned. ``crowd``: how many known
    components have a bit by default. ``foreign``: bits that others here have whatever happens.
    """

    component: str
    knob: Knob
    width: int
    current: int
    paths: tuple[str, ...]
    shares: tuple[tuple[str, int | None], ...]
    taken_off: int
    limits: tuple[Limit, ...]
    weight: int
    crowd: tuple[int, ...]
    foreign: int = 0

    @property
    def name(self) -> str:
        """``calico mark-mask``."""
        return f"{self.component} {self.knob.name}"

    @property
    def is_bit(self) -> bool:
        """Whether the value is the number of one bit."""
        return self.knob.type == "bit"

    def mask(self, value: int) -> int:
        """The bits that a value stands for."""
        return 1 << value if self.is_bit else value

    def nearest(self, forbidden: Forbidden) -> Choice | None:
        """The cheapest value with which no reservation has a bit that is forbidden to it; None if there is none."""
        if self.shares:
            return Choice(self.current, NOTHING) if self._stays(forbidden) else self._drawn(forbidden)
        bad = 0
        for path in self.paths:
            bad |= forbidden.get(path, 0)
        found = (Choice(v, self._cost(v)) for v in self._candidates() if not self.mask(v) & bad and self._allowed(v))
        return min(found, key=lambda c: (c.cost, c.value), default=None)

    def left(self, forbidden: Forbidden) -> object:
        """What is left to choose from: equal for two sets of forbidden bits that leave the same."""
        if self.shares:
            return tuple(forbidden.get(path, 0) for path in self.paths)
        bad = 0
        for path in self.paths:
            bad |= forbidden.get(path, 0)
        return tuple(value for value in self._candidates() if not self.mask(value) & bad)

    def _cost(self, value: int) -> Cost:
        if value == self.current:
            return NOTHING
        new, old = self.mask(value), self.mask(self.current)
        moved = abs((new & -new).bit_length() - (old & -old).bit_length())
        fresh, given = new & ~old, old & ~new
        return self.weight, 1, fresh.bit_count(), given.bit_count(), sum(self.crowd[b] for b in bit_numbers(fresh)), moved

    def _candidates(self) -> Iterator[int]:
        """Bits; masks of the shape of the current one: what is in them keeps its size."""
        if self.is_bit:
            yield from range(self.width)
            return
        yield self.current
        size = self.current.bit_count()
        if len(list(runs(self.current))) == 1:
            yield from (full(size) << low for low in range(self.width - size + 1))
            return
        # Scattered bits: each moves by itself, so the pattern is kept and shifted as a whole.
        low = (self.current & -self.current).bit_length() - 1
        pattern = self.current >> low
        yield from (pattern << at for at in range(self.width - pattern.bit_length() + 1))

    def _allowed(self, value: int) -> bool:
        for limit in self.limits:
            if limit.range is not None and not numbers.ranges_within(((value, value),), numbers.parse_ranges(limit.range)):
                return False
            if limit.min_bits is not None and value.bit_count() < limit.min_bits:
                return False
            if limit.must_cover is not None and parse_int(limit.must_cover) & ~value:
                return False
        return True

    def _stays(self, forbidden: Forbidden) -> bool:
        """Whether the current mask keeps to what is forbidden."""
        left = self.current & ~self.taken_off
        for path, width in self.shares:
            part = left if width is None else numbers.lowest_bits(left, width)
            if part & forbidden.get(path, 0) or (width is not None and part.bit_count() < width):
                return False
            left &= ~part
        return self._allowed(self.current)

    def _drawn(self, forbidden: Forbidden) -> Choice | None:
        """The cheapest mask of a pool: bit by bit from below, each left out or in, where what is in goes to the next share."""
        need = max((limit.min_bits or 0 for limit in self.limits), default=0)
        cover = 0
        for limit in self.limits:
            cover |= parse_int(limit.must_cover) if limit.must_cover else 0
        slots = [path for path, width in self.shares for _ in range(width or 0)]
        rest = next((path for path, width in self.shares if width is None), None)
        # (shares filled, bits counted up to what is needed) -> (bits taken on or in others' way, bits given up, crowd, mask)
        best: dict[tuple[int, int], tuple[int, int, int, int]] = {(0, 0): (0, 0, 0, 0)}
        for bit in range(self.width):
            flag = 1 << bit
            drawn, had, theirs = not self.taken_off & flag, bool(self.current & flag), bool(self.foreign & flag)
            after: dict[tuple[int, int], tuple[int, int, int, int]] = {}
            for (filled, counted), (taken, given, crowd, mask) in best.items():
                open_ = filled < len(slots)
                ways = [] if cover & flag else [((filled, counted), (taken, given + had, crowd, mask))]
                taker = "" if not drawn else slots[filled] if open_ else rest or ""
                if not forbidden.get(taker, 0) & flag:
                    worse = not had or (theirs and drawn)
                    grown = (taken + worse, given, crowd + (0 if had else self.crowd[bit]), mask | flag)
                    ways.append(((filled + (open_ and drawn), min(counted + 1, need)), grown))
                for key, value in ways:
                    if key not in after or value < after[key]:
                        after[key] = value
            best = after
        end = best.get((len(slots), need))
        if end is None:
            return None
        taken, given, crowd, mask = end
        return Choice(mask, NOTHING if mask == self.current else (self.weight, 1, taken, given, crowd, 0))

    def why_none(self, forbidden: Forbidden) -> str:
        """Why no value is left, in words: what is needed, and how much is forbidden."""
        bad = 0
        for path in self.paths:
            bad |= forbidden.get(path, 0)
        left = (full(self.width) & ~bad).bit_count()
        if self.shares:
            wanted = sum(width or 0 for _, width in self.shares)
            cover = " and ".join(f"cover {limit.must_cover}" for limit in self.limits if limit.must_cover)
            return f"{self.name} must give {wanted} bits{f', {cover},' if cover else ''} of the {left} that the others leave, and cannot"
        if self.is_bit:
            return f"{self.name} finds no bit: the others leave {left}"
        return f"{self.name} finds no place for {self.current.bit_count()} bits of the form {self.current:#x}: the others leave {left} bits"


def variables(resolver: Resolver, component: str, pinned: Iterable[str]) -> list[Variable]:
    """The knobs of a component that move bits of reservations in force, except those that are pinned."""
    registry = resolver.registry
    entry = registry.components.get(component)
    if entry is None:
        return []
    crowd = crowds(registry)
    settings = resolver.settings(component)
    rules = registry.rules.get(component)
    live = resolver.in_force(component)
    found = []
    for knob in rules.knob if rules else ():
        value = settings.get(knob.name)
        if knob.name in set(pinned) or not isinstance(value, int) or isinstance(value, bool) or not (value or knob.type == "bit"):
            continue
        limits = tuple(limit for limit in knob.limits if numbers.holds(limit.when, settings))
        pool = next((p for p in entry.pool if p.from_ == knob.name), None)
        moved = [row for row in live if row.reservation.bits_from and row.reservation.bits_from.knob == knob.name]
        shares, off = _shares(resolver, entry, pool, settings) if pool else ((), 0)
        paths = tuple(dict.fromkeys((*(row.path for row in moved), *(p for p, _ in shares))))
        fields = {row.field for row in moved} | ({pool.field} if pool else set())
        if paths and fields:
            width = min(registry.fields[f].width for f in fields)
            company = tuple(sum(crowd[f][bit] for f in fields) for bit in range(width))
            found.append(Variable(component, knob, width, value, paths, shares, off, limits, 0, company))
    return found


def _shares(
    resolver: Resolver, entry: ComponentEntry, pool: Pool, settings: Mapping[str, bool | int | str | None]
) -> tuple[tuple[tuple[str, int | None], ...], int]:
    """What a pool is drawn for at these settings, in order, and which of its bits are not drawn from."""
    release = resolver.release(entry)
    off = 0
    for minus in pool.minus:
        if numbers.holds(minus.when, settings):
            off |= parse_int(minus.mask)
    shares = tuple(
        (f"{entry.name}/{draw.name}", None if draw.width == "rest" else draw.width)
        for draw in pool.draw
        if release in Interval(draw.since, draw.until) and numbers.holds(draw.when, settings) is not False
    )
    return shares, off


@lru_cache(maxsize=2)
def crowds(registry: Registry) -> dict[str, tuple[int, ...]]:
    """For each field how many components of the registry have each bit at default settings, whole-field uses left out."""
    resolver = Resolver(registry)
    held: dict[str, dict[str, int]] = {}
    for component in registry.components:
        for row in resolver.in_force(component):
            width = registry.fields[row.field].width
            if row.mask != full(width) and _counts(row.reservation):
                own = held.setdefault(row.field, {})
                own[component] = own.get(component, 0) | row.mask
    return {
        name: tuple(sum(mask >> bit & 1 for mask in held.get(name, {}).values()) for bit in range(field.width))
        for name, field in registry.fields.items()
    }


def _counts(row: Reservation) -> bool:
    return row.status in ("active", "deprecated")
