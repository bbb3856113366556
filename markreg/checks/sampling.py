"""MK401: an identifier of OVN's sampling that means two things, is outside its owner's range, or leads nowhere.

One database enforces some of it (points and collector ids are unique in it, ovn-nb.ovsschema); what it does not is looked for here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import TYPE_CHECKING

from markreg.bits import BitsError, format_mask, full
from markreg.checks import Context
from markreg.checks.located import location_at
from markreg.model import Finding, Location
from markreg.registry.numbers import Ranges, parse_ranges

if TYPE_CHECKING:
    from markreg.formats._sampling import Emitted
    from markreg.northbound import Database
    from markreg.rows import Row

COLLECTOR, APPLICATION, POINT, LABEL = "ovn/obs_collector_id", "ovn/sampling_app_id", "ovn/obs_point_id", "ovn/label"
_PLACES = {
    COLLECTOR: ("ct_mark", full(8) << 16),
    POINT: ("ct_label", full(32) << 96),
    LABEL: ("ct_label", full(32) << 96),
    APPLICATION: ("ovn.obs_domain_id", full(8) << 24),
}
# What rows call the same id.
COLUMNS = (
    ("Sample_Collector", "id", COLLECTOR),
    ("Sampling_App", "id", APPLICATION),
    ("Sample", "metadata", POINT),
    ("ACL", "label", LABEL),
)
_WORD = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_FLOWS = ("openflow", "lflow")


def check(context: Context, earlier: tuple[Finding, ...]) -> Iterator[Finding]:
    """All of it, from rows of northbound databases and Open vSwitch, and from flows that sample."""
    del earlier
    if not context.node.rows and not any(i.format in _FLOWS for i in context.node.inputs):
        return
    from markreg.formats._sampling import emitted
    from markreg.northbound import databases

    known = databases(context.node.rows)
    for database in known:
        yield from _applications(context, database)
        yield from _labels(context, database)
    for first, second in combinations(known, 2):
        yield from _shared(context, first, second)
    yield from _outside(context)
    flows = [e for i in context.node.inputs if i.format in _FLOWS and i.path in context.sources for e in emitted(context.sources[i.path])]
    yield from _two_uses(context, flows, known)
    yield from _nowhere(context, flows)


def _finding(kind: str, message: str, places: Iterable[Location], owners: tuple[str, ...], advice: str) -> Finding:
    field, mask = _PLACES[kind]
    return Finding("MK401", "error", message, field, mask, owners, tuple(places), advice)


def _at(context: Context, row: Row) -> Location:
    return location_at(context, "writer", row.path, row.line)


def _called(row: Row) -> str:
    """An ACL, a collector or an application as people know it."""
    name = row.text("name")
    what = {"ACL": "ACL", "Sample_Collector": "collector", "Sampling_App": "application", "Sample": "sample"}.get(row.table, row.table)
    number = row.text("priority") if row.table == "ACL" else ""
    return f"{what} {name or row.uuid[:8]}{f' (priority {number})' if number else ''}".rstrip()


def _applications(context: Context, database: Database) -> Iterator[Finding]:
    for number, uses in database.applications().items():
        types = dict(uses)
        if len(types) > 1:
            names = " and ".join(sorted(types))
            message = f"application id {number} is used twice: by {names}; an exported sample does not say which of them made it"
            places = [_at(context, row) for row in types.values()]
            yield _finding(APPLICATION, message, places, (APPLICATION,), f"give each Sampling_App an id of its own{_free(database)}")


def _free(database: Database) -> str:
    taken = set(database.applications())
    number = next((n for n in range(1, 256) if n not in taken), None)
    return f", for instance {number}" if number else ""


def _labels(context: Context, database: Database) -> Iterator[Finding]:
    points = database.points()
    for label, acls in database.labels().items():
        if len(acls) > 1:
            shown = ", ".join(map(_called, acls[:3]))
            message = f"label {label} stands for {len(acls)} ACLs ({shown}): a connection does not say which allowed it"
            yield _finding(LABEL, message, [_at(context, a) for a in acls[:3]], (LABEL,), "give each ACL a label of its own")
        sample = points.get(label)
        if sample is None:
            continue
        others = [a for a in acls if sample.uuid not in (a.text("sample_new"), a.text("sample_est"))]
        if others:
            whose = ", ".join(map(_called, database.sampling(sample)[:2])) or "no ACL here"
            message = f"label {label} of {_called(others[0])} is also an observation point (of {whose}): both are {_shown(label)}"
            places = [_at(context, others[0]), _at(context, sample)]
            yield _finding(LABEL, message, places, (LABEL, POINT), "give the ACL a label that is no Sample.metadata")


def _shown(number: int) -> str:
    return f"ct_label {format_mask(number << 96)}"


def _sets(database: Database, sample: Row) -> set[str]:
    return {c.text("set_id") for c in database.collectors(sample)}


def _shared(context: Context, first: Database, second: Database) -> Iterator[Finding]:
    """Points that two databases both number, sent by one application id into one set of collectors."""
    apps = first.applications().keys(), second.applications().keys()
    if any(apps) and not apps[0] & apps[1]:
        return
    ours, theirs = first.points(), second.points()
    equal = [n for n in ours if n in theirs and _sets(first, ours[n]) & _sets(second, theirs[n])]
    if equal:
        shown = ", ".join(map(str, equal[:3])) + (", …" if len(equal) > 3 else "")
        count = f"{len(equal)} observation points" if len(equal) > 1 else "observation point"
        message = f"{count} {shown} of two northbound databases go to one set of collectors: a sample does not say of which it is"
        places = [_at(context, rows[equal[0]]) for rows in (ours, theirs)]
        advice = "reserve each database its own range of Sample.metadata, or use other application ids or sets of collectors"
        yield _finding(POINT, message, places, (POINT,), advice)


def _children(context: Context, parent: str) -> dict[str, tuple[str, Ranges]]:
    """Who reserved which numbers of a parent: by the words an id's row may say (the component, the reservation), path and ranges."""
    found: dict[str, tuple[str, Ranges]] = {}
    for component in context.registry.components.values():
        mine = [r for r in component.reservation if r.within == parent and r.value_range]
        for r in mine:
            try:
                ranges = parse_ranges(r.value_range or "")
            except BitsError:
                continue
            path = f"{component.name}/{r.name}"
            for word in (component.name, r.name, path):
                known = found.get(word)
                found[word] = (path, ranges) if known is None else (component.name, (*known[1], *ranges))
    return found


