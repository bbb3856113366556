"""Text that strangers wrote is printed without effect, and carets stand under what they mean."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markreg.report.parts.snippet import columns, safe, sentence, window

TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=60) | st.text("ab \t\x1b\u202e\u200b漢é\udcff", max_size=200)


@pytest.mark.parametrize("text", ["-A FORWARD -j MARK --set-mark 0x1", "name=größe", "漢字", "e\u0301", "a\\b"])
def test_harmless_text_is_left_alone(text: str) -> None:
    assert safe(text) == text


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b2J", "\\u009b2J"),
        ("a\nb\rc\td", "a\\x0ab\\x0dc\\x09d"),
        ("\x7f", "\\x7f"),
        ("\udcff\udc80", "\\xff\\x80"),
        ("\ud800", "\\ud800"),
        ("\u202a\u202e\u2066\u2069\u200e\u200f\u061c", "\\u202a\\u202e\\u2066\\u2069\\u200e\\u200f\\u061c"),
        ("\u200b\u200c\u200d\u2060\ufeff\u00ad\u3164\ufe0f", "\\u200b\\u200c\\u200d\\u2060\\ufeff\\u00ad\\u3164\\ufe0f"),
        ("\u2028\U000e0041", "\\u2028\\U000e0041"),
    ],
)
def test_what_acts_or_hides_is_spelled_out(text: str, printed: str) -> None:
    assert safe(text) == printed


def test_without_unicode_typography_is_spelled_in_ascii() -> None:
    assert safe("a → b… é", unicode=False) == "a -> b... \\u00e9"


@given(TEXT)
def test_nothing_that_acts_gets_out(text: str) -> None:
    for printed in (safe(text), sentence(text), window(text, 3, 9, 40).text):
        assert not any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for char in printed)


@given(TEXT, st.integers(0, 70), st.integers(0, 70), st.integers(20, 90), st.booleans())
def test_a_window_fits_and_holds_its_carets(line: str, column: int, end: int, room: int, unicode: bool) -> None:
    view = window(line, column, end, room, unicode)
    assert columns(view.text) <= room
    assert view.length >= 1
    assert view.offset >= 0 and view.offset + view.length <= room
    assert unicode or view.text.isascii()


@given(st.text("ab\t漢\x1b e\u0301", max_size=150), st.text("ab\t漢\x1b ", max_size=150), st.integers(40, 90))
def test_the_carets_stand_under_the_clause(before: str, after: str, room: int) -> None:
    line = f"{before}--mark 0x1{after}"
    view = window(line, len(before) + 1, len(before) + 11, room)
    at = view.text.index("--mark 0x1")
    assert columns(view.text[:at]) == view.offset
    assert view.length == 10


@given(st.integers(0, 300), st.integers(0, 300))
def test_a_window_shows_as_much_as_fits(before: int, after: int) -> None:
    line = "x" * before + "--mark" + "y" * after
    view = window(line, before + 1, before + 7, 70)
    assert columns(view.text) == min(len(line), 70)


def test_a_line_of_a_megabyte_is_no_work() -> None:
    view = window("a" * 10**6 + "MARK" + "b" * 10**6, 10**6 + 1, 10**6 + 5, 80)
    assert view.text.startswith("…a") and view.text.endswith("b…") and view.text[view.offset :].startswith("MARK")
