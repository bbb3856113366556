"""Outputs: one module a format, found by being here.

A module defines ``NAME`` (what ``--format`` takes: the module's name without a trailing underscore) and
``render(audit, options, sources) -> str``, which never raises on content. What formats share is in `markreg.report.parts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from markreg.model import Audit
    from markreg.source import Source


@dataclass(frozen=True, slots=True)
class Options:
    """How to print. ``width`` is in columns; ``quiet`` leaves findings only, ``verbose`` says more of everything."""

    color: bool = False
    unicode: bool = True
    width: int = 80
    quiet: bool = False
    verbose: bool = False


class Format(Protocol):
    """What a module of this package offers."""

    NAME: str

    def render(self, audit: Audit, options: Options, sources: Mapping[str, Source]) -> str:
        """The whole output, ending with a newline unless it is empty; ``sources`` are the inputs by path."""
        ...


def _modules() -> dict[str, str]:
    return {m.name.rstrip("_"): m.name for m in iter_modules(__path__) if not m.ispkg and not m.name.startswith("_")}


def names() -> tuple[str, ...]:
    """Every format, without loading any."""
    return tuple(sorted(_modules()))


def by_name(name: str) -> Format | None:
    """The module of a format, None if there is no such format."""
    module = _modules().get(name)
    return cast(Format, import_module(f"{__name__}.{module}")) if module else None
