"""Where a reservation's bits lie besides the place they have by default: in other releases, at other settings.

What a pool hands out depends on who else draws from it, so no row of the registry says by itself where such bits are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

from markreg.registry.effective import Effective, Resolver, layouts
from markreg.registry.model import ComponentEntry, Registry
from markreg.registry.numbers import excludes
from markreg.registry.releases import Interval
from markreg.registry.words import When

# Conditions that are looked at together. Each one more doubles the work, and real pools have three.
_TOGETHER = 3


def moved(registry: Registry, entry: ComponentEntry, layout: Interval) -> Iterator[Effective]:
    """The bits of pools that lie elsewhere in a layout at other settings than the defaults, at the fewest settings that do it.

    Such a row is not in force by default, and ``when`` of its reservation says at which settings it is.
    """
    if not entry.pool:
        return
    seen = {(row.path, row.mask) for row in Resolver(registry, releases={entry.name: layout}).rows(entry.name)}
    for settings in _conditions(entry):
        given = {knob: values[0] for knob, values in settings.items()}
        for row in Resolver(registry, {entry.name: given}, {entry.name: layout}).in_force(entry.name):
            if row.mask and (row.path, row.mask) not in seen and _drawn(entry, row):
                seen.add((row.path, row.mask))
                said = ", ".join(f"{knob} = {str(value).lower()}" for knob, value in given.items())
                meant = replace(row.reservation, when={**settings, **row.reservation.when})
                yield replace(row, in_force=False, why=f"needs {said}", reservation=meant)


def everywhere(registry: Registry, entry: ComponentEntry) -> tuple[Effective, ...]:
    """Every row of a component in its newest layout, and where its bits lie in older ones and at other settings.

    What is only drawn elsewhere, so that it has no bits by default, is there once.
    """
    *older, newest = layouts(entry)
    rows = [*Resolver(registry, releases={entry.name: newest}).rows(entry.name), *moved(registry, entry, newest)]
    for layout in reversed(older):
        seen = {(row.path, row.mask) for row in rows}
        drawn = [row for row in Resolver(registry, releases={entry.name: layout}).rows(entry.name) if _drawn(entry, row)]
        for row in (*drawn, *moved(registry, entry, layout)):
            if row.mask and (row.path, row.mask) not in seen:
                meant = replace(row.reservation, since=layout.since, until=layout.until)
                rows.append(replace(row, in_force=False, why=row.why or layout.name, reservation=meant))
    placed = {row.path for row in rows if row.mask}
    return tuple(row for row in rows if row.mask or row.path not in placed)


def _drawn(entry: ComponentEntry, row: Effective) -> bool:
    return any(draw.name == row.reservation.name for pool in entry.pool for draw in pool.draw)


def _conditions(entry: ComponentEntry) -> Iterator[When]:
    """The settings that can move what the pools of a component hand out, the fewest first."""
    drawn = {draw.name for pool in entry.pool for draw in pool.draw}
    asked = [draw.when for pool in entry.pool for draw in pool.draw]
    asked += [minus.when for pool in entry.pool for minus in pool.minus]
    asked += [row.when for row in entry.reservation if row.name in drawn]
    single = [when for place, when in enumerate(asked) if when and when not in asked[:place]]
    for size in range(1, min(len(single), _TOGETHER) + 1):
        for chosen in combinations(single, size):
            if not any(excludes(a, b) for a, b in combinations(chosen, 2)):
                yield {knob: values for when in chosen for knob, values in when.items()}
