"""Which bits and numbers a new reservation gets: never any that somebody has."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markreg.bits import format_bits, full, runs
from markreg.plan import numbering
from markreg.plan.choice import Choice, NothingFitsError, Wish, choose
from markreg.plan.observed import Observed, Present, Seen
from markreg.registry.load import load
from markreg.registry.model import Registry
from markreg.registry.numbers import parse_ranges, ranges_meet, ranges_within

NOTHING = Observed()
CATALOGUE = """version = 1
kind = "catalogue"
[[component]]
name = "often"
reservation = [
  { name = "x", field = "ct_mark", bits = "0-7", source = "s" },
  { name = "y", field = "ct_mark", bits = "8-11", when = { on = true }, source = "s" },
  { name = "all", field = "ct_mark", bits = "0-31", writes = "whole", source = "s" },
]
knob = [{ name = "on", type = "boolean", default = false }, { name = "mask", type = "mask", default = "0xff000000" }]
[[component]]
name = "pool"
reservation = [{ name = "one", source = "s" }]
pool = [{ name = "p", field = "ct_mark", from = "mask", draw = ["one"] }]
knob = [{ name = "mask", type = "mask", default = "0xff000000" }]
[[component]]
name = "ids"
reservation = [
  { name = "id", field = "ct_label", bits = "8-15", value_range = "1-200", alternatives = ["label"], source = "s" },
  { name = "label", field = "ct_label", bits = "8-15", source = "s" },
]
"""


@pytest.fixture(autouse=True)
def today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1796083200")  # 2026-12-01


@pytest.fixture
def plan(tmp_path: Path) -> object:
    (tmp_path / "catalogue.toml").write_text(CATALOGUE)

    def made(text: str) -> Registry:
        file = tmp_path / "registry.toml"
        file.write_text(f'version = 1\nextends = "catalogue.toml"\n{text}')
        return load(file, rules=tmp_path / "none")

    return made


def mine(*rows: str) -> str:
    return f"[[component]]\nname = 'mine'\nreservation = [{', '.join(f'{{ {r}, source = {chr(39)}s{chr(39)} }}' for r in rows)}]\n"


def pick(registry: Registry, width: int = 1, bits: int | None = None, observed: Observed = NOTHING, owner: str = "new") -> Choice:
    return choose(registry, Wish(owner, "ct_mark", width, bits), observed, 1)


def seen(mask: int, owner: str = "unattributed:x", value: int | None = None, field: str = "ct_mark") -> Seen:
    return Seen(field, mask, owner, "", value, "node.json")


class TestBits:
    def test_known_components_are_avoided_before_alignment(self, plan: object) -> None:
        assert pick(plan("")).mask == 1 << 12  # type: ignore[operator]
        assert pick(plan(""), 3).mask == 0b111 << 12  # type: ignore[operator]
        assert pick(plan(""), 12).mask == full(12) << 12  # type: ignore[operator]
        # More than are free of everybody: bits that a component has at other settings only are better than those of every day.
        assert pick(plan(""), 16).mask == full(16) << 8  # type: ignore[operator]

    def test_what_the_plan_has_is_never_taken(self, plan: object) -> None:
        registry = plan(mine("name = 'a', field = 'ct_mark', bits = '12-13'"))  # type: ignore[operator]
        assert pick(registry).mask == 1 << 14
        assert pick(registry, 4).mask == 0xF << 16

    def test_a_part_of_a_pool_that_is_not_drawn_is_the_pools(self, plan: object) -> None:
        registry = plan("[[node_pool]]\nname = 'n'\ncomponents = ['pool']\n")  # type: ignore[operator]
        with pytest.raises(NothingFitsError, match="pool mask"):
            pick(registry, bits=1 << 31)

    def test_what_a_node_uses_is_never_taken(self, plan: object) -> None:
        assert pick(plan(""), observed=Observed((seen(0xF000),))).mask == 1 << 16  # type: ignore[operator]

    def test_ones_own_use_may_be_registered(self, plan: object) -> None:
        used = Observed((seen(0xF000, "new"),))
        assert pick(plan(""), bits=0x3000, observed=used).mask == 0x3000  # type: ignore[operator]

    def test_a_component_seen_on_a_node_counts_as_planned(self, plan: object) -> None:
        here = Observed((), (Present("often", "all releases", "", "high"),))
        with pytest.raises(NothingFitsError, match="often/x has 0"):
            pick(plan(""), bits=1, observed=here)  # type: ignore[operator]
        assert pick(plan(""), bits=1).mask == 1  # type: ignore[operator]

    def test_a_use_of_the_whole_field_takes_no_bit_but_is_told(self, plan: object) -> None:
        found = pick(plan(""), observed=Observed((seen(full(32), "rude"),)))  # type: ignore[operator]
        assert "rude uses the whole field" in found.why[1]

    def test_a_tombstone_is_avoided_until_its_day(self, plan: object) -> None:
        row = "name = 'a', field = 'ct_mark', bits = '12', status = 'retired', retired = 2026-01-01"
        assert pick(plan(mine(row))).mask == 1 << 13  # type: ignore[operator]
        assert pick(plan(mine(f"{row}, free_after = 2026-12-02"))).mask == 1 << 13  # type: ignore[operator]
        assert pick(plan(mine(f"{row}, free_after = 2026-12-01"))).mask == 1 << 12  # type: ignore[operator]

    def test_three_lines_say_why(self, plan: object) -> None:
        why = pick(plan(""), 2).why  # type: ignore[operator]
        assert why[0] == ("ct_mark bits 12-13 (0x3000): no reservation that shares nodes with new has them, nothing in 1 audit uses them")
        assert why[1] == "other known components there: none"
        assert why[2] == "best of 31 free places; next: bits 14-15 (none)"

    def test_a_refusal_names_the_holder_and_the_nearest(self, plan: object) -> None:
        registry = plan(mine("name = 'a', field = 'ct_mark', bits = '12-13'"))  # type: ignore[operator]
        with pytest.raises(NothingFitsError, match=r"mine/a has 13; the nearest free: bits 14$"):
            pick(registry, bits=1 << 13)
        with pytest.raises(NothingFitsError, match=r"the longest free run is 14-31; nearest: bits 13-31, where mine/a"):
            pick(registry, 19)

    @given(st.integers(0, full(32)), st.integers(0, full(32)), st.integers(1, 32))
    def test_it_never_overlaps(self, planned: int, used: int, width: int) -> None:
        row = f"name = 'a', field = 'ct_mark', bits = '{planned or 1:#x}'"
        registry_text = f"version = 1\n{mine(row)}"
        registry = load(Path("registry.toml"), rules=Path("none"), text=registry_text)
        taken = (planned or 1) | (used if used != full(32) else 0)
        if (planned or 1) == full(32):
            taken = used if used != full(32) else 0
        free = [high - low + 1 for low, high in runs(full(32) & ~taken)]
        observed = Observed((seen(used),)) if used else NOTHING
        try:
            found = pick(registry, width, observed=observed)
        except NothingFitsError:
            assert max(free, default=0) < width
        else:
            assert not found.mask & taken
            assert found.mask.bit_count() == width
            assert "-" in format_bits(found.mask) or width == 1


class TestNumbers:
    def number(self, registry: Registry, count: int = 1, value: int | None = None, used: dict[str, dict[int, str]] | None = None) -> str:
        parent = numbering.parent_of(registry, "ids/id")
        return numbering.choose(registry, "new", parent, count, value, NOTHING, used or {}).text

    def test_the_lowest_free_one(self, plan: object) -> None:
        assert self.number(plan("")) == "1"  # type: ignore[operator]
        assert self.number(plan(mine("name = 'a', within = 'ids/id', value_range = '1-3,5'"))) == "4"  # type: ignore[operator]

    def test_a_block_stands_on_a_round_number(self, plan: object) -> None:
        assert self.number(plan(""), 8) == "8-15"  # type: ignore[operator]
        assert self.number(plan(""), 200) == "1-200"  # type: ignore[operator]
        assert self.number(plan(mine("name = 'a', within = 'ids/id', value_range = '10'")), 5) == "16-20"  # type: ignore[operator]

    def test_what_a_database_uses_is_never_handed_out(self, plan: object) -> None:
        used = {"ids/id": {1: "nb.txt"}, "ids/label": {2: "nb.txt"}, "other/id": {3: "nb.txt"}}
        assert self.number(plan(""), used=used) == "3"  # type: ignore[operator]

    def test_what_a_node_writes_is_never_handed_out(self, plan: object) -> None:
        registry = plan("")  # type: ignore[operator]
        parent = numbering.parent_of(registry, "ids/id")
        observed = Observed((seen(0xFF00, "ids", 0x100, "ct_label"),))
        assert numbering.choose(registry, "new", parent, 1, None, observed, {}).text == "2"

    def test_refusals(self, plan: object) -> None:
        registry = plan(mine("name = 'a', within = 'ids/id', value_range = '16-23'"))  # type: ignore[operator]
        with pytest.raises(NothingFitsError, match="201 is not inside ids/id, 1-200; the nearest free: 200"):
            self.number(registry, value=201)
        with pytest.raises(NothingFitsError, match="mine/a has 16-23; the nearest free: 15"):
            self.number(registry, value=17)
        with pytest.raises(NothingFitsError, match="no 190 free numbers in a row: the longest free run is 24-200"):
            self.number(registry, 190)

    @given(st.sets(st.integers(1, 200)), st.integers(1, 60))
    def test_they_never_overlap(self, used: set[int], count: int) -> None:
        registry = load(Path("registry.toml"), rules=Path("none"), text=CATALOGUE.replace('kind = "catalogue"\n', ""))
        parent = numbering.parent_of(registry, "ids/id")
        try:
            found = numbering.choose(registry, "new", parent, count, None, NOTHING, {"ids/id": dict.fromkeys(used, "nb")})
        except NothingFitsError:
            free = "".join("x" if n in used else "." for n in range(1, 201))
            assert "." * count not in free
        else:
            got = parse_ranges(found.text)
            assert ranges_within(got, ((1, 200),))
            assert not ranges_meet(got, tuple((n, n) for n in used))
            assert found.high - found.low + 1 == count
