"""How findings speak of bits and counts."""

from __future__ import annotations

from markreg.bits import format_bits


def bits_of(field: str, mask: int) -> str:
    """``skb_mark bit 14``, ``skb_mark bits 8-11``, or the field alone."""
    numbers = format_bits(mask)
    return f"{field} bit{'' if numbers.isdigit() else 's'} {numbers}" if numbers else field


def listed(names: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
