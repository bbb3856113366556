"""The match of a flow, clause by clause: which bits of which field must have which value."""

from __future__ import annotations

import re
from functools import lru_cache

from markreg.bits import BitsError, full, parse_int
from markreg.formats._openflow_fields import parts
from markreg.formats._openflow_scan import priority_of
from markreg.model import FIELDS
from markreg.switching import ALL_STATES, CT_STATE, CT_ZONE, Clause

# lib/meta-flow.xml: the protocols' short names and what they stand for.
_IP, _IPV6 = 0x0800, 0x86DD
KEYWORDS: dict[str, tuple[int, int | None]] = {
    "ip": (_IP, None),
    "ipv6": (_IPV6, None),
    "arp": (0x0806, None),
    "rarp": (0x8035, None),
    "icmp": (_IP, 1),
    "tcp": (_IP, 6),
    "udp": (_IP, 17),
    "sctp": (_IP, 132),
    "icmp6": (_IPV6, 58),
    "tcp6": (_IPV6, 6),
    "udp6": (_IPV6, 17),
    "sctp6": (_IPV6, 132),
    "mpls": (0x8847, None),
    "mplsm": (0x8848, None),
}
_STATES = {"new": 1, "est": 2, "rel": 4, "rpl": 8, "inv": 16, "trk": 32, "snat": 64, "dnat": 128}
# All names of a field, in matches and in actions, and its width.
NAMES = {
    "in_port": ("in_port", 32),
    "dl_type": ("dl_type", 16),
    "eth_type": ("dl_type", 16),
    "nw_proto": ("nw_proto", 8),
    "ip_proto": ("nw_proto", 8),
    "dl_src": ("dl_src", 48),
    "eth_src": ("dl_src", 48),
    "dl_dst": ("dl_dst", 48),
    "eth_dst": ("dl_dst", 48),
    "nw_src": ("ip_src", 32),
    "ip_src": ("ip_src", 32),
    "ipv4_src": ("ip_src", 32),
    "nw_dst": ("ip_dst", 32),
    "ip_dst": ("ip_dst", 32),
    "ipv4_dst": ("ip_dst", 32),
    "ipv6_src": ("ipv6_src", 128),
    "ipv6_dst": ("ipv6_dst", 128),
    "arp_spa": ("ip_src", 32),  # one field with nw_src in the switch (lib/flow.h)
    "arp_tpa": ("ip_dst", 32),
    "dl_vlan": ("dl_vlan", 16),
    "vlan_tci": ("vlan_tci", 16),
    "vlan_vid": ("vlan_vid", 16),
    "tun_id": ("tun_id", 64),
    "tunnel_id": ("tun_id", 64),
    **{f"{p}{side}": (f"tp{side}", 16) for p in ("tp", "tcp", "udp", "sctp") for side in ("_src", "_dst")},
}
# What of a line is no part of its match.
_ATTRIBUTES = (
    *("cookie", "duration", "table", "table_id", "n_packets", "n_bytes", "n_offload_packets", "n_offload_bytes", "idle_age", "hard_age"),
    *("idle_timeout", "hard_timeout", "priority", "importance", "send_flow_rem", "check_overlap", "reset_counts", "no_packet_counts"),
    *("no_byte_counts", "add", "modify"),
)
_ATTRIBUTE = re.compile(rf"(?<![^,\s])(?:{'|'.join(_ATTRIBUTES)})(?:=(?:\"[^\"]*\"|[^,\s]*)|(?=[,\s]|$))[,\s]*")
_PARTS = re.compile(r"table|cookie|timeout|importance|_flow|_overlap|_counts")
_TABLE = re.compile(r"(?<![\w-])table(?:_id)?=(\"[^\"]*\"|[^,\s]+)")
_PRIORITY = re.compile(r"(?<![\w-])priority=([0-9]+)")
CLAUSE = re.compile(r"([A-Za-z_][\w-]*)(?:=(\"[^\"]*\"|[^,\s]*))?")
_STATE = re.compile(r"([+-])([a-z]+)")


