"""Which reservation explains a use, and which layout of a component explains most of its uses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import or_

from markreg.attribution.scoped import within
from markreg.bits import format_mask, full, parse_int
from markreg.model import Use
from markreg.registry.effective import Effective, Resolver, Settings, layout_of, layouts
from markreg.registry.model import Registry
from markreg.registry.numbers import extract
from markreg.registry.releases import Interval, lenient
from markreg.registry.signatures import Signature

Attributed = tuple[Use, str, Signature | None]


def chosen_layouts(
    registry: Registry, uses: Iterable[Attributed], releases: Mapping[str, str], settings: Mapping[str, Settings]
) -> tuple[Explainer, dict[str, str]]:
    """What explains uses on this node, and for each component with more than one layout the name of the one in force.

    A known release decides; else the layout that explains most of the component's uses, the newest among equals.
    """
    by_owner: dict[str, list[Attributed]] = {}
    for item in uses:
        by_owner.setdefault(item[1], []).append(item)
    chosen: dict[str, Interval] = {}
    names: dict[str, str] = {}
    for component, entry in registry.components.items():
        known = layouts(entry)
        if len(known) < 2:
            continue
        if component in releases and lenient(releases[component]) is not None:
            chosen[component] = layout_of(entry, releases[component])
        else:
            mine = by_owner.get(component, [])
            chosen[component] = (
                max(reversed(known), key=lambda i: _explained(registry, component, i, settings, mine)) if mine else known[-1]
            )
        names[component] = chosen[component].name
    return Explainer(registry, Resolver(registry, settings, chosen)), names


def _explained(registry: Registry, component: str, layout: Interval, settings: Mapping[str, Settings], uses: Sequence[Attributed]) -> int:
    explain = Explainer(registry, Resolver(registry, settings, {component: layout}))
    return sum(1 for use, owner, signature in uses if explain.rows(use, owner, signature) or explain.jointly(use, owner))


class Explainer:
    """Holds uses against the reservations in force."""

    def __init__(self, registry: Registry, resolver: Resolver) -> None:
        self.registry = registry
        self.resolver = resolver

    def reservation(self, use: Use, owner: str, signature: Signature | None) -> str | None:
        """The path of the smallest reservation that covers a use, if there is exactly one."""
        rows = self.rows(use, owner, signature)
        if not rows:
            return self._otherwise(use, owner, signature)
        least = min(row.mask.bit_count() for row in rows)
        rows = [row for row in rows if row.mask.bit_count() == least]
        for fits in (_by_its_way, _placed, _accessed, _coded, _written_so, _inner):
            if len({row.path for row in rows}) > 1:
                rows = [row for row in rows if fits(row, use)] or rows
        paths = {row.path for row in rows}
        return paths.pop() if len(paths) == 1 else None

    def _otherwise(self, use: Use, owner: str, signature: Signature | None) -> str | None:
        """What would explain a use that nothing in force does: other settings in this release, or a code of long ago."""
        there = [row for row in self._released(owner) if not row.in_force]
        set_ = [row for row in there if row.reservation.status != "retired" and self._fits(row, use, signature)]
        gone = [row for row in there if row.reservation.status == "retired" and row.field == use.field and use.mask == row.mask]
        paths = {row.path for row in set_} or {row.path for row in gone if any(code == use.value for code, _ in row.codes)}
        return paths.pop() if len(paths) == 1 else None

    def jointly(self, use: Use, owner: str) -> bool:
        """Whether codes of several reservations make up the value of a use, at any settings: a socket's mark is one number for all."""
        if not use.value or use.place.kind != "socket":
            return False
        rows = [row for row in self._released(owner) if row.field == use.field and row.reservation.status != "retired"]
        coded = [row for row in rows if any(code == use.value & row.mask for code, _ in row.codes)]
        said = {row.reservation.name: use.value & row.mask for row in coded}
        variants = [(row, row.reservation.variant) for row in coded]
        held = [row for row, of in variants if of is None or said.get(of.of, 0) in {parse_int(code) for code in of.values}]
        known = reduce(or_, (row.mask for row in held), 0)
        return not use.value & ~known

    def _released(self, owner: str) -> list[Effective]:
        """The rows with bits that a component has in its release, in force or not."""
        entry = self.registry.components.get(owner)
        if entry is None:
            return []
        release = self.resolver.release(entry)
        rows = self.resolver.rows(owner)
        return [row for row in rows if row.mask and release in Interval(row.reservation.since, row.reservation.until)]

    def rows(self, use: Use, owner: str, signature: Signature | None) -> list[Effective]:
        """The rows in force that cover a use at its place; only those that its signature names, if it names one."""
        if owner not in self.registry.components:
            return []
        return [row for row in self.resolver.in_force(owner) if self._fits(row, use, signature)]

    def _fits(self, row: Effective, use: Use, signature: Signature | None) -> bool:
        narrowed = signature.reservation if signature else None
        return (
            row.field == use.field
            and narrowed in (None, row.reservation.name)
            and row.certain
            and (row.reservation.changes or use.effect is None)
            and self._covers(row, use)
            and _at_place(row, use)
            and within(self.registry, row.scope, use)
        )

    def means(self, use: Use, owner: str) -> tuple[str, ...]:
        """The names of the codes that a use writes or looks for, by every reservation that has codes there, in the registry's order."""
        if owner not in self.registry.components:
            return ()
        found: dict[str, None] = {}
        # A program that is seen is a setting that is on, whatever the default of it.
        program = use.place.kind == "bpf"
        for row in self.resolver.rows(owner) if program else self.resolver.in_force(owner):
            if not row.codes or row.field != use.field or not row.mask & use.mask or not _by_its_way(row, use):
                continue
            if row.in_force or "bpf" in row.reservation.via:
                found |= dict.fromkeys(
                    f"{row.path} {format_mask(code)}: {name}" for code, name in row.codes if _may_be(use, row.mask, code)
                )
        return tuple(found)

    def _covers(self, row: Effective, use: Use) -> bool:
        if not use.mask & ~row.mask:
            return True
        # A component that writes the whole field on purpose: its bits are those that it sets.
        whole = row.reservation.writes == "whole" and use.access != "read" and use.mask == full(self.registry.fields[row.field].width)
        word = use.effect
        may = use.value if use.value is not None else word.one | word.other | word.copied() if word else None
        return whole and may is not None and not may & ~row.mask


