"""The manifest of a `collect` archive: which capture each file is, of which namespace, and what could not be read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

NAME = "manifest.json"
SCHEMA = "markreg.collect/1"
_LARGEST = 16 << 20


class ManifestError(Exception):
    """Why a manifest is of no use; follows its path in a report."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A capture: the ``file`` that holds it, what it is called live, and how it is to be read. ``command`` made it."""

    name: str
    file: str
    notation: str
    netns: str
    family: str
    command: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A capture that failed: MK903 where the archive is read too."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """``tools``: program and version. ``time`` in ISO 8601, UTC."""

    version: str
    host: str
    time: str
    kernel: str
    anonymized: bool
    tools: tuple[tuple[str, str], ...]
    captures: tuple[Entry, ...]
    failed: tuple[Failed, ...]


def write(manifest: Manifest) -> bytes:
    """The manifest as JSON, in a stable order."""
    document = {
        "schema": SCHEMA,
        "version": manifest.version,
        "host": manifest.host,
        "time": manifest.time,
        "kernel": manifest.kernel,
        "anonymized": manifest.anonymized,
        "tools": dict(manifest.tools),
        "captures": [{key: getattr(entry, key) for key in Entry.__slots__} for entry in manifest.captures],
        "failed": [{key: getattr(entry, key) for key in Failed.__slots__} for entry in manifest.failed],
    }
    return json.dumps(document, indent=1, ensure_ascii=True).encode() + b"\n"


def is_manifest(data: bytes) -> bool:
    """Whether a file of that name is a manifest of markreg at all."""
    return SCHEMA.partition("/")[0].encode() + b"/" in data[:4096]


def read(data: bytes) -> Manifest:
    """The manifest that ``data`` is. Raises ManifestError."""
    if len(data) > _LARGEST:
        raise ManifestError("is larger than any manifest")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"is no JSON: {error}") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ManifestError(f"is not {SCHEMA}; a newer markreg may read it")
    captures = tuple(Entry(*_strings(item, Entry.__slots__)) for item in _items(document, "captures"))
    failed = tuple(Failed(*_strings(item, Failed.__slots__)) for item in _items(document, "failed"))
    tools = document.get("tools")
    named = tuple((k, str(v)) for k, v in tools.items()) if isinstance(tools, dict) else ()
    version, host, time, kernel = (str(document.get(key, "")) for key in ("version", "host", "time", "kernel"))
    return Manifest(version, host, time, kernel, document.get("anonymized") is True, named, captures, failed)


def _items(document: dict[str, object], key: str) -> list[object]:
    items = document.get(key)
    if not isinstance(items, list):
        raise ManifestError(f"has no list of what was {key}")
    return items


def _strings(item: object, keys: Sequence[str]) -> list[str]:
    values = [item.get(key) for key in keys] if isinstance(item, dict) else []
    if not values or not all(isinstance(value, str) for value in values):
        raise ManifestError(f"has an entry without {', '.join(keys)}")
    return [str(value) for value in values]
