"""``show`` and ``decode`` answer for every reservation of the public registry, in any spelling, with its releases and settings."""

from __future__ import annotations

from functools import cache

import pytest

from markreg.bits import bit_numbers, format_mask
from markreg.decode import Decoder
from markreg.registry.effective import Effective
from markreg.registry.elsewhere import everywhere
from markreg.registry.load import load
from markreg.registry.model import Registry
from markreg.registry.show import Answer, look_up
from tests.support import ROOT

MARKS = ("skb_mark", "ct_mark")


@cache
def registry() -> Registry:
    return load(ROOT / "registry.toml")


@cache
def decoder() -> Decoder:
    return Decoder(registry())


@cache
def shown(what: str) -> Answer:
    return look_up(registry(), what)


@cache
def told(field: str, value: int) -> tuple[tuple[str, str], ...]:
    """Every reservation that a value is read as, with what it means there."""
    return tuple((part.path, part.meaning) for reading in decoder().decode(field, value).readings for part in reading.parts)


@cache
def rows(component: str) -> tuple[Effective, ...]:
    return everywhere(registry(), registry().components[component])


COMPONENTS = sorted(registry().components)


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_reservation_is_found_in_every_spelling(name: str) -> None:
    for row in rows(name):
        assert any((m.component, m.field, m.mask) == (name, row.field, row.mask) for m in shown(row.path).matches)
        if not row.mask:
            continue
        lowest, *_ = bit_numbers(row.mask)
        spellings = [f"{row.field}:{lowest}", f"{row.field}[{lowest}]"]
        if row.field in MARKS:
            spellings += [f"{format_mask(code)}/{format_mask(row.mask)}" for code, _ in row.codes]
            spellings += (
                [format_mask(row.mask), f"{format_mask(row.mask)}/{format_mask(row.mask)}"] if not row.codes and row.ranges is None else []
            )
            spellings += [f"1<<{lowest}", str(lowest)] if row.mask == 1 << lowest else []
        for text in spellings:
            assert any((m.path, m.mask) == (row.path, row.mask) for m in shown(text).matches), text


@pytest.mark.parametrize("name", COMPONENTS)
def test_an_answer_says_when_it_holds(name: str) -> None:
    for row in rows(name):
        r = row.reservation
        match = next(m for m in shown(row.path).matches if (m.field, m.mask, m.why) == (row.field, row.mask, row.why))
        assert all(knob in match.settings for knob in r.when)
        assert all(release in match.releases for release in (r.since, r.until) if release)
        assert match.in_force or match.why


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_code_is_named(name: str) -> None:
    for row in rows(name):
        for code, meaning in row.codes:
            if not code or not row.mask:
                continue
            value = code | tag(row) & ~row.mask
            assert any(path == row.path and meaning in said for path, said in told(row.field, value)) or said_by_a_twin(row, value), (
                row.path,
                hex(value),
            )


def tag(row: Effective) -> int:
    """A code of the discriminator at which the bits mean this; where the bits are its own, the code is one already."""
    variant = row.reservation.variant
    return 0 if variant is None else int(variant.values[0], 16)


def said_by_a_twin(row: Effective, value: int) -> bool:
    """One of several reservations of a component with the same code in the same bits is enough."""
    twins = [r for r in rows(row.component) if r.mask & row.mask and r.path != row.path]
    return any(twin.path == path for twin in twins for path, _ in told(row.field, value))
