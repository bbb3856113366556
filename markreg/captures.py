"""One table captured several times counts once: iptables-save before nft's text, that before nft's JSON.

iptables-nft keeps its rules in tables of nft. ``nft list ruleset`` shows them, too, but by translations that lose masks and by
extensions without content, so what iptables-nft-save says of the same table holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from markreg.model import Reading

_Key = tuple[str, str, str]


def once(readings: Sequence[Reading]) -> list[Reading]:
    """The readings of one node without what another of them says better."""
    saved = set(_tables((r for r in readings if r.format == "iptables-save"), "nft"))
    listed = set(_tables(r for r in readings if r.format == "nft"))
    return [_without(r, saved) if r.format == "nft" else _without(r, saved | listed) if r.format == "nft-json" else r for r in readings]


def _tables(readings: Iterable[Reading], backend: str = "") -> Iterable[_Key]:
    """Namespace, family and name of every table; a dump that does not tell its family may be of either."""
    for reading in readings:
        for table in reading.tables:
            if backend in ("", table.backend):
                yield table.netns, table.family, table.name
                if backend and table.family == "inet":
                    yield from ((table.netns, family, table.name) for family in ("ip", "ip6"))


def _without(reading: Reading, known: set[_Key]) -> Reading:
    """A reading of nft without the tables that are known."""
    netns = reading.scope.netns
    gone = {key for key in _tables([reading]) if key in known}
    if not gone:
        return reading
    names = {f"{family} {name}" for _, family, name in gone}
    uses = tuple(u for u in reading.uses if (netns, u.place.family, u.place.table) not in gone)
    opaque = tuple(o for o in reading.opaque if o.table not in names)
    dropped = {n for u in reading.uses for n in u.lines} | {n for o in reading.opaque for n in o.lines}
    dropped -= {n for u in uses for n in u.lines} | {n for o in opaque for n in o.lines}
    return replace(
        reading,
        uses=uses,
        tables=tuple(t for t in reading.tables if (netns, t.family, t.name) not in gone),
        opaque=opaque,
        mark_statements=max(0, reading.mark_statements - len(dropped)),
    )
