"""Values of OVSDB columns, as text (ovsdb/table.c, lib/ovsdb-data.c ovsdb_datum_to_string) and as JSON (RFC 7047, 5.1)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

# A tunnel's key of IPsec, in a map as text and as JSON.
_SECRET = re.compile(rb'(?<![\w-])(psk=)("(?:[^"\\]|\\.)*"|[^,}\s]+)|("psk", ?)("(?:[^"\\]|\\.)*")')

Value = tuple[str, ...] | Mapping[str, str]

_ATOM = r'(?:"(?:[^"\\]|\\.)*"|[^\s,\[\]{}="]+)'
_MEMBER = re.compile(_ATOM)
_PAIR = re.compile(rf"({_ATOM})=({_ATOM})")


def without_secrets(data: bytes) -> bytes:
    """The same text, keys blanked: reports print lines of it."""
    if b"psk" not in data:
        return data
    return _SECRET.sub(lambda m: (m[1] or m[3]) + (b"*" * len(m[2]) if m[2] else b'"' + b"*" * (len(m[4]) - 2) + b'"'), data)


def of_text(text: str) -> Value:
    """``[]``, ``[a, b]``, ``{k="v"}``, a quoted string or a bare word; what is none of them is the text itself."""
    text = text.strip()
    if text.startswith("{") and text.endswith("}"):
        return {_plain(key): _plain(value) for key, value in _PAIR.findall(text)}
    if text.startswith("[") and text.endswith("]"):
        return tuple(_plain(member) for member in _MEMBER.findall(text))
    return (_plain(text),)


def _plain(atom: str) -> str:
    if atom.startswith('"'):
        try:
            return str(json.loads(atom))
        except ValueError:
            return atom.strip('"')
    return atom


def of_json(value: object) -> Value:
    """An atom, ``["set", […]]``, ``["map", [[k, v], …]]`` or ``["uuid", …]``; members that are none of them are left out."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[1], list):
        kind, members = value
        if kind == "set":
            return tuple(found for member in members if (found := _atom(member)) is not None)
        if kind == "map":
            pairs = ((_atom(m[0]), _atom(m[1])) for m in members if isinstance(m, list) and len(m) == 2)
            return {k: v for k, v in pairs if k is not None and v is not None}
    atom = _atom(value)
    return () if atom is None else (atom,)


def _atom(value: object) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float | str):
        return str(value)
    if isinstance(value, list) and len(value) == 2 and value[0] in ("uuid", "named-uuid") and isinstance(value[1], str):
        return value[1]
    return None
