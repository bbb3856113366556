"""OVSDB's own files: the log of a standalone or clustered database (ovsdb(5), ovsdb(7); ovsdb/log.c, ovsdb/file.c, ovsdb/raft-rpc.c).

Each record is a header with its length and a line of JSON: the schema, then transactions. A transaction has for each row that it touches
the columns that changed; since OVS 2.15 a set or map of several members as what is added and taken away (``_is_diff``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from markreg.formats._ovsdb_tables import Framed, kind_of

HEADER = re.compile(r"OVSDB (JSON|CLUSTER) (\d{1,12}) [0-9a-f]{40}\n")


@dataclass(slots=True)
class _Tables:
    """The rows as they are after the records so far; ``composite``: the columns whose changes are differences."""

    rows: dict[str, dict[str, Framed]] = field(default_factory=dict)
    composite: set[tuple[str, str]] = field(default_factory=set)

    def schema(self, document: object) -> None:
        """Which columns hold several members."""
        tables = document.get("tables") if isinstance(document, dict) else None
        for name, table in tables.items() if isinstance(tables, dict) else ():
            columns = table.get("columns") if isinstance(table, dict) else None
            for column, said in columns.items() if isinstance(columns, dict) else ():
                kind = said.get("type") if isinstance(said, dict) else None
                if isinstance(kind, dict) and kind.get("max", 1) != 1:
                    self.composite.add((name, column))

    def transaction(self, document: object, line: int) -> None:
        """Rows that are new, changed or gone."""
        if not isinstance(document, dict):
            return
        differs = document.get("_is_diff") is True
        for name, rows in document.items():
            if name.startswith("_") or not isinstance(rows, dict) or kind_of(name, frozenset()) is None:
                continue
            held = self.rows.setdefault(name, {})
            for uuid, columns in rows.items():
                if columns is None:
                    held.pop(uuid, None)
                elif isinstance(columns, dict):
                    self._row(held, name, uuid, columns, line, differs)

    def _row(self, held: dict[str, Framed], name: str, uuid: str, columns: dict[str, object], line: int, differs: bool) -> None:
        row = held.get(uuid)
        if row is None:
            row = held[uuid] = Framed(name, line, {"_uuid": (["uuid", uuid], line)})
        for column, value in columns.items():
            old = row.cells.get(column)
            if differs and old and (name, column) in self.composite:
                value = _changed(old[0], value)
            row.cells[column] = (value, line)


def _members(value: object) -> tuple[str, list[object]]:
    """Whether a value is a set or a map, and its members; one member alone is a set."""
    if isinstance(value, list) and len(value) == 2 and value[0] in ("set", "map") and isinstance(value[1], list):
        return str(value[0]), value[1]
    return "set", [value]


def _changed(old: object, difference: object) -> object:
    """A set without what the difference has in common with it and with the rest; a map likewise, other values for its keys."""
    kind, members = _members(old)
    other, changes = _members(difference)
    if "map" in (kind, other):
        was = {json.dumps(m[0]): m for m in members if isinstance(m, list) and len(m) == 2}
        for pair in changes:
            if isinstance(pair, list) and len(pair) == 2:
                key = json.dumps(pair[0])
                if was.get(key) == pair:
                    del was[key]
                else:
                    was[key] = pair
        return ["map", list(was.values())]
    mine = {json.dumps(m): m for m in members}
    for member in changes:
        key = json.dumps(member)
        if key in mine:
            del mine[key]
        else:
            mine[key] = member
    return ["set", list(mine.values())]


def in_log(text: str) -> Iterator[Framed]:
    """The rows of tables that are known, as the last record leaves them. Raises ValueError for a record that is no JSON."""
    tables = _Tables()
    started = False
    at, line = 0, 1
    while header := HEADER.match(text, at):
        begin = header.end()
        end = text.find("\n", begin)
        end = len(text) if end < 0 else end
        line += 1
        try:
            document = json.loads(text[begin:end])
        except RecursionError:
            raise ValueError(f"the record in line {line} is nested too deep") from None
        except ValueError as error:
            raise ValueError(f"the record in line {line} is no JSON: {error}") from None
        if header[1] == "CLUSTER":
            for part in (document.get("prev_data"), document.get("data")) if isinstance(document, dict) else ():
                if isinstance(part, list) and len(part) == 2:
                    tables.schema(part[0])
                    tables.transaction(part[1], line)
        elif started:
            tables.transaction(document, line)
        else:
            tables.schema(document)
        started = True
        at, line = end + 1, line + 1
    if at < len(text) and text[at:].strip():
        raise ValueError(f"what follows line {line - 1} is no record")
    for rows in tables.rows.values():
        yield from rows.values()
