"""Masks and bit ranges: every spelling in, the canonical spelling out.

A *mask* is a non-negative int whose set bits are the bits meant. Bit 0 is the least significant. The width of a field is
counted in bits (32 for skb_mark and ct_mark, 128 for ct_label). This module imports nothing of markreg.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

_INT = re.compile(r"0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*")
_SHIFT = re.compile(r"(\w+)\s*<<\s*(\w+)")
_RANGE = re.compile(r"([0-9]{1,9})\s*(?:-|\.\.|:)\s*([0-9]{1,9})")
_FIELD = re.compile(r"([A-Za-z_][\w.]*+)\s*+(?::(.+)|\[(.*)\])?", re.DOTALL)
_LONGEST = 200


class BitsError(ValueError):
    """A text that is no number, mask or bit range, or one that does not fit the field. The message is for users."""


def _shown(text: str) -> str:
    return repr(text if len(text) <= _LONGEST else text[:_LONGEST] + "…")


def full(width: int) -> int:
    """The mask of all bits of a field of ``width`` bits."""
    return (1 << width) - 1


def shifted(mask: int, amount: int) -> int:
    """A mask moved up by so many bits, or down by a negative number of them."""
    return mask << amount if amount >= 0 else mask >> -amount


def parse_int(text: str) -> int:
    """A number as C's strtoul(…, 0) reads it, which is what iptables, ip and tc use: 0x hexadecimal, 0 octal, else decimal."""
    text = text.strip()
    if len(text) > _LONGEST or not _INT.fullmatch(text):
        raise BitsError(f"not a number: {_shown(text)}")
    if text[:2] in ("0x", "0X"):
        return int(text, 16)
    return int(text, 8) if text[0] == "0" else int(text)


def parse_word(text: str, width: int) -> int:
    """A number that must fit into ``width`` bits."""
    value = parse_int(text)
    if value > full(width):
        raise BitsError(f"{text.strip()} does not fit into {width} bits")
    return value


def parse_value_mask(text: str, width: int) -> tuple[int, int]:
    """``value`` or ``value/mask``; without a mask all bits are meant."""
    value, slash, mask = text.partition("/")
    return parse_word(value, width), parse_word(mask, width) if slash else full(width)


@lru_cache(maxsize=1024)  # a registry is asked for each layout of a component
def parse_bits(text: str, width: int) -> int:
    """A bit set as a mask: ``14``, ``8-11``, ``0,4-7``, ``96..127``, ``1<<18``, ``0xff00``; ``*`` and nothing mean all bits.

    A plain decimal is a bit number, a hexadecimal a mask, as the registry writes them.
    """
    text = text.strip()
    if text in ("", "*"):
        return full(width)
    mask = 0
    for part in text.split(","):
        part = part.strip()
        if shift := _SHIFT.fullmatch(part):
            amount = parse_int(shift[2])
            if amount >= width:
                raise BitsError(f"{part}: bit {amount} is outside a field of {width} bits")
            bits = parse_int(shift[1]) << amount
        elif span := _RANGE.fullmatch(part):
            low, high = sorted((int(span[1]), int(span[2])))
            if high >= width:
                raise BitsError(f"{part}: bit {high} is outside a field of {width} bits")
            bits = full(high - low + 1) << low
        elif part[:2] in ("0x", "0X"):
            bits = parse_int(part)
        elif part.isascii() and part.isdigit():
            if len(part) > 9 or int(part) >= width:
                raise BitsError(f"bit {part[:_LONGEST]} is outside a field of {width} bits")
            bits = 1 << int(part)
        else:
            raise BitsError(f"not a bit, range or mask: {_shown(part)}")
        if bits > full(width):
            raise BitsError(f"{part} does not fit into {width} bits")
        mask |= bits
    return mask


def split_field(text: str) -> tuple[str, str | None]:
    """``skb_mark:18``, ``ct_label[96..127]`` or ``ct_mark`` as (field name, bit set text or None)."""
    match = _FIELD.fullmatch(text.strip())
    if not match:
        raise BitsError(f"not a field: {_shown(text)}")
    bits = match[2] if match[2] is not None else match[3]
    return match[1], None if bits is None else bits.strip()


def runs(mask: int) -> Iterator[tuple[int, int]]:
    """The contiguous runs of a mask as (lowest bit, highest bit), lowest first."""
    bit = 0
    while mask:
        skip = (mask & -mask).bit_length() - 1
        bit += skip
        mask >>= skip
        length = (~mask & (mask + 1)).bit_length() - 1
        yield bit, bit + length - 1
        bit += length
        mask >>= length


def bit_numbers(mask: int) -> Iterator[int]:
    """The numbers of a mask's bits, lowest first."""
    for low, high in runs(mask):
        yield from range(low, high + 1)


def format_bits(mask: int) -> str:
    """The canonical bit set: ``14``, ``8-11``, ``0,4-7``; nothing for no bit."""
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs(mask))


def format_mask(mask: int) -> str:
    """A mask or value as every report prints it: lower-case hexadecimal without padding."""
    return f"{mask:#x}"


def format_value_mask(value: int, mask: int, width: int) -> str:
    """``value/mask``, or ``value`` alone where the mask is the whole field, as iptables and ip print it."""
    return format_mask(value) if mask == full(width) else f"{format_mask(value)}/{format_mask(mask)}"
