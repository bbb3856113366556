"""The kernel says which policy routing rule a mark selects; markreg must say the same from what ip prints."""

from __future__ import annotations

import os
import random
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from markreg.formats import ip_rule
from markreg.model import Reading, Rule, Scope
from markreg.source import Source

pytestmark = pytest.mark.oracle

RULES, MARKS, FIRST = 60, 300, 1000
DESTINATION = {"ip": "192.0.2.1", "ip6": "2001:db8::1"}
FLAG = {"ip": "-4", "ip6": "-6"}


def ip(*words: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *words], input=text, capture_output=True, text=True, timeout=60)


@contextmanager
def namespace() -> Iterator[str]:
    name = f"markreg-oracle-{os.getpid()}-{random.SystemRandom().randrange(1 << 32):08x}"
    made = ip("netns", "add", name)
    assert made.returncode == 0, made.stderr
    try:
        yield name
    finally:
        ip("netns", "delete", name)


def selector(rng: random.Random, bits: int) -> str:
    """A random mark selector under a mask of about ``bits`` bits, with value bits outside it."""
    mask = sum({1 << rng.randrange(12) for _ in range(bits)})
    return rng.choice(
        (f"{rng.getrandbits(12):#x}/{mask:#x}", f"{rng.getrandbits(12):#x}/{mask:#x}", f"0/{mask:#x}", f"{rng.getrandbits(12):#x}")
    )


def batch(rng: random.Random, family: str) -> str:
    """Commands that build the rules, each with a table of its own that routes the destination.

    A `not` rule matches nearly everything, so they stand late and test one bit; what they leave over is still told apart.
    """
    lines = ["link set lo up"]
    source = "203.0.113.0/24" if family == "ip" else "2001:db8:1::/64"
    for number in range(RULES):
        table, late = FIRST + number, number > RULES * 2 // 3
        extra = rng.choice(("", "", "", "iif lo ", "ipproto tcp ", f"from {source} "))
        negated = late and extra in ("", "iif lo ") and rng.random() < 0.4
        mark = selector(rng, 1 if negated else rng.randint(3, 8))
        if number % 20 == 7:
            mark, extra = "0", "ipproto tcp "  # no mark selector at all
        lines.append(f"rule add priority {table} {'not ' if negated else ''}{extra}fwmark {mark} lookup {table}")
        lines.append(f"route add local {DESTINATION[family]} dev lo table {table}")
    # Where no rule matches, the main table answers, whose number is not printed.
    lines.append(f"route add local {DESTINATION[family]} dev lo table main")
    return "\n".join(lines) + "\n"


def matches(rule: Rule, mark: int) -> bool:
    """Whether a rule matches an output lookup (whose iif is lo) without a source address or a protocol."""
    words = rule.selectors.split()
    negated, others = words[:1] == ["not"], [w for w in words if w != "not"]
    test = rule.use.predicate if rule.use else None
    if not others:
        return test.holds(mark) if test else not negated
    others_hold = others == ["iif", "lo"]
    if not negated:
        return others_hold and (test is None or test.holds(mark))
    assert test is None or test.holds(mark), "whatever else decides, the rule may match"
    marked = test is None or (test.value is not None and (test.value ^ mark) & test.mask == 0)
    return not (others_hold and marked)


def listings(name: str, family: str) -> Iterator[Reading]:
    for options, form in (
        ((), "ip-rule"),
        (("-j",), "ip-rule-json"),
        (("-j", "-p"), "ip-rule-json"),
        (("-N",), "ip-rule"),
        (("-d",), "ip-rule"),
    ):
        printed = ip("-n", name, FLAG[family], *options, "rule")
        assert printed.returncode == 0, printed.stderr
        source = Source("ip rule", printed.stdout.encode())
        assert ip_rule.detect(source) == form
        yield ip_rule.read(source, form, Scope(family=family))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("family", ["ip", "ip6"])
def test_the_first_rule_that_matches_is_the_kernels(family: str, seed: int) -> None:
    rng = random.Random(f"{family} {seed}")
    marks = [0, 0xFFF, 0xFFFFFFFF, *(rng.getrandbits(12) for _ in range(MARKS - 3))]
    with namespace() as name:
        built = ip("-n", name, FLAG[family], "-b", "-", text=batch(rng, family))
        assert built.returncode == 0, built.stderr
        readings = list(listings(name, family))
        queries = "".join(f"route get {DESTINATION[family]} mark {mark:#x}\n" for mark in marks)
        answers = ip("-n", name, FLAG[family], "-d", "-o", "-force", "-b", "-", text=queries)
    lines = answers.stdout.splitlines()
    assert len(lines) == len(marks), answers.stderr
    kernel = [int(found[1]) if (found := re.search(r" table (\d+)", line)) else 0 for line in lines]
    assert len(set(kernel)) > 10, "the rules tell marks apart"
    for reading in readings:
        assert not reading.opaque
        assert not reading.problems
        assert len([r for r in reading.rules if FIRST <= r.priority < FIRST + RULES]) == RULES
        mine = tuple(r for r in reading.rules if FIRST <= r.priority < FIRST + RULES)
        said = [next((rule.priority for rule in mine if matches(rule, mark)), 0) for mark in marks]
        assert said == kernel
