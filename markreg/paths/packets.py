"""What is known of one packet besides its marks: devices and protocol, as sets of representatives held in the bits of an int."""

from __future__ import annotations

from collections.abc import Iterable

from markreg.flow import Guard

# The states of conntrack that a class of packets decides.
_STATES = ("new", "related", "established")
# More device patterns than that are one: they may hold.
_MOST = 48


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


def _fits(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


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


def decided(guard: Guard, family: str, kind: str) -> bool | None:
    """Whether a condition holds for packets of a family and class; None where it may."""
    if guard.kind == "family" and family != "arp":
        return (family in guard.values) != guard.negated
    if guard.kind == "state" and kind:
        if kind.removesuffix("-again") in guard.values:
            return not guard.negated
        if set(guard.values) <= set(_STATES):
            return guard.negated
        # INVALID, UNTRACKED, DNAT: also packets of every class. Without a class of its own, the rule may hold.
    return None
