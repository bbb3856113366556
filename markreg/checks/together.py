"""MK305 among what a repository deploys together: components whose reservations meet at the settings found."""

from __future__ import annotations

from collections.abc import Iterator

from markreg.checks import Context
from markreg.deployed import resolver
from markreg.deployed.uses import decided_at
from markreg.model import HOST, Finding, Location
from markreg.registry.effective import Effective
from markreg.registry.overlaps import Overlap, findings, overlap


def check(context: Context, earlier: tuple[Finding, ...]) -> Iterator[Finding]:
    """One finding for each pair of components and field. A node's own rules say more than its manifests: there nothing is said."""
    del earlier
    if not context.node.repository:
        return
    registry = context.registry
    known = resolver(registry, context.node.deployed)
    named = {d.name: d for d in context.node.deployed}
    rows = [(d, row) for d in context.node.deployed if d.netns == HOST for row in known.in_force(d.name)]

    def pairs() -> Iterator[Overlap]:
        for number, (first, a) in enumerate(rows):
            for second, b in rows[number + 1 :]:
                if first is not second and (found := overlap(registry, a, b, known)):
                    yield found

    def place(row: Effective) -> Location:
        at = decided_at(registry, named[row.component], row)
        source = context.sources.get(at.path)
        text = source.line(at.line) if source else at.text
        return Location(
            "writer" if row.reservation.changes else "reader", row.path, "manifest", at.path, at.line, at.column, at.end_column, text
        )

    yield from findings(registry, pairs(), place)
