"""One registry file over another: the nearest wins entry by entry (registry.md section 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from typing import Any, TypeVar

from markreg.registry.model import ComponentEntry, RegistryFile, Reservation

T = TypeVar("T")
_TABLES = ("reservation", "pool", "recognise", "interface", "knob", "origin", "name")


def merge(far: RegistryFile, near: RegistryFile) -> RegistryFile:
    """``near`` over ``far``. What ``near`` does not mention stays; order is that of ``far``, then what is new."""
    return replace(
        near,
        component=_by_name(far.component, near.component, merge_component),
        field=_by_name(far.field, near.field),
        scope=_by_name(far.scope, near.scope),
        node_pool=far.node_pool + near.node_pool,
        agreement=far.agreement + near.agreement,
        conflict=far.conflict + near.conflict,
        accepted=far.accepted + near.accepted,
    )


def merge_component(far: ComponentEntry, near: ComponentEntry) -> ComponentEntry:
    """Plain keys one by one; reservations (all rows of a name), pools and knobs whole; signatures add up."""
    plain = {f.name: getattr(near, f.name) or getattr(far, f.name) for f in fields(ComponentEntry) if f.name not in _TABLES}
    return replace(
        near,
        **plain,
        reservation=_rows(far.reservation, near.reservation),
        pool=_by_name(far.pool, near.pool),
        knob=_by_name(far.knob, near.knob),
        recognise=far.recognise + near.recognise,
        interface=far.interface + near.interface,
    )


def _rows(far: Iterable[Reservation], near: Iterable[Reservation]) -> tuple[Reservation, ...]:
    """Rows by name: several of one name are the layouts of one reservation, and go together."""
    rows: dict[str, list[Reservation]] = {}
    for row in far:
        rows.setdefault(row.name, []).append(row)
    fresh: dict[str, list[Reservation]] = {}
    for row in near:
        fresh.setdefault(row.name, []).append(row)
    rows.update(fresh)
    return tuple(row for group in rows.values() for row in group)


def _by_name(far: Iterable[T], near: Iterable[T], both: Callable[[T, T], T] | None = None) -> tuple[T, ...]:
    entries: dict[str, T] = {_name(e): e for e in far}
    for entry in near:
        name = _name(entry)
        entries[name] = both(entries[name], entry) if both and name in entries else entry
    return tuple(entries.values())


def _name(entry: Any) -> str:  # noqa: ANN401 (every table that is merged has a name)
    return str(entry.name)
