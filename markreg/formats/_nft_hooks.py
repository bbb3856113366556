"""Where base chains of nft stand: hooks, and priorities by name or number."""

from __future__ import annotations

import re

from markreg.model import Hook

# include/uapi/linux/netfilter_ipv4.h, netfilter_bridge.h; the names by nftables' src/rule.c std_prios and bridge_std_prios.
_PRIORITIES = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}
_BRIDGE = {"dstnat": -300, "filter": -200, "out": 100, "srcnat": 300}
_PRIORITY = re.compile(r"(?:([a-z]+)\s*(?:([+-])\s*(\d+))?|(-?)\s*(\d+))")
_LINE = re.compile(
    r"(?<![^\s;{])type\s+(\w+)\s+hook\s+(\w+)\s+(?:devices?\s*+=?\s*+(?:\{[^{}]*\}|[^\s{}]++)\s++)*priority\s+"
    r"((?:[a-z]+|-?\s*\d+|\$[\w.-]+)(?:[ \t]*[+-][ \t]*\d+)?)"
)
_POLICY = re.compile(r"(?<![^\s;{])policy\s+(\w+)")


def priority(text: str, family: str) -> int | None:
    """A priority as nft takes it: ``-150``, ``mangle``, ``dstnat - 5``; None for a name it does not have."""
    match = _PRIORITY.fullmatch(text.strip())
    if not match:
        return None
    name, sign, offset, minus, plain = match.groups()
    if plain:
        return -int(plain[:9]) if minus else int(plain[:9])
    base = (_BRIDGE if family == "bridge" else _PRIORITIES).get(name)
    if base is None:
        return None
    return base + (int(offset[:9]) * (-1 if sign == "-" else 1) if offset else 0)


def declared(body: str) -> tuple[str, str, str] | None:
    """Type, hook and priority (as text) that a chain's body declares."""
    match = _LINE.search(body) if "hook" in body else None
    return (match[1], match[2], match[3]) if match else None


def policy(body: str) -> str:
    """The policy that a chain's body declares."""
    return match[1] if "policy" in body and (match := _POLICY.search(body)) else ""


def hook(name: str, number: int) -> tuple[Hook, ...]:
    """The hook of a base chain."""
    return (Hook(name.lower(), number),)
