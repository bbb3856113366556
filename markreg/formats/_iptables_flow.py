"""What a rule of iptables does to a packet's way: its devices, protocol, connection state, addresses and ports, its verdict."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from markreg.flow import Flow, Guard, Outcome
from markreg.formats._iptables_text import GOES_ON, blank, words_of
from markreg.formats._narrow import address, every, port, protocol

_ENDS = {
    "ACCEPT": "accept",
    "DROP": "drop",
    "REJECT": "reject",
    "TARPIT": "drop",
    "RETURN": "return",
    "MASQUERADE": "nat",
    "SNAT": "nat",
    "DNAT": "nat",
    "REDIRECT": "nat",
    "NETMAP": "nat",
    "SAME": "nat",
    "TPROXY": "accept",
    "QUEUE": "accept",
    "NFQUEUE": "accept",
    "SYNPROXY": "drop",
}
_RULE = re.compile(r"\s*(?:\[\d+:\d+\] ?)?(?:-A|-I|--append|--insert)[ \t]+(\S+)[ \t]*(?:\d+(?=[ \t]))?(.*)", re.DOTALL)
_ASKED = {
    "-i": "iif",
    "--in-interface": "iif",
    "-o": "oif",
    "--out-interface": "oif",
    "-p": "proto",
    "--protocol": "proto",
    "--logical-in": "",
    "--ctstate": "state",
    "--state": "state",
}
_NARROW = {
    **dict.fromkeys(("-s", "--source", "--src"), "src"),
    **dict.fromkeys(("-d", "--destination", "--dst"), "dst"),
    **dict.fromkeys(("--sport", "--source-port"), "sport"),
    **dict.fromkeys(("--dport", "--destination-port"), "dport"),
    **dict.fromkeys(("--sports", "--source-ports"), "sports"),
    **dict.fromkeys(("--dports", "--destination-ports"), "dports"),
    "--src-range": "srcs",
    "--dst-range": "dsts",
}
# What uses say of a rule, and modules that ask nothing by themselves.
_MARKS = ("--mark", "--label")
_SILENT = {"comment", "mark", "connmark", "connlabel", "mark_m", "conntrack", "state", "tcp", "udp", "multiport", "physdev", "set"}
# Modules of which all that they ask is narrow.
_PLAIN = {"iprange", "sctp", "dccp", "udplite"}
# What ebtables calls a protocol. The first two are also protocols in IP packets, by names that not every system has.
_ETHERTYPE = re.compile(r"ipv4|ipv6|r?arp|802_1q|802_1ad|vlan|length|loop(?:back)?|x25|mpls_\w+|ppp_\w+|0x[0-9a-f]+", re.IGNORECASE)
# getopt takes a value that is written to its option.
_ATTACHED = re.compile(r"(?:(-[sdpiojgm])(?=[^-\s])|(--[a-z][a-z-]*)=)(\S+)")


def flow(line: str, clauses: tuple[str, ...] = ()) -> Flow | None:
    """The rule in a line; None if there is none. ``clauses``: what its uses say already."""
    match = _RULE.match(line)
    return _of(match[2]) if match else None


@lru_cache(maxsize=8192)
def _of(body: str) -> Flow:
    plain = blank(body).split()
    words = _words(plain, plain)
    written: list[str] = []  # made where quoted strings are to be told
    guards: list[Guard] = []
    narrow: list[Guard] = []
    others: list[str] = []
    loose = negated = untracks = False
    outcome: tuple[tuple[Outcome, ...], bool] | None = None
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word == "!":
            negated = True
            continue
        if words[at : at + 1] == ["!"] and (word in _ASKED or word in _NARROW):  # the old place of the sign
            negated, at = True, at + 1
        value = words[at] if at < len(words) else ""
        if word in ("-j", "--jump", "-g", "--goto"):
            at += 1
            outcome = _outcome(word, value, words[at:])
            untracks = value == "NOTRACK" or (value == "CT" and "--notrack" in words[at:])
        elif word == "--comment":
            at += 1
        elif word in ("-m", "--match"):
            at += 1
            if value not in _SILENT or (outcome and value != "comment"):
                others.append(value)
                loose |= bool(outcome) or value not in _PLAIN
        elif word in _MARKS:
            at += 1
        elif word == "--set" and "--label" in words:
            pass
        elif kind := _ASKED.get(word):
            at += 1
            if kind == "proto" and _ETHERTYPE.fullmatch(value):
                others += [word, value]
                loose = True
            elif kind != "proto" or value not in ("all", "0"):
                guards.append(Guard(kind, _values(kind, value), negated))
        elif word == "-c":
            at += 2
        elif outcome is None or word in _NARROW:
            start = at
            others.append(("! " if negated else "") + word)
            while at < len(words) and not words[at].startswith("-") and words[at] != "!":
                if '""' in words[at]:
                    written = written or _words(plain, words_of(body))
                others.append((written or words)[at])
                at += 1
            found = _narrow(word, value, negated) if at == start + 1 else None
            loose |= found is None
            narrow += [found] if found else []
        negated = False
    return Flow(tuple(guards), " ".join(others), *(outcome or ((), False)), tuple(narrow), loose, untracks)


def _words(words: Iterable[str], written: Iterable[str]) -> list[str]:
    """The words of a rule, each option apart from its value; ``written``: as which they are told."""
    found: list[str] = []
    option = ""
    for word, whole in zip(words, written, strict=True):
        match = None if option == "--comment" else _ATTACHED.fullmatch(word)
        found += (match[1] or match[2], whole[match.start(3) :]) if match else (whole,)
        option = word
    return found


def _narrow(option: str, text: str, negated: bool) -> Guard | None:
    """What an option asks of an address or of ports, if that is told in full."""
    kind = _NARROW.get(option, "")
    parts = text.split(",")
    values: tuple[str, ...] = ()
    if kind in ("src", "dst"):
        # A list makes a rule of each, which iptables does not take with a sign (iptables/xshared.c: "! not allowed with multiple").
        if "-" not in text and not (negated and len(parts) > 1):
            values = every(map(address, parts))
    elif kind in ("srcs", "dsts"):
        values = every([address(text)]) if "/" not in text else ()
    elif kind:
        values = every(port(p, ":") for p in (parts if kind.endswith("s") else [text]))
    if not values:
        return None
    return Guard(kind.removesuffix("s"), values, negated)


def _values(kind: str, text: str) -> tuple[str, ...]:
    if kind == "state":
        return tuple(text.lower().split(","))
    if kind in ("iif", "oif"):
        return (text[:-1] + "*" if text.endswith("+") else text,)
    return (protocol(text),)


def _outcome(option: str, target: str, options: list[str]) -> tuple[tuple[Outcome, ...], bool]:
    """Where the target leads, and whether the next rule may be run all the same."""
    if target == "mark":  # ebtables: what comes after the write (net/bridge/netfilter/ebt_mark.c), ACCEPT unless it is said
        target = options[options.index("--mark-target") + 1] if "--mark-target" in options[:-1] else "ACCEPT"
    if target in GOES_ON:
        return (), False
    if verb := _ENDS.get(target):
        return (Outcome(verb),), False
    return (Outcome("goto" if option in ("-g", "--goto") else "jump", target),), False
