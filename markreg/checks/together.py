"""MK305 among what a repository deploys together: components whose reservations meet at the settings found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from markreg.bits import full
from markreg.checks import Context
from markreg.deployed import resolver
from markreg.model import CT_LABEL, CT_MARK, FIELDS, HOST, SKB_MARK, Finding, Location

if TYPE_CHECKING:
    from markreg.registry.effective import Effective
    from markreg.registry.overlaps import Overlap

_FIELDS = {f.name for f in (SKB_MARK, CT_MARK, CT_LABEL)}


def check(context: Context, earlier: tuple[Finding, ...]) -> Iterator[Finding]:
    """One finding for each pair of components and field. Rules that were seen say more than manifests: of their owners nothing is said.

    That one of two writes or compares the whole field, or that some number of a range would set a bit, is a note here: which packets and
    which numbers there will be, a manifest does not tell.
    """
    del earlier
    told_by_manifests = {o.owner for o in context.node.uses if o.use.basis == "manifest"}
    if len(told_by_manifests) < 2:
        return
    from markreg.deployed.uses import decided_at
    from markreg.registry.overlaps import findings, overlap

    registry = context.registry
    known = resolver(registry, context.node.deployed)
    named = {d.name: d for d in context.node.deployed}
    here = [d for d in context.node.deployed if d.netns == HOST and d.name in told_by_manifests]
    rows = [(d, r) for d in here for r in known.in_force(d.name) if r.field in _FIELDS]

    def place(row: Effective) -> Location:
        at = decided_at(registry, named[row.component], row)
        source = context.sources.get(at.path)
        text = source.line(at.line) if source else at.text
        role = "writer" if row.reservation.changes else "reader"
        return Location(role, row.component, at.place, at.path, at.line, at.column, at.end_column, text)

    plain: list[Overlap] = []
    weak: list[Overlap] = []
    for number, (first, a) in enumerate(rows):
        for second, b in rows[number + 1 :]:
            if first is not second and (found := overlap(registry, a, b, known)):
                certain = found.severity == "error" and not (_any_number(a) or _any_number(b))
                (plain if certain or found.conflict else weak).append(found)
    told = {(o.a.component, o.b.component, o.a.field) for o in plain}
    yield from findings(registry, plain, place)
    for finding in findings(registry, [o for o in weak if (o.a.component, o.b.component, o.a.field) not in told], place):
        yield replace(finding, severity="note")


def _any_number(row: Effective) -> bool:
    """Whether a row takes the whole field for a number out of a range, and not for codes that are known."""
    return row.mask == full(FIELDS[row.field].width) and not row.codes
