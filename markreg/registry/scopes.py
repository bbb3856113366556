"""Whether two sets of scopes are apart (registry.md section 2)."""

from __future__ import annotations

from collections.abc import Iterable

from markreg.registry.model import Field, Registry, Scope
from markreg.registry.words import Dimension

HOST = "host"
_BRIDGE = "bridge:"


def is_scope(registry: Registry, name: str) -> bool:
    """Whether a name is a scope; every bridge is one by its name (``bridge:br-int`` or ``br-int``)."""
    return name in registry.scopes or _is_bridge(name)


def _is_bridge(name: str) -> bool:
    return name.startswith((_BRIDGE, "br-"))


def scope(registry: Registry, name: str) -> Scope:
    """The scope of a name that `is_scope` knows."""
    known = registry.scopes.get(name)
    return known or Scope(name.removeprefix(_BRIDGE), "bridge")


def separates(dimension: Dimension, field: Field) -> bool:
    """Whether being apart in a dimension keeps the bits of a field apart. One packet passes several conntrack zones."""
    if dimension == "bridge":
        return field.name.startswith("ovs.")
    if dimension == "ct-zone":
        return field.carrier == "connection"
    return True


def disjoint(registry: Registry, field: Field, a: Iterable[str], b: Iterable[str]) -> bool:
    """Whether no carrier of a field is in both: apart in one dimension that separates the field."""
    ours, theirs = _by_dimension(registry, a), _by_dimension(registry, b)
    for dimension in ours.keys() & theirs.keys():
        pairs = [(s, t) for s in ours[dimension] for t in theirs[dimension]]
        if separates(dimension, field) and all(_apart(registry, s, t) for s, t in pairs):
            return True
    by_hand = [
        separates(s.dimension, field) and separates(t.dimension, field) and _said(s, t)
        for group in ours.values()
        for s in group
        for other in theirs.values()
        for t in other
    ]
    return any(by_hand) and all(len(g) == 1 for g in (*ours.values(), *theirs.values()))


def _by_dimension(registry: Registry, names: Iterable[str]) -> dict[Dimension, list[Scope]]:
    result: dict[Dimension, list[Scope]] = {}
    for name in names:
        found = scope(registry, name)
        result.setdefault(found.dimension, []).append(found)
    result.setdefault("netns", [registry.scopes[HOST]])
    return result


def _said(s: Scope, t: Scope) -> bool:
    return t.name in s.disjoint_from or s.name in t.disjoint_from


def _apart(registry: Registry, s: Scope, t: Scope) -> bool:
    if s.name == t.name:
        return False
    if _said(s, t):
        return True
    equal = t.name in s.may_equal or s.name in t.may_equal
    return not (equal or t.name in _around(registry, s) or s.name in _around(registry, t))


def _around(registry: Registry, inner: Scope) -> set[str]:
    """The scopes that a scope is within, through all levels."""
    found: set[str] = set()
    queue = list(inner.within)
    while queue:
        name = queue.pop()
        if name not in found:
            found.add(name)
            queue.extend(scope(registry, name).within)
    return found
