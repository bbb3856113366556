"""What is captured several times counts once: iptables-save before nft's text, that before nft's JSON; OpenFlow before what is made of it
(megaflows) and what it is made of (OVN's logical flows, northbound rows).

iptables-nft keeps its rules in tables of nft. ``nft list ruleset`` shows them, too, but by translations that lose masks and by
extensions without content, so what iptables-nft-save says of the same table holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from markreg.model import Reading, Use

_Key = tuple[str, str, str]


def once(readings: Sequence[Reading]) -> list[Reading]:
    """The readings of one node without what another of them says better."""
    readings = _of_highest_version(readings)
    saved = set(_tables((r for r in readings if r.format == "iptables-save"), "nft"))
    listed = set(_tables(r for r in readings if r.format == "nft"))
    kept = [_without(r, saved) if r.format == "nft" else _without(r, saved | listed) if r.format == "nft-json" else r for r in readings]
    return _once_of_switches(kept)


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


# The kinds of the places of megaflows and logical flows.
_MEGAFLOW, _LOGICAL = "datapath", "lflow"
# ovn-controller's registers of zones; its bridge is known by them.
_OVN_BRIDGE, _OVN_ZONES = "br-int", frozenset({"reg11", "reg12", "reg13"})
# The notations that may repeat what flows say.
_REPEATING = ("odp", "lflow", "ovsdb")


def _once_of_switches(readings: list[Reading]) -> list[Reading]:
    """OpenFlow says who writes and who looks; its megaflows repeat it, their matches joined over all tables that a packet passed.

    A megaflow's write that no flow of the namespace can have made stays: it is of a bridge that was not captured. Logical flows stay
    where OVN's own bridge was not.
    """
    if not any(r.format in _REPEATING for r in readings):
        return readings
    from markreg.formats._ovsdb_settings import NORTHBOUND

    flows = [r for r in readings if r.format == "openflow"]
    written: dict[tuple[str, str], int] = {}
    ovn: set[str] = set()
    for reading in flows:
        for use in reading.uses:
            if use.access != "read":
                key = (use.scope.netns, use.field)
                written[key] = written.get(key, 0) | use.mask
            if use.place.bridge == _OVN_BRIDGE or use.scope.zone in _OVN_ZONES:
                ovn.add(use.scope.netns)
    switches = {r.scope.netns for r in flows}
    lists = {r.scope.netns for r in readings if r.format == "lflow"}
    tables = {u.scope.netns for r in readings for u in r.uses if u.place.kind == _LOGICAL and not u.place.text.startswith(NORTHBOUND)}

    def repeats(use: Use, form: str) -> bool:
        netns = use.scope.netns
        if use.place.kind == _MEGAFLOW:
            return netns in switches and (use.access == "read" or not use.mask & ~written.get((netns, use.field), 0))
        if use.place.kind != _LOGICAL:
            return False
        if use.place.text.startswith(NORTHBOUND):
            return netns in ovn or netns in tables
        return netns in ovn or (form != "lflow" and netns in lists)

    return [replace(r, uses=tuple(u for u in r.uses if not repeats(u, r.format))) if r.format in _REPEATING else r for r in readings]


def _of_highest_version(readings: Sequence[Reading]) -> list[Reading]:
    """Of a bridge's flows, and of its groups, the dump that tells most: OpenFlow 1.0 prints ``write_actions`` as ``drop``."""
    keys = [{(p.netns, p.bridge, p.kind): _rank(p.version) for p in r.pipelines if p.bridge} for r in readings]
    best: dict[_Key, int] = {}
    for ranks in keys:
        for key, rank in ranks.items():
            best[key] = max(best.get(key, 0), rank)
    seen: set[_Key] = set()
    kept = []
    for reading, ranks in zip(readings, keys, strict=True):
        worse = any(rank < best[key] or key in seen for key, rank in ranks.items())
        seen |= set() if worse else ranks.keys()
        kept.append(replace(reading, uses=(), opaque=(), pipelines=(), unread=(), mark_statements=0) if worse else reading)
    return kept


def _rank(version: int) -> int:
    """How much a dump of a version tells; bridge/dump-flows says none and prints all actions."""
    return {10: 1, 0: 2}.get(version, version)