def head_of(head: str) -> tuple[str, int, str, bool]:
    """Table, priority and match of a flow, the match's clauses parted by commas, and whether it stays until it is deleted."""
    lasts = "_timeout=" not in head
    at = head.find(" priority=")
    if at >= 0:  # as dumps print it, what stands behind is the match
        first, _, asks = head[at + 10 :].rstrip().partition(",")
        start = head.find(" table=", 0, at)
        table = head[start + 7 : head.find(",", start)] if start >= 0 else ""
        if table.isalnum() and first.isdecimal() and " " not in asks and not _PARTS.search(asks):
            return table, priority_of(first), asks, lasts
    found, priority = _TABLE.search(head), _PRIORITY.search(head)
    asks = _ATTRIBUTE.sub("", head).strip(", \t\r")
    if " " in asks or "\t" in asks:
        asks = ",".join(asks.replace(",", " ").split())
    return found[1].strip('"') if found else "0", priority_of(priority[1]) if priority else 32768, asks, lasts


@lru_cache(8192)
def bits_asked(name: str, text: str) -> tuple[Clause, ...] | None:
    """What one clause asks; None where it asks something else, or more."""
    if not text:
        known = KEYWORDS.get(name)
        if known is None:
            return None
        return (Clause("dl_type", 0xFFFF, known[0]), *(() if known[1] is None else (Clause("nw_proto", 0xFF, known[1]),)))
    if name == CT_STATE:
        return _states(text)
    value, slash, mask = text.partition("/")
    try:
        if name == "in_port" and (port := text.strip('"')).lower() not in _RESERVED and not port.isdecimal():
            return (Clause("in_port_name", full(512), int.from_bytes(port.encode()[:64])),)
        if name == CT_ZONE:
            return (Clause(CT_ZONE, 0xFFFF, parse_int(value)),) if not slash else None
        if name in NAMES:
            name, width = NAMES[name]
            return _compared(name, width, value, mask)
        if name.startswith(("OXM", "NXM")):
            return None
        found = parts(name)
        if not found or any(part.field not in FIELDS for part in found):
            return None
        width = sum(part.width for part in found)
        number, bits = parse_int(value), parse_int(mask) if slash else full(width)
    except (BitsError, ValueError):
        return None
    made, done = [], 0
    for part in found:
        if here := bits >> done & full(part.width):
            made.append(Clause(part.field, here << part.low, (number >> done & here) << part.low))
        done += part.width
    return tuple(made)


def _compared(name: str, width: int, value: str, mask: str) -> tuple[Clause, ...] | None:
    """A header field. Raises ValueError for what is no number or address; None for a port by its name."""
    number = _number(name, value)
    if number is None:
        return None
    bits = full(width)
    if mask:
        if mask.isdecimal() and name in ("ip_src", "ip_dst", "ipv6_src", "ipv6_dst"):
            bits &= ~full(width - int(mask)) if int(mask) <= width else 0
        else:
            found = _number(name, mask)
            if found is None:
                return None
            bits &= found
    return (Clause(name, bits, number & bits),)


# Ports with names of their own; OpenFlow 1.0 has 16 bits for them.
_RESERVED = {"local": 0xFFFFFFFE, "controller": 0xFFFFFFFD}
_RESERVED_OLD = {0xFFFE: 0xFFFFFFFE, 0xFFFD: 0xFFFFFFFD}


def _number(name: str, text: str) -> int | None:
    if name == "in_port":
        text = text.strip('"').lower()
        return _RESERVED.get(text) or _RESERVED_OLD.get(parse_int(text), parse_int(text))
    if name in ("dl_src", "dl_dst"):
        return int(text.replace(":", ""), 16) if text.count(":") == 5 else None
    if "." in text or ":" in text:
        import ipaddress

        return int(ipaddress.ip_address(text))
    return parse_int(text)


def _states(text: str) -> tuple[Clause, ...] | None:
    found = _STATE.findall(text)
    if found and "".join(a + b for a, b in found) == text and all(b in _STATES for _, b in found):
        mask = sum({_STATES[b] for _, b in found})
        return (Clause(CT_STATE, mask, sum({_STATES[b] for a, b in found if a == "+"})),)
    if text and all(word in _STATES for word in text.split("|")):
        return (Clause(CT_STATE, ALL_STATES, sum({_STATES[word] for word in text.split("|")})),)
    return None
