"""Which bits a reservation has at which settings, in which release."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markreg.bits import full
from markreg.registry.effective import Effective, Resolver, layouts, resolve
from markreg.registry.load import load
from markreg.registry.numbers import bits_of_ranges, deposit, extract, lowest_bits, parse_ranges
from markreg.registry.words import Scalar

CASES = Path(__file__).resolve().parent / "cases"
REGISTRY = load(CASES / "registries" / "node.toml", rules=CASES / "rules")


def felix(release: str | None = None, **settings: Scalar) -> dict[str, Effective]:
    said = {name.replace("_", "-"): value for name, value in settings.items()}
    return {row.reservation.name: row for row in resolve(REGISTRY, "calico", said, release)}


@pytest.mark.parametrize(
    ("release", "settings", "expected"),
    [
        (None, {}, {"accept": 0x10000, "pass": 0x20000, "drop": 0x40000, "scratch0": 0x80000, "scratch1": 0x100000}),
        ("3.30.2", {}, {"drop": 0x40000, "scratch0": 0x80000}),
        ("v3.29.1", {}, {"accept": 0x10000, "pass": 0x20000, "scratch0": 0x40000, "scratch1": 0x80000}),
        (None, {"bpf": True, "wireguard": True}, {"scratch0": 0x80000, "scratch1": 0x20000000, "wireguard": 0x40000000}),
        ("3.29", {"bpf": True, "wireguard": True}, {"scratch1": 0x80000, "wireguard": 0x20000000}),
        (None, {"wireguard": True}, {"wireguard": 0x200000}),
        (None, {"mark_mask": "0xff000000"}, {"accept": 0x1000000, "drop": 0x4000000}),
        (None, {"mark_mask": 0xFF000000}, {"accept": 0x1000000}),
        (None, {"ipvs": True}, {"endpoint": 0xFFE00000}),
        ("3.29", {"ipvs": True, "wireguard": True}, {"endpoint": 0xFFE00000}),
    ],
)
def test_felix_hands_out_bits(release: str | None, settings: dict[str, Scalar], expected: dict[str, int]) -> None:
    rows = felix(release, **settings)
    assert {name: rows[name].mask for name in expected} == expected
    assert all(rows[name].in_force and rows[name].certain for name in expected)


@pytest.mark.parametrize(
    ("release", "settings", "name", "why"),
    [
        ("3.29", {}, "drop", "not drawn here"),
        (None, {}, "wireguard", "not drawn here"),
        (None, {}, "endpoint", "needs ipvs = true"),
        (None, {"ipvs": False}, "bpf-flags", "needs bpf = true"),
    ],
)
def test_what_is_not_in_force_says_why(release: str | None, settings: dict[str, Scalar], name: str, why: str) -> None:
    row = felix(release, **settings)[name]
    assert not row.in_force
    assert row.why == why


def test_a_mask_without_the_bpf_bits_is_refused() -> None:
    resolver = Resolver(REGISTRY, {"calico": {"mark-mask": "0xff00ffff", "bpf": True}})
    assert resolver.faults("calico") == ("mark-mask = 0xff00ffff with bpf = true does not cover 0x1ff00000",)
    assert Resolver(REGISTRY).faults("calico") == ()


def test_drawing_more_than_there_is() -> None:
    faults = Resolver(REGISTRY, {"calico": {"mark-mask": "0xf0000"}}).faults("calico")
    assert faults == ("mark-mask has too few bits: nothing is left for scratch1",)
    assert "2 are needed" in Resolver(REGISTRY, {"calico": {"mark-mask": "0x10000"}}).faults("calico")[0]


def test_an_unknown_setting_is_any_bits_never_the_default() -> None:
    rows = {r.reservation.name: r for r in Resolver(REGISTRY, {"calico": {"mark-mask": None}}).rows("calico")}
    assert rows["accept"].mask == full(32)
    assert not rows["accept"].certain
    (row,) = Resolver(REGISTRY, {"kube-proxy": {"masquerade-bit": None}}).rows("kube-proxy")
    assert (row.mask, row.certain) == (full(32), False)


def test_bits_follow_their_knob() -> None:
    assert resolve(REGISTRY, "kube-proxy")[0].mask == 0x4000
    assert resolve(REGISTRY, "kube-proxy", {"masquerade-bit": "0x1f"})[0].mask == 0x80000000
    assert "outside 0-31" in Resolver(REGISTRY, {"kube-proxy": {"masquerade-bit": 32}}).faults("kube-proxy")[0]


def test_a_child_takes_its_parents_place(tmp_path: Path) -> None:
    file = tmp_path / "registry.toml"
    file.write_text(
        """version = 1
[[scope]]
name = "switch"
dimension = "ct-zone"
[[component]]
name = "ovn"
reservation = [
  { name = "collector", field = "ct_mark", bits = "16-23", scope = "switch", value_range = "1-255", since = "24.09", source = "o" },
]
[[component]]
name = "ours"
reservation = [{ name = "drops", within = "ovn/collector", value_range = "16-23", source = "o" }]
"""
    )
    registry = load(file, rules=CASES / "rules")
    row = resolve(registry, "ours")[0]
    assert (row.field, row.mask, row.scope, row.ranges, row.in_force) == ("ct_mark", 0xFF0000, ("switch",), ((16, 23),), True)
    old = Resolver(registry, releases={"ovn": "24.03"}).rows("ours")[0]
    assert not old.in_force
    assert old.why == "ovn/collector: 24.09 and newer"


def test_layouts_have_names() -> None:
    assert [i.name for i in layouts(REGISTRY.components["calico"])] == ["before 3.30", "3.30 and newer"]
    assert len(layouts(REGISTRY.components["kube-proxy"])) == 1


@given(st.integers(0, full(64)), st.integers(0, full(64)))
def test_a_number_of_a_sub_field_goes_there_and_back(value: int, mask: int) -> None:
    assert deposit(extract(value, mask), mask) == value & mask


@given(st.integers(0, full(40)), st.integers(0, 40))
def test_lowest_bits_are_bits_of_the_mask(mask: int, count: int) -> None:
    taken = lowest_bits(mask, count)
    assert taken & ~mask == 0
    assert taken.bit_count() == min(count, mask.bit_count())
    assert not taken or mask & full(taken.bit_length()) == taken


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), min_size=1, max_size=3))
def test_bits_of_a_range_are_those_that_some_number_sets(pairs: list[tuple[int, int]]) -> None:
    text = ",".join(f"{min(p)}-{max(p)}" for p in pairs)
    expected = 0
    for low, high in parse_ranges(text):
        for number in range(low, high + 1):
            expected |= number
    assert bits_of_ranges(parse_ranges(text)) == expected
