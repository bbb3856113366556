"""Rows of OVSDB databases: ``ovn-nbctl``, ``ovn-sbctl`` and ``ovs-vsctl list`` (also --format=table, csv, json), ``ovsdb-client dump``,
and the files of databases themselves.

A row is no statement of a packet's way, but says what others number: sampling ids, zones, cookies. Rows that are statements all the
same become uses: logical flows, a tunnel's egress_pkt_mark, a router policy's pkt_mark.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from markreg.devices import Device
from markreg.formats._ovn_language import MENTION, Deed, actions, match
from markreg.formats._ovn_uses import Uses
from markreg.formats._ovs_ports import ports
from markreg.formats._ovsdb_log import HEADER, in_log
from markreg.formats._ovsdb_settings import place_of, said
from markreg.formats._ovsdb_tables import JSON, Framed, Kind, in_json, in_text, kind_of, name_in
from markreg.formats._ovsdb_values import Value, without_secrets
from markreg.model import Problem, Reading, Scope
from markreg.rows import Row, ZoneName
from markreg.source import Source

NAMES = ("ovsdb",)

_LIST = re.compile(r"^[ \t]*_uuid {2,}: +[0-9a-f]{8}-", re.MULTILINE)
_TABLE = re.compile(r"^[ \t]*(?:[a-z_]\w* +)*_uuid(?: +[a-z_]\w*)* *\r?\n[ \t]*-+(?: -+)* *\r?$", re.MULTILINE)
_CSV = re.compile(r"^[ \t]*_uuid(?:,[a-z_]\w*)+ *\r?$", re.MULTILINE)
_ZONE = "ct-zone-"
_SETTINGS = ("options", "other_config", "action")
_LARGEST_ZONE = 65535


def detect(source: Source) -> str | None:
    """By a row's ``_uuid`` in one of the forms, or a document with headings and data."""
    head = source.head()
    return NAMES[0] if JSON.match(head) or HEADER.match(head) or any(p.search(head) for p in (_LIST, _TABLE, _CSV)) else None


def read(source: Source, name: str, scope: Scope) -> Reading:
    """Every row of a table that is known, and what rows say of marks and zones."""
    source.data = without_secrets(source.data)
    reader = _Reader(source.path, scope, Uses(source.path, scope))
    text = source.text()
    problems: list[Problem] = []
    try:
        if HEADER.match(text):
            reader.rows(in_log(text))
        elif JSON.match(text):
            reader.rows(in_json(source))
        else:
            reader.rows(in_text(text.replace("\0", "\ufffd")))
    except ValueError as error:
        problems.append(Problem(source.path, 1, f"is no table or file of OVSDB: {error}"))
    return Reading(
        source.path,
        name,
        scope,
        reader.uses.uses(),
        opaque=reader.uses.opaques(),
        problems=tuple(problems),
        statements=reader.statements,
        mark_statements=min(reader.uses.marked, reader.statements),
        rows=tuple(reader.kept),
        zones=tuple(reader.zones),
    )


def together(readings: Sequence[Reading]) -> list[Reading]:
    """The readings with the ports of bridges, whose rows refer to each other from table to table, mostly a file each."""
    rows: dict[str, list[Row]] = {}
    for reading in readings:
        if reading.format == NAMES[0]:
            rows.setdefault(reading.scope.netns, []).extend(reading.rows)
    devices: dict[str, list[Device]] = {}
    for netns, found in rows.items():
        for device in ports(found, netns):
            devices.setdefault(device.path, []).append(device)
    return [replace(r, devices=tuple(devices[r.path])) if r.format == NAMES[0] and r.path in devices else r for r in readings]


@dataclass(slots=True)
class _Reader:
    path: str
    scope: Scope
    uses: Uses
    kept: list[Row] = field(default_factory=list)
    zones: list[ZoneName] = field(default_factory=list)
    statements: int = 0
    _kinds: dict[tuple[str, frozenset[str]], Kind | None] = field(default_factory=dict)

    def rows(self, framed: Iterable[Framed]) -> None:
        """All rows of an input."""
        by_name = name_in(self.path)
        for row in framed:
            columns = frozenset(row.cells)
            if "_uuid" not in columns and not row.table and not by_name:
                continue
            self.statements += 1
            key = (row.table, columns)
            if key not in self._kinds:
                self._kinds[key] = kind_of(row.table, columns) or kind_of(by_name, columns)
            if (kind := self._kinds[key]) is None:
                self._unknown(row)
                continue
            self._row(row, kind)

    def _unknown(self, row: Framed) -> None:
        for column, (value, line) in row.cells.items():
            if isinstance(value, str) and MENTION.search(value):
                self.uses.opaque(f"column {column} of a table that markreg does not know", line)

    def _row(self, row: Framed, kind: Kind) -> None:
        columns: dict[str, Value] = {c: row.value(c) for c in row.cells if c in kind.keep}
        kept = Row(kind.name, row.text("_uuid"), columns, self.path, row.line)
        self.kept.append(kept)
        readers: list[tuple[str, Callable[[str], tuple[Deed, ...]]]] = [(c, match) for c in kind.expressions]
        readers += [(c, actions) for c in kind.actions]
        for column, reader in readers:
            cell = row.cells.get(column)
            if cell and isinstance(cell[0], str) and MENTION.search(cell[0]):
                self.uses.said(reader, row.text(column), place_of(kept, kind.stage), cell[1])
        for column in _SETTINGS:
            settings = row.value(column) if column in row.cells else {}
            if isinstance(settings, Mapping):
                said(self.uses, kept, place_of(kept, kind.stage), settings, row.at(column))
        if kind.name == "Bridge":
            self.zones += _zones(kept, self.scope.netns, row.at("external_ids"))


def _zones(row: Row, netns: str, line: int) -> Iterator[ZoneName]:
    """ovn-controller keeps its zones in the bridge (controller/ovn-controller.c update_ct_zones)."""
    for key, value in row.pairs("external_ids").items():
        if key.startswith(_ZONE) and value.isascii() and value.isdigit() and len(value) < 6 and int(value) <= _LARGEST_ZONE:
            yield ZoneName(netns, int(value), key.removeprefix(_ZONE), row.path, line)
