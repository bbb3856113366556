"""Random rule sets walked packet by packet: what a packet carries into a match is in tier 1's relation; tier 2 equals brute force.

    MARKREG_PATH_SETS=5000 pytest tests/paths/test_containment.py

walks more of them.
"""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest

from tests.paths.brute import Walker
from tests.paths.random_nodes import FIELDS, analysed
from tests.paths.random_rules import OWNERS, WAYS, WIDTH, RuleSet, random_set

SETS = int(os.environ.get("MARKREG_PATH_SETS", "300"))
# All ways of all packets take their time.
EXACT = max(SETS // 3, 12)
PARTS = 6
# Of the questions about a set as many, and of its rules at most so many.
QUESTIONS, MOST_RULES = 4, 34
Requests = frozenset[tuple[str, str, int]]


def chosen(rng: random.Random, number: int) -> frozenset[str]:
    """One way in which packets come after the other, and up to two more, for a set."""
    ways = {WAYS[number // PARTS % len(WAYS)], *rng.sample(WAYS, rng.randint(0, 2))} - {"ends"}
    if "listed" in ways:
        ways.add("tunnel")
    if {"lo", "offload"} <= ways:  # chains at devices are taken to be at all of them
        ways.discard("offload" if number % 2 else "lo")
    return frozenset(ways)


def questions(rng: random.Random, rules: RuleSet) -> list[tuple[str, str, str, Requests]]:
    """Some of (reader, writer, carrier, what the third owner sets for the reader), of those who read and write."""
    readers = {r.owner for r in rules.rules if r.test}
    writers = {r.owner for r in rules.rules if r.action[0] == "set"}
    carriers = {r.owner for r in rules.rules if r.action[0] in ("save", "restore")}
    pairs = [(a, b) for a in OWNERS for b in OWNERS if a != b and a in readers and b in writers]
    found: list[tuple[str, str, str, Requests]] = [(a, b, "", frozenset()) for a, b in pairs]
    for a, b in pairs:
        third = next(o for o in OWNERS if o not in (a, b))
        found += [(a, b, third, frozenset())] if third in carriers else []
        found += [(a, b, "", frozenset((third, "m", n) for n in range(WIDTH) if rng.random() < 0.5))] if third in writers else []
    found += [(a, a, c, frozenset()) for a in OWNERS for c in OWNERS if a != c and a in readers & writers and c in carriers]
    return rng.sample(found, min(len(found), QUESTIONS))


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
        rules = random_set(rng, 4, chosen(rng, seed))
        if (found := analysed(rules)) is None:
            continue
        walker = Walker(rules, rng=rng)
        for _ in range(12):
            walker.connections(4)
        taken.update({way: 1 for way, packets in walker.taken.items() if packets})
        for line, name, bit, origin, mover, value in walker.read:
            if not origin:
                continue
            met = (found.region.facts.ones if value else found.region.facts.zeros)(found.uses[line, False], FIELDS[name], bit)
            wanted = (found.uses[origin, True].id, found.uses[mover, True].id if mover else "")
            said = {(d.origin.id, d.via.id if d.via else "") for d in found.region.facts.named(met)}
            assert wanted in said, (seed, line, bit, origin, mover, rules.ways, rules.text, rules.nft)
    # What a set can have is in some of them; fewer of each where fewer were asked for.
    assert all(taken[way] >= SETS // 150 for way in ("lo", "tunnel", "answered", "offload", "untracked")), taken


def small(seed: int) -> tuple[random.Random, RuleSet]:
    """A set of which all packets can be followed."""
    rng = random.Random(seed)
    ways = chosen(rng, seed)
    while len((rules := random_set(rng, 3, ways)).rules) > MOST_RULES:
        pass
    return rng, rules


@pytest.mark.parametrize("part", range(PARTS))
def test_the_walk_says_what_brute_force_says(part: int) -> None:
    asked = alike = answers = 0
    taken: Counter[str] = Counter()
    for seed in range(part, EXACT, PARTS):
        rng, rules = small(seed)
        if (found := analysed(rules)) is None:
            continue
        for number, question in enumerate(questions(rng, rules)):
            if (told := found.hits(*question)) is None:
                continue
            walker = brute(rules, *question)
            expected = {(code, found.uses[line, False].id) for code, line in walker.hits}
            if not number:
                taken.update({way: 1 for way, packets in walker.taken.items() if packets})
            asked += 1
            answers += bool(expected)
            alike += told == expected
            if told == expected:
                continue
            # Which packets get another route, and by which rules a way shows, is known to the walk only in part.
            most = {(code, found.uses[line, False].id) for code, line in brute(rules, *question, wide=True).hits}
            assert expected <= told <= most, (seed, question, rules.ways, rules.text, rules.nft)
    assert asked > EXACT * QUESTIONS // PARTS // 3
    assert alike > asked * 19 // 20
    assert answers > asked // 20
    assert all(taken[way] for way in ("lo", "tunnel", "answered", "offload", "untracked")), taken


def test_addresses_take_only_what_no_packet_can_be() -> None:
    closer = fewer = 0
    for seed in range(SETS):
        rng = random.Random(seed)
        rules = random_set(rng, 3, {"ends", *rng.sample(("nat", "lo", "policy"), rng.randint(0, 1))})
        if len(rules.rules) > MOST_RULES or (found := analysed(rules)) is None:
            continue
        for question in questions(rng, rules):
            without, told = found.hits(*question), found.hits(*question, ends=True)
            if told is None or not without:
                continue
            walker = brute(rules, *question, addressed=True)
            expected = {(code, found.uses[line, False].id) for code, line in walker.hits}
            assert expected <= told <= without, (seed, question, rules.text)
            closer += 1
            fewer += told < without
    assert closer >= SETS // 20
    assert fewer >= SETS // 100
