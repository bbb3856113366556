"""The registry for others: a Markdown table for documentation, JSON for programs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any

from markreg.bits import format_bits, format_mask
from markreg.registry.effective import Effective, Resolver, layouts
from markreg.registry.model import ComponentEntry, Registry
from markreg.registry.releases import Interval

SCHEMA = "markreg.registry/1"


def markdown(registry: Registry, components: Iterable[str] = ()) -> str:
    """A section for each component with a row for each reservation: place at default settings, meaning, conditions, source."""
    lines: list[str] = []
    for entry in _chosen(registry, components):
        lines += ["", f"## {_cell(entry.title or entry.name)}", ""]
        if entry.homepage:
            lines += [f"<{entry.homepage}>", ""]
        if entry.note:
            lines += [_cell(entry.note), ""]
        lines += ["| reservation | field | bits | meaning | holds | source |", "| --- | --- | --- | --- | --- | --- |"]
        for row in _rows(registry, entry):
            r = row.reservation
            where = ", ".join(row.scope) if row.scope != ("host",) else ""
            cells = (
                f"`{row.path}`",
                f"{row.field}{f' ({where})' if where else ''}",
                _bits(row),
                r.title or r.purpose,
                ", ".join(_conditions(row)) or "always",
                ", ".join(r.source),
            )
            lines.append(f"| {' | '.join(_cell(c) for c in cells)} |")
    return "\n".join(lines[1:]) + "\n" if lines else ""


def document(registry: Registry, components: Iterable[str] = ()) -> str:
    """The schema ``markreg.registry/1``: every row as written, with its effective mask at default settings."""
    entries = []
    for entry in _chosen(registry, components):
        rows = [
            {
                **_plain(row.reservation),
                "path": row.path,
                "field": row.field,
                "mask": format_mask(row.mask),
                "in_force": row.in_force,
                "scope": list(row.scope),
            }
            for row in _rows(registry, entry)
        ]
        entries.append({**{k: v for k, v in _plain(entry).items() if k in ("name", "title", "homepage", "note")}, "reservations": rows})
    named: dict[str, Any] = {
        "fields": [_plain(f) for f in registry.fields.values()],
        "scopes": [_plain(s) for s in registry.scopes.values()],
        "node_pools": [_plain(p) for p in registry.node_pools.values()],
        "agreements": [_plain(a) for a in registry.agreements],
        "conflicts": [_plain(c) for c in registry.conflicts],
        "accepted": [_plain(a) for a in registry.accepted],
    }
    return json.dumps({"schema": SCHEMA, "kind": registry.kind, "sha256": registry.sha256, "components": entries, **named}, indent=2) + "\n"


def _chosen(registry: Registry, components: Iterable[str]) -> Iterator[ComponentEntry]:
    wanted = set(components)
    return (entry for entry in registry.components.values() if entry.reservation and (not wanted or entry.name in wanted))


def _rows(registry: Registry, entry: ComponentEntry) -> list[Effective]:
    """Each row once, as it is in the newest layout that has it."""
    made: dict[int, Effective] = {}
    for layout in layouts(entry):
        for number, row in enumerate(Resolver(registry, releases={entry.name: layout}).rows(entry.name)):
            if number not in made or layout.low in Interval(row.reservation.since, row.reservation.until):
                made[number] = row
    return [made[number] for number in sorted(made)]


def _bits(row: Effective) -> str:
    said = f"{format_bits(row.mask)} ({format_mask(row.mask)})" if row.mask else "none by default"
    if row.reservation.value_range is not None:
        said += f", values {row.reservation.value_range}"
    if row.codes:
        said += ": " + ", ".join(f"{format_mask(code)} {meaning}" for code, meaning in row.codes)
    return said


def _conditions(row: Effective) -> Iterator[str]:
    r = row.reservation
    if r.since or r.until:
        yield Interval(r.since, r.until).name
    for knob, values in r.when.items():
        yield f"{knob} = {' or '.join(str(v).lower() or 'unset' for v in values)}"
    if r.variant:
        yield f"while {r.variant.of} is {' or '.join(r.variant.values)}"
    if r.within:
        yield f"within {r.within}"
    if r.status != "active":
        yield f"{r.status} {r.retired}" if r.retired else r.status


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _plain(entry: object) -> dict[str, Any]:
    """A table as JSON: what is not its default, under the names of the file."""
    result: dict[str, Any] = {}
    for item in dataclasses.fields(entry):  # type: ignore[arg-type]
        value = getattr(entry, item.name)
        default = item.default_factory() if item.default_factory is not dataclasses.MISSING else item.default
        if item.name != "origin" and value != default:
            result[item.name.rstrip("_")] = _json(value)
    return result


def _json(value: object) -> object:
    if dataclasses.is_dataclass(value):
        return _plain(value)
    if isinstance(value, Mapping):
        return {str(k): _json(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return [_json(v) for v in value]
    return value.isoformat() if isinstance(value, date) else value
