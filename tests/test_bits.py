"""Masks: every spelling comes in, one comes out, and what is no mask is told as such."""

from __future__ import annotations

import contextlib
import itertools
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from markreg.bits import (
    BitsError,
    bit_numbers,
    format_bits,
    format_mask,
    format_value_mask,
    full,
    parse_bits,
    parse_int,
    parse_value_mask,
    parse_word,
    runs,
    split_field,
)

WORDS = st.integers(0, full(32))
LABELS = st.integers(1, full(128))


@pytest.mark.parametrize(
    ("text", "mask"),
    [
        ("14", 0x4000),
        ("8-11", 0xF00),
        ("11-8", 0xF00),
        ("8..11", 0xF00),
        ("8:11", 0xF00),
        ("0,4-7", 0xF1),
        (" 0 , 4 - 7 ", 0xF1),
        ("0xff00", 0xFF00),
        ("0X4000,0", 0x4001),
        ("1<<18", 0x40000),
        ("0xf << 8", 0xF00),
        ("*", 0xFFFFFFFF),
        ("", 0xFFFFFFFF),
        ("31", 0x80000000),
    ],
)
def test_a_bit_set_in_any_spelling(text: str, mask: int) -> None:
    assert parse_bits(text, 32) == mask


@pytest.mark.parametrize(
    "text",
    ["32", "0-32", "0x100000000", "1<<32", "2<<31", "bit 4", "4-", "-4", "4,,5", ",", "0x", "0b1", "1e3", "٣", "٣-٤", "1<<", "<<1", "0xg"],
)
def test_what_is_no_bit_set_of_a_word_is_refused(text: str) -> None:
    with pytest.raises(BitsError):
        parse_bits(text, 32)


@pytest.mark.parametrize(("text", "value"), [("0x10", 16), ("010", 8), ("10", 10), ("0", 0), (" 0XfF ", 255), ("00", 0)])
def test_numbers_are_read_as_c_reads_them(text: str, value: int) -> None:
    assert parse_int(text) == value


@pytest.mark.parametrize("text", ["", "08", "+1", "-1", "1_000", "0x", "0x_1", "1.0", "٣", "9" * 5000 + "x"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(BitsError):
        parse_int(text)


@pytest.mark.parametrize(
    ("text", "pair"), [("0x4000/0x4000", (0x4000, 0x4000)), ("51820", (51820, 0xFFFFFFFF)), ("0/0x1", (0, 1)), ("0x11/0xf0", (0x11, 0xF0))]
)
def test_a_value_with_its_mask(text: str, pair: tuple[int, int]) -> None:
    assert parse_value_mask(text, 32) == pair


@pytest.mark.parametrize("text", ["1/", "/1", "1/2/3", "0x100000000", "1/0x100000000"])
def test_what_is_no_value_with_mask_is_refused(text: str) -> None:
    with pytest.raises(BitsError):
        parse_value_mask(text, 32)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("skb_mark", ("skb_mark", None)),
        ("skb_mark:18", ("skb_mark", "18")),
        ("skb_mark : 8-11", ("skb_mark", "8-11")),
        ("ct_label[96..127]", ("ct_label", "96..127")),
        ("ct_label[ 96..127 ]", ("ct_label", "96..127")),
        ("ovn.obs_domain_id:24-31", ("ovn.obs_domain_id", "24-31")),
        ("ct_mark[]", ("ct_mark", "")),
    ],
)
def test_a_field_with_its_bits(text: str, parts: tuple[str, str | None]) -> None:
    assert split_field(text) == parts


@pytest.mark.parametrize("text", ["", "18", "skb_mark:", "skb mark", "ct_label[1", "ct_label]"])
def test_what_is_no_field_is_refused(text: str) -> None:
    with pytest.raises(BitsError):
        split_field(text)


@given(LABELS)
def test_the_canonical_bit_set_comes_back(mask: int) -> None:
    assert parse_bits(format_bits(mask), 128) == mask
    assert parse_bits(format_mask(mask), 128) == mask
    assert parse_bits(format_bits(mask).replace("-", ".."), 128) == mask


@given(WORDS, WORDS)
def test_a_printed_value_with_mask_comes_back(value: int, mask: int) -> None:
    assert parse_value_mask(format_value_mask(value, mask, 32), 32) == (value, mask)
    assert parse_word(str(value), 32) == parse_word(hex(value), 32) == parse_word(f"0{value:o}", 32) == value


@given(st.integers(0, full(128)))
def test_runs_are_the_maximal_stretches_in_order(mask: int) -> None:
    found = list(runs(mask))
    assert sum(full(high - low + 1) << low for low, high in found) == mask
    assert all(low <= high for low, high in found)
    assert all(high + 1 < low for (_, high), (low, _) in itertools.pairwise(found))
    assert list(bit_numbers(mask)) == [bit for bit in range(128) if mask >> bit & 1]


@given(st.text(max_size=40) | st.text("0123456789xXaf-.,:<>[]*/ \n", max_size=40), st.sampled_from([8, 32, 128]))
@example("9" * 5000, 32)
@example("1-" + "9" * 5000, 32)
@example("1<<" + "9" * 5000, 32)
@example("9" * 5000 + "/1", 32)
def test_no_text_raises_anything_else(text: str, width: int) -> None:
    for parse in (parse_bits, parse_word, parse_value_mask):
        try:
            result = parse(text, width)
        except BitsError:
            continue
        for number in result if isinstance(result, tuple) else (result,):
            assert 0 <= number <= full(width)
    with contextlib.suppress(BitsError):
        split_field(text)


@pytest.mark.parametrize(
    "text", ["a[" + " " * 5000 + "x", "a" + " " * 5000 + "!", "a" * 5000 + "!", "a[" * 5000, "1" * 100_000, "1<<" * 5000, "1," * 50_000]
)
def test_no_text_takes_long(text: str) -> None:
    start = time.process_time()
    for parse in (split_field, lambda t: parse_bits(t, 32), lambda t: parse_value_mask(t, 32)):
        with pytest.raises(BitsError):
            parse(text)
            raise BitsError("read")
    assert time.process_time() - start < 1
