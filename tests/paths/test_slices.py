"""Bits walked apart: of random rule sets the walks of slices say what one walk of all bits says.

    MARKREG_PATH_SETS=5000 pytest tests/paths/test_slices.py

walks more of them.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from markreg.formats import iptables
from markreg.model import Node, Owned, Scope
from markreg.paths import analysis
from markreg.paths.analysis import Paths, Region
from markreg.paths.effects import Question
from markreg.paths.trail import Found
from markreg.source import Source
from tests.paths.random_rules import OWNERS, WAYS, Rule, RuleSet, random_set

# A walk of all bits that sees more than so many states is not held against.
MOST = 3_000
SETS = int(os.environ.get("MARKREG_PATH_SETS", "150"))
BITS = {"skb_mark": 15, "ct_mark": 15}
ASKED = [(a, b, "") for a in OWNERS for b in OWNERS if a != b] + [("a", "b", "c"), ("b", "b", "a")]


def region(rules: RuleSet) -> Region | None:
    source = Source("iptables-save.txt", rules.text.encode())
    reading = iptables.read(source, "iptables-save", Scope())
    uses = tuple(Owned(f"u{n}", use, use.place.chain[0]) for n, use in enumerate(reading.uses))
    found = Paths(Node((), (), uses, reading.tables), {source.path: source}, {source.path: iptables.flow}).regions
    return found[0] if found else None


def loosened(rng: random.Random, rules: RuleSet) -> RuleSet:
    """The set with most tests and writes of one bit, and few verdicts, so that bits depend on few others and many are met."""
    kept = [_loose(rng, rule) for rule in rules.rules if rule.table != "netdev"]
    chains = {table: names for table, names in rules.chains.items() if table != "netdev"}
    return RuleSet(kept, chains, rules.ways - {"offload"}, rules.policies)


def _loose(rng: random.Random, rule: Rule) -> Rule:
    if rule.test and rng.random() < 0.85:
        name, _, _, negated = rule.test
        bit = 1 << rng.randrange(4)
        rule = replace(rule, test=(name, rng.choice((0, bit)), bit, negated))
    if rule.action[0] == "set" and rng.random() < 0.85:
        bit = 1 << rng.randrange(4)
        rule = replace(rule, action=("set", rule.action[1], rng.choice((0, bit)), bit))
    if rule.action[0] in ("ACCEPT", "DROP", "RETURN") and rng.random() < 0.8:
        bit = 1 << rng.randrange(4)
        test = rule.test or ("m", bit, bit, rng.random() < 0.3)
        rule = replace(rule, maybe=True, test=test, action=("set", rng.choice("mc"), bit, bit))
    return rule


def said(found: Found) -> dict[tuple[str, str], tuple[int, int]]:
    return {key: (hit.mask, hit.freed) for key, hit in found.hits.items()}


def questions(rng: random.Random) -> Iterator[tuple[Question, bool]]:
    for reader, writer, carrier in rng.sample(ASKED, 3):
        yield Question(reader, writer, carrier, tuple(BITS.items())), rng.random() < 0.4


@pytest.mark.parametrize("part", range(6))
def test_walks_of_slices_say_what_a_walk_of_all_bits_says(part: int) -> None:
    asked = apart = hits = 0
    for seed in range(part, SETS, 6):
        rng = random.Random(seed)
        rules = loosened(rng, random_set(rng, 4, rng.sample(WAYS, rng.randint(0, 3))))
        here = region(rules)
        if here is None:
            continue
        slices = here.apart(BITS, BITS)
        for question, freeing in questions(rng):
            whole, _ = analysis._walked(here, question, {}, freeing, MOST)
            if whole.capped:
                continue
            parts = [replace(question, tracked=analysis._ordered(one)) for one in slices]
            sliced, _ = analysis._joined([analysis._walked(here, part, {}, freeing, 30_000) for part in parts])
            assert said(sliced) == said(whole), (seed, question, freeing, slices, rules.text)
            asked += 1
            apart += slices != [BITS]
            hits += bool(whole.hits)
    assert asked > SETS // 8
    assert apart > asked // 8
    assert hits