def _outside(context: Context) -> Iterator[Finding]:
    """Ids that a row gives to an owner who reserved others; who else has them is of interest where that one is here or planned."""
    here = {c.name for c in context.node.components}
    if context.registry.kind == "plan":
        here.update(context.registry.declared)
    for table, column, parent in COLUMNS:
        reserved = _children(context, parent)
        rows = [r for r in context.node.rows if r.table == table] if reserved else []
        for row in rows:
            number, owner = row.number(column), _owner(row, reserved)
            if not number or owner is None:
                continue
            path, ranges = reserved[owner]
            if any(low <= number <= high for low, high in ranges):
                continue
            holders = (p for p, r in reserved.values() if p != path and any(low <= number <= high for low, high in r))
            holder = next((p for p in holders if p.partition("/")[0] in here), "")
            of = f", and {holder} has it" if holder else ""
            shown = ", ".join(f"{low}-{high}" if high != low else str(low) for low, high in ranges)
            message = f"{_called(row)} has {column} {number}, which is outside what {path} reserved ({shown}){of}"
            owners = (path, holder) if holder else (path,)
            yield _finding(
                parent, message, [_at(context, row)], owners, f"number it inside {shown}, or reserve the number: markreg reserve"
            )


def _owner(row: Row, reserved: Iterable[str]) -> str | None:
    """Whose a row is, by its name and external ids."""
    said = " ".join((row.text("name"), *row.pairs("external_ids").values())).lower()
    words = set(_WORD.findall(said)) | set(said.split())
    return next((name for name in reserved if name in words), None)


def _two_uses(context: Context, flows: list[Emitted], known: tuple[Database, ...]) -> Iterator[Finding]:
    """An application id that flows use both for drops and for ACLs, where no database has told already."""
    told = {number for database in known for number, uses in database.applications().items() if len(dict(uses)) > 1}
    by_app: dict[int, dict[bool, Emitted]] = {}
    for one in flows:
        if one.app:
            by_app.setdefault(one.app, {}).setdefault(one.drop, one)
    for app, kinds in by_app.items():
        if len(kinds) > 1 and app not in told:
            message = f"application id {app} is used twice: flows sample drops by it (the point is the flow's cookie) and ACLs"
            places = [location_at(context, "writer", e.path, e.line) for e in kinds.values()]
            yield _finding(APPLICATION, message, places, (APPLICATION,), "give drops and ACLs application ids of their own")


def _nowhere(context: Context, flows: list[Emitted]) -> Iterator[Finding]:
    """Sets of collectors that samples name and Open vSwitch does not have, or has without collectors."""
    sets = {
        number: row for row in context.node.rows if row.table == "Flow_Sample_Collector_Set" and (number := row.number("id")) is not None
    }
    if not sets:
        return
    exporters = {row.uuid: row for row in context.node.rows if row.table == "IPFIX" and row.uuid}
    named: dict[int, Location] = {}
    for one in flows:
        if one.set_id is not None:
            named.setdefault(one.set_id, location_at(context, "writer", one.path, one.line))
    for row in context.node.rows:
        if row.table == "Sample_Collector" and (number := row.number("set_id")) is not None:
            named.setdefault(number, _at(context, row))
    for number, place in sorted(named.items()):
        found = sets.get(number)
        if found is None:
            message = f"samples go to set {number}, which Open vSwitch here does not have (Flow_Sample_Collector_Set)"
            yield _finding(COLLECTOR, message, [place], (COLLECTOR,), f"ovs-vsctl -- create Flow_Sample_Collector_Set id={number} …")
        elif not _leads_on(found, exporters):
            message = f"samples go to set {number}, which has no collectors: they are lost"
            advice = "give the set an ipfix with targets, or a local_group"
            yield _finding(COLLECTOR, message, [place, _at(context, found)], (COLLECTOR,), advice)


def _leads_on(row: Row, exporters: dict[str, Row]) -> bool:
    """Whether anything comes out of a set: a psample group, or an exporter that has targets, as far as the columns were captured."""
    if row.values("local_group") or "ipfix" not in row.columns:
        return True
    exporter = exporters.get(row.text("ipfix"))
    return bool(row.text("ipfix")) and (exporter is None or "targets" not in exporter.columns or bool(exporter.values("targets")))
