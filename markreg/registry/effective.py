"""Which bits a reservation has on a node: at its settings, in its release (registry.md section 3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from markreg.bits import BitsError, full, parse_bits, parse_int
from markreg.registry import numbers
from markreg.registry.model import ComponentEntry, Draw, Knob, Minus, Pool, Registry, Reservation
from markreg.registry.releases import Interval, Release, intervals, lenient
from markreg.registry.words import Scalar

# A setting; None is one that is not known (a template, a file that was not given).
Settings = Mapping[str, Scalar | None]
HOST = ("host",)


@dataclass(frozen=True, slots=True)
class Effective:
    """A row of a reservation as it is on a node.

    ``mask`` in bits of ``field``. ``codes``: values in place with their meaning. ``ranges``: the numbers of the sub-field, None where
    any may be. ``certain`` is false where a setting is not known: ``mask`` is then every bit it may be. ``why``: why not in force.
    """

    path: str
    field: str
    mask: int
    codes: tuple[tuple[int, str], ...]
    ranges: numbers.Ranges | None
    in_force: bool
    certain: bool
    scope: tuple[str, ...]
    reservation: Reservation
    why: str = ""

    @property
    def component(self) -> str:
        """The slug before the ``/``."""
        return self.path.partition("/")[0]


def resolve(registry: Registry, component: str, settings: Settings | None = None, release: str | None = None) -> tuple[Effective, ...]:
    """The rows of one component at its settings (defaults for the others) in a release (None: the newest layout)."""
    return Resolver(registry, {component: settings or {}}, {component: release} if release else {}).rows(component)


def layouts(entry: ComponentEntry) -> tuple[Interval, ...]:
    """The releases of a component cut wherever a reservation begins or ends, oldest first, without those that reserve nothing."""
    cut = _cut(entry)
    return tuple(i for i in cut if any(i.low in Interval(r.since, r.until) for r in entry.reservation)) or cut[-1:]


def _cut(entry: ComponentEntry) -> tuple[Interval, ...]:
    rows: tuple[Reservation | Draw, ...] = (*entry.reservation, *(d for p in entry.pool for d in p.draw))
    return intervals(end for row in rows for end in (row.since, row.until) if end)


def layout_of(entry: ComponentEntry, release: str | None) -> Interval:
    """The layout of a release; the newest if none or an unreadable one is given."""
    number = lenient(release) if release else None
    return next((i for i in _cut(entry) if number is not None and number in i), layouts(entry)[-1])


class Resolver:
    """Effective rows of any component, computed once. ``settings`` and ``releases`` by component; absent: defaults, newest layout."""

    def __init__(
        self,
        registry: Registry,
        settings: Mapping[str, Settings] | None = None,
        releases: Mapping[str, str | Interval] | None = None,
    ) -> None:
        self.registry = registry
        self._settings = settings or {}
        self._releases = releases or {}
        self._rows: dict[str, tuple[Effective, ...]] = {}
        self._faults: dict[str, tuple[tuple[str, str], ...]] = {}

    def rows(self, component: str) -> tuple[Effective, ...]:
        """Every row of a component, in registry order; none if it is not registered."""
        if component not in self._rows:
            entry = self.registry.components.get(component)
            made = _Made(self, entry, self.release(entry)) if entry else None
            self._rows[component] = made.rows() if made else ()
            self._faults[component] = tuple(made.faults) if made else ()
        return self._rows[component]

    def in_force(self, component: str) -> tuple[Effective, ...]:
        """The rows of a component that mean something on this node."""
        return tuple(row for row in self.rows(component) if row.in_force)

    def at(self, path: str) -> Effective | None:
        """The row of ``component/name`` that is in force, else the last that is not."""
        rows = [row for row in self.rows(path.partition("/")[0]) if row.path == path]
        return next((row for row in rows if row.in_force), rows[-1] if rows else None)

    def faults(self, component: str) -> tuple[str, ...]:
        """Why the component refuses these settings (MK306), in words for users."""
        return tuple(message for _, message in self.refused(component))

    def refused(self, component: str) -> tuple[tuple[str, str], ...]:
        """The same, each with the knob that it is about."""
        self.rows(component)
        rules = self.registry.rules.get(component)
        knobs = rules.knob if rules else ()
        values = self.settings(component)
        given = self._settings.get(component, {})
        found = [(knob.name, message) for knob in knobs for message in _beyond(knob, values)]
        found += [
            (knob.name, refusal.why)
            for knob in knobs
            for refusal in knob.refuses
            if numbers.holds(refusal.when, values) and all(given.get(name) is not None for name in refusal.given)
        ]
        return (*found, *self._faults[component])

    def release(self, entry: ComponentEntry) -> Release:
        """A release of the layout that counts for a component."""
        said = self._releases.get(entry.name)
        return said.low if isinstance(said, Interval) else layout_of(entry, said).low

    def settings(self, component: str) -> dict[str, Scalar | None]:
        """The value of every knob of a component: as set, else its default; None where it is not known."""
        rules = self.registry.rules.get(component)
        given = self._settings.get(component, {})
        result: dict[str, Scalar | None] = {}
        for knob in rules.knob if rules else ():
            value = given[knob.name] if knob.name in given else _default(knob)
            try:
                result[knob.name] = None if value is None else numbers.knob_value(knob, value)
            except BitsError:
                result[knob.name] = None
        return result


def _default(knob: Knob) -> Scalar | None:
    """An unset switch is off, an unset word is empty; an unset number is not known."""
    if knob.default is None:
        unset: dict[str, Scalar] = {"boolean": False, "choice": "", "string": ""}
        return unset.get(knob.type)
    return knob.default


def _beyond(knob: Knob, settings: Settings) -> Iterable[str]:
    value = settings.get(knob.name)
    if not isinstance(value, int) or isinstance(value, bool):
        return
    for limit in knob.limits:
        if not numbers.holds(limit.when, settings):
            continue
        given = ", ".join(f"{k} = {str(v[0]).lower()}" for k, v in limit.when.items())
        with_ = f" with {given}" if given else ""
        if limit.range is not None and not numbers.ranges_within(((value, value),), numbers.parse_ranges(limit.range)):
            yield f"{knob.name} = {value}{with_} is outside {limit.range}"
        if limit.min_bits is not None and value.bit_count() < limit.min_bits:
            yield f"{knob.name} = {value:#x}{with_} has {value.bit_count()} bits, {limit.min_bits} are needed"
        if limit.must_cover is not None and parse_int(limit.must_cover) & ~value:
            yield f"{knob.name} = {value:#x}{with_} does not cover {limit.must_cover}"


@dataclass(slots=True)
class _Share:
    """What a pool gives to one reservation."""

    mask: int
    field: str
    certain: bool


class _Made:
    """The rows of one component, made once."""

    def __init__(self, resolver: Resolver, entry: ComponentEntry, release: Release) -> None:
        self.resolver = resolver
        self.registry = resolver.registry
        self.entry = entry
        self.release = release
        self.settings = resolver.settings(entry.name)
        self.faults: list[tuple[str, str]] = []
        self.shares: dict[str, _Share] = {}
        self.drawn = {d.name for p in entry.pool for d in p.draw}

    def rows(self) -> tuple[Effective, ...]:
        for pool in self.entry.pool:
            self._share_out(pool)
        return tuple(self._row(row) for row in self.entry.reservation)

    def _share_out(self, pool: Pool) -> None:
        width = self.registry.fields[pool.field].width
        value = self.settings.get(pool.from_)
        certain = isinstance(value, int)
        left = value & full(width) if isinstance(value, int) else full(width)
        for minus in pool.minus:
            certain &= self._take_off(minus) is not None
            left &= ~(self._take_off(minus) or 0)
        short: list[str] = []
        for draw in pool.draw:
            met = self._drawn(draw)
            if met is False:
                continue
            certain &= met is True
            take = left.bit_count() if draw.width == "rest" else draw.width
            mask = numbers.lowest_bits(left, take) if certain else left
            if draw.width != "rest" and mask.bit_count() < take:
                short.append(draw.name)
            self.shares[draw.name] = _Share(mask, pool.field, certain)
            if certain:
                left &= ~mask
        if short:
            self.faults.append((pool.from_, f"{pool.from_} has too few bits: nothing is left for {', '.join(short)}"))

    def _take_off(self, minus: Minus) -> int | None:
        met = numbers.holds(minus.when, self.settings)
        return None if met is None else parse_int(minus.mask) if met else 0

    def _drawn(self, draw: Draw) -> bool | None:
        return numbers.holds(draw.when, self.settings) if self.release in Interval(draw.since, draw.until) else False

    def _row(self, row: Reservation) -> Effective:
        path = f"{self.entry.name}/{row.name}"
        met = numbers.holds(row.when, self.settings)
        why = ""
        if self.release not in Interval(row.since, row.until):
            why = Interval(row.since, row.until).name
        elif met is False:
            why = "needs " + ", ".join(f"{k} = {' or '.join(str(v).lower() or 'unset' for v in vs)}" for k, vs in row.when.items())
        elif row.status == "retired":
            why = f"retired {row.retired}"
        parent = self._parent(row)
        if parent:
            field, mask, certain = parent.field, parent.mask, parent.certain
            why = why or (f"{parent.path}: {parent.why}" if not parent.in_force else "")
        elif row.name in self.drawn:
            share = self.shares.get(row.name)
            field, mask, certain = (share.field, share.mask, share.certain) if share else (self._pool_field(row.name), 0, True)
            why = why or ("" if mask else "not drawn here")
        else:
            field = row.field or ""
            mask, certain = self._own(row, self.registry.fields[field].width)
            why = why or ("" if mask else f"{row.bits_from.knob if row.bits_from else 'bits'} is 0")
        codes = self._code_set(row, mask) or tuple((parse_int(code), meaning) for code, meaning in row.values.items())
        if row.value_range is not None:
            ranges: numbers.Ranges | None = numbers.parse_ranges(row.value_range)
        else:
            ranges = numbers.joined((n, n) for n in (numbers.extract(c, mask) for c, _ in codes)) if codes else None
        scope = row.scope or (parent.scope if parent else HOST)
        return Effective(path, field, mask, codes, ranges, not why, certain and met is not None, scope, row, why)

    def _code_set(self, row: Reservation, mask: int) -> tuple[tuple[int, str], ...]:
        """The code that a knob sets; none where it is unset or not known."""
        value = self.settings.get(row.value_from) if row.value_from else None
        return ((value & mask, row.value_from or ""),) if isinstance(value, int) and not isinstance(value, bool) else ()

    def _parent(self, row: Reservation) -> Effective | None:
        if row.within is None:
            return None
        component, slash, name = row.within.rpartition("/")
        if slash and component != self.entry.name:
            return self.resolver.at(row.within)
        found = [self._row(r) for r in self.entry.reservation if r.name == name]
        return next((r for r in found if r.in_force), found[-1])

    def _pool_field(self, name: str) -> str:
        return next(p.field for p in self.entry.pool for d in p.draw if d.name == name)

    def _own(self, row: Reservation, width: int) -> tuple[int, bool]:
        if row.bits_from is None:
            return parse_bits(row.bits or "", width), True
        knob = self.registry.knob(self.entry.name, row.bits_from.knob)
        assert knob is not None
        value = self.settings.get(knob.name)
        as_bit = (row.bits_from.as_ or ("bit" if knob.type == "bit" else "mask")) == "bit"
        if isinstance(value, int):
            return (1 << min(value, 1024) if as_bit else value) & full(width), True
        given = self.resolver.settings(self.entry.name)
        if row.bits is not None and knob.default is None and given.get(knob.name) is None:
            return parse_bits(row.bits, width), True
        mask = 0
        for limit in knob.limits if as_bit else ():
            for low, high in numbers.parse_ranges(limit.range) if limit.range else ():
                mask |= full(min(high, width - 1) + 1) & ~full(min(low, width))
        return mask or full(width), False
