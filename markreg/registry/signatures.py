"""Signatures of components, indexed for many names, and which component wins where several match (registry.md section 6)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, cast, get_args

from markreg.model import Confidence
from markreg.registry.model import Interface, Recognise, Registry
from markreg.registry.patterns import Marker, Pattern, pattern
from markreg.registry.schema import markers
from markreg.registry.words import Kind

# What is known of one place, by the keys of [[recognise]]: each key may have several words.
Facts = Mapping[str, Sequence[str]]
RANKS: dict[Confidence, int] = {"high": 0, "medium": 1, "low": 2}
_LEVELS: tuple[Confidence, ...] = ("high", "medium", "low")
_BUCKET = 3
# How many names of one glob that belong to somebody else are looked at before it is given up.
_TRIES = 256
_LAST = "\U0010ffff"


@cache
def kinds_of(name: str) -> frozenset[str]:
    """The kinds of input a notation is: ``nft-json`` is ``nft``, ``ip-xfrm`` is ``xfrm``."""
    return frozenset(k for k in get_args(Kind) if name == k or name.startswith(f"{k}-") or name.endswith(f"-{k}"))


@cache
def test_keys(cls: type[Recognise | Interface]) -> tuple[tuple[str, str, Marker], ...]:
    """The keys of a signature that say something about a place: attribute, key, how its values are compared."""
    found = []
    for item in fields(cls):
        said: list[Marker] = [m for m in get_args(Marker) if m in markers(cls, item.name)]
        if said:
            found.append((item.name, item.name.rstrip("_"), said[0]))
    return tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class Signature:
    """One [[recognise]] table, or an [[interface]], ready for matching."""

    component: str
    confidence: Confidence
    kinds: frozenset[str]
    tests: tuple[tuple[str, tuple[Pattern, ...]], ...]
    shared_with: frozenset[str]
    listed: tuple[str, ...]
    reservation: str | None

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys it asks for."""
        return tuple(key for key, _ in self.tests)

    def match(self, facts: Facts) -> int:
        """How many characters the matching patterns fix; -1 if a key does not hold."""
        total = 0
        for key, patterns in self.tests:
            words = facts.get(key, ())
            best = max((p.literals for p in patterns for w in words if p.matches(w)), default=-1)
            if best < 0:
                return -1
            total += best
        return total


@dataclass(frozen=True, slots=True)
class Match:
    """A component that a place may belong to: by its best signature, with the confidence that counts."""

    component: str
    confidence: Confidence
    signature: Signature
    literals: int
    shared: bool = False


def signatures(registry: Registry) -> tuple[Signature, ...]:
    """Every signature of a registry, in the order of its component files."""
    found: list[Signature] = []
    for rules in registry.rules.values():
        tables: tuple[Recognise | Interface, ...] = (*rules.recognise, *rules.interface)
        found.extend(_made(rules.component, table) for table in tables)
    return tuple(found)


def _made(component: str, table: Recognise | Interface) -> Signature:
    tests = []
    for attribute, key, marker in test_keys(cast(Any, type(table))):
        if values := getattr(table, attribute):
            tests.append((key, tuple(pattern(v, marker) for v in values)))
    if isinstance(table, Recognise):
        listed = table.shared_with
        return Signature(
            component,
            table.confidence,
            frozenset(table.in_),
            tuple(tests),
            frozenset(listed) - {component},
            listed if component in listed else (component, *listed),
            table.reservation,
        )
    return Signature(component, "high", frozenset(table.in_), tuple(tests), frozenset(), (component,), table.does)


class _Words:
    """Signatures by the patterns of one key."""

    def __init__(self) -> None:
        self.exact: dict[str, list[Signature]] = {}
        self.begins: dict[str, list[tuple[Pattern, Signature]]] = {}
        self.other: list[tuple[str, Pattern, Signature]] = []
        self.seen: dict[str, tuple[Signature, ...]] = {}

    def add(self, signature: Signature, patterns: Iterable[Pattern]) -> None:
        for p in patterns:
            if p.ranges is None and p.tail == "nothing":
                self.exact.setdefault(p.prefix, []).append(signature)
            elif len(p.prefix) >= _BUCKET:
                self.begins.setdefault(p.prefix[:_BUCKET], []).append((p, signature))
            else:
                self.other.append((p.core, p, signature))

    def find(self, word: str) -> tuple[Signature, ...]:
        known = self.seen.get(word)
        if known is None:
            near = [s for p, s in self.begins.get(word[:_BUCKET], ()) if p.matches(word)]
            near += [s for core, p, s in self.other if core in word and p.matches(word)]
            known = self.seen[word] = tuple(dict.fromkeys([*self.exact.get(word, ()), *near]))
        return known


