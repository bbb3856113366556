"""What a change of a registry does to who has which bits: taken, freed, retired, moved, narrowed, widened, stolen, newly overlapping.

Whoever gives bits up must say so for a while, because nodes run older releases: a reservation with ``status = "retired"`` and a date
(a tombstone) covers them. Without one the change breaks a promise, and so does taking bits that another just gave up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from operator import or_
from typing import Literal

from markreg.bits import format_bits, full
from markreg.registry import numbers, scopes
from markreg.registry.accepted import today
from markreg.registry.effective import Resolver, layouts
from markreg.registry.model import Registry, Reservation
from markreg.registry.overlaps import Overlap, overlap, pool_resolver
from markreg.registry.releases import Interval

What = Literal["taken", "freed", "retired", "moved", "narrowed", "widened", "stolen", "overlapping", "repinned"]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that changed. ``before`` and ``after`` are masks in ``field`` (0: none); ``text`` says it in words.

    ``other``: from whom bits were stolen, or with whom they overlap.
    """

    what: What
    path: str
    field: str
    before: int
    after: int
    breaking: bool
    text: str
    other: str = ""


@dataclass(frozen=True, slots=True)
class _Held:
    """The bits of one row over all layouts, at default settings."""

    path: str
    row: Reservation
    field: str
    mask: int
    ranges: numbers.Ranges | None
    scope: tuple[str, ...]

    @property
    def alive(self) -> bool:
        return self.row.status != "retired"


_Key = tuple[str, str | None, str | None, str]


def changes(before: Registry, after: Registry) -> tuple[Change, ...]:
    """What changed, what breaks first."""
    old, new = _holdings(before), _holdings(after)
    found = [*_rows(old, new, after), *_stolen(old, new, after), *_pins(before, after), *_overlapping(before, after, old, new)]
    return tuple(sorted(found, key=lambda c: (not c.breaking, c.path, c.field, c.what)))


def _holdings(registry: Registry) -> dict[_Key, _Held]:
    held: dict[_Key, _Held] = {}
    for entry in registry.components.values():
        for layout in layouts(entry):
            resolver = Resolver(registry, releases={entry.name: layout})
            for made in resolver.rows(entry.name):
                row = made.reservation
                if layout.low not in Interval(row.since, row.until) or not made.field:
                    continue
                key = (made.path, row.since, row.until, repr(sorted(row.when.items())))
                known = held.get(key)
                held[key] = _Held(made.path, row, made.field, made.mask | (known.mask if known else 0), made.ranges, made.scope)
    return held


def _matched(old: dict[_Key, _Held], new: dict[_Key, _Held]) -> Iterator[tuple[_Held | None, _Held | None]]:
    """Rows that are the same one, before and after: equal keys first, then those of one path in their order."""
    rest_old = {k: v for k, v in old.items() if k not in new}
    rest_new = {k: v for k, v in new.items() if k not in old}
    yield from ((old[k], new[k]) for k in old.keys() & new.keys())
    for path in sorted({v.path for v in (*rest_old.values(), *rest_new.values())}):
        left = [v for v in rest_old.values() if v.path == path]
        right = [v for v in rest_new.values() if v.path == path]
        for number in range(max(len(left), len(right))):
            yield (left[number] if number < len(left) else None), (right[number] if number < len(right) else None)


def _rows(old: dict[_Key, _Held], new: dict[_Key, _Held], after: Registry) -> Iterator[Change]:
    for was, is_ in _matched(old, new):
        if is_ is None or (was and was.alive and not is_.alive):
            if was:
                yield _gone(was, is_, new, after)
        elif was is None or (is_.alive and not was.alive):
            if is_.alive:
                yield Change("taken", is_.path, is_.field, 0, is_.mask, False, f"{is_.path} takes {_place(is_)}")
        elif is_.alive and (was.field, was.mask, was.ranges, was.scope) != (is_.field, is_.mask, is_.ranges, is_.scope):
            yield _moved(was, is_, new, after)


def _gone(was: _Held, is_: _Held | None, new: dict[_Key, _Held], after: Registry) -> Change:
    if is_ is not None:
        until = f", kept until {is_.row.free_after}" if is_.row.free_after else ""
        text = f"{was.path} retires {_place(was)} on {is_.row.retired}{until}"
        return Change("retired", was.path, was.field, was.mask, is_.mask, False, text)
    if not was.alive:
        early = was.row.free_after is not None and today() < was.row.free_after
        text = f"{was.path}: the tombstone of {_place(was)} is gone" + (f" before {was.row.free_after}" if early else "")
        return Change("freed", was.path, was.field, was.mask, 0, early, text)
    lost = _given_up(was, 0, new, after)
    return Change("freed", was.path, was.field, was.mask, 0, lost, f"{was.path} frees {_place(was)}" + _unburied(lost))


