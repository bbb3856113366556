"""What is known of one packet besides its marks: devices and protocol, as sets of representatives held in the bits of an int."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from markreg.flow import NARROW, Guard

# The classes of packets without a connection; and the states of conntrack that other classes decide.
BARE = ("untracked", "invalid")
_STATES = ("new", "related", "established")
# More device patterns than that are one: they may hold. Of addresses and ports, which divide packets further, fewer.
_MOST = 48
_MOST_RANGES = 12
# Above all IPv4 addresses.
_V6 = 1 << 40


class Representatives:
    """One name for each pattern of a kind (``iif``, ``oif``, ``proto``), one that fits none, and none at all."""

    def __init__(self, patterns: Iterable[str]) -> None:
        found = sorted(set(patterns))
        self.crowded = len(found) > _MOST
        names: dict[str, None] = {}
        for pattern in [] if self.crowded else found:
            names[f"{pattern[:-1]}\0" if pattern.endswith("*") else pattern] = None
        self.names = (*names, "\1")
        self.none = 1 << len(self.names)
        self.any = self.none - 1

    def fitting(self, guard: Guard) -> int | None:
        """The representatives for which a condition holds; None if that is not told."""
        if self.crowded:
            return None
        found = sum(1 << n for n, name in enumerate(self.names) if any(_fits(p, name) for p in guard.values))
        return (self.any | self.none) & ~found if guard.negated else found

    def of(self, names: Iterable[str]) -> int:
        """The representatives for devices of these names or patterns; all for none."""
        if self.crowded or not (wanted := tuple(names)):
            return self.any
        return sum(1 << at for at in {at for name in wanted for at in self._standing(name)})

    def _standing(self, name: str) -> list[int]:
        if name.endswith("*"):
            return [n for n, known in enumerate(self.names) if _fits(name, known)] or [len(self.names) - 1]
        alike = [n for n, known in enumerate(self.names) if known == name or (known.endswith("\0") and name.startswith(known[:-1]))]
        exact = [n for n in alike if self.names[n] == name]
        return exact or [max(alike, key=lambda n: len(self.names[n]))] if alike else [len(self.names) - 1]


def _fits(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


class Ranges:
    """Addresses or ports, cut into the ranges between which the conditions on them do not tell."""

    def __init__(self, values: Iterable[str]) -> None:
        self._spans: dict[str, tuple[int, int]] = {}
        for value in values:
            if span := _range(value):
                self._spans[value] = span
            if len(self._spans) > _MOST_RANGES:
                self._spans = {}
                break
        self._cuts = sorted({0, *(low for low, _ in self._spans.values()), *(high + 1 for _, high in self._spans.values())})
        self.any = (1 << len(self._cuts)) - 1

    def fitting(self, guard: Guard) -> int | None:
        """The ranges for which a condition holds; None if that is not told."""
        if len(self._cuts) == 1 or any(v not in self._spans for v in guard.values):
            return None
        spans = [self._spans[v] for v in guard.values]
        found = sum(1 << n for n, cut in enumerate(self._cuts) if any(low <= cut <= high for low, high in spans))
        return self.any & ~found if guard.negated else found


def _range(text: str) -> tuple[int, int] | None:
    """The first and last of an address, a prefix, a port or a range; None for what is none of these."""
    low, dash, high = text.partition("-")
    try:
        if dash:
            return _number(low), _number(high)
        if "/" in text:
            net = ip_network(text, strict=False)
            return _number(str(net[0])), _number(str(net[-1]))
        return _number(text), _number(text)
    except ValueError:
        return None


def _number(text: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    address = ip_address(text)
    return int(address) + _V6 if address.version == 6 else int(address)


class Packets:
    """The representatives of all kinds for a set of conditions."""

    KINDS = ("iif", "oif", "proto")

    def __init__(self, guards: Iterable[Guard]) -> None:
        patterns: dict[str, list[str]] = {kind: [] for kind in self.KINDS}
        for guard in guards:
            if guard.kind in patterns:
                patterns[guard.kind] += guard.values
        self.kinds = {kind: Representatives(found) for kind, found in patterns.items()}
        self._known: dict[Guard, int | None] = {}

    def fitting(self, guard: Guard) -> int | None:
        """The representatives of the condition's kind for which it holds; None if that is not told."""
        if guard not in self._known:
            self._known[guard] = self.kinds[guard.kind].fitting(guard)
        return self._known[guard]


class Ends:
    """The addresses and ports of packets, by NARROW, for a set of conditions on them. A packet's ends are a mask of ranges for each.

    ``divided``: whether any condition tells packets apart.
    """

    def __init__(self, guards: Iterable[Guard]) -> None:
        values: dict[str, set[str]] = {kind: set() for kind in NARROW}
        for guard in guards:
            values[guard.kind].update(guard.values)
        self._ranges = [Ranges(values[kind]) for kind in NARROW]
        self.any = tuple(r.any for r in self._ranges)
        self.divided = any(every > 1 for every in self.any)
        self._known: dict[Guard, int | None] = {}

    def fitting(self, guard: Guard) -> int | None:
        """The ranges of the condition's kind for which it holds; None if that is not told."""
        if guard not in self._known:
            self._known[guard] = self._ranges[NARROW.index(guard.kind)].fitting(guard)
        return self._known[guard]

    def mapped(self, ends: tuple[int, ...], side: str) -> tuple[int, ...]:
        """The ends after nat may have changed those of a side, ``s`` or ``d``."""
        return tuple(every if kind.startswith(side) else end for kind, end, every in zip(NARROW, ends, self.any, strict=True))


def decided(guard: Guard, family: str, kind: str) -> bool | None:
    """Whether a condition holds for packets of a family and class; None where it may."""
    if guard.kind == "family" and (family != "arp" or family not in guard.values):  # also what is none of the three
        return (family in guard.values) != guard.negated
    if guard.kind == "state" and kind:
        if kind.removesuffix("-again") in guard.values:
            return not guard.negated
        if kind in BARE or set(guard.values) <= {*_STATES, *BARE}:
            return guard.negated
        # DNAT, SNAT: packets of every class.
    return None
