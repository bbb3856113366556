"""Places in the sources, as findings show them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from markreg.checks import Context
from markreg.model import Location, Owned

_MOST = 3


def location(context: Context, role: str, owned: Owned, line: int | None = None) -> Location:
    """One line of a use, by default its first."""
    use = owned.use
    number = use.lines[0] if line is None and use.lines else line or 0
    source = context.sources.get(use.path) if number else None  # of a binary file only the clause can be shown
    text = source.line(number) if source else use.clause
    column, end = source.locate(number, use.clause) if source else (1, len(text) + 1)
    return Location(role, owned.owner, use.place.text, use.path, number, column, end, text, owned.id)


def locations(context: Context, role: str, uses: Iterable[Owned]) -> tuple[Location, ...]:
    """At most three lines for a role, from different statements where there are several."""
    chosen = list(_once(uses))[:_MOST]
    return tuple(location(context, role, owned) for owned in chosen)


def _once(uses: Iterable[Owned]) -> Iterator[Owned]:
    """Uses without those that show the same: a manifest's line for several reservations, a flow's clause in several zones."""
    seen: set[tuple[object, ...]] = set()
    for owned in uses:
        use = owned.use
        key = (owned.owner, use.path, use.lines, "" if use.basis == "manifest" else use.clause)
        if key not in seen:
            yield owned
        seen.add(key)


def location_at(context: Context, role: str, path: str, line: int) -> Location:
    """A line of an input that no use stands for."""
    source = context.sources.get(path)
    text = source.line(line) if source and line else ""
    return Location(role, "", "", path, line, 1, len(text) + 1, text)
