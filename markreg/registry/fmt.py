"""The canonical order and layout of registry and component files: what a review should show is the change alone.

Keys stand in the order of the classes of `model`, tables in that of their names; tables that classes know by place (those with an
``origin``) get headers, one key a line. Comments and blank lines stay with what they stand at.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from functools import cache
from typing import Any, get_args, get_type_hints

import tomli

from markreg.registry.model import Accepted, Agreement, ComponentEntry, Conflict, Field, NodePool, RegistryFile, Rules, Scope
from markreg.registry.toml_text import Array, Block, Entry, Inline, Scalar, Value, parse, render

# Tables that are sorted, and by which of their keys. All others stay in the order in which they were written.
_SORTED: Mapping[type, tuple[str, ...]] = {
    ComponentEntry: ("name",),
    Field: ("name",),
    Scope: ("name",),
    NodePool: ("name",),
    Agreement: ("owners", "field"),
    Conflict: ("between",),
    Accepted: ("code", "owners"),
}


class FormatError(ValueError):
    """The text is no TOML, or means something else after formatting (then nothing is changed)."""


def formatted(text: str) -> str:
    """A registry or component file in canonical form; the same data, and every comment. Raises FormatError."""
    try:
        before = tomli.loads(text.removeprefix("\ufeff"))
    except (tomli.TOMLDecodeError, RecursionError, ValueError) as error:
        raise FormatError(f"is no TOML: {error}") from None
    try:
        document = parse(text)
        _arrange(document.root, Rules if isinstance(before.get("component"), str) else RegistryFile)
        after = render(document)
        same = _normal(tomli.loads(after)) == _normal(before)
    except (RecursionError, tomli.TOMLDecodeError):
        same = False
    if not same:
        raise FormatError("cannot be formatted without changing what it says")
    return after


def _normal(table: Mapping[str, Any]) -> dict[str, str]:
    """The data without the order in which top-level tables stand."""
    return {
        key: json.dumps(
            sorted(json.dumps(v, default=repr, sort_keys=True) for v in value) if isinstance(value, list) else value,
            default=repr,
            sort_keys=True,
        )
        for key, value in table.items()
    }


@cache
def _tables(cls: type) -> dict[str, type]:
    """The keys of a class that hold tables with headers, with the class of each."""
    found: dict[str, type] = {}
    for item in dataclasses.fields(cls):
        for inner in get_args(get_type_hints(cls, include_extras=True)[item.name]):
            if isinstance(inner, type) and dataclasses.is_dataclass(inner) and any(f.name == "origin" for f in dataclasses.fields(inner)):
                found[item.name.rstrip("_")] = inner
    return found


def _arrange(block: Block, cls: type | None) -> None:
    """Sorts the keys and tables of a block, and gives tables that stand inline headers of their own."""
    tables = _tables(cls) if isinstance(cls, type) else {}
    order = [f.name.rstrip("_") for f in dataclasses.fields(cls)] if cls else []
    ranks = {name: number for number, name in enumerate(order)}
    kept: list[Entry] = []
    for entry in block.entries:
        inner = _unfolded(entry) if entry.key in tables else None
        if inner is None:
            kept.append(entry)
        else:
            block.blocks += inner
    if cls:
        kept.sort(key=lambda e: ranks.get(e.name(), len(ranks)))
        block.blocks.sort(key=lambda b: _rank(b, ranks, tables))
    block.entries = kept
    for child in block.blocks:
        _arrange(child, tables.get(child.path[0]) if len(child.path) == 1 else None)


def _rank(block: Block, ranks: Mapping[str, int], tables: Mapping[str, type]) -> tuple[int, tuple[str, ...]]:
    number = ranks.get(block.path[0], len(ranks))
    # A table of the block itself comes before arrays of tables, whatever their names.
    if not block.many:
        return -1, ()
    cls = tables.get(block.path[0])
    return number, tuple(_text(block.value(key)) for key in _SORTED.get(cls, ())) if cls else ()


def _text(value: Value | None) -> str:
    """What a value is sorted by."""
    if isinstance(value, Scalar):
        try:
            return str(tomli.loads(f"x = {value.text}")["x"])
        except tomli.TOMLDecodeError:
            return value.text
    if isinstance(value, Array):
        return "\0".join(_text(i.value) for i in value.items if i.value is not None)
    return ""


def _unfolded(entry: Entry) -> list[Block] | None:
    """The blocks of an array of inline tables; None where it is none, or holds comments for which there is no place."""
    if not isinstance(entry.value, Array) or not entry.value.items:
        return None
    blocks: list[Block] = []
    for item in entry.value.items:
        if item.value is None and blocks:
            blocks[-1].footer = list(item.above)
            continue
        if not isinstance(item.value, Inline) or item.value.comments:
            return None
        entries = [Entry([], key, value) for key, value in item.value.pairs]
        blocks.append(Block(list(item.above), (entry.key,), True, item.behind, entries))
    blocks[0].above[:0] = entry.above
    if entry.behind:
        blocks[0].above.append(entry.behind)
    return blocks
