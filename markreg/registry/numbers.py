"""Numbers of registry files: codes in place, ranges of a sub-field, values of knobs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from markreg.bits import BitsError, bit_numbers, full, parse_int, parse_word, runs
from markreg.registry.model import Knob
from markreg.registry.words import Scalar, When

Ranges = tuple[tuple[int, int], ...]
# A setting that stands in a template or in a file that was not given.
UNKNOWN = None
_RANGE = re.compile(r"\s*(0[xX][0-9a-fA-F]+|[0-9]+)\s*(?:-\s*(0[xX][0-9a-fA-F]+|[0-9]+)\s*)?")


def parse_ranges(text: str) -> Ranges:
    """``1-255`` or ``16,18-23``, decimal or hexadecimal, as ascending disjoint closed intervals. Raises BitsError."""
    found = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        if not match or len(part) > 100:
            raise BitsError(f"not a number or range: {part.strip()[:60]!r}")
        low = _number(match[1])
        high = _number(match[2]) if match[2] else low
        if high < low:
            raise BitsError(f"{part.strip()} ends before it begins")
        found.append((low, high))
    return joined(found)


def _number(text: str) -> int:
    return int(text, 16) if text[:2] in ("0x", "0X") else int(text)


def joined(found: Iterable[tuple[int, int]]) -> Ranges:
    """Closed intervals sorted, with those that meet made one."""
    result: list[tuple[int, int]] = []
    for low, high in sorted(found):
        if result and low <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(high, result[-1][1]))
        else:
            result.append((low, high))
    return tuple(result)


def ranges_meet(a: Ranges, b: Ranges) -> bool:
    """Whether a number is in both."""
    return any(low <= end and start <= high for low, high in a for start, end in b)


def ranges_within(inner: Ranges, outer: Ranges) -> bool:
    """Whether every number of ``inner`` is in ``outer``."""
    return all(any(start <= low and high <= end for start, end in outer) for low, high in inner)


def extract(value: int, mask: int) -> int:
    """The bits of ``mask`` moved together: the number of a sub-field from a code in place."""
    result = shift = 0
    for low, high in runs(mask):
        width = high - low + 1
        result |= (value >> low & full(width)) << shift
        shift += width
    return result


def deposit(number: int, mask: int) -> int:
    """The inverse of `extract`: a code in place from a number of the sub-field."""
    value = shift = 0
    for low, high in runs(mask):
        width = high - low + 1
        value |= (number >> shift & full(width)) << low
        shift += width
    return value


def bits_of_ranges(ranges: Ranges) -> int:
    """The bits that are 1 in some number of the ranges."""
    bits = 0
    for low, high in ranges:
        bits |= low | high | full((low ^ high).bit_length())
    return bits


def lowest_bits(mask: int, count: int) -> int:
    """The ``count`` lowest bits of a mask, or all there are."""
    taken = 0
    for number, bit in enumerate(bit_numbers(mask)):
        if number == count:
            break
        taken |= 1 << bit
    return taken


def knob_value(knob: Knob, value: Scalar) -> Scalar:
    """A setting in the form in which two of them can be compared: integers for numbers, else as it is. Raises BitsError."""
    if knob.type == "boolean":
        if isinstance(value, bool):
            return value
        lowered = str(value).lower()
        if lowered not in ("true", "false"):
            raise BitsError(f"{knob.name} must be true or false, not {value!r}")
        return lowered == "true"
    if knob.type in ("choice", "string"):
        if knob.type == "choice" and knob.choices and str(value) not in knob.choices:
            raise BitsError(f"{value!r} is none of {', '.join(knob.choices)}")
        return str(value)
    if isinstance(value, bool):
        raise BitsError(f"{knob.name} must be a number, not {'true' if value else 'false'}")
    number = parse_int(value) if isinstance(value, str) else value
    if number < 0 and knob.type != "integer":
        raise BitsError(f"{knob.name} must not be negative")
    if knob.type == "bit" and number > 1023:
        raise BitsError(f"{number} is no bit number")
    return parse_word(hex(number), 128) if knob.type in ("mask", "value") else number


def excludes(a: When, b: When) -> bool:
    """Whether two conditions can never hold together: they ask one knob for different values."""
    return any(not set(map(_plain, a[knob])) & set(map(_plain, b[knob])) for knob in a.keys() & b.keys())


def _plain(value: Scalar) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        try:
            return str(parse_int(value))
        except BitsError:
            return value.lower() if value.lower() in ("true", "false") else value
    return str(value)


def holds(when: When, settings: Mapping[str, Scalar | None]) -> bool | None:
    """Whether a condition holds at settings (by knob, as `knob_value` gives them); None where a setting is unknown."""
    answer: bool | None = True
    for knob, allowed in when.items():
        value = settings.get(knob, UNKNOWN)
        if value is UNKNOWN:
            answer = None
        elif _plain(value) not in {_plain(a) for a in allowed}:
            return False
    return answer