def _moved(was: _Held, is_: _Held, new: dict[_Key, _Held], after: Registry) -> Change:
    what, lost = _difference(was, is_)
    here = is_.mask if is_.field == was.field else 0
    breaking = lost and (was.scope != is_.scope or _given_up(was, here, new, after))
    verb = {"moved": "moves", "narrowed": "narrows", "widened": "widens"}[what]
    text = f"{was.path} {verb} from {_place(was)} to {_place(is_)}"
    return Change(what, was.path, is_.field, was.mask, is_.mask, breaking, text + _unburied(breaking))


def _difference(was: _Held, is_: _Held) -> tuple[Literal["moved", "narrowed", "widened"], bool]:
    """What happened to a place, and whether something was given up."""
    lost = was.field != is_.field or bool(was.mask & ~is_.mask) or not set(was.scope) <= set(is_.scope)
    gained = was.field != is_.field or bool(is_.mask & ~was.mask) or not set(is_.scope) <= set(was.scope)
    if was.ranges != is_.ranges and not lost and not gained:
        inside = is_.ranges is not None and (was.ranges is None or numbers.ranges_within(is_.ranges, was.ranges))
        around = was.ranges is not None and (is_.ranges is None or numbers.ranges_within(was.ranges, is_.ranges))
        # Codes that are not listed any more are nobody's promise; numbers handed out as a range are.
        listed = was.row.value_range is None
        return ("narrowed", not listed) if inside else ("widened", False) if around else ("moved", not listed)
    return ("moved", True) if lost and gained else ("narrowed", True) if lost else ("widened", False)


def _given_up(was: _Held, kept: int, new: dict[_Key, _Held], after: Registry) -> bool:
    """Whether a row had bits, or numbers of a sub-field, that its component neither keeps nor buries."""
    component = was.path.partition("/")[0]
    field = after.fields.get(was.field)
    own = [h for h in new.values() if h.path.partition("/")[0] == component and h.field == was.field]
    if was.row.within and was.ranges is not None:
        return not _covered(was.ranges, [h for h in own if h.row.within == was.row.within])
    others = (h.mask for h in own if field and not scopes.disjoint(after, field, was.scope, h.scope))
    return bool(was.mask & ~kept & ~reduce(or_, others, 0))


def _covered(ranges: numbers.Ranges, rows: list[_Held]) -> bool:
    """Whether rows of one parent have all of these numbers."""
    return numbers.ranges_within(ranges, numbers.joined(r for h in rows for r in h.ranges or ()))


def _unburied(open_: bool) -> str:
    return ' without a tombstone (status = "retired" with a date)' if open_ else ""


def _stolen(old: dict[_Key, _Held], new: dict[_Key, _Held], after: Registry) -> Iterator[Change]:
    """Bits that one component gave up and another took in the same change, or took over a tombstone's head."""
    paths = {h.path for h in old.values()}
    for taker in new.values():
        if not taker.alive:
            continue
        mine = [h for h in old.values() if h.path == taker.path and h.field == taker.field]
        gained = taker.mask & ~reduce(or_, (h.mask for h in mine), 0)
        field = after.fields.get(taker.field)
        if not gained or field is None or taker.mask == full(field.width):
            continue
        for was in old.values():
            common = was.mask & gained
            if not common or was.field != taker.field or was.path.partition("/")[0] == taker.path.partition("/")[0]:
                continue
            if was.mask == full(field.width) or scopes.disjoint(after, field, was.scope, taker.scope) or not _lost(was, taker, common, new):
                continue
            word = "takes" if taker.path in paths else "is new on"
            text = f"{taker.path} {word} {_bits(taker.field, common)}, which {was.path} gives up in this very change"
            if not was.alive:
                text = f"{taker.path} {word} {_bits(taker.field, common)}, which {was.path} has a tombstone on"
            yield Change("stolen", taker.path, taker.field, was.mask, common, True, text, was.path)


def _lost(was: _Held, taker: _Held, common: int, new: dict[_Key, _Held]) -> bool:
    """Whether what a component had and another takes is not its any more, or is kept free by its tombstone."""
    component = was.path.partition("/")[0]
    own = [h for h in new.values() if h.path.partition("/")[0] == component and h.field == was.field and h.alive]
    if was.row.within and was.ranges is not None:
        beside = taker.row.within == was.row.within and taker.ranges is not None and numbers.ranges_meet(was.ranges, taker.ranges)
        if not beside or _covered(was.ranges, [h for h in own if h.row.within == was.row.within]):
            return False
    elif not common & ~reduce(or_, (h.mask for h in own), 0):
        return False
    return was.alive or was.row.free_after is None or today() < was.row.free_after