def _acts(row: Effective, use: Use) -> bool:
    """Whether a row shows where a use is: in rules, in a program, at a socket."""
    acts = {"netfilter": "netfilter", "bpf": "bpf", "socket": "socket"}.get(use.place.kind)
    return acts is None or acts in row.reservation.via


def _by_its_way(row: Effective, use: Use) -> bool:
    """Whether a row is of what acts there: a program's codes are no netfilter rule's, and the reverse."""
    return row.reservation.variant is None or _acts(row, use)


def _written_so(row: Effective, use: Use) -> bool:
    """Whether what a use writes may be a row's: no rule writes what a socket begins with. Anybody may look for it."""
    return use.access == "read" or _acts(row, use)


def _may_be(use: Use, mask: int, code: int) -> bool:
    """Whether a use looks for a code under a mask, or writes constants of which it is one; never for what is not known."""
    if use.predicate:
        value = use.predicate.exact()
        return value is not None and not mask & ~use.predicate.mask and value & mask == code
    word = use.effect
    if word is None or use.values or not code or (word.other | (word.zero | word.one) & word.copied()) & mask:
        return False
    if any(bits & mask for source, bits in word.copies if source != (use.field, 0, False)):
        return False
    kept = word.copied() & mask
    return not code & kept and not code & ~word.one and not mask & ~kept & ~code & ~word.zero


def _at_place(row: Effective, use: Use) -> bool:
    """Whether a row that says where it shows may show there."""
    places = row.reservation.read_at if use.access == "read" else row.reservation.write_at
    if not places or use.place.kind != "netfilter":
        return True
    hooks = {h.hook for h in use.place.hooks}
    for place in places:
        table, _, hook = place.partition("/")
        if table in ("", "*", use.place.table) and (not hook or not hooks or hook in hooks):
            return True
    return False


def _placed(row: Effective, use: Use) -> bool:
    return bool(row.reservation.read_at if use.access == "read" else row.reservation.write_at)


def _accessed(row: Effective, use: Use) -> bool:
    return row.reservation.reads if use.access == "read" else row.reservation.changes


def _coded(row: Effective, use: Use) -> bool:
    if use.value is None or row.ranges is None:
        return False
    number = extract(use.value, row.mask)
    return any(low <= number <= high for low, high in row.ranges)


def _inner(row: Effective, use: Use) -> bool:
    return row.reservation.within is not None
