"""Protocols, addresses and ports that rules name, in one spelling for all notations. Of what is none of them, nothing is told."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address, ip_network

_PROTOCOLS = {"1": "icmp", "2": "igmp", "6": "tcp", "17": "udp", "33": "dccp", "41": "ipv6", "47": "gre", "50": "esp", "51": "ah"}
_PROTOCOLS |= {"58": "icmpv6", "ipv6-icmp": "icmpv6", "89": "ospf", "103": "pim", "108": "comp", "ipcomp": "comp", "112": "vrrp"}
_PROTOCOLS |= {"132": "sctp", "136": "udplite"}
_LENGTH = re.compile(r"[0-9]{1,3}")
_PORT = re.compile(r"0|[1-9][0-9]{0,4}")
_LAST_PORT = 65535


def protocol(text: str) -> str:
    """A protocol by its name, or by its number if that is a rare one."""
    return _PROTOCOLS.get(text.lower(), text.lower())


def address(text: str, version: int = 0) -> str | None:
    """An address, a prefix or a range (``10.0.0.1-10.0.0.9``) as `flow.Guard` writes it; None for what is none.

    A mask may stand for the prefix length if it is one; bits of the host are dropped, as iptables and nft do. ``version`` (4, 6): no other.
    """
    low, between, high = text.partition("-")
    base, slash, size = text.partition("/")
    try:
        if between:
            first, last = ip_address(low), ip_address(high)
            ordered = first.version == last.version and int(first) <= int(last)
            found = "" if not ordered else str(first) if first == last else f"{first}-{last}"
            kind = first.version
        else:
            one = ip_address(base)
            kind = one.version
            length = _length(size, kind) if slash else one.max_prefixlen
            found = "" if length is None else str(ip_network(f"{one}/{length}", strict=False))
            found = found.removesuffix(f"/{one.max_prefixlen}")
    except ValueError:
        return None
    return found if found and "%" not in text and version in (0, kind) else None


def _length(text: str, version: int) -> int | None:
    """The length of a prefix, from a number or a mask without gaps; raises ValueError."""
    if _LENGTH.fullmatch(text):
        return int(text)
    mask = ip_address(text)
    rest = ~int(mask) & (1 << mask.max_prefixlen) - 1
    return None if mask.version != version or rest & (rest + 1) else mask.max_prefixlen - rest.bit_length()


def port(text: str, to: str = "-") -> str | None:
    """A port or a range as `flow.Guard` writes it; ``to`` is what stands in a range, whose ends may be left out if it is ``:``."""
    low, between, high = text.partition(to)
    if to == ":" and between and (low or high):
        low, high = low or "0", high or str(_LAST_PORT)
    ends = [low, high] if between else [low]
    if not all(_PORT.fullmatch(e) and int(e) <= _LAST_PORT for e in ends) or int(low) > int(ends[-1]):
        return None
    return low if low == ends[-1] else f"{low}-{high}"


def every(found: Iterable[str | None]) -> tuple[str, ...]:
    """The values if all are told and there are any, else none."""
    values = tuple(found)
    return tuple(v for v in values if v) if None not in values else ()
