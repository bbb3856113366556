"""Rows of OVSDB databases, and what zones are called in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """A row of an OVSDB database (OVN northbound or southbound, Open_vSwitch).

    ``columns``: a scalar or a set as its members, a map as a mapping, all as text without quotes; UUIDs in full. Only columns
    that rules/ovn/tables.toml keeps. ``table`` is empty where the columns are of no table that is known there.
    """

    table: str
    uuid: str
    columns: Mapping[str, tuple[str, ...] | Mapping[str, str]]
    path: str
    line: int

    def values(self, column: str) -> tuple[str, ...]:
        """The members of a column, none if it is absent, empty or a map."""
        found = self.columns.get(column, ())
        return found if isinstance(found, tuple) else ()

    def text(self, column: str) -> str:
        """The one member of a column, else empty."""
        found = self.values(column)
        return found[0] if len(found) == 1 else ""

    def number(self, column: str) -> int | None:
        """The one member of a column as a number."""
        found = self.text(column)
        return int(found) if found.isascii() and found.isdigit() and len(found) < 20 else None

    def pairs(self, column: str) -> Mapping[str, str]:
        """A map column, empty if it is none."""
        found = self.columns.get(column, ())
        return {} if isinstance(found, tuple) else found


@dataclass(frozen=True, slots=True)
class ZoneName:
    """What a conntrack zone number is for, as ovn-controller says it: a logical port, or ``<router>_dnat``, ``<router>_snat``."""

    netns: str
    number: int
    name: str
    path: str
    line: int
