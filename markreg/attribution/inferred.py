"""Settings that show in what a component does: a moved masquerade bit, another mask.

They decide before defaults. Only where everything agrees: one bit or one mask in all statements about a reservation that follows a
knob; for a pool, three bits or more and none where the default would put them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import or_

from markreg.attribution.explain import Attributed
from markreg.bits import BitsError, format_mask, full, parse_int
from markreg.registry.effective import Effective, Resolver, Settings
from markreg.registry.model import BitsFrom, Knob, Pool, Registry
from markreg.registry.words import Scalar

_ENOUGH = 3


def inferred(registry: Registry, uses: Iterable[Attributed], given: Mapping[str, Settings]) -> dict[str, dict[str, Scalar]]:
    """Settings by component that differ from the defaults; none for a knob that is ``given``."""
    by_owner: dict[str, list[Attributed]] = defaultdict(list)
    for item in uses:
        if item[0].basis == "observed" and item[2] and item[2].confidence != "low":
            by_owner[item[1]].append(item)
    resolver = Resolver(registry)
    found: dict[str, dict[str, Scalar]] = {}
    for component, mine in by_owner.items():
        entry = registry.components.get(component)
        if entry is None:
            continue
        rows = resolver.in_force(component)
        shown = _of_rows(registry, rows, mine)
        for pool in entry.pool:
            shown.update(_of_pool(rows, pool, registry.knob(component, pool.from_), registry.fields[pool.field].width, mine))
        new = {k: v for k, v in shown.items() if k not in given.get(component, {})}
        if new:
            found[component] = new
    return found


def said(settings: Mapping[str, Scalar]) -> list[str]:
    """The settings as evidence: ``masquerade-bit = 20, seen in its rules``."""
    return [f"{knob} = {value}, seen in its rules" for knob, value in settings.items()]


def _of_rows(registry: Registry, rows: Sequence[Effective], uses: Sequence[Attributed]) -> dict[str, Scalar]:
    """Knobs that one reservation follows, by the masks of the statements that a signature gives to that reservation."""
    found: dict[str, Scalar] = {}
    for row in rows:
        follows = row.reservation.bits_from
        knob = registry.knob(row.component, follows.knob) if follows else None
        if not knob or not follows:
            continue
        named = [use for use, _, signature in uses if signature and signature.reservation == row.reservation.name]
        masks = {use.mask for use in named if use.field == row.field and 0 < use.mask < full(registry.fields[row.field].width)}
        if len(masks) == 1 and (value := _value(knob, follows, masks.pop())) is not None:
            found[knob.name] = value
    return found


def _value(knob: Knob, follows: BitsFrom, mask: int) -> Scalar | None:
    """What the knob must be; None if it is what it is by default, or cannot be."""
    if (follows.as_ or knob.type) == "bit":
        bit = mask.bit_length() - 1
        return bit if mask.bit_count() == 1 and bit != knob.default else None
    return None if mask == _number(knob.default) else format_mask(mask)


def _of_pool(
    rows: Sequence[Effective], pool: Pool, knob: Knob | None, width: int, uses: Sequence[Attributed]
) -> Iterable[tuple[str, Scalar]]:
    """A pool's mask, where enough of it is seen and nothing where the default would put it: its lowest bit, and all above it."""
    drawn = {draw.name for draw in pool.draw if draw.width != "rest"}
    mine = reduce(or_, (row.mask for row in rows if row.reservation.name in drawn), 0)
    others = reduce(or_, (row.mask for row in rows if row.field == pool.field and row.reservation.bits and row.mask != full(width)), 0)
    seen = reduce(or_, (use.mask for use, _, _ in uses if use.field == pool.field and 0 < use.mask < full(width)), 0) & ~others
    if knob and seen.bit_count() >= _ENOUGH and not seen & mine:
        yield knob.name, format_mask(full(width) & ~((seen & -seen) - 1))


def _number(value: Scalar | None) -> int | None:
    try:
        return value if isinstance(value, int) else parse_int(str(value)) if value is not None else None
    except BitsError:
        return None
