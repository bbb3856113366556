"""Checks: pure functions from a node to findings, one module a family, found by being here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, cast

from markreg.model import Finding, Node, Owned

if TYPE_CHECKING:
    from markreg.paths.asked import Asked
    from markreg.registry.model import Registry
    from markreg.source import Source


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What a check may ask: the node, the registry, the sources by path, and the ways of packets."""

    node: Node
    registry: Registry
    sources: Mapping[str, Source]
    paths: Asked


Check = Callable[[Context, tuple[Finding, ...]], Iterable[Finding]]


def run(context: Context) -> Iterator[Finding]:
    """Every check's findings. A module's ``AFTER`` names the modules whose findings it wants to see first."""
    modules = {m.name: import_module(f"{__name__}.{m.name}") for m in iter_modules(__path__)}
    checks = {name: module for name, module in modules.items() if hasattr(module, "check")}
    found: dict[str, tuple[Finding, ...]] = {}
    while checks:
        name = next(n for n, module in checks.items() if not set(getattr(module, "AFTER", ())) & checks.keys())
        check = cast(Check, checks.pop(name).check)
        earlier = tuple(f for findings in found.values() for f in findings)
        found[name] = tuple(check(context, earlier))
        yield from found[name]


def unattributed(owned: Owned) -> bool:
    """Whether nobody is known to own a use."""
    return owned.owner.startswith("unattributed:")
