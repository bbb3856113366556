"""Inputs: any bytes have lines, a clause has its columns, and quoted text is not searched first."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markreg import source as source_module
from markreg.source import Source, blank_quoted, decode

RULE = '-A F -m comment --comment "no -j MARK here" -j MARK --set-xmark 0x1/0x1'


def test_a_clause_is_found_outside_quotes_first() -> None:
    start, end = Source("f", RULE.encode()).locate(1, "-j MARK")
    assert (start, RULE[start - 1 : end - 1]) == (RULE.rindex("-j MARK") + 1, "-j MARK")


def test_a_clause_only_in_quotes_is_found_there() -> None:
    assert Source("f", b'  say "mark 7"').locate(1, "mark 7") == (8, 14)


def test_an_unknown_clause_is_the_whole_line_without_its_indent() -> None:
    assert Source("f", b"  abc").locate(1, "xyz") == (3, 6)
    assert Source("f", b"  abc").locate(1, "") == (3, 6)


def test_lines_have_no_ends_and_there_is_none_outside() -> None:
    source = Source("f", b"one\r\ntwo\nthree")
    assert [source.line(n) for n in range(-1, 6)] == ["", "", "one", "two", "three", "", ""]


def test_byte_order_marks_are_read() -> None:
    for data in (b"\xef\xbb\xbf*raw\n", "\ufeff*raw\n".encode("utf-16-le"), "\ufeff*raw\n".encode("utf-16-be")):
        assert Source("f", data).line(1) == "*raw"


def test_bytes_that_are_no_text_survive() -> None:
    for start in (b"", b"\xef\xbb\xbf"):
        assert decode(Source("f", start + b"a\xff\xfeb").data).encode("utf-8", "surrogateescape") == b"a\xff\xfeb"


def test_escaped_quotes_stay_inside() -> None:
    assert blank_quoted(r'a "b \" c" d "e" f') == 'a "' + "\0" * 6 + '" d "\0" f'


def test_a_quote_that_nobody_closes_hides_nothing() -> None:
    assert blank_quoted('"a" -j "MARK') == '"\0" -j "MARK'


def test_hostile_quotes_take_no_time() -> None:
    start = time.process_time()
    blank_quoted('"\\' * 500_000)
    blank_quoted('"' * 1_000_001)
    assert time.process_time() - start < 5


@given(st.text('ab"\\ \n', max_size=60))
def test_blanking_keeps_the_length_and_what_is_not_quoted(line: str) -> None:
    blanked = blank_quoted(line)
    assert len(blanked) == len(line)
    assert all(new in ("\0", old) for old, new in zip(line, blanked, strict=True))


@given(st.binary(max_size=60), st.text("ab\n", max_size=3), st.integers(-2, 70))
def test_any_bytes_have_lines_and_columns(data: bytes, clause: str, number: int) -> None:
    source = Source("f", data)
    line = source.line(number)
    start, end = source.locate(number, clause)
    assert 1 <= start <= end <= len(line) + 1


@given(st.binary(max_size=60).filter(lambda data: data[:2] not in (b"\xff\xfe", b"\xfe\xff") and data[:3] != b"\xef\xbb\xbf"))
def test_lines_joined_are_the_text(data: bytes) -> None:
    source = Source("f", data.replace(b"\r", b""))
    count = source.data.count(b"\n") + 1
    assert "\n".join(source.line(n) for n in range(1, count + 1)) == source.text()


@given(st.lists(st.binary(max_size=40).filter(lambda b: b"\n" not in b and b"\r" not in b), max_size=60), st.sampled_from([1, 7, 64]))
def test_every_line_is_found_whatever_the_blocks(lines: list[bytes], block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source_module, "_BLOCK", block)
        source = Source("x", b"x" + b"\n".join(lines))
        split = (b"x" + b"\n".join(lines)).split(b"\n")
        assert [source.line(n) for n in range(1, len(split) + 1)] == [decode(line) for line in split]
        assert source.line(0) == source.line(len(split) + 1) == ""


def test_a_document_in_one_line_can_be_cut() -> None:
    source = Source("x", "eins, zwö, drei,\nvier, fünf".encode())
    assert source.line(2) == "vier, fünf"
    source.cut([0, 6, 12, 18, 24])
    assert [source.line(n) for n in range(7)] == ["", "eins", "zwö", "drei", "vier", "fünf", ""]
    assert source.locate(3, "ei") == (3, 5)
    assert [source.real(n, 1) for n in range(1, 6)] == [(1, 1), (1, 7), (1, 12), (2, 1), (2, 7)]
    assert Source("x", b"a\nb").real(2, 1) == (2, 1)


def test_a_statement_may_be_longer_than_its_line() -> None:
    source = Source("x", "ä\nb {\n c\n}\nd".encode())
    source.stretch(3, 3, 11)
    assert [source.statement(n) for n in (1, 2, 3, 5, 9)] == ["ä", "b {", "b {\n c\n}", "d", ""]
    assert source.line(3) == " c"
