"""Rows of OVSDB tables in every form that the tools print: list, table, csv, json, each with ``ovsdb-client``'s captions or without.

Framing only: a `Cell` is a column's text (or its value of JSON) and its line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from tomllib import loads

from markreg.formats._ovsdb_values import Value, of_json, of_text
from markreg.resources import rules
from markreg.source import Source

_CAPTION = re.compile(r"[ \t]*([A-Z]\w{1,60}) table[ \t]*")
_COMMAND = re.compile(
    r"[ \t]*(?:[$#>] ?)?(?:sudo )?(?:ovn-[ns]bctl|ovs-vsctl|ovsdb-client)\b[^\n]{0,200}?"
    r"\b(?:list|find|dump)[ \t]+(?:unix:\S+[ \t]+)?([A-Za-z]\w+)"
)
_LISTED = re.compile(r"[ \t]*([A-Za-z_]\w{0,60}) *:(?: (.*))?")
_DASHES = re.compile(r"[ \t]*-+(?: -+)*[ \t]*")
_CSV = re.compile(r'(?:"((?:[^"]|"")*)"|([^,]*))(,|$)')
_HEADINGS = re.compile(r"[ \t]*(?:_uuid|[a-z][\w]*)(?:,[a-z_]\w*)+[ \t]*")
JSON = re.compile(r'\s*\{\s*"(?:caption"\s*:\s*"[^"]* table"|data"\s*:\s*\[\s*(?:\[|\]\s*,\s*"headings")|headings"\s*:\s*\[\s*")')


@dataclass(frozen=True, slots=True)
class Kind:
    """A table that is known: what tells it, which columns are kept, which are in OVN's language, its stage."""

    name: str
    known_by: frozenset[str]
    unless: frozenset[str]
    keep: frozenset[str]
    expressions: tuple[str, ...]
    actions: tuple[str, ...]
    stage: str


@dataclass(slots=True)
class Framed:
    """One row: cells by column, each with the line it stands in."""

    table: str
    line: int
    cells: dict[str, tuple[object, int]] = field(default_factory=dict)

    def value(self, column: str) -> Value:
        """A column's value, empty where it is absent."""
        found = self.cells.get(column)
        if found is None:
            return ()
        return of_text(found[0]) if isinstance(found[0], Text) else of_json(found[0])

    def text(self, column: str) -> str:
        """The one member of a column, else empty."""
        found = self.value(column)
        return found[0] if isinstance(found, tuple) and len(found) == 1 else ""

    def at(self, column: str) -> int:
        """The line of a column."""
        return self.cells[column][1] if column in self.cells else self.line


class Text(str):
    """A cell as the tools print it; other cells are values of JSON."""

    __slots__ = ()


@cache
def kinds() -> tuple[Kind, ...]:
    """The tables of rules/ovn/tables.toml."""
    data = loads((rules("ovn") / "tables.toml").read_text(encoding="utf-8"))
    return tuple(
        Kind(
            entry["name"],
            frozenset(entry["known_by"]),
            frozenset(entry.get("unless", ())),
            frozenset(entry["keep"]),
            tuple(entry.get("expressions", ())),
            tuple(entry.get("actions", ())),
            entry.get("stage", ""),
        )
        for entry in data["table"]
    )


@cache
def _named() -> dict[str, Kind]:
    return {kind.name.lower(): kind for kind in kinds()}


def kind_of(name: str, columns: frozenset[str]) -> Kind | None:
    """The table by the name that was said, else by its columns."""
    if (kind := _named().get(name.lower())) is not None or name:
        return kind
    return _by_columns(columns)


@cache
def _by_columns(columns: frozenset[str]) -> Kind | None:
    fit = [kind for kind in kinds() if kind.known_by <= columns and not kind.unless & columns]
    return max(fit, key=lambda kind: len(kind.known_by), default=None)


def name_in(path: str) -> str:
    """The table that a file's name says: ``ovn-nbctl_list_ACL.txt``, ``Sample.csv``."""
    words = re.split(r"[^A-Za-z_]+|_(?=[A-Z])|(?<=list)_", path.rpartition("/")[2])
    for start in range(len(words)):
        for end in range(len(words), start, -1):
            if (kind := _named().get("_".join(words[start:end]).lower())) is not None:
                return kind.name
    return ""


