"""Which reservations get into each other's way, and what excuses it (registry.md section 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from operator import or_
from typing import Literal, cast

from markreg.bits import format_bits, full, parse_int
from markreg.model import Finding, Location, Severity
from markreg.registry import accepted, numbers, pins, positions
from markreg.registry.agreements import Side, agreed, named
from markreg.registry.effective import Effective, Resolver, layouts
from markreg.registry.model import Conflict, Registry
from markreg.registry.releases import Interval, lenient, span
from markreg.registry.scopes import disjoint

CODE = "MK305"
_PLACES = 3


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two rows that nothing excuses. ``mask``: the bits both use; ``severity`` a warning if only because one uses the whole field."""

    a: Effective
    b: Effective
    mask: int
    severity: Severity
    conflict: Conflict | None = None


def overlap(registry: Registry, a: Effective, b: Effective, resolver: Resolver) -> Overlap | None:
    """What is wrong between two rows, None if their bits are apart or section 5 excuses it."""
    field = registry.fields.get(a.field)
    if a.field != b.field or field is None or not (a.in_force and b.in_force and a.certain and b.certain):
        return None
    common, severity = _common(a, b, full(field.width))
    if not common or disjoint(registry, field, a.scope, b.scope):
        return None
    if a.component == b.component and _same_component(a, b):
        return None
    if _nested(registry, a, b) or _agreed(registry, a, b, common):
        return None
    return Overlap(a, b, common, severity, explained(registry, a.path, b.path, resolver))


def _common(a: Effective, b: Effective, everything: int) -> tuple[int, Severity]:
    """The bits in which two rows meet, and how bad that is."""
    masked = _claim(a, everything) & _claim(b, everything)
    if masked:
        return masked, "error"
    touched = [everything if _whole_writer(row) else row.mask for row in (a, b)]
    return touched[0] & touched[1], "warning"


def _claim(row: Effective, everything: int) -> int:
    """The bits that mean something to a row: of one that takes the whole field, those that its codes set."""
    if row.mask != everything:
        return row.mask
    bits = reduce(or_, (code for code, _ in row.codes), 0)
    return bits | numbers.bits_of_ranges(row.ranges) if row.ranges and not row.codes else bits


def _same_component(a: Effective, b: Effective) -> bool:
    """Excuses 1 and 3: rows that exclude each other, alternatives, variants, a discriminator and its variant."""
    x, y = a.reservation, b.reservation
    if not Interval(x.since, x.until).meets(Interval(y.since, y.until)) or numbers.excludes(x.when, y.when):
        return True
    names = {x.name: {n.rpartition("/")[2] for n in x.alternatives}, y.name: {n.rpartition("/")[2] for n in y.alternatives}}
    if y.name in names[x.name] or x.name in names[y.name]:
        return True
    of = [r.variant.of.rpartition("/")[2] if r.variant else None for r in (x, y)]
    if of[0] == y.name or of[1] == x.name:
        return True
    if x.variant and y.variant and of[0] == of[1]:
        return not {parse_int(v) for v in x.variant.values} & {parse_int(v) for v in y.variant.values}
    return False


def _nested(registry: Registry, a: Effective, b: Effective) -> bool:
    """Excuse 4: one is within the other, or both are within one parent and have disjoint ranges."""
    above_a, above_b = _ancestors(registry, a.path), _ancestors(registry, b.path)
    if b.path in above_a or a.path in above_b:
        return True
    if not set(above_a) & set(above_b):
        return False
    return a.ranges is not None and b.ranges is not None and not numbers.ranges_meet(a.ranges, b.ranges)


def _ancestors(registry: Registry, path: str) -> list[str]:
    found: list[str] = []
    while True:
        within = next((r.within for r in registry.rows(path) if r.within), None)
        if within is None:
            return found
        path = within if "/" in within else f"{path.partition('/')[0]}/{within}"
        if path in found:
            return found
        found.append(path)


def _agreed(registry: Registry, a: Effective, b: Effective, common: int) -> bool:
    """Excuse 5: an agreement covers all common bits, and neither uses the whole field."""
    if _whole_writer(a) or _whole_writer(b):
        return False
    return all(agreed(registry, s, t, a.field, common) for s in _sides(a) for t in _sides(b))


def _sides(row: Effective) -> list[Side]:
    accesses = (("read", row.reservation.reads), ("write", row.reservation.changes))
    return [Side(row.path, cast(Literal["read", "write"], access)) for access, does in accesses if does] or [Side(row.path, "read")]


def _whole_writer(row: Effective) -> bool:
    return row.reservation.writes == "whole" and row.reservation.changes


def explained(registry: Registry, a: str, b: str, resolver: Resolver) -> Conflict | None:
    """The known conflict between two paths in the releases at hand: it excuses nothing, but tells why and what to do."""
    for conflict in registry.conflicts:
        names = conflict.between
        pairs = [(p, q) for p in names for q in names if p != q] or [(p, p) for p in names]
        if not any(named(a, (p,)) and named(b, (q,)) for p, q in pairs):
            continue
        if all(_in_span(registry, resolver, component, text) for component, text in conflict.releases.items()):
            return conflict
    return None


def _in_span(registry: Registry, resolver: Resolver, component: str, text: str) -> bool:
    entry = registry.components.get(component)
    return entry is None or resolver.release(entry) in span(text)


