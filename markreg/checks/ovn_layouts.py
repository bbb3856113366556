"""MK403: a component writes a meaning both where it was and where it is now."""

from __future__ import annotations

from collections.abc import Iterator

from markreg.attribution.scoped import within
from markreg.bits import full, parse_bits
from markreg.checks import Context
from markreg.checks.located import locations
from markreg.checks.severity import limited
from markreg.checks.words import bits_of, listed
from markreg.model import FIELDS, Finding, Owned, Severity
from markreg.paths.uses import sets
from markreg.registry.model import Reservation


def check(context: Context, earlier: tuple[Finding, ...]) -> Iterator[Finding]:
    """One finding for each meaning of a present component that moved (``replaced_by``) and is written in both places."""
    del earlier
    for component in context.node.components:
        entry = context.registry.components.get(component.name)
        for old in entry.reservation if entry else ():
            for new in context.registry.rows(f"{component.name}/{old.replaced_by}") if old.replaced_by else ():
                yield from _mixed(context, component.name, old, new)


def _mixed(context: Context, component: str, old: Reservation, new: Reservation) -> Iterator[Finding]:
    before, after = (list(_writers(context, component, row)) for row in (old, new))
    if not (before and after) or old.field is None:
        return
    mask = _mask(old)
    strangers = [o for o in context.node.uses if o.owner != component and o.use.field == old.field and _hits(context, old, o)]
    names = sorted({o.owner for o in strangers})
    owners = (f"{component}/{old.name}", f"{component}/{new.name}", *names)
    severity: Severity = limited("warning", *strangers) if strangers else "note"
    message = (
        f"{component} writes {new.name} in {bits_of(new.field or '', _mask(new))} and, as in former releases, in {bits_of(old.field, mask)}"
    )
    if names:
        message += f", which {listed(names)} write{'s' if len(names) == 1 else ''} too"
    places = (*locations(context, "writer", before), *locations(context, "writer", after), *locations(context, "writer", strangers))
    count = sum(max(len(o.use.lines), 1) for o in before)
    help_ = "finish the upgrade, and hand the former bits to nobody before the last node has moved"
    yield Finding("MK403", severity, message, old.field, mask, owners, places, help_, count)


def _mask(row: Reservation) -> int:
    return parse_bits(row.bits, FIELDS[row.field].width) if row.bits and row.field in FIELDS else 0


def _writers(context: Context, component: str, row: Reservation) -> Iterator[Owned]:
    """The component's writes of the sub-field, in its zone; of a whole word nobody knows which meaning it has."""
    mask = _mask(row)
    for owned in context.node.uses:
        use = owned.use
        if owned.owner != component or use.field != row.field or use.effect is None or use.basis != "observed" or not mask:
            continue
        if not mask & ~use.mask and use.mask != full(FIELDS[use.field].width) and within(context.registry, row.scope, use):
            yield owned


def _hits(context: Context, row: Reservation, owned: Owned) -> bool:
    use = owned.use
    placed = bool(use.scope.zone) or not row.scope
    return use.effect is not None and placed and bool(sets(use) & _mask(row)) and within(context.registry, row.scope, use)
