"""Rows of OVSDB databases through their own clients, without what is nobody's business: certificates, keys, other settings."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from markreg.collect.programs import run
from markreg.formats._ovsdb_tables import kind_of

if TYPE_CHECKING:
    from markreg.collect.tools import Live

# Settings of the node's own database that are kept: zones, marks, patch ports, OVN's bridges. A tunnel's options have its key.
_SETTINGS = re.compile(r"ct-zone-.*|.*mark.*|peer|ovn-bridge.*")
_OWN = frozenset({"Bridge", "Interface", "Open_vSwitch"})
# Older databases have fewer tables.
_NO_TABLE = re.compile(r"unknown table|does not have .* table|no table", re.IGNORECASE)

Rows = tuple[list[str], list[list[object]]]


def table(node: Live, program: tuple[str, ...], name: str) -> Rows | None:
    """The rows of a table, captured as JSON; None where there is no such table, or it could not be read."""
    shown = f"{program[0]} list {name}"
    output = run((*program, "--format=json", "list", name), node.budget)
    if output.error:
        if not _NO_TABLE.search(output.error):
            node.unread(shown, output.error)
        return None
    try:
        document = json.loads(output.data or b"{}")
        headings, data = [str(h) for h in document["headings"]], [list(row) for row in document["data"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        node.unread(shown, f"{program[0]} printed no table as JSON")
        return None
    kind = kind_of(name, frozenset())
    wanted = ("_uuid", *sorted(kind.keep | set(kind.expressions) | set(kind.actions))) if kind else ()
    columns = [c for c in wanted if c in headings]
    places = [headings.index(c) for c in columns]
    rows = [[_kept(row[i], name) for i in places] for row in data if len(row) == len(headings)]
    if rows:
        made = {"caption": f"{name} table", "data": rows, "headings": columns}
        text = json.dumps(made, separators=(",", ":"), ensure_ascii=False)
        node.add(shown, "ovsdb", "inet", text.encode("utf-8", "surrogateescape") + b"\n", f"{program[0]} --format=json list {name}")
    return columns, rows


def _kept(value: object, table: str) -> object:
    """A cell; of a map of the node's own database only the settings that are kept."""
    if table in _OWN and isinstance(value, list) and len(value) == 2 and value[0] == "map":
        pairs = [p for p in value[1] if isinstance(p, list) and len(p) == 2 and _SETTINGS.fullmatch(str(p[0]))]
        return ["map", pairs]
    return value
