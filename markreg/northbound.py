"""OVN's northbound databases as their rows tell them: which there are, their ACLs, samples, collectors and applications."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from markreg.rows import Row

_TABLES = frozenset(
    {"ACL", "Sample", "Sample_Collector", "Sampling_App", "NB_Global", "Logical_Switch", "Port_Group", "Logical_Router_Policy"}
)
_REFERENCES = ("sample_new", "sample_est", "collectors", "acls")


@dataclass(slots=True)
class Database:
    """One northbound database: its rows by table, each once, by UUID."""

    tables: dict[str, dict[str, Row]] = field(default_factory=dict)

    def rows(self, table: str) -> tuple[Row, ...]:
        """The rows of a table."""
        return tuple(self.tables.get(table, {}).values())

    def applications(self) -> Mapping[int, tuple[tuple[str, Row], ...]]:
        """What each application id is for (``drop``, ``acl-new``, ``acl-est``), with the rows that say so."""
        found: dict[int, list[tuple[str, Row]]] = {}
        for row in self.rows("Sampling_App"):
            if (number := row.number("id")) is not None:
                found.setdefault(number, []).append((row.text("type"), row))
        for row in self.rows("NB_Global"):
            # The setting of releases without Sampling_App, which the row for drops replaces (northd.c ovn_init_sample_apps).
            said = row.pairs("options").get("debug_drop_domain_id", "")
            if (
                said.isascii()
                and said.isdigit()
                and len(said) < 10
                and not any(r.text("type") == "drop" for r in self.rows("Sampling_App"))
            ):
                found.setdefault(int(said), []).append(("drop", row))
        return {number: tuple(rows) for number, rows in found.items()}

    def points(self) -> Mapping[int, Row]:
        """Samples by their observation point."""
        return {number: row for row in self.rows("Sample") if (number := row.number("metadata")) is not None}

    def labels(self) -> Mapping[int, tuple[Row, ...]]:
        """ACLs by label: only of allowed connections, which are all that can carry one."""
        found: dict[int, list[Row]] = {}
        for row in self.rows("ACL"):
            if (label := row.number("label")) and row.text("action") in ("allow", "allow-related"):
                found.setdefault(label, []).append(row)
        return {label: tuple(rows) for label, rows in found.items()}

    def sampling(self, sample: Row) -> tuple[Row, ...]:
        """The ACLs that name a sample."""
        return tuple(a for a in self.rows("ACL") if sample.uuid and sample.uuid in (a.text("sample_new"), a.text("sample_est")))

    def collectors(self, sample: Row) -> tuple[Row, ...]:
        """The collectors of a sample."""
        known = self.tables.get("Sample_Collector", {})
        return tuple(known[uuid] for uuid in sample.values("collectors") if uuid in known)


def databases(rows: Iterable[Row]) -> tuple[Database, ...]:
    """The northbound databases that rows are of. Files with a common row, or of which one names a row of the other, are one; two
    files with rows of one table and nothing in common are two; a table captured on its own belongs to the first that lacks it.
    """
    by_file: dict[str, dict[str, dict[str, Row]]] = {}
    for number, row in enumerate(r for r in rows if r.table in _TABLES):
        by_file.setdefault(row.path, {}).setdefault(row.table, {})[row.uuid or f"#{number}"] = row
    groups: list[tuple[Database, set[str]]] = []
    for tables in by_file.values():
        names = set(_names(tables))
        merged, known = Database(tables), names
        rest = []
        for database, theirs in groups:
            if theirs & known:
                merged, known = _merged(database, merged), theirs | known
            else:
                rest.append((database, theirs))
        groups = [*rest, (merged, known)]
    result: list[Database] = []
    for database, _ in sorted(groups, key=lambda g: -len(g[0].tables)):
        free = next((r for r in result if not r.tables.keys() & database.tables.keys()), None)
        if free:
            result[result.index(free)] = _merged(free, database)
        else:
            result.append(database)
    return tuple(result)


def _names(tables: Mapping[str, Mapping[str, Row]]) -> Iterable[str]:
    """The UUIDs of rows and those that they name."""
    for rows in tables.values():
        for row in rows.values():
            if row.uuid:
                yield row.uuid
            for column in _REFERENCES:
                yield from row.values(column)


def _merged(a: Database, b: Database) -> Database:
    return Database({t: {**a.tables.get(t, {}), **b.tables.get(t, {})} for t in dict.fromkeys((*a.tables, *b.tables))})
