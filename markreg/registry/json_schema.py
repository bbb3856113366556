"""The JSON Schema of registry and component files, made of the classes that read them, for editors and other validators."""

from __future__ import annotations

import dataclasses
import inspect
import json
import types
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from markreg.registry.model import RegistryFile, Rules

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_PLAIN = {str: "string", bool: "boolean", int: "integer"}
ROOTS: Mapping[str, type] = {"schema": RegistryFile, "component-schema": Rules}


def json_schema(root: type) -> dict[str, Any]:
    """The schema of a file whose tables are of class ``root`` (one of `ROOTS`). Dates are RFC 3339 strings, as editors read TOML."""
    tables: dict[str, Any] = {}
    _table(root, tables)
    top = tables.pop(root.__name__)
    return {"$schema": _DRAFT, "title": _first_line(root), **top, "$defs": dict(sorted(tables.items()))}


def text(name: str) -> str:
    """A schema of `ROOTS` as a file."""
    return json.dumps(json_schema(ROOTS[name]), indent=2) + "\n"


def _table(cls: Any, tables: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401 (a class)
    if cls.__name__ not in tables:
        tables[cls.__name__] = {}
        hints = get_type_hints(cls, include_extras=True)
        properties, required = {}, []
        for item in dataclasses.fields(cls):
            if item.name == "origin":
                continue
            key = item.name.rstrip("_")
            properties[key] = _of(hints[item.name], tables)
            if isinstance(item.default, str | int) and item.default != "":
                properties[key] = {**properties[key], "default": item.default}
            if item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
                required.append(key)
        tables[cls.__name__].update(
            type="object",
            description=" ".join(inspect.cleandoc(cls.__doc__ or "").split()),
            properties=properties,
            required=required,
            additionalProperties=False,
        )
    return {"$ref": f"#/$defs/{cls.__name__}"}


def _of(hint: Any, tables: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401 (a type hint)
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        inner = _of(args[0], tables)
        return {"anyOf": [inner["items"], inner]} if "one or many" in hint.__metadata__ else inner
    if origin is Literal:
        return {"enum": list(args)}
    if origin in (Union, types.UnionType):
        choices = [_of(a, tables) for a in args if a is not type(None)]
        return choices[0] if len(choices) == 1 else {"anyOf": choices}
    if origin is tuple:
        return {"type": "array", "items": _of(args[0], tables)}
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _of(args[1], tables)}
    if dataclasses.is_dataclass(hint):
        table = _table(hint, tables)
        return {"anyOf": [table, {"type": "string"}]} if hasattr(hint, "from_text") else table
    return {"type": "string", "format": "date"} if hint is date else {"type": _PLAIN[hint]}


def _first_line(cls: type) -> str:
    return inspect.cleandoc(cls.__doc__ or "").splitlines()[0]
