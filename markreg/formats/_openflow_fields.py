"""Fields of Open vSwitch by all their names, and registers as what they are: 32-bit words that wider names overlay.

``xreg<k>`` (also OXM_OF_PKT_REG<k>) is ``reg<2k>`` above ``reg<2k+1>``, ``xxreg<k>`` is ``reg<4k>`` … ``reg<4k+3>``, the first the
most significant (lib/meta-flow.xml).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from markreg.bits import full
from markreg.model import CT_LABEL, CT_MARK, FIELDS, SKB_MARK

PREFIX = "ovs."
METADATA = f"{PREFIX}metadata"
MARKS = {"pkt_mark": SKB_MARK, "ct_mark": CT_MARK, "ct_label": CT_LABEL}
CONNECTION = frozenset({CT_MARK.name, CT_LABEL.name})

_NAME = re.compile(r"(?:NXM_NX_|OXM_OF_|NXM_OF_|OXM_NX_|NXOXM_ET_|OXM_[A-Z]+_)?(\w+)")
_REGISTER = re.compile(r"(?:(x{0,2})|pkt_)reg([0-9]{1,2})")
_LAST = {"": 31, "x": 15, "xx": 7}
# Widths of fields that no register is, as far as copies between them and marks are seen; of others the mark's side says it.
_WIDTHS = {"eth_src": 48, "eth_dst": 48, "ip_src": 32, "ip_dst": 32, "tun_id": 64, "ipv6_src": 128, "ipv6_dst": 128, "in_port": 16}


class Part(NamedTuple):
    """Bits of a field: the lowest and how many."""

    field: str
    low: int
    width: int

    @property
    def mask(self) -> int:
        """The bits as a mask of the field."""
        return full(self.width) << self.low


@lru_cache(maxsize=4096)
def parts(name: str, bits: str = "") -> tuple[Part, ...]:
    """What a name and a range such as ``[16..31]`` (nothing and ``[]``: all bits) cover, the least significant bits first.

    Nothing where they fit no field. A field of unknown width is taken as 128 bits wide.
    """
    match = _NAME.fullmatch(name)
    plain = match[1].lower() if match else name
    if register := _REGISTER.fullmatch(plain):
        kind = "x" if register[1] is None else register[1]
        count = 1 << len(kind)
        first = int(register[2]) * count
        words = [f"{PREFIX}reg{first + i}" for i in reversed(range(count))] if int(register[2]) <= _LAST[kind] else []
        width = 32 * count
    elif plain == "metadata":
        words, width = [METADATA], 64
    elif plain in MARKS:
        words, width = [MARKS[plain].name], MARKS[plain].width
    else:
        words, width = [plain], _WIDTHS.get(plain, 128)
    span = _span(bits, width)
    if span is None:
        return ()
    low, high = span
    each = width // len(words) if words else 1
    return tuple(
        Part(word, max(low - at, 0), min(high - at, each - 1) - max(low - at, 0) + 1)
        for word, at in zip(words, range(0, width, each), strict=True)
        if at <= high and low < at + each
    )


def _span(bits: str, width: int) -> tuple[int, int] | None:
    if bits in ("", "[]"):
        return 0, width - 1
    low, _, high = bits.strip("[]").partition("..")
    if not low.isdecimal() or len(low) > 3 or (high and (not high.isdecimal() or len(high) > 3)):
        return None
    first, last = int(low), int(high or low)
    return (first, last) if first <= last < width else None


def width_of(field: str) -> int:
    """How many bits a field has; 128 where it is not known."""
    if field in FIELDS:
        return FIELDS[field].width
    return _WIDTHS.get(field, 128)


def zone_of(part: tuple[Part, ...]) -> str | None:
    """A zone that is taken from a field: ``reg13`` for its low 16 bits, else with the bits; None where two fields give it."""
    if len(part) != 1:
        return None
    field, low, width = part[0]
    name = field.removeprefix(PREFIX)
    return name if (low, width) == (0, 16) else f"{name}[{low}..{low + width - 1}]"


@lru_cache(maxsize=64)
def mention(asked: frozenset[str]) -> re.Pattern[str]:
    """Finds whatever names one of the fields ``asked``, or a wider one that covers it, in a match or in an action."""
    names = [name for name, mark in MARKS.items() if mark.name in asked]
    names += ["metadata"] * (METADATA in asked)
    numbers = [int(f.removeprefix(f"{PREFIX}reg")) for f in asked if f.startswith(f"{PREFIX}reg")]
    for wide, before in enumerate(("", "x|pkt_", "xx")):
        if covered := sorted({str(n >> wide) for n in numbers}):
            names.append(f"(?<![a-z])(?:{before})reg(?:{'|'.join(covered)})(?![0-9])")
    prefix = r"(?<![a-z])(?:(?:nxm_nx|oxm_of|nxoxm_et)_)?"
    return re.compile("|".join(prefix + name for name in names) or r"(?!)", re.IGNORECASE)


@lru_cache(maxsize=64)
def clauses(asked: frozenset[str]) -> re.Pattern[str]:
    """Finds the clauses of a match that test one of the fields ``asked``: name and value."""
    names = [name for name, mark in MARKS.items() if mark.name in asked]
    names += ["metadata"] * (METADATA in asked)
    numbers = [int(f.removeprefix(f"{PREFIX}reg")) for f in asked if f.startswith(f"{PREFIX}reg")]
    for wide in range(3):
        names += sorted({f"{'x' * wide}reg{n >> wide}" for n in numbers})
    return re.compile(rf"\b({'|'.join(names)})=([^,\s]*)")