def in_json(source: Source) -> Iterator[Framed]:
    """Rows of documents that have ``headings`` and ``data``, one after the other. Raises ValueError for what is no such document.

    The source is cut so that each row is a line of its own.
    """
    text = source.text()
    decoder = json.JSONDecoder()
    at, starts, found, end = 0, [0], [], 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        try:
            document, at = decoder.raw_decode(text, at)
        except RecursionError:
            raise ValueError("is nested deeper than any table") from None
        data, headings = (document.get(k) for k in ("data", "headings")) if isinstance(document, dict) else (None, None)
        if not isinstance(data, list) or not isinstance(headings, list):
            raise ValueError("is no table of OVSDB: it has no headings and data")
        caption = _CAPTION.fullmatch(str(document.get("caption", "")))
        for row in data:
            if not isinstance(row, list):
                raise ValueError("has a row that is no list")
            begin = _begin(text, row, end)
            if begin >= 0:
                end = begin + 1
                starts.append(max(begin, starts[-1] + 1))
            framed = Framed(caption[1] if caption else "", len(starts))
            framed.cells = {str(h): (v, len(starts)) for h, v in zip(headings, row, strict=False)}
            found.append(framed)
    source.cut(starts if text.isascii() else _byte_starts(text, starts))
    yield from found


def _begin(text: str, row: list[object], start: int) -> int:
    """Where a row that begins with its UUID stands, -1 if it is not found; a set of references looks much the same."""
    first = row[0] if row else None
    if not isinstance(first, list) or len(first) != 2 or first[0] != "uuid" or not isinstance(first[1], str):
        return -1
    begin = start
    while (begin := text.find(f'[["uuid","{first[1]}"]', begin)) >= 0 and text.endswith('"set",', 0, begin):
        begin += 1
    return begin


def _byte_starts(text: str, starts: Sequence[int]) -> list[int]:
    """Offsets in bytes of offsets in characters, ascending."""
    result, done, size = [], 0, 0
    for start in starts:
        size += len(text[done:start].encode("utf-8", "surrogateescape"))
        done = start
        result.append(size)
    return result


def in_text(text: str) -> Iterator[Framed]:
    """Rows of the other forms. Lines that are of no form are passed over."""
    table = ""
    row: Framed | None = None
    header: tuple[str, int] | None = None
    columns: list[tuple[str, int, int]] = []
    headings: list[str] = []
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.rstrip("\r")
        if not line.strip():
            if row:
                yield row
            row, header, columns, headings = None, None, [], []
        elif caption := (_CAPTION.fullmatch(line) or _COMMAND.match(line) if not columns and not headings else None):
            if row:
                yield row
            row, table = None, caption[1]
        elif header and _DASHES.fullmatch(line) and "-" in line:
            columns, header = _columns(header[0], line), None
        elif columns:
            framed = Framed(table, number)
            framed.cells = {name: (Text(line[start:end].strip()), number) for name, start, end in columns}
            yield framed
        elif headings:
            cells = _split(line)
            if len(cells) == len(headings):
                framed = Framed(table, number)
                framed.cells = {name: (Text(cell), number) for name, cell in zip(headings, cells, strict=True)}
                yield framed
        elif _HEADINGS.fullmatch(line):
            headings = line.strip().split(",")
        elif listed := _LISTED.fullmatch(line):
            if row is None or listed[1] in row.cells:
                if row:
                    yield row
                row = Framed(table, number)
            row.cells[listed[1]] = (Text(listed[2] or ""), number)
        else:
            header = (line, number)
    if row:
        yield row


def _columns(header: str, dashes: str) -> list[tuple[str, int, int]]:
    """Name and extent of each column by the dashes below it; the last goes on to the end of its lines."""
    spans = [match.span() for match in re.finditer(r"-+", dashes)]
    return [(header[a:b].strip(), a, b if (a, b) != spans[-1] else 1 << 30) for a, b in spans]


def _split(line: str) -> list[str]:
    cells = []
    for match in _CSV.finditer(line.strip()):
        cells.append(match[1].replace('""', '"') if match[1] is not None else match[2])
        if not match[3]:
            break
    return cells
