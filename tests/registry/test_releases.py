"""Releases and half-open intervals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markreg.registry.releases import Interval, ReleaseError, intervals, lenient, parse, span

numbers = st.lists(st.integers(0, 30), min_size=1, max_size=3).map(lambda n: ".".join(map(str, n)))


def test_releases_are_numbers_not_texts() -> None:
    assert parse("3.9") < parse("3.10") < parse("22.03.1")
    assert parse("3.30") == parse("3.30.0")


@pytest.mark.parametrize("text", ["", "v3", "3.x", "3..1", "3.30-rc1", "٣", "1" * 5000])
def test_what_is_no_release_is_refused(text: str) -> None:
    with pytest.raises(ReleaseError):
        parse(text)


@pytest.mark.parametrize(
    ("tag", "release"), [("v3.29.1-eksbuild.2", (3, 29, 1)), ("1.96", (1, 96)), ("latest", None), ("release-v3.30", (3, 30))]
)
def test_image_tags(tag: str, release: tuple[int, ...] | None) -> None:
    assert lenient(tag) == release


def test_half_open() -> None:
    assert parse("3.30.0") in Interval("3.30", None)
    assert parse("3.30") not in Interval(None, "3.30")
    assert parse("26.02") not in span("26.03-")
    assert parse("3.29.9") in span("-3.30")


@given(st.lists(numbers, max_size=5), numbers)
def test_every_release_is_in_just_one_interval(cuts: list[str], release: str) -> None:
    assert sum(parse(release) in i for i in intervals(cuts)) == 1


@given(numbers, numbers, numbers, numbers, numbers)
def test_meeting_is_having_a_release_in_common(a: str, b: str, c: str, d: str, release: str) -> None:
    one, two = Interval(a, b), Interval(c, d)
    if parse(release) in one and parse(release) in two:
        assert one.meets(two)
    assert one.meets(two) == two.meets(one)


def test_names() -> None:
    assert [i.name for i in intervals(["3.30", "3.20"])] == ["before 3.20", "3.20 to before 3.30", "3.30 and newer"]
