"""What the rows and pools of one component must satisfy."""

from __future__ import annotations

from itertools import combinations

from markreg.bits import BitsError, format_bits, full, parse_bits, parse_int
from markreg.registry import numbers, releases
from markreg.registry.errors import Flaw, did_you_mean
from markreg.registry.model import ComponentEntry, Draw, Knob, Origin, Pool, Registry, Reservation
from markreg.registry.scopes import is_scope
from markreg.registry.words import When


def flaw(origin: Origin, keys: tuple[str | int, ...], message: str, value: bool = True) -> Flaw:
    """Something wrong with the value of a key of a table, or with the key itself."""
    return Flaw(origin.path, (*origin.keys, *keys), message, value)


def check_times(origin: Origin, keys: tuple[str | int, ...], row: Reservation | Draw) -> None:
    """``since`` and ``until`` must be releases, in order."""
    for key in ("since", "until"):
        text = getattr(row, key)
        if text is not None:
            try:
                releases.parse(text)
            except releases.ReleaseError as error:
                raise flaw(origin, (*keys, key), str(error)) from None
    if releases.Interval(row.since, row.until).empty():
        raise flaw(origin, (*keys, "until"), f"until {row.until} is not above since {row.since}")


def _apart(a: Reservation | Draw, b: Reservation | Draw) -> bool:
    """Whether since, until and when never let both hold."""
    return numbers.excludes(a.when, b.when) or not releases.Interval(a.since, a.until).meets(releases.Interval(b.since, b.until))