class Index:
    """All signatures of a registry, found by the words of a place."""

    def __init__(self, registry: Registry) -> None:
        self.all = signatures(registry)
        self._words: dict[str, _Words] = {}
        self._any: list[Signature] = []
        for signature in self.all:
            if signature.tests:
                # A chain's or a comment's name fixes most; any key will do, every signature is filed under one.
                key, patterns = min(signature.tests, key=lambda t: (t[0] != "chain", t[0] != "comment"))
                self._words.setdefault(key, _Words()).add(signature, patterns)

    def matches(self, kinds: Collection[str], facts: Facts) -> list[tuple[Signature, int]]:
        """Every signature that holds for a place, with the characters it fixes."""
        near = (s for key, words in self._words.items() for word in facts.get(key, ()) for s in words.find(word))
        held = ((s, s.match(facts)) for s in near if not s.kinds.isdisjoint(kinds))
        return [(signature, literals) for signature, literals in held if literals >= 0]

    def decide(
        self, kinds: Collection[str], facts: Facts, certain: Collection[str] = (), present: Collection[str] = (), own_chain: bool = False
    ) -> Match | None:
        """Whose a place is; None where nobody is known or two are equally likely.

        ``certain``: components present by a high match, whose medium matches count as high. ``present``: components known from
        elsewhere, which win what they share. ``own_chain``: the chain is a component's own, so its name goes before anything else.
        """
        found = self.matches(kinds, facts)
        best: dict[str, tuple[tuple[int, bool, int], Match]] = {}
        partners: dict[str, set[str]] = {}
        for signature, literals in found:
            name = signature.component
            rank = RANKS[signature.confidence]
            if rank == 1 and name in certain:
                rank = 0
            order = (rank, own_chain and "chain" not in signature.keys, -literals)
            partners.setdefault(name, set()).update(signature.shared_with)
            if name not in best or order < best[name][0]:
                best[name] = (order, Match(name, _LEVELS[rank], signature, literals))
        if not best:
            return None
        top = min(order for order, _ in best.values())
        tied = [m for order, m in best.values() if order == top]
        first = tied[0]
        mine = {c for c in partners[first.component] if first.component in partners.get(c, ())}
        sharing = [m for order, m in best.values() if order[0] == top[0] and (m is first or m.component in mine)]
        if any(m not in sharing for m in tied):
            return None
        if len(sharing) == 1:
            return first
        chosen = next((m for m in sharing if m.component in present), None) or _first_listed(sharing)
        return Match(chosen.component, chosen.confidence, chosen.signature, chosen.literals, shared=True)

    def evidence(self, kinds: Collection[str], base: Facts, names: Sequence[str]) -> Iterator[tuple[Signature, str, Match | None]]:
        """For each signature about chains that wins one of the sorted ``names`` at the place ``base``: itself, and that name.

        A signature that shares its chains with others is given with the match that says so.
        """
        text = "\n".join(names)
        for signature in self.all:
            keys = signature.keys
            if "chain" not in keys or signature.kinds.isdisjoint(kinds) or not {"chain", "table", "family"}.issuperset(keys):
                continue
            if any(not any(p.matches(w) for p in ps for w in base.get(k, ())) for k, ps in signature.tests if k != "chain"):
                continue
            patterns = [p for k, ps in signature.tests if k == "chain" for p in ps if len(p.prefix) >= _BUCKET or p.core in text]
            hit = next(filter(None, (self._first(signature, p, kinds, base, names) for p in patterns)), None)
            if hit:
                yield signature, *hit

    def _first(
        self, signature: Signature, wanted: Pattern, kinds: Collection[str], base: Facts, names: Sequence[str]
    ) -> tuple[str, Match | None] | None:
        """The first name of a pattern that belongs to the signature's component, or that it shares."""
        at = bisect_left(names, wanted.prefix)
        for _ in range(_TRIES):
            while at < len(names) and names[at].startswith(wanted.prefix) and not wanted.matches(names[at]):
                at += 1
            if at >= len(names) or not names[at].startswith(wanted.prefix):
                return None
            winner = self.decide(kinds, {**base, "chain": (names[at],)}, own_chain=True)
            if winner and (winner.component == signature.component or winner.shared):
                return names[at], winner
            at = _behind(winner, names, at)
        return None


def _behind(winner: Match | None, names: Sequence[str], at: int) -> int:
    """The next name that the same glob of the winner does not take as well."""
    patterns = next((ps for k, ps in winner.signature.tests if k == "chain"), ()) if winner else ()
    prefix = next((p.prefix for p in patterns if p.tail == "anything" and p.matches(names[at])), None)
    return bisect_left(names, prefix + _LAST, at + 1) if prefix else at + 1


def _first_listed(sharing: Sequence[Match]) -> Match:
    order = sharing[0].signature.listed
    return min(sharing, key=lambda m: order.index(m.component) if m.component in order else len(order))
