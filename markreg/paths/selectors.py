"""What routing rules ask of a packet besides its mark, which of them can never select one packet, and which are never reached.

net/core/fib_rules.c fib_rule_match, net/ipv4/fib_rules.c fib4_rule_match: all selectors must hold, and ``not`` inverts them together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from ipaddress import ip_network
from typing import NamedTuple

from markreg.flow import NARROW, Guard
from markreg.model import Rule

# What ends a lookup for good (fib4_rule_action); a table may hold no route, and then the next rule is asked.
FINAL = ("unreachable", "blackhole", "prohibit")
_LO = "lo"
_NUMBERS = (*NARROW, "uid")
# Above all IPv4 addresses.
_V6 = 1 << 40


class Selector(NamedTuple):
    """What a rule asks: ``guards`` of kinds iif, oif and proto, ``narrow`` of addresses and ports.

    ``local``: True if it selects only packets that are sent by this node, False if only those that a device brought, None if both.
    """

    guards: tuple[Guard, ...]
    narrow: tuple[Guard, ...]
    local: bool | None


def asked(rule: Rule) -> Selector:
    """What a rule asks besides the mark, of the packet as it is when it is routed; what cannot be told is left out.

    The lookup of a packet that is sent has lo as its input device (net/ipv4/route.c ip_route_output_key_hash), and a packet that comes back
    by lo has been routed already: ``iif lo`` says who sends, and is no guard. A packet that a device brings is looked up without an
    output device and as root's (ip_route_input_slow). Not so the check of its source (rp_filter), which sees the mark where
    src_valid_mark is set, and then with the ends exchanged.
    """
    guards, narrow = [], []
    local: bool | None = None
    for guard in rule.asks:
        (value,) = guard.values
        if guard.kind == "iif":
            local = value == _LO
            if not local:
                guards.append(guard)
        elif guard.kind in ("oif", "proto"):
            guards.append(guard)
        elif guard.kind in NARROW:
            narrow.append(guard)
        if guard.kind == "oif" or (guard.kind == "uid" and not value.startswith("0-")):
            local = True
    return Selector(tuple(guards), tuple(narrow), local)


def apart(first: Rule, second: Rule) -> bool:
    """Whether no packet can satisfy what two rules ask beside the mark."""
    mine, theirs = asked(first).local, asked(second).local
    if mine is not None and theirs is not None and mine != theirs:
        return True
    return any(a.kind == b.kind and _disjoint(a, b) for a in first.asks for b in second.asks)


def _disjoint(a: Guard, b: Guard) -> bool:
    """Whether two conditions of one kind cannot hold at once."""
    if a.kind not in _NUMBERS:
        return a.values != b.values
    (low, high), (bottom, top) = span(a), span(b)
    return high < bottom or top < low


@lru_cache(maxsize=65536)
def span(guard: Guard) -> tuple[int, int]:
    """The first and the last number of a condition on addresses, ports or users; IPv6 addresses come after all of IPv4."""
    (value,) = guard.values
    if guard.kind in ("src", "dst"):
        net = ip_network(value)
        base = 0 if net.version == 4 else _V6
        return base + int(net[0]), base + int(net[-1])
    low, _, high = value.partition("-")
    return int(low), int(high or low)


class Order:
    """The order in which rules are asked, as far as listings show it."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._places: dict[int, tuple[Sequence[tuple[int, Rule]], int]] = {}
        for listing in _listings(rules):
            ends = tuple(_ends(listing))
            self._places.update((id(rule), (ends, at)) for at, rule in enumerate(listing))

    def reached(self, rule: Rule, value: int, mask: int, beside: Rule | None = None) -> bool:
        """Whether packets whose mark has ``value`` under ``mask`` may come to a rule, were it not for ``beside`` and what follows that.

        An earlier rule takes them if it is final, asks nothing but the mark, and cannot be passed by with a ``goto``.
        """
        ends, place = self._places.get(id(rule), ((), 0))
        for at, earlier in ends:
            if at >= place:
                break
            if _takes(earlier, value, mask):
                return earlier is beside
        return True


def _listings(rules: Iterable[Rule]) -> Iterator[list[Rule]]:
    """Rules that one command listed: they stand together, by ascending priority."""
    listing: list[Rule] = []
    for rule in (r for r in rules if r.kind == "rule"):
        if listing and not _follows(listing[-1], rule):
            yield listing
            listing = []
        listing.append(rule)
    if listing:
        yield listing


def _follows(before: Rule, rule: Rule) -> bool:
    return (before.path, before.scope) == (rule.path, rule.scope) and before.priority <= rule.priority


def _ends(listing: Iterable[Rule]) -> Iterator[tuple[int, Rule]]:
    """The rules of a listing, with their places, that end a lookup for all packets with some mark."""
    passed = -1
    for at, rule in enumerate(listing):
        if rule.action == "goto":
            passed = max(passed, int(rule.table) if rule.table.isdecimal() else rule.priority)
        if rule.action in FINAL and rule.selectors in ("", "not") and rule.priority >= passed:
            yield at, rule


def _takes(rule: Rule, value: int, mask: int) -> bool:
    """Whether a rule without other selectors selects every packet with such a mark."""
    if rule.use is None or rule.use.predicate is None:
        return rule.selectors == ""
    test = rule.use.predicate
    return not test.mask & ~mask and test.holds(value)
