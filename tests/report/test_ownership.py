"""The ownership map and its ruler."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from markreg.bits import bit_numbers
from markreg.model import Access, Owned, Scope, Use
from markreg.report.parts import ruler
from markreg.report.parts.ownership import Map, Row, maps
from tests.report.samples import RULE_PLACE

USES = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["read", "write", "copy"]), st.integers(1, 0xFFFFFFFF) | st.just(0xFFFFFFFF)),
    max_size=6,
)


def build(uses: list[tuple[str, Access, int]]) -> list[Map]:
    made = [
        Owned(f"u{n}", Use("skb_mark", access, mask, RULE_PLACE, Scope(), "f", (1,), ""), owner, f"{owner}/r")
        for n, (owner, access, mask) in enumerate(uses)
    ]
    return maps(made)


@given(USES)
def test_runs_say_of_each_bit_what_the_uses_say(uses: list[tuple[str, Access, int]]) -> None:
    seen = {}
    for found in build(uses):
        for run in found.runs():
            for bit in bit_numbers(run.mask):
                assert bit not in seen
                seen[bit] = (run.writers, run.readers)
    for bit in range(32):
        touching = [(owner, access) for owner, access, mask in uses if mask >> bit & 1]
        writers = tuple(sorted({owner for owner, access in touching if access != "read"}))
        readers = tuple(sorted({owner for owner, access in touching if access == "read"}))
        assert seen.get(bit, ((), ())) == (writers, readers)


@given(USES)
def test_one_owner_alone_contests_nothing(uses: list[tuple[str, Access, int]]) -> None:
    for found in build([("a", access, mask) for _, access, mask in uses]):
        assert not found.contested()


@given(USES)
def test_readers_alone_contest_nothing(uses: list[tuple[str, Access, int]]) -> None:
    for found in build([(owner, "read", mask) for owner, _, mask in uses]):
        assert not found.contested()


def test_contested_is_what_one_writes_and_another_means() -> None:
    assert build([("a", "write", 0xF0), ("b", "read", 0x3C)])[0].contested() == 0x30
    assert build([("a", "write", 0xFFFFFFFF), ("b", "read", 0x3C)])[0].contested() == 0x3C
    assert build([("a", "write", 0xF0), ("b", "read", 0xFFFFFFFF)])[0].contested() == 0


def test_symbols_tell_whole_field_statements_apart() -> None:
    row = Row("x", reads=0b0011, writes=0b0110, whole_reads=0xFFFFFFFF)
    assert [row.symbol(1 << bit) for bit in range(4)] == ["R", "B", "W", "r"]


def test_ruler_has_the_most_significant_bit_first() -> None:
    assert ruler.header(0) == "31    24 23    16 15     8 7      0"
    assert ruler.header(96) == "127  120 119  112 111  104 103   96"
    row = ruler.row(32, lambda bit: "W" if bit == 1 << 63 else ".")
    assert row == "W....... ........ ........ ........"
    assert len(ruler.header(0)) == len(ruler.header(96)) == len(row) == ruler.WIDTH
    assert ruler.words(1 | 1 << 100, 128) == [96, 0]
