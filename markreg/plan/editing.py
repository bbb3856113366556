"""Puts a reservation into a plan file: its comments and layout stay, and two runs at once never hand out the same bits."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import tomli

from markreg.registry.fmt import FormatError, formatted

# The end of a block with nothing between it and the next header; tomlkit adds no blank line.
_BLOCK_END = re.compile(r"^(checked = [0-9-]{10}\n)(?=\[)", re.MULTILINE)


class EditError(ValueError):
    """The plan cannot be edited; the message is for users."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a file for one run: others wait. The file may be replaced meanwhile, then the new one is held. Raises EditError."""
    handle = _open(path)
    try:
        yield
    finally:
        os.close(handle)


def _open(path: Path) -> int:
    while True:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise EditError(f"{path}: {error.strerror}") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            mine, there = os.fstat(handle), path.stat()
        except OSError as error:
            os.close(handle)
            raise EditError(f"{path}: {error.strerror}") from None
        if (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino):
            return handle
        os.close(handle)


def with_reservation(text: str, owner: str, row: Mapping[str, Any]) -> str:
    """A registry file with one more reservation of a component, which is added if it is not there. Raises EditError."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    before = tomli.loads(text)
    try:
        after = _BLOCK_END.sub(r"\1\n", _edited(tomlkit.parse(text), owner, row))
    except (TOMLKitError, ValueError, TypeError, AttributeError, RecursionError):
        after = ""
    # A file in canonical form stays in it.
    with suppress(FormatError):
        if formatted(text) == text:
            after = formatted(after)
    # tomlkit knows layouts that it writes back as something else; then a block at the end says the same, where that is possible.
    if not _says(after, before, owner, row):
        after = _appended(text, owner, row)
    if not _says(after, before, owner, row):
        raise EditError(f"the reservations of {owner} cannot be extended as they are written; markreg registry fmt gives them headers")
    return after


def _edited(document: Any, owner: str, row: Mapping[str, Any]) -> str:  # noqa: ANN401 (tomlkit's own types)
    import tomlkit

    block = tomlkit.table()
    for key, value in row.items():
        block.add(key, value)
    components = document.get("component")
    entry = next((c for c in components or () if c.get("name") == owner), None)
    inline = tomlkit.inline_table()
    inline.update(dict(row))
    if entry is None and isinstance(components, tomlkit.items.Array):
        entry = tomlkit.inline_table()
        entry.update({"name": owner, "reservation": [inline]})
        components.append(entry)
    elif entry is None:
        entry = tomlkit.table()
        entry.add("name", owner)
        rows = tomlkit.aot()
        rows.append(block)
        entry.add("reservation", rows)
        if components is None:
            components = tomlkit.aot()
            components.append(entry)
            document.add("component", components)
        else:
            components.append(entry)
    elif "reservation" not in entry:
        rows = tomlkit.aot()
        rows.append(block)
        entry.add("reservation", rows)
    elif isinstance(entry["reservation"], tomlkit.items.AoT):
        entry["reservation"].append(block)
    else:
        entry["reservation"].append(inline)
    return tomlkit.dumps(document)


def _appended(text: str, owner: str, row: Mapping[str, Any]) -> str:
    """A block at the end of the file, which TOML counts to the last component."""
    import tomlkit

    last = (tomli.loads(text).get("component") or [{}])[-1]
    block = tomlkit.table()
    for key, value in row.items():
        block.add(key, value)
    head = "" if last.get("name") == owner else f'\n[[component]]\nname = "{owner}"\n'
    return f"{text.rstrip()}\n{head}\n[[component.reservation]]\n{block.as_string()}"


def _says(text: str, before: Mapping[str, Any], owner: str, row: Mapping[str, Any]) -> bool:
    """Whether a text says what was there before and the reservation, and nothing else."""
    try:
        after = tomli.loads(text)
    except tomli.TOMLDecodeError:
        return False
    components = [dict(c) for c in before.get("component", [])]
    mine = next((c for c in components if c.get("name") == owner), None)
    if mine is None:
        components.append({"name": owner, "reservation": [dict(row)]})
    else:
        mine["reservation"] = [*mine.get("reservation", []), dict(row)]
    return after == {**before, "component": components}
