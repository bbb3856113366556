"""What a rule of iptables does to a packet's way: its devices, protocol and connection state, its verdict."""

from __future__ import annotations

import re
from functools import lru_cache

from markreg.flow import Flow, Guard, Outcome
from markreg.formats._iptables_text import GOES_ON, blank

_ENDS = {
    "ACCEPT": "accept",
    "DROP": "drop",
    "REJECT": "drop",
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
# What uses say of a rule, and modules that ask nothing by themselves.
_MARKS = ("--mark", "--label")
_SILENT = {"comment", "mark", "connmark", "connlabel", "mark_m", "conntrack", "state", "tcp", "udp", "multiport", "physdev", "set"}


def flow(line: str, clauses: tuple[str, ...] = ()) -> Flow | None:
    """The rule in a line; None if there is none. ``clauses``: what its uses say already."""
    match = _RULE.match(line)
    return _of(match[2]) if match else None


@lru_cache(maxsize=8192)
def _of(body: str) -> Flow:
    words = blank(body).split()
    guards: list[Guard] = []
    others: list[str] = []
    negated = False
    at = 0
    while at < len(words):
        word = words[at]
        value = words[at + 1] if at + 1 < len(words) else ""
        at += 1
        if word == "!":
            negated = True
            continue
        if word in ("-j", "--jump", "-g", "--goto"):
            return Flow(tuple(guards), " ".join(others), *_outcome(word, value, words[at + 1 :]))
        if word == "--comment":
            at += 1
        elif word in ("-m", "--match"):
            at += 1
            if value not in _SILENT:
                others.append(value)
        elif word in _MARKS:
            at += 1
        elif word == "--set" and "--label" in words:
            pass
        elif kind := _ASKED.get(word):
            if value == "!":  # the old place of the sign
                negated, at = True, at + 1
                value = words[at] if at < len(words) else ""
            at += 1
            if kind == "proto" and value in ("all", "0"):
                pass
            else:
                guards.append(Guard(kind, _values(kind, value), negated))
        elif word == "-c":
            at += 2
        else:
            others.append(("! " if negated else "") + word)
            while at < len(words) and not words[at].startswith("-") and words[at] != "!":
                others.append(words[at])
                at += 1
        negated = False
    return Flow(tuple(guards), " ".join(others))


def _values(kind: str, text: str) -> tuple[str, ...]:
    if kind == "state":
        return tuple(text.lower().split(","))
    if kind in ("iif", "oif"):
        return (text[:-1] + "*" if text.endswith("+") else text,)
    return (_PROTOCOLS.get(text.lower(), text.lower()),)


_PROTOCOLS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6", "ipv6-icmp": "icmpv6", "132": "sctp", "50": "esp", "47": "gre"}


def _outcome(option: str, target: str, options: list[str]) -> tuple[tuple[Outcome, ...], bool]:
    """Where the target leads, and whether the next rule may be run all the same."""
    if target == "mark":  # ebtables: what comes after the write (net/bridge/netfilter/ebt_mark.c), ACCEPT unless it is said
        target = options[options.index("--mark-target") + 1] if "--mark-target" in options[:-1] else "ACCEPT"
    if target in GOES_ON:
        return (), False
    if verb := _ENDS.get(target):
        return (Outcome(verb),), False
    return (Outcome("goto" if option in ("-g", "--goto") else "jump", target),), False