def _pins(before: Registry, after: Registry) -> Iterator[Change]:
    """Components that join or leave a pool, and settings of a pool that move bits: a rollout, no broken promise."""
    for name in sorted({*before.node_pools, *after.node_pools}):
        old, new = before.node_pools.get(name), after.node_pools.get(name)
        left, right = (pool_resolver(r, name) if p else None for r, p in ((before, old), (after, new)))
        was, now = (dict.fromkeys(c.partition("/")[0] for c in p.components) if p else {} for p in (old, new))
        for component in (*was, *(c for c in now if c not in was)):
            rows = [_by_path(r, component) if r and component in there else {} for r, there in ((left, was), (right, now))]
            if component in was and component in now:
                base = [_by_path(Resolver(r), component) for r in (before, after)]
                for path in rows[0].keys() | rows[1].keys():
                    masks = [part.get(path, ("", 0)) for part in rows]
                    if masks[0] != masks[1] and [b.get(path, ("", 0)) for b in base] != masks:
                        field = masks[1][0] or masks[0][0]
                        moved = f"from {_bits(masks[0][0], masks[0][1])} to {_bits(masks[1][0], masks[1][1])}"
                        yield Change("repinned", path, field, masks[0][1], masks[1][1], False, f"pool {name}: {path} {moved}")
            elif rows[0] or rows[1]:
                joins = component in now
                verb = "joins" if joins else "leaves"
                fields: dict[str, int] = {}
                for field, mask in (rows[1] if joins else rows[0]).values():
                    fields[field] = fields.get(field, 0) | mask
                for field, mask in fields.items():
                    text = f"{component} {verb} pool {name} with {_bits(field, mask)}"
                    yield Change("repinned", component, field, 0 if joins else mask, mask if joins else 0, False, text)


def _by_path(resolver: Resolver, component: str) -> dict[str, tuple[str, int]]:
    found: dict[str, tuple[str, int]] = {}
    for row in resolver.in_force(component):
        found[row.path] = (row.field, found.get(row.path, ("", 0))[1] | row.mask)
    return found


def _overlapping(before: Registry, after: Registry, old: dict[_Key, _Held], new: dict[_Key, _Held]) -> Iterator[Change]:
    """Overlaps that nothing excuses and that were not there: faults in a plan and inside a component, else knowledge."""
    known = {_pair(o): o.mask for o, _ in _overlaps(before, {h.path for h in old.values()} if before.kind == "catalogue" else None)}
    touched = {h.path for k, h in new.items() if old.get(k) != h}
    seen: set[tuple[str, str]] = set()
    for found, fault in _overlaps(after, touched if after.kind == "catalogue" else None):
        pair = _pair(found)
        if pair in seen or not found.mask & ~known.get(pair, 0):
            continue
        seen.add(pair)
        why = f": {found.conflict.mechanism}" if found.conflict else ""
        text = f"{found.a.path} and {found.b.path} now both have {_bits(found.a.field, found.mask)}{why}"
        yield Change("overlapping", pair[0], found.a.field, known.get(pair, 0), found.mask, fault, text, pair[1])


def _pair(found: Overlap) -> tuple[str, str]:
    a, b = sorted((found.a.path, found.b.path))
    return a, b


def _overlaps(registry: Registry, touched: set[str] | None) -> Iterator[tuple[Overlap, bool]]:
    """Overlaps by masked claims, and whether each is a fault where it stands."""
    if registry.kind == "plan":
        groups = [(p.components, pool_resolver(registry, name)) for name, p in registry.node_pools.items()]
        for components, resolver in groups or [(registry.declared, Resolver(registry))]:
            rows = [r for c in dict.fromkeys(c.partition("/")[0] for c in components) for r in resolver.in_force(c)]
            for a, b in combinations(rows, 2):
                found = overlap(registry, a, b, resolver)
                if found and found.severity == "error" and not (found.conflict and a.component == b.component):
                    yield found, True
        return
    resolver = Resolver(registry)
    every = [r for c in registry.components for r in resolver.in_force(c)]
    for a, b in combinations(every, 2):
        if touched is None or a.path in touched or b.path in touched:
            found = overlap(registry, a, b, resolver)
            if found and found.severity == "error":
                yield found, a.component == b.component and not found.conflict


def _bits(field: str, mask: int) -> str:
    return f"{field} {format_bits(mask)}" if mask else "no bits"


def _place(held: _Held) -> str:
    said = _bits(held.field, held.mask)
    if held.row.value_range is not None:
        said += f" values {held.row.value_range}"
    if held.scope != ("host",):
        said += f" in {', '.join(held.scope)}"
    return said
