"""MK305 among what a repository deploys together: components whose reservations meet at the settings found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from markreg.checks import Context
from markreg.deployed import resolver
from markreg.deployed.uses import decided_at
from markreg.model import CT_LABEL, CT_MARK, HOST, SKB_MARK, Finding, Location
from markreg.registry.effective import Effective
from markreg.registry.overlaps import Overlap, findings, overlap

_FIELDS = {f.name for f in (SKB_MARK, CT_MARK, CT_LABEL)}


def check(context: Context, earlier: tuple[Finding, ...]) -> Iterator[Finding]:
    """One finding for each pair of components and field. A node's own rules say more than its manifests: there nothing is said.

    That one of two writes or compares the whole field is a note here: which packets it does that to, a manifest does not tell.
    """
    del earlier
    if not context.node.repository:
        return
    registry = context.registry
    known = resolver(registry, context.node.deployed)
    named = {d.name: d for d in context.node.deployed}
    rows = [(d, r) for d in context.node.deployed if d.netns == HOST for r in known.in_force(d.name) if r.field in _FIELDS]

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
                (plain if found.severity == "error" or found.conflict else weak).append(found)
    told = {(o.a.component, o.b.component, o.a.field) for o in plain}
    yield from findings(registry, plain, place)
    for finding in findings(registry, [o for o in weak if (o.a.component, o.b.component, o.a.field) not in told], place):
        yield replace(finding, severity="note")
