"""Expressions and statements of nft's JSON in nft's own notation (libnftables-json(5)), so that both have one meaning."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeAlias

# What json gives: its shape is only known when it is looked at.
Json: TypeAlias = Any

_WORD = re.compile(r"[\w.:/@*+-]+")
# nft prints marks padded, and other numbers as they are.
_MARK = re.compile(r"mark|label")
_PADDED = re.compile(r"(?<![\w.:])0x[0-9a-f]{8}(?![\w.:])")
_OPERATORS = {"<<": 1, ">>": 1, "&": 2, "^": 3, "|": 4}
_VERDICTS = {"accept", "drop", "continue", "return", "break"}


class RenderError(ValueError):
    """An expression that libnftables-json(5) does not have."""


def statement_text(statement: Json) -> str:
    """A statement of a rule; those that say nothing of marks by their words alone."""
    if not isinstance(statement, dict) or len(statement) != 1:
        raise RenderError(str(statement)[:80])
    kind, inner = next(iter(statement.items()))
    if kind in _STATEMENTS and isinstance(inner, dict):
        text = _STATEMENTS[kind](inner)
        return text if _MARK.search(text) else _PADDED.sub(lambda m: str(int(m[0], 16)), text)
    if kind in ("counter", "last"):
        return ""
    if kind == "xt":
        return _xt({})
    if kind in _VERDICTS:
        return str(kind)
    return f"{kind} {_parts(inner)}".strip()


def elements_text(elements: list[Json]) -> str:
    """Elements between braces."""
    if all(type(e) is int for e in elements):
        return "{ " + ", ".join([f"{e:#010x}" for e in elements]) + " }"
    return "{ " + ", ".join([_element(e) for e in elements]) + " }"


def _element(element: Json) -> str:
    if isinstance(element, list) and len(element) == 2:
        return f"{_element(element[0])} : {_element(element[1])}"
    if isinstance(element, dict) and isinstance(inner := element.get("elem"), dict):
        return _element(inner.get("val"))
    return _expression(element)


def _expression(value: Json, within: int = 9) -> str:
    """An expression; ``within``: how loosely the operation around it binds."""
    if isinstance(value, bool):
        return "exists" if value else "missing"
    if isinstance(value, int):
        return f"{value:#010x}" if value >= 0 else str(value)
    if isinstance(value, str):
        return value if _WORD.fullmatch(value) else f'"{value.replace(chr(34), "")}"'
    if isinstance(value, list):
        return ",".join(_expression(v) for v in value) if within == 9 else f"({' | '.join(_expression(v, 4) for v in value)})"
    if isinstance(value, dict) and len(value) >= 1:
        kind, inner = next(iter(value.items()))
        if kind in _OPERATORS and isinstance(inner, list) and len(inner) >= 2:
            level = _OPERATORS[kind]
            text = f" {kind} ".join(_expression(v, level if not n else level - 1) for n, v in enumerate(inner))
            return f"({text})" if level > within else text
        if kind in _EXPRESSIONS:
            return _EXPRESSIONS[kind](inner)
        if kind in _VERDICTS:
            return str(kind)
    raise RenderError(str(value)[:80])


def _words(*words: object) -> str:
    return " ".join(str(w) for w in words if w not in (None, ""))


def _match(inner: dict[str, Json]) -> str:
    left, relation = inner.get("left"), str(inner.get("op", "=="))
    operation = isinstance(left, dict) and next(iter(left), "") in _OPERATORS
    label = isinstance(left, dict) and left.get("ct", {}) == {"key": "label"}
    shown = relation if relation not in ("==", "in") or (relation == "==" and (operation or label)) else ""
    right = inner.get("right")
    if isinstance(right, dict) and "range" in right and relation == "==":
        shown = ""
    return _words(_expression(left), shown, _device(left, right) or _expression(right))


def _device(left: Json, right: Json) -> str:
    """A name of devices, which nft quotes."""
    if isinstance(left, dict) and isinstance(meta := left.get("meta"), dict) and re.fullmatch(r"[io]if(?:name)?", str(meta.get("key"))):
        if isinstance(right, str):
            return f'"{right.replace(chr(34), "")}"'
        if isinstance(right, dict) and isinstance(names := right.get("set"), list):
            return "{ " + ", ".join(f'"{str(n).replace(chr(34), "")}"' for n in names) + " }"
    return ""


def _mangle(inner: dict[str, Json]) -> str:
    return f"{_expression(inner.get('key'))} set {_expression(inner.get('value'))}"


def _vmap(inner: dict[str, Json]) -> str:
    return f"{_expression(inner.get('key'))} vmap {_expression(inner.get('data'))}"


def _update(inner: dict[str, Json]) -> str:
    """What a rule adds to a set or map."""
    data = inner.get("data")
    element = _element(inner.get("elem")) + (f" : {_expression(data)}" if data is not None else "")
    return _words(inner.get("op"), inner.get("set") or inner.get("map"), "{", element, "}")


def _jump(verb: str) -> Callable[[dict[str, Json]], str]:
    return lambda inner: f"{verb} {inner.get('target', '')}"


def _queue(inner: dict[str, Json]) -> str:
    return _words(
        "queue", "to" if inner.get("num") is not None else "", _expression(inner.get("num", "")) if inner.get("num") is not None else ""
    )


def _xt(inner: dict[str, Json]) -> str:
    return f"xt {inner.get('type', 'target')} {inner.get('name', 'unknown')}"


def _parts(inner: Json) -> str:
    """The words of a statement that is not about marks, with the expressions in it in full."""
    if isinstance(inner, dict):
        try:
            return _expression(inner)
        except (RenderError, AttributeError, TypeError, LookupError):
            return _words(*(_words(key, _parts(value)) if not isinstance(value, str) else key for key, value in inner.items()))
    if isinstance(inner, list):
        return _words(*(_parts(v) for v in inner))
    return "" if inner is None or isinstance(inner, bool) else str(inner) if isinstance(inner, int | float) else '""'


def _meta(inner: Json) -> str:
    key = str(inner.get("key", "")) if isinstance(inner, dict) else str(inner)
    return key if key in ("iif", "oif", "iifname", "oifname", "skuid", "skgid", "cpu") else f"meta {key}"


def _ct(inner: Json) -> str:
    return _words("ct", inner.get("dir"), inner.get("family"), inner.get("key"))


def _payload(inner: Json) -> str:
    if "base" in inner:
        return f"@{inner.get('base')},{inner.get('offset')},{inner.get('len')}"
    return _words(inner.get("tunnel"), inner.get("protocol"), inner.get("field"))


def _option(kind: str) -> Callable[[Json], str]:
    return lambda inner: _words(kind, inner.get("name"), inner.get("field"))


def _fib(inner: Json) -> str:
    flags = inner.get("flags", [])
    return f"fib {' . '.join(str(f) for f in flags) if isinstance(flags, list) else flags} {inner.get('result', '')}"


def _numgen(inner: Json) -> str:
    return _words("numgen", inner.get("mode", "inc"), _modulus(inner))


def _jhash(inner: Json) -> str:
    return _words("jhash", _expression(inner.get("expr")), _modulus(inner))


def _modulus(inner: Json) -> str:
    seed, offset = inner.get("seed"), inner.get("offset")
    return _words("mod", inner.get("mod", 1), f"seed {seed:#x}" if isinstance(seed, int) else "", f"offset {offset}" if offset else "")


def _map(inner: Json) -> str:
    return f"{_expression(inner.get('key'))} map {_expression(inner.get('data'))}"


def _range(inner: Json) -> str:
    return f"{_expression(inner[0])}-{_expression(inner[1])}"


def _prefix(inner: Json) -> str:
    return f"{_expression(inner.get('addr'))}/{inner.get('len')}"


_STATEMENTS: dict[str, Callable[[dict[str, Json]], str]] = {
    "match": _match,
    "mangle": _mangle,
    "vmap": _vmap,
    "set": _update,
    "map": _update,
    "jump": _jump("jump"),
    "goto": _jump("goto"),
    "queue": _queue,
    "xt": _xt,
    "flow": lambda inner: _words("flow", inner.get("op"), inner.get("flowtable")),
}
_EXPRESSIONS: dict[str, Callable[[Json], str]] = {
    "meta": _meta,
    "ct": _ct,
    "socket": lambda inner: f"socket {inner.get('key')}",
    "osf": lambda inner: f"osf {inner.get('key', 'name')}",
    "rt": lambda inner: f"rt {inner.get('key')}",
    "payload": _payload,
    "exthdr": _option("exthdr"),
    "tcp option": _option("tcp option"),
    "ip option": _option("ip option"),
    "sctp chunk": _option("sctp chunk"),
    "ipsec": lambda inner: f"ipsec {inner.get('key')}",
    "tunnel": lambda inner: f"meta {inner.get('key')}",
    "fib": _fib,
    "numgen": _numgen,
    "jhash": _jhash,
    "symhash": lambda inner: f"symhash {_modulus(inner)}",
    "concat": lambda inner: " . ".join(_expression(v, 4) for v in inner),
    "set": lambda inner: elements_text(inner if isinstance(inner, list) else [inner]),
    "map": _map,
    "range": _range,
    "prefix": _prefix,
    "elem": lambda inner: _element(inner.get("val")),
    "jump": lambda inner: f"jump {inner.get('target')}",
    "goto": lambda inner: f"goto {inner.get('target')}",
}
