"""Globs, ranges and marks, held against fnmatch and against plain numbers."""

from __future__ import annotations

import time
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markreg.registry.patterns import Marker, pattern

text = st.text(alphabet="ab-*?[]!", max_size=8)


@given(text, st.text(alphabet="ab-[]!", max_size=8))
def test_globs_are_those_of_the_shell(glob: str, word: str) -> None:
    made = pattern(glob)
    assert made.matches(word) == fnmatchcase(word, glob)
    if made.matches(word):
        assert word.startswith(made.prefix)
        assert made.core in word


@pytest.mark.parametrize(
    ("text", "marker", "word", "matches"),
    [
        ("5210-5270", "range", "5270", True),
        ("5210-5270", "range", "5271", False),
        ("0x1-0xff", "range", "0xfe", True),
        ("0x1-0xff", "range", "255", True),
        ("99", "range", "099", True),
        ("0x80000/0xff0000", "mark", "0x80000/0xff0000", True),
        ("0x00080000/0x00FF0000", "mark", "0x80000/0xff0000", True),
        ("524288/0xff0000", "mark", "0x80000/0xff0000", True),
        ("0x80000", "mark", "0x80000/0xff0000", False),
        ("0x80000", "mark", "0x80000/0xffffffff", True),
        ("1000-9999", "glob", "5210", True),
        ("1000-9999", "glob", "main", False),
        ("cali-*", "glob", "cali-", True),
        ("cali-*", "glob", "xcali-", False),
        ("KUBE-??", "glob", "KUBE-FW", True),
    ],
)
def test_patterns(text: str, marker: Marker, word: str, matches: bool) -> None:
    assert pattern(text, marker).matches(word) == matches


def test_most_literal_characters() -> None:
    assert pattern("KUBE-MARK-*").literals < pattern("KUBE-MARK-MASQ").literals
    assert pattern("[abc]x*").literals == 1


def test_a_hostile_name_takes_no_time() -> None:
    start = time.perf_counter()
    assert not pattern("*a*a*a*a*a*a*a*a*b").matches("a" * 5000)
    assert time.perf_counter() - start < 5