class ComponentCheck:
    """Checks one component of a registry against the rest. Raises Flaw."""

    def __init__(self, registry: Registry, entry: ComponentEntry) -> None:
        self.registry = registry
        self.entry = entry
        rules = registry.rules.get(entry.name)
        self.knobs = {k.name: k for k in (rules.knob if rules else ())}
        self.rows: dict[str, list[Reservation]] = {}
        for row in entry.reservation:
            self.rows.setdefault(row.name, []).append(row)
        self.drawn: dict[str, Pool] = {d.name: p for p in entry.pool for d in p.draw}

    def check(self) -> None:
        for pool in self.entry.pool:
            self._pool(pool)
        for row in self.entry.reservation:
            self._row(row)
        for name, rows in self.rows.items():
            for a, b in combinations(rows, 2):
                if not _apart(a, b):
                    raise flaw(b.origin, ("name",), f"{self.entry.name}/{name} is there twice, and since, until and when allow both")

    def _pool(self, pool: Pool) -> None:
        width = self._width(pool.origin, pool.field)
        knob = self._knob(pool.origin, ("from",), pool.from_)
        if knob.type != "mask":
            raise flaw(pool.origin, ("from",), f"knob {knob.name!r} is no mask but a {knob.type}")
        for number, minus in enumerate(pool.minus):
            self._bits(pool.origin, ("minus", number, "mask"), minus.mask, width)
            self._when(pool.origin, ("minus", "when"), minus.when)
        for number, draw in enumerate(pool.draw):
            at = ("draw", number)
            check_times(pool.origin, at, draw)
            self._when(pool.origin, (*at, "when"), draw.when)
            if isinstance(draw.width, int) and not 1 <= draw.width <= width:
                raise flaw(pool.origin, (*at, "width"), f"a draw of {draw.width} bits from a field of {width}")
            if draw.name not in self.rows:
                raise flaw(pool.origin, at, f"no reservation {draw.name!r} in {self.entry.name}{did_you_mean(draw.name, self.rows)}")
            if self.drawn[draw.name] is not pool:
                other = self.drawn[draw.name].name
                raise flaw(pool.origin, at, f"{draw.name!r} is drawn by pool {other!r} too")
        for a, b in combinations(pool.draw, 2):
            if a.name == b.name and not _apart(a, b):
                raise flaw(pool.origin, ("draw", pool.draw.index(b)), f"{a.name!r} is drawn twice, and since, until and when allow both")

    def _row(self, row: Reservation) -> None:
        field, mask = self.place(row)
        self._codes(row, field, mask)
        self._when(row.origin, ("when",), row.when)
        if row.value_from is not None:
            self._knob(row.origin, ("value_from",), row.value_from)
        for key in ("alternatives", "replaced_by"):
            value = getattr(row, key)
            for name in value if isinstance(value, tuple) else (value,) if value else ():
                self._own(row, (key,), name)
        if row.variant:
            target = self._own(row, ("variant", "of"), row.variant.of)
            if target is row or (len(self.rows[target.name]) == 1 and target.name == row.name):
                raise flaw(row.origin, ("variant", "of"), f"{row.name!r} cannot be its own discriminator")
            for code in row.variant.values:
                self._code(row, ("variant", "values"), code, full(self._width(row.origin, field)))
        for name in row.scope:
            if not is_scope(self.registry, name):
                raise flaw(row.origin, ("scope",), f"no scope {name!r}{did_you_mean(name, self.registry.scopes)}")
        self._status(row)
        self._source(row)

    def _status(self, row: Reservation) -> None:
        if row.status == "retired" and row.retired is None:
            raise flaw(row.origin, ("status",), "status 'retired' needs the date: retired = YYYY-MM-DD")
        for key in ("retired", "free_after"):
            if getattr(row, key) is not None and row.status != "retired":
                raise flaw(row.origin, (key,), f"{key} is for status 'retired', and this one is {row.status}", value=False)
        if row.retired and row.free_after and row.free_after < row.retired:
            raise flaw(row.origin, ("free_after",), f"free_after {row.free_after} is before retired {row.retired}")
        if row.replaced_by and row.replaced_by.removeprefix(f"{self.entry.name}/") == row.name:
            raise flaw(row.origin, ("replaced_by",), f"{row.name!r} cannot replace itself")

    def _source(self, row: Reservation) -> None:
        if not row.source or not all(text.strip() for text in row.source):
            raise flaw(row.origin, ("source",), "a reservation needs a source: where it can be looked up that these bits mean this")

    def place(self, row: Reservation, seen: tuple[str, ...] = ()) -> tuple[str, int | None]:
        """The field of a row, and its bits where the row or what it is within says them."""
        ways = [k for k in ("bits", "bits_from", "within") if getattr(row, k) is not None]
        if row.within is not None:
            if len(ways) > 1 or row.name in self.drawn:
                raise flaw(row.origin, (ways[0],), f"{row.name!r} takes the bits of {row.within!r}: it has no bits of its own")
            owner, parent = self._parent(row, seen)
            field, mask = owner.place(parent, (*seen, f"{self.entry.name}/{row.name}"))
            if row.field not in (None, field):
                raise flaw(row.origin, ("field",), f"{row.within!r} is in {field}: leave field out")
            return field, mask
        if row.name in self.drawn:
            pool = self.drawn[row.name]
            if ways:
                raise flaw(row.origin, (ways[0],), f"{row.name!r} is drawn by pool {pool.name!r}: it has no bits of its own")
            if row.field not in (None, pool.field):
                raise flaw(row.origin, ("field",), f"pool {pool.name!r} is in {pool.field}: leave field out")
            return pool.field, None
        if row.field is None:
            raise Flaw(row.origin.path, row.origin.keys, f"reservation {row.name!r} has no 'field'", value=False)
        if not ways:
            raise Flaw(row.origin.path, row.origin.keys, f"reservation {row.name!r} has no 'bits', 'bits_from' or 'within'", value=False)
        self._width(row.origin, row.field)
        return row.field, self._mask(row)

    def _mask(self, row: Reservation) -> int | None:
        width = self._width(row.origin, row.field or "")
        mask = self._bits(row.origin, ("bits",), row.bits, width) if row.bits is not None else None
        if row.bits_from is None:
            return mask
        knob = self._knob(row.origin, ("bits_from", "knob"), row.bits_from.knob)
        if knob.type in ("boolean", "choice", "string"):
            raise flaw(row.origin, ("bits_from", "knob"), f"knob {knob.name!r} is no number but a {knob.type}")
        if mask is not None and knob.default is not None:
            default = numbers.knob_value(knob, knob.default)
            assert isinstance(default, int)
            moved = 1 << default if (row.bits_from.as_ or ("bit" if knob.type == "bit" else "mask")) == "bit" else default
            if moved != mask:
                raise flaw(
                    row.origin, ("bits",), f"bits {row.bits} is not what knob {knob.name!r} gives at its default: {format_bits(moved)}"
                )
        return mask

    def _codes(self, row: Reservation, field: str, mask: int | None) -> None:
        inside = full(self._width(row.origin, field)) if mask is None else mask
        for code in row.values:
            self._code(row, ("values", code), code, inside)
            self._code_in_parent(row, code, inside)
        if row.value_range is None:
            return
        try:
            ranges = numbers.parse_ranges(row.value_range)
        except BitsError as error:
            raise flaw(row.origin, ("value_range",), str(error)) from None
        if ranges[-1][1] > full(inside.bit_count()):
            raise flaw(row.origin, ("value_range",), f"{ranges[-1][1]} does not fit into {inside.bit_count()} bits")
        if row.within is not None:
            _, parent = self._parent(row)
            if parent.value_range and not numbers.ranges_within(ranges, numbers.parse_ranges(parent.value_range)):
                raise flaw(row.origin, ("value_range",), f"{row.value_range} is not inside {row.within}, {parent.value_range}")

    def _code_in_parent(self, row: Reservation, code: str, inside: int) -> None:
        if row.within is None:
            return
        _, parent = self._parent(row)
        number = numbers.extract(parse_int(code), inside)
        if parent.value_range and not numbers.ranges_within(((number, number),), numbers.parse_ranges(parent.value_range)):
            raise flaw(
                row.origin, ("values", code), f"{code} is number {number}, not inside {row.within}, {parent.value_range}", value=False
            )

    def _code(self, row: Reservation, keys: tuple[str | int, ...], text: str, mask: int) -> None:
        try:
            code = parse_int(text)
        except BitsError as error:
            raise flaw(row.origin, keys, str(error), value=keys[-1] != text) from None
        if code & ~mask:
            raise flaw(row.origin, keys, f"{text} sets bits outside {format_bits(mask)}", value=keys[-1] != text)

    def _parent(self, row: Reservation, seen: tuple[str, ...] = ()) -> tuple[ComponentCheck, Reservation]:
        """The reservation that a row is within, and the checks of its component."""
        assert row.within is not None
        path = row.within if "/" in row.within else f"{self.entry.name}/{row.within}"
        found = self.registry.rows(path)
        if not found:
            known = [f"{c.name}/{r.name}" for c in self.registry.components.values() for r in c.reservation]
            raise flaw(row.origin, ("within",), f"no reservation {path!r}{did_you_mean(path, known)}")
        if path in seen or path == f"{self.entry.name}/{row.name}":
            raise flaw(row.origin, ("within",), f"{path!r} is within itself")
        return ComponentCheck(self.registry, self.registry.components[path.partition("/")[0]]), found[-1]

    def _own(self, row: Reservation, keys: tuple[str | int, ...], name: str) -> Reservation:
        own = name.removeprefix(f"{self.entry.name}/")
        if own not in self.rows:
            raise flaw(row.origin, keys, f"no reservation {own!r} in {self.entry.name}{did_you_mean(own, self.rows)}")
        return self.rows[own][0]

    def _width(self, origin: Origin, field: str) -> int:
        if field not in self.registry.fields:
            raise flaw(origin, ("field",), f"no field {field!r}{did_you_mean(field, self.registry.fields)}")
        return self.registry.fields[field].width

    def _bits(self, origin: Origin, keys: tuple[str | int, ...], text: str, width: int) -> int:
        try:
            mask = parse_bits(text, width)
        except BitsError as error:
            raise flaw(origin, keys, str(error)) from None
        if not mask or not text.strip():
            raise flaw(origin, keys, f"{text!r} is no bit at all")
        return mask

    def _knob(self, origin: Origin, keys: tuple[str | int, ...], name: str) -> Knob:
        if name not in self.knobs:
            message = f"no knob {name!r} in {self.entry.name}{did_you_mean(name, self.knobs)}"
            raise flaw(origin, keys, message, value=keys[-1] != name)
        return self.knobs[name]

    def _when(self, origin: Origin, keys: tuple[str | int, ...], when: When) -> None:
        for name, values in when.items():
            knob = self._knob(origin, (*keys, name), name)
            for value in values:
                try:
                    numbers.knob_value(knob, value)
                except BitsError as error:
                    raise flaw(origin, (*keys, name), str(error)) from None
