"""Reads a parsed TOML table into a class of `model`: keys, types and defaults are the class's own."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping
from datetime import date
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from markreg.registry.errors import Flaw, did_you_mean
from markreg.registry.model import Origin

T = TypeVar("T")
Keys = tuple[str | int, ...]
Reader = Callable[[Any, str, Keys], Any]


class _Mismatch(Exception):  # noqa: N818 (control flow inside this module)
    """A value is of another type than this reader's."""


def read(cls: type[T], table: Mapping[str, object], path: str, keys: Keys = ()) -> T:
    """The table as an instance of ``cls``. Raises Flaw for an unknown or missing key and for a value of another type."""
    plan, required, has_origin = _plan(cast(Any, cls))
    values: dict[str, object] = {}
    for key, value in table.items():
        if key not in plan:
            raise Flaw(path, (*keys, key), f"unknown key {key!r} in {_title(keys)}{did_you_mean(key, plan)}", value=False)
        name, reader, wanted = plan[key]
        try:
            values[name] = reader(value, path, (*keys, key))
        except _Mismatch as mismatch:
            raise Flaw(path, (*keys, key), str(mismatch) or f"{key} must be {wanted}, not {_shown(value)}") from None
    for key in required:
        if key not in table:
            raise Flaw(path, keys, f"{_title(keys)} has no {key!r}", value=False)
    if has_origin:
        values["origin"] = Origin(path, keys)
    return cls(**values)


def keys_of(cls: type) -> tuple[str, ...]:
    """The keys that a table of this class may have."""
    return tuple(_plan(cls)[0])


def markers(cls: type, key: str) -> tuple[str, ...]:
    """The words with which the class annotates a key (``glob``, ``range``, ``mark``)."""
    return tuple(getattr(_hints(cls)[key], "__metadata__", ()))


@cache
def _hints(cls: Any) -> dict[str, Any]:  # noqa: ANN401
    return get_type_hints(cls, include_extras=True)


@cache
def _plan(cls: Any) -> tuple[dict[str, tuple[str, Reader, str]], tuple[str, ...], bool]:  # noqa: ANN401 (a class)
    """For each key its attribute, its reader and what it must be; the required keys; whether the class has an origin."""
    hints = _hints(cls)
    plan: dict[str, tuple[str, Reader, str]] = {}
    required = []
    for item in dataclasses.fields(cls):
        if item.name == "origin":
            continue
        key = item.name.rstrip("_")
        plan[key] = (item.name, _reader(hints[item.name]), _wanted(hints[item.name]))
        if item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            required.append(key)
    return plan, tuple(required), "origin" in hints


def _title(keys: Keys) -> str:
    """A table as its header names it."""
    names = [str(k) for k in keys if isinstance(k, str)]
    if not names:
        return "the file"
    return f"[[{'.'.join(names)}]]" if isinstance(keys[-1], int) else ".".join(names)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    return "a list" if isinstance(value, list) else repr(value)[:60]


_NAMES = {str: "a string", bool: "true or false", int: "a number", date: "a date"}


def _wanted(hint: Any) -> str:  # noqa: ANN401 (a type hint)
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        inner = _wanted(args[0])
        return f"{_wanted(get_args(args[0])[0])} or {inner}" if "one or many" in hint.__metadata__ else inner
    if origin is Literal:
        return "one of " + ", ".join(str(a) for a in args) if len(args) > 1 else repr(args[0])
    if origin in (Union, types.UnionType):
        return " or ".join(_wanted(a) for a in args if a is not type(None))
    if origin is tuple:
        return f"a list ({_wanted(args[0])} each)"
    if hint in _NAMES:
        return _NAMES[hint]
    return "a table"


def _reader(hint: Any) -> Reader:  # noqa: ANN401 (a type hint)
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _listed(args[0], "one or many" in hint.__metadata__)
    if origin is Literal:
        return _choice(args)
    if origin in (Union, types.UnionType):
        return _union([_reader(a) for a in args if a is not type(None)])
    if origin is tuple:
        return _listed(hint, False)
    if origin is not None and issubclass(origin, Mapping):
        return _mapped(_reader(args[1]), _wanted(args[1]))
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _table(hint)
    return _plain(hint)


def _plain(kind: type) -> Reader:
    def read_plain(value: Any, path: str, keys: Keys) -> object:  # noqa: ANN401
        # Not isinstance: bool is an int and datetime a date to Python, not to TOML.
        if type(value) is not kind:
            raise _Mismatch
        return value

    return read_plain


def _choice(allowed: tuple[object, ...]) -> Reader:
    def read_choice(value: Any, path: str, keys: Keys) -> object:  # noqa: ANN401
        if value in allowed and not isinstance(value, bool):
            return value
        if isinstance(value, str) and len(allowed) > 1:
            names = [str(a) for a in allowed]
            raise _Mismatch(f"{value!r} is none of {', '.join(names)}{did_you_mean(value, names)}")
        raise _Mismatch

    return read_choice


def _union(readers: list[Reader]) -> Reader:
    def read_any(value: Any, path: str, keys: Keys) -> object:  # noqa: ANN401
        said = ""
        for reader in readers:
            try:
                return reader(value, path, keys)
            except _Mismatch as mismatch:
                said = str(mismatch)
        raise _Mismatch(said if len(readers) == 1 else "")

    return readers[0] if len(readers) == 1 else read_any


def _listed(hint: Any, one_or_many: bool) -> Reader:  # noqa: ANN401 (a type hint)
    element = _reader(get_args(hint)[0])
    wanted = _wanted(get_args(hint)[0])

    def read_list(value: Any, path: str, keys: Keys) -> object:  # noqa: ANN401
        if not isinstance(value, list):
            if not one_or_many:
                raise _Mismatch
            return (element(value, path, keys),)
        result = []
        for number, item in enumerate(value):
            try:
                result.append(element(item, path, (*keys, number)))
            except _Mismatch as mismatch:
                said = str(mismatch) or f"{keys[-1]} must hold {wanted} each, not {_shown(item)}"
                raise Flaw(path, (*keys, number), said) from None
        return tuple(result)

    return read_list


def _mapped(element: Reader, wanted: str) -> Reader:
    def read_mapping(value: Any, path: str, keys: Keys) -> object:  # noqa: ANN401
        if not isinstance(value, dict):
            raise _Mismatch
        result = {}
        for key, item in value.items():
            try:
                result[key] = element(item, path, (*keys, key))
            except _Mismatch as mismatch:
                raise Flaw(path, (*keys, key), str(mismatch) or f"{key} must be {wanted}, not {_shown(item)}") from None
        return result

    return read_mapping


def _table(cls: type) -> Reader:
    from_text = getattr(cls, "from_text", None)

    def read_table(value: Any, path: str, keys: Keys) -> object:  # noqa: ANN401
        if isinstance(value, dict):
            return read(cls, value, path, keys)
        if from_text and isinstance(value, str):
            return from_text(value)
        raise _Mismatch

    return read_table