def check(registry: Registry) -> tuple[Finding, ...]:
    """MK305 for what this registry must explain and does not, MK306 for pinned settings that components refuse, MK308 for accepted
    entries that hide nothing (any more).

    A catalogue answers for each component by itself, in every layout; a plan for each node pool, or without one for the
    components that it declares itself.
    """
    found = _grouped(_catalogue(registry) if registry.kind == "catalogue" else _plan(registry))
    findings = [_finding(registry, group, pool) for group, pool in found]
    for name, pool in registry.node_pools.items():
        findings += pins.refused(registry, pool, pool_resolver(registry, name))
    return accepted.apply(findings, registry, judged=(CODE, pins.CODE))


def pool_resolver(registry: Registry, name: str) -> Resolver:
    """What is in force on the nodes of a pool."""
    pool = registry.node_pools[name]
    return Resolver(registry, pool.settings, {c: r for c, r in pool.releases.items() if lenient(r) is not None})


def _catalogue(registry: Registry) -> Iterator[tuple[Overlap, str]]:
    for entry in registry.components.values():
        for layout in layouts(entry):
            resolver = Resolver(registry, releases={entry.name: layout})
            for a, b in combinations(resolver.in_force(entry.name), 2):
                found = overlap(registry, a, b, resolver)
                if found and not found.conflict:
                    yield found, ""


def _plan(registry: Registry) -> Iterator[tuple[Overlap, str]]:
    pools = {name: (pool.components, pool_resolver(registry, name)) for name, pool in registry.node_pools.items()}
    for name, (components, resolver) in (pools or {"": (registry.declared, Resolver(registry))}).items():
        rows = [row for c in dict.fromkeys(components) for row in resolver.in_force(c.partition("/")[0])]
        for a, b in combinations(rows, 2):
            found = overlap(registry, a, b, resolver)
            # What a project does to itself is known where it has a conflict entry; a cluster's plan cannot change it.
            if found and not (found.conflict and a.component == b.component):
                yield found, name


def _grouped(found: Iterable[tuple[Overlap, str]]) -> list[tuple[list[Overlap], str]]:
    """One group for each pair of components, field and pool; inside one component for each pair of reservations.

    A group that holds errors holds nothing else, and each pair once.
    """
    groups: dict[tuple[str, ...], dict[tuple[str, str], Overlap]] = {}
    for item, pool in found:
        a, b = item.a, item.b
        key: tuple[str, ...] = (a.component, b.component, a.field, pool) if a.component != b.component else (a.path, b.path, a.field, pool)
        pairs = groups.setdefault(key, {})
        known = pairs.get((a.path, b.path))
        if known is None or (known.severity, item.severity) == ("warning", "error"):
            pairs[a.path, b.path] = item
    result = []
    for key, pairs in groups.items():
        errors = [o for o in pairs.values() if o.severity == "error"]
        result.append((errors or list(pairs.values()), key[-1]))
    return result


def findings(registry: Registry, found: Iterable[Overlap], place: Callable[[Effective], Location]) -> Iterator[Finding]:
    """MK305 for overlaps on one node; ``place`` says where a row's bits are decided."""
    for group, pool in _grouped((overlap, "") for overlap in found):
        yield _finding(registry, group, pool, place)


def _finding(registry: Registry, group: list[Overlap], pool: str, place: Callable[[Effective], Location] | None = None) -> Finding:
    first = group[0]
    where = f" on nodes of pool {pool}" if pool else ""
    mask = reduce(or_, (o.mask for o in group))
    one, other = (list({row.path: row for row in side}.values()) for side in ([o.a for o in group], [o.b for o in group]))
    both = f"{_names(one)} and {_names(other)}"
    field = first.a.field
    if first.severity == "warning":
        whole = [r for r in (*one, *other) if _whole_writer(r) or r.mask == full(registry.fields[field].width)]
        message = f"{both} meet in {field}{where}: {_names(whole)} {'uses' if len(whole) == 1 else 'use'} the whole field"
    else:
        message = f"{both} both have {field} bits {format_bits(mask)}{where}"
    conflict = next((o.conflict for o in group if o.conflict), None)
    if conflict:
        message += f": {conflict.mechanism}"
    return Finding(
        code=CODE,
        severity=first.severity,
        message=message,
        field=field,
        mask=mask,
        owners=(first.a.path, first.b.path) if len(group) == 1 else (first.a.component, first.b.component),
        locations=tuple(dict.fromkeys((place or _location)(r) for side in (one, other) for r in side[:_PLACES])),
        help=conflict.way_out if conflict and conflict.way_out else _help(first.a, first.b),
        occurrences=len(group),
    )


def _names(rows: Sequence[Effective]) -> str:
    """Reservations of one component in few words: ``calico/accept``, ``calico (accept, pass)``."""
    by_component: dict[str, list[str]] = {}
    for row in rows:
        by_component.setdefault(row.component, []).append(row.reservation.name)
    return ", ".join(f"{c}/{n[0]}" if len(n) == 1 else f"{c} ({', '.join(n)})" for c, n in by_component.items())


def _help(a: Effective, b: Effective) -> str:
    knobs = [f"{r.component} {r.reservation.bits_from.knob}" for r in (a, b) if r.reservation.bits_from]
    if knobs:
        return f"move one of them with {' or '.join(knobs)}, or state an [[agreement]] if they share these bits on purpose"
    if a.component == b.component:
        return "say why they can share bits: since/until, when, scope, variant, alternatives or within"
    return "give one of them other bits, or state an [[agreement]] if they share these bits on purpose"


def _location(row: Effective) -> Location:
    origin = row.reservation.origin
    found = positions.of_file(origin.path)
    line, column, end = found.find((*origin.keys, "name"), value=True)
    role = "writer" if row.reservation.changes else "reader"
    return Location(role, row.path, "registry", origin.path, line, column, end, found.line(line))
