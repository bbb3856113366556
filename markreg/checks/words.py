"""How findings speak of bits and counts."""

from __future__ import annotations

from collections.abc import Iterable

from markreg.bits import format_bits
from markreg.model import Owned
from markreg.registry.model import Registry


def bits_of(field: str, mask: int) -> str:
    """``skb_mark bit 14``, ``skb_mark bits 8-11``, or the field alone."""
    numbers = format_bits(mask)
    return f"{field} bit{'' if numbers.isdigit() else 's'} {numbers}" if numbers else field


def sub_fields(registry: Registry, field: str, uses: Iterable[Owned]) -> str:
    """The names that flows give parts of a connection's field, in brackets: `` (ct_mark.blocked)``; nothing where none is known."""
    paths = {o.reservation for o in uses if o.reservation and o.use.field == field}
    names = {f"{field}.{row.name}" for path in paths for row in registry.rows(path) if row.via == ("ovs",) and row.field == field}
    return f" ({', '.join(sorted(names))})" if names and registry.fields[field].carrier == "connection" else ""


def listed(names: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
