"""What is in use on nodes: from audits that were written as JSON, and from dumps that number samples."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from markreg.bits import full
from markreg.checks.sampling import APPLICATION, COLUMNS
from markreg.formats._sampling import emitted
from markreg.inputs import Known

_HEX = re.compile(r"0x[0-9a-f]{1,256}")
_SCHEMA = "markreg.audit/"


class ObservedError(ValueError):
    """A file that is no audit; the message is for users."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A statement of a node: who uses which bits of a field, and the value where it is one."""

    field: str
    mask: int
    owner: str
    reservation: str
    value: int | None
    file: str

    def whole(self, width: int) -> bool:
        """Whether it is about all bits of the field."""
        return self.mask == full(width)


@dataclass(frozen=True, slots=True)
class Present:
    """A component that an audit recognised."""

    name: str
    layout: str
    release: str
    confidence: str


@dataclass(frozen=True, slots=True)
class Observed:
    """Audits put together. ``incomplete``: files that say not everything was understood."""

    uses: tuple[Seen, ...] = ()
    components: tuple[Present, ...] = ()
    incomplete: tuple[str, ...] = ()


def read(paths: Iterable[Path]) -> Observed:
    """The uses and components of audits (``markreg audit --format json``). Raises ObservedError for a file that is none."""
    uses: list[Seen] = []
    components: dict[str, Present] = {}
    incomplete = []
    for path in paths:
        document = _document(path)
        for item in _tables(document.get("uses")):
            mask = _number(item.get("mask"))
            if mask:
                owner, field, reservation = (str(item.get(k) or "") for k in ("owner", "field", "reservation"))
                uses.append(Seen(field, mask, owner, reservation, _number(item.get("value")), str(path)))
        for item in _tables(document.get("components")):
            name, layout, release, confidence = (str(item.get(k) or "") for k in ("name", "layout", "release", "confidence"))
            if confidence != "low":
                components.setdefault(name, Present(name, layout, release, confidence))
        if document.get("complete") is not True:
            incomplete.append(str(path))
    return Observed(tuple(uses), tuple(components.values()), tuple(incomplete))


def _document(path: Path) -> dict[str, object]:
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise ObservedError(f"{path}: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        raise ObservedError(f"{path}: is no JSON") from None
    if not isinstance(document, dict) or not str(document.get("schema")).startswith(_SCHEMA):
        raise ObservedError(f"{path}: is no audit (markreg audit --format json writes one)")
    return document


def _tables(value: object) -> Iterator[dict[str, object]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())


def _number(value: object) -> int | None:
    return int(value, 16) if isinstance(value, str) and _HEX.fullmatch(value) else None


def numbered(inputs: Iterable[Known]) -> dict[str, dict[int, str]]:
    """The ids that rows of northbound databases and sampling flows use: by reservation, the file for each number."""
    found: dict[str, dict[int, str]] = {}
    for known in inputs:
        reading = known.format.read(known.source, known.name, known.scope)
        for row in reading.rows:
            for table, column, path in COLUMNS:
                number = row.number(column) if row.table == table else None
                if number:
                    found.setdefault(path, {}).setdefault(number, row.path)
        if known.name in ("openflow", "lflow"):
            for item in emitted(known.source):
                if item.app:
                    found.setdefault(APPLICATION, {}).setdefault(item.app, item.path)
    return found
