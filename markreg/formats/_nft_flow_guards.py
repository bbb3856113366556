"""The conditions of an nft rule that the path analysis follows, found in its text: devices, protocol, state, family, addresses, ports.

Only comparisons of one thing with values that stand there are told. What is a part of something else is not: of a concatenation or a map,
of ``fib``, a connection's tuple, an IPsec state, the packet inside a tunnel.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from markreg.flow import Guard
from markreg.formats._narrow import address, every, port, protocol

# Where a word of its own begins that is no part of something else, and where one ends.
START, END = r"(?<![\w.@$\0-])(?<!\. )(?<!set )(?<!hash )", r"(?![\w.\0-])"
_ALONE = rf"{END}(?! ?[.&|^<>/,])(?! (?:map|vmap|and|or|xor){END})"
_KEY_ENDS = rf" (?!(?:map|vmap){END})"
_SIGN = r"((?:!=|==|(?:ne|eq)(?= )) ?)?"
_HEADERS = "meta|ct|ip6?|tcp|udp|udplite|sctp|dccp|th|ether|vlan|arp|icmp|icmpv6|socket|rt|ah|esp|comp"
KEY = rf"(?:(?:{_HEADERS}) )?[\w-][\w\0.-]*"
_SET = r"\{[^{}]*\}"
_DEVICE = re.compile(rf"{START}(?:meta )?([io]if)(?:name)?{_KEY_ENDS}{_SIGN}({_SET}|\"[^\"]*\"|[\w*][\w.*-]*){_ALONE}")
# Several states without braces are a mask, whose != is another thing.
_STATE = re.compile(rf"{START}ct state{_KEY_ENDS}(?!(?:!= ?|ne )\w+ ?,){_SIGN}(\{{[a-z, ]*\}}|[a-z]+(?: ?, ?[a-z]+)*){_ALONE}")
_PROTO = re.compile(rf"{START}(?:meta l4proto|ip6? (?:protocol|nexthdr)){_KEY_ENDS}{_SIGN}({_SET}|[a-z][\w-]*|\d+(?!-)){_ALONE}")
# A packet with a VLAN's tag has that for its type, whatever it holds (net/netfilter/nft_payload.c nft_payload_copy_vlan).
_FAMILY = re.compile(
    rf"{START}(?:meta (?:nfproto|protocol){_KEY_ENDS}{_SIGN}|ether type (?!!=|ne )(==|eq)? ?)({_SET}|ipv4|ipv6|ip6?|arp){_ALONE}"
)
_ADDRESS = re.compile(rf"{START}(ip6?) ([sd])addr{_KEY_ENDS}{_SIGN}({_SET}|[0-9a-fA-F:][0-9a-fA-F:./-]*){_ALONE}")
_PORTS = re.compile(rf"{START}(?:tcp|udp|udplite|sctp|dccp|th) ([sd])port{_KEY_ENDS}{_SIGN}({_SET}|\d[\d-]*){_ALONE}")
_CONCATENATION = re.compile(rf"{START}({KEY}(?: \. {KEY})+) (?:== ?|eq )?({_SET}){_ALONE}")
_OWN = r"(?<![\w.@$\0-])"
# Headers that a rule looks at: without them it does not hold, wherever in it they stand. Options may be asked for by their absence.
_HEADER = re.compile(
    rf"{_OWN}(?:(tcp|udp|udplite|sctp|dccp) (?:[sd]port|flags|type)|(esp|ah) (?:spi|sequence)|(comp) (?:cpi|nexthdr|flags)"
    rf"|(?<!with )(icmp|icmpv6|igmp) (?:type|code|id|sequence|gateway|mtu|group|mrt|packet-too-big|parameter-problem|max-delay)){END}"
)
_IP = re.compile(
    rf"{_OWN}(?:(ip6?) (?:[sd]addr|protocol|nexthdr|dscp|ecn|length|ttl|hoplimit|version|id|frag-off|checksum|hdrlength|flowlabel)"
    rf"|(arp) (?:[sd]addr|operation|htype|ptype|[hp]len)){END}"
)
_FAMILY_OF = {"icmp": "ip", "igmp": "ip", "icmpv6": "ip6"}
# Expressions whose words would be taken for conditions on the packet itself. A tunnel's name may also be the protocol of the packet.
_TUNNEL = r"(?<!proto )(?<!protocol )(?<!nexthdr )(?<!= )(?:vxlan|geneve|gretap|gre)"
_INNER = r"(?:ip6?|ether|vlan|arp|icmp|icmpv6|igmp|tcp|udp|udplite|sctp|dccp|th)"
_FOREIGN = re.compile(
    rf"{_OWN}(?:fib \w+(?: \. \w+)* (?:oifname|oif|type)|ct (?:original|reply) (?:ip6? )?[\w-]+"
    rf"|ipsec (?:in|out) (?:spnum \d+ )?(?:ip6? )?\w+|{_TUNNEL} {_INNER} \w+)(?![\w.-])"
)
_FAMILIES = {"ipv4": "ip", "ip": "ip", "ipv6": "ip6", "ip6": "ip6", "arp": "arp"}
_PLAIN = re.compile(r"[\w*][\w.*-]*")


def foreign(text: str) -> str:
    """The text (single spaces) with such expressions in one piece, which is no word of any condition."""
    return _FOREIGN.sub(lambda m: m[0].replace(" ", "\0"), text)


def restored(text: str) -> str:
    """What ``foreign`` made one piece, as it was."""
    return text.replace("\0", " ")


def asked(text: str) -> tuple[list[Guard], str]:
    """The conditions that are followed, and the text without them."""
    guards: list[Guard] = []
    for pattern, make in ((_DEVICE, _device), (_PROTO, _protocol), (_STATE, _state), (_FAMILY, _family)):
        text = _taken(pattern, make, text, guards)
    return guards, text


def narrow(text: str) -> tuple[tuple[Guard, ...], str]:
    """The conditions on addresses and ports, and the text without them."""
    guards: list[Guard] = []
    for pattern, make in ((_ADDRESS, _addresses), (_PORTS, _ports)):
        text = _taken(pattern, make, text, guards)
    return tuple(guards), text


def implied(text: str) -> list[Guard]:
    """The protocols and families that a rule must find because it looks into their headers."""
    headers = dict.fromkeys(next(filter(None, found)) for found in _HEADER.findall(text))
    families = [next(filter(None, found)) for found in _IP.findall(text)] + [_FAMILY_OF[h] for h in headers if h in _FAMILY_OF]
    return [Guard("proto", (name,)) for name in headers] + [Guard("family", (name,)) for name in dict.fromkeys(families)]


def concatenated(text: str) -> list[str]:
    """What the concatenations of a text ask at least: of each thing that they look up, to be one of those that stand there."""
    found: list[str] = []
    for match in _CONCATENATION.finditer(text):
        keys = match[1].split(" . ")
        rows = [value.split(" . ") for value in _values(match[2])]
        if all(len(row) == len(keys) for row in rows):
            found += [f"{key} {{ {', '.join(dict.fromkeys(column))} }}" for key, column in zip(keys, zip(*rows, strict=True), strict=False)]
    return found


def _taken(pattern: re.Pattern[str], make: Callable[[re.Match[str]], Guard], text: str, guards: list[Guard]) -> str:
    """The text without the matches that make a condition."""

    def one(match: re.Match[str]) -> str:
        guard = make(match)
        if not guard.values:
            return match[0]
        guards.append(guard)
        return " "

    return pattern.sub(one, text)


def _device(match: re.Match[str]) -> Guard:
    names = tuple(v.strip('"') for v in _values(match[3]))
    return Guard(match[1], names if all(_PLAIN.fullmatch(n) for n in names) else (), _no(match[2]))


def _protocol(match: re.Match[str]) -> Guard:
    names = _values(match[2])
    told = all(re.fullmatch(r"[a-z][\w-]*|\d+", n) for n in names)
    # Before the protocol, IPv6 may have other headers.
    told &= not ("nexthdr" in match[0] and _no(match[1]))
    return Guard("proto", tuple(map(protocol, names)) if told else (), _no(match[1]))


def _state(match: re.Match[str]) -> Guard:
    return Guard("state", _values(match[2]), _no(match[1]))


def _family(match: re.Match[str]) -> Guard:
    values = _values(match[3])
    return Guard("family", tuple(_FAMILIES[v] for v in values) if all(v in _FAMILIES for v in values) else (), _no(match[1]))


def _addresses(match: re.Match[str]) -> Guard:
    version = 4 if match[1] == "ip" else 6
    # nft has no masks with dots; what has one is something else.
    found = every(address(v, version) if "/" not in v or v.rpartition("/")[2].isdecimal() else None for v in _values(match[4]))
    return Guard("src" if match[2] == "s" else "dst", found, _no(match[3]))


def _ports(match: re.Match[str]) -> Guard:
    return Guard("sport" if match[1] == "s" else "dport", every(map(port, _values(match[3]))), _no(match[2]))


def _no(sign: str | None) -> bool:
    return bool(sign) and (sign or "")[0] in "!n"


def _values(text: str) -> tuple[str, ...]:
    return tuple(v for part in text.strip("{} ").split(",") if (v := part.strip()))
