"""``ovs-vsctl show``: bridges and their interfaces, as devices, with the marks that tunnels give to what they send."""

from __future__ import annotations

import re

from markreg.formats._ovn_uses import Uses
from markreg.formats._ovs_ports import ports
from markreg.formats._ovsdb_settings import place_of, said
from markreg.formats._ovsdb_values import of_text, without_secrets
from markreg.model import Reading, Scope
from markreg.rows import Row
from markreg.source import Source

NAMES = ("ovs-vsctl-show",)

_DETECT = re.compile(r"^[ \t]*[0-9a-f]{8}-[0-9a-f-]{27}[ \t]*\r?\n[ \t]+(?:Manager|Bridge|ovs_version:) ?", re.MULTILINE)
_HOLDER = re.compile(r"[ \t]*(Bridge|Port|Interface) (\"[^\"]*\"|\S+)")
_COLUMN = re.compile(r"[ \t]*(datapath_type|type|options): (.*)")


def detect(source: Source) -> str | None:
    """By the UUID of the database with its bridges below."""
    return NAMES[0] if _DETECT.search(source.head()) else None


def read(source: Source, name: str, scope: Scope) -> Reading:
    """Rows of Bridge and Interface (with the bridge as a column), and the marks of tunnels."""
    source.data = without_secrets(source.data)
    uses = Uses(source.path, scope)
    rows: list[Row] = []
    bridge = ""
    columns: dict[str, tuple[str, ...] | dict[str, str]] = {}
    for number, line in enumerate(source.text().replace("\0", "\ufffd").split("\n"), 1):
        if holder := _HOLDER.fullmatch(line.rstrip()):
            (called,) = of_text(holder[2])
            columns = {}
            if holder[1] == "Bridge":
                bridge = called
                columns = {"name": (called,)}
                rows.append(Row("Bridge", "", columns, source.path, number))
            elif holder[1] == "Interface":
                columns = {"name": (called,), "bridge": (bridge,)}
                rows.append(Row("Interface", "", columns, source.path, number))
        elif columns and (column := _COLUMN.fullmatch(line.rstrip())):
            value = of_text(column[2])
            columns[column[1]] = value if isinstance(value, tuple) else dict(value)
            if not isinstance(value, tuple):
                said(uses, rows[-1], place_of(rows[-1], ""), value, number)
    return Reading(
        source.path,
        name,
        scope,
        uses.uses(),
        opaque=uses.opaques(),
        statements=len(rows),
        mark_statements=uses.marked,
        rows=tuple(rows),
        devices=tuple(ports(rows, scope.netns)),
    )
