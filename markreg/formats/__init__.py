"""Notations: one module each, found by being here.

A module defines ``NAMES`` (what ``--as`` takes), ``detect(source) -> name or None`` (by content, looking at little of it) and
``read(source, name, scope) -> Reading``. It has a grammar of the same name in grammar/. All modules up to the one that fits are loaded, so
what only reading needs is in a module beside it, whose name begins with ``_``, and is imported by ``read``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import PurePosixPath
from pkgutil import iter_modules
from typing import Protocol, cast

from markreg.model import HOST, Reading, Scope
from markreg.source import Source

_NETNS = re.compile(r"\.netns-([^/]+?)(?:\.\w+)?$")


class Format(Protocol):
    """What a module of this package offers."""

    NAMES: tuple[str, ...]

    def detect(self, source: Source) -> str | None:
        """The name under which this module would read the source, or None."""
        ...

    def read(self, source: Source, name: str, scope: Scope) -> Reading:
        """Everything the source says; never raises on content."""
        ...


@cache
def _modules() -> tuple[str, ...]:
    return tuple(m.name for m in iter_modules(__path__) if not m.name.startswith("_"))


def formats() -> Iterator[Format]:
    """Every notation, by module name; each is loaded when it is its turn."""
    return (cast(Format, import_module(f"{__name__}.{name}")) for name in _modules())


def names() -> tuple[str, ...]:
    """Every notation's name, as ``--as`` takes it."""
    return tuple(sorted(name for f in formats() for name in f.NAMES))


def by_name(name: str) -> Format | None:
    """The module that reads the notation ``name``."""
    return next((f for f in formats() if name in f.NAMES), None)


def detect(source: Source) -> tuple[Format, str] | None:
    """The notation of a source by its content."""
    for candidate in formats():
        if name := candidate.detect(source):
            return candidate, name
    return None


def scope_of(path: str) -> Scope:
    """What a file's name says of its scope: ``NAME.netns-<ns>.txt`` is that namespace, ``ip6…``, ``ip-6…`` or ``ip_-6…`` is IPv6,
    a 4 there is IPv4."""
    name = PurePosixPath(path).name
    netns = match[1] if (match := _NETNS.search(name)) else HOST
    said = re.match(r"ip[-_]*([46])", name)
    family = {"4": "ip", "6": "ip6"}[said[1]] if said else "inet"
    return Scope(netns, family)
