"""Captures of OVN without the names of ports, switches, routers, policies and whom they belong to. Bridges keep theirs: components are
known by them, and captures are named after them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

NOTATIONS = ("ovsdb", "lflow", "ct-zones")

_STRING = re.compile(rb'"((?:[^"\\\n]|\\.)*)"')
_ZONE = re.compile(rb"^(\S+)(?= \d+)", re.MULTILINE)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ROUTER = re.compile(r"(.*?)(_[ds]nat)?")
_ZONE_KEY = "ct-zone-"
_NAMES = frozenset({"name", "logical_port", "hostname", "peer"})
# Ports are devices, which rules name, too.
_DEVICES = frozenset({"Interface", "Port"})
_TEXTS = frozenset({"match", "actions"})
# What maps of these columns say is whose a row is; of a logical flow also its stage, which is nobody's name.
_MAPS = frozenset({"external_ids", "options"})
_STAYS = re.compile(r"stage-name|source|stage-hint|.*mark.*|tunnel-key|debug_drop_.*")


class Names:
    """One mapping for one archive. ``device``: what a device is called there."""

    def __init__(self, device: Callable[[str], str]) -> None:
        self._seen: dict[str, str] = {}
        self._device = device

    def without(self, notation: str, data: bytes) -> bytes:
        """A capture without names; one that is of another form than `collect` writes is dropped as a whole."""
        if notation == "lflow":
            return _STRING.sub(lambda m: b'"' + self._bytes(m[1]) + b'"', data)
        if notation == "ct-zones":
            return _ZONE.sub(lambda m: self._bytes(m[1]), data)
        try:
            document = json.loads(data)
            headings, table = document["headings"], str(document["caption"]).partition(" ")[0]
            rows = [[self._cell(table, heading, value) for heading, value in zip(headings, row, strict=True)] for row in document["data"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            return b""
        return json.dumps({**document, "data": rows}, separators=(",", ":")).encode() + b"\n"

    def _bytes(self, name: bytes) -> bytes:
        return self.name(name.decode("utf-8", "replace")).encode()

    def name(self, name: str) -> str:
        """What something is called here; a router's zones keep their ends, which say what they are for."""
        base, end = _ROUTER.fullmatch(name).groups(default="") if "\n" not in name else (name, "")  # type: ignore[union-attr]
        if not base:
            return name
        return self._seen.setdefault(base, f"name{len(self._seen) + 1}") + end

    def _cell(self, table: str, column: str, value: object) -> object:
        if table == "Bridge" and column == "name":
            return value
        if table in _DEVICES and column == "name":
            return self._device(value) if isinstance(value, str) else value
        if column in _NAMES:
            return self.name(value) if isinstance(value, str) else value
        if column in _TEXTS and isinstance(value, str):
            return _QUOTED.sub(lambda m: f'"{self.name(m[1])}"', value)
        if column in _MAPS and isinstance(value, list) and len(value) == 2 and value[0] == "map":
            return ["map", [self._pair(str(k), v) for k, v in value[1]]]
        return value

    def _pair(self, key: str, value: object) -> list[object]:
        if key.startswith(_ZONE_KEY):
            return [_ZONE_KEY + self.name(key.removeprefix(_ZONE_KEY)), value]
        if _STAYS.fullmatch(key) or not isinstance(value, str) or value in ("true", "false"):
            return [key, value]
        return [key, self.name(value)]
