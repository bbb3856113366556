"""Random rule sets walked packet by packet: what a packet carries into a match is in tier 1's relation; tier 2 equals brute force.

    MARKREG_PATH_SETS=5000 pytest tests/paths/test_containment.py

walks more of them.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.paths.brute import Walker
from tests.paths.random_nodes import FIELDS, analysed
from tests.paths.random_rules import OWNERS, WAYS, WIDTH, RuleSet, random_set

SETS = int(os.environ.get("MARKREG_PATH_SETS", "300"))
# All ways of all packets take their time.
EXACT = max(SETS // 5, 6)
PARTS = 6
Requests = frozenset[tuple[str, str, int]]


def chosen(rng: random.Random) -> frozenset[str]:
    """Up to three ways in which packets come, for a set."""
    ways = {*rng.sample(WAYS, rng.randint(0, 3))} - {"ends"}
    if "listed" in ways:
        ways.add("tunnel")
    if "lo" in ways:  # chains at devices are taken to be at all of them
        ways.discard("offload")
    return frozenset(ways)


def questions(rng: random.Random) -> Iterator[tuple[str, str, str, Requests]]:
    """(reader, writer, carrier, what the third owner sets for the reader)."""
    for a in OWNERS:
        for b in OWNERS:
            if a != b:
                yield a, b, "", frozenset()
    yield "a", "b", "c", frozenset()
    yield "b", "b", "a", frozenset()
    yield "a", "b", "", frozenset(("c", "m", n) for n in range(WIDTH) if rng.random() < 0.5)


def brute(rules: RuleSet, a: str, b: str, carrier: str, requests: Requests, *, wide: bool = False, addressed: bool = False) -> Walker:
    """A question asked of all packets."""
    walker = Walker(rules, a, b, carrier, requests=requests, wide=wide, addressed=addressed)
    walker.connections(6)
    return walker


@pytest.mark.parametrize("part", range(PARTS))
def test_what_a_packet_carries_into_a_match_is_in_the_relation(part: int) -> None:
    taken: Counter[str] = Counter()
    for seed in range(part, SETS, PARTS):
        rng = random.Random(seed)
        rules = random_set(rng, 6, chosen(rng))
        if (found := analysed(rules)) is None:
            continue
        walker = Walker(rules, rng=rng)
        for _ in range(25):
            walker.connections(4)
        taken.update({way: 1 for way, packets in walker.taken.items() if packets})
        for line, name, bit, origin, mover, value in walker.read:
            if not origin:
                continue
            met = (found.region.facts.ones if value else found.region.facts.zeros)(found.uses[line, False], FIELDS[name], bit)
            wanted = (found.uses[origin, True].id, found.uses[mover, True].id if mover else "")
            said = {(d.origin.id, d.via.id if d.via else "") for d in found.region.facts.named(met)}
            assert wanted in said, (seed, line, bit, origin, mover, rules.ways, rules.text, rules.nft)
