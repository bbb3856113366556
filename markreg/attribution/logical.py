"""Which release of OVN logical flows are of: by the names of their stages, and by what the commit of a switch writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markreg.attribution.ovn_shapes import STATEFUL, Layout, layouts, named, shapes
from markreg.model import Reading
from markreg.registry.effective import Effective
from markreg.registry.releases import Interval, parse

_COMMITTED = ("ct_mark", "ct_label")
# Written for some connections only.
_SOMETIMES = frozenset({"label", "obs_point_id", "tun_if_id", "acl_id"})


def release_of(readings: Sequence[Reading], rows: Mapping[str, Sequence[Effective]]) -> tuple[str, str] | None:
    """The last release that fits, and what says so; None where the stages tell little. ``rows``: OVN's reservations by name."""
    known = {stage for layout in layouts() for stage in layout.stages}
    seen: set[str] = set()
    written = dict.fromkeys(_COMMITTED, 0)
    for reading in readings:
        for use in reading.uses:
            if use.place.kind == "lflow" and use.place.table in known:
                seen.add(use.place.table)
                if use.place.table in STATEFUL and use.effect is not None and use.field in written:
                    written[use.field] |= use.mask
    fits = [x for x in layouts() if seen <= x.stages.keys() and not (any(written.values()) and _missing(x, rows, written))]
    if not fits or 3 * len(fits) > 2 * len(layouts()):
        return None
    return fits[-1].last, f"logical stages as in OVN {named(fits)}"


def _missing(layout: Layout, rows: Mapping[str, Sequence[Effective]], written: Mapping[str, int]) -> bool:
    """Whether every switch of a layout would commit something that is not written here."""
    release = parse(layout.last)
    commit = next(shape for shape in shapes() if shape.stages >= set(STATEFUL))
    for row in (row for name in commit.writes - _SOMETIMES for row in rows.get(name, ())):
        given_up = row.reservation.replaced_by is not None
        if not given_up and release in Interval(row.reservation.since, row.reservation.until) and row.mask & ~written[row.field]:
            return True
    return False
