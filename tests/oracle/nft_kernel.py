"""Random nft rule sets in a network namespace of their own: the marks that the kernel leaves must be those that markreg works out.

    python -m tests.oracle.nft_kernel --count 10000 --seed 1

runs so many rule sets as root. What was typed, what ``nft list ruleset`` and what ``nft -j`` print must have one function.
Operations on two marks at once, which nft has from 1.1.1, and the kernel from 6.13, are left to captured listings.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack

from markreg.formats import nft
from markreg.model import Reading, Scope
from markreg.source import Source
from tests.oracle.iptables_kernel import FAMILIES, Wire, forget_connections, start
from tests.oracle.nft_rulesets import constant, ruleset
from tests.oracle.nft_walk import Function, State, Walk, functions

CONNECTIONS, PACKETS = 2, 3
_TRIES = 60


def tool(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """``nft``."""
    return subprocess.run(["nft", *arguments], input=text, capture_output=True, text=True, timeout=60)


def loaded(rng: random.Random, family: str, met: Counter[str]) -> str:
    """A rule set that nft and the kernel take: nft 1.0.6 gives up on some expressions."""
    for _ in range(_TRIES):
        typed = ruleset(rng, family)
        tool("flush", "ruleset")
        if tool("-f", "-", text=typed).returncode == 0:
            return typed
        met["refused"] += 1
    raise AssertionError(f"nft takes none of {_TRIES} rule sets")


def read(text: str, form: str) -> Reading:
    """A text by its form, which detection must find, too."""
    source = Source("nft", text.encode())
    assert nft.detect(source) == form
    return nft.read(source, form, Scope())


def otherwise(a: Reading, b: Reading, what: str) -> list[str]:
    """Where two readings of one rule set differ."""
    one, two = functions(a), functions(b)
    found = [
        f"{what} {key}: {_first(one.get(key, []), two.get(key, []))}"
        for key in sorted(one.keys() | two.keys())
        if one.get(key) != two.get(key)
    ]
    tables = [{(t.family, t.name): {c.name: c.hooks for c in t.chains.values() if c.hooks} for t in r.tables} for r in (a, b)]
    ways = [{(t.family, t.name): {c: targets for c, (_, targets) in t.steps.items()} for t in r.tables} for r in (a, b)]
    return found + [f"{what}: tables differ"] * (tables[0] != tables[1]) + [f"{what}: jumps differ {ways}"] * (ways[0] != ways[1])


def _first(one: list[Function], two: list[Function]) -> str:
    return next((f"{a}  and  {b}" for a, b in zip(one, two, strict=False) if a != b), f"{len(one)} and {len(two)} functions")


def judge(rng: random.Random, wire: Wire, family: str, met: Counter[str]) -> list[str]:
    """One rule set; every difference between the kernel and markreg, or between the three ways to say it."""
    typed = loaded(rng, family, met)
    listed = tool("list", "ruleset").stdout
    # A rule a line, so that the order of rules is that of lines.
    as_json = tool("-j", "list", "ruleset").stdout.replace('}, {"', '},\n{"')
    reading = read(listed, "nft")
    found = [str(part) for part in (*reading.opaque, *reading.problems)]
    found += otherwise(read(typed, "nft"), reading, "typed and listed")
    found += otherwise(reading, read(as_json, "nft-json"), "text and JSON")
    found += otherwise(reading, read(tool("-a", "-n", "-s", "list", "ruleset").stdout, "nft"), "listed otherwise")
    walk = Walk(Source("nft", listed.encode()), reading, met)
    with ExitStack() as open_:
        # All stay open: the port of a closed one may be given out again, and with it an old connection.
        for sender in [open_.enter_context(wire.connection()) for _ in range(CONNECTIONS)]:
            connections = {(0, 0)}
            for number in range(PACKETS):
                mark = constant(rng)
                ends = {s for c, label in connections for s in walk.send(State(mark, c, label, False))}
                got = wire.send(sender, mark)
                met["packets"] += 1
                met["packets with one outcome"] += len({(s.mark, s.connection) for s in ends}) == 1
                met["packets marked"] += got.mark != mark
                if (got.mark, got.connection) not in {(s.mark, s.connection) for s in ends}:
                    said = " ".join(f"{s.mark:#x}/{s.connection:#x}" for s in sorted(ends)[:8])
                    found.append(f"packet {number} mark {mark:#x} connections {connections}: kernel {got}, markreg {said}")
                    break
                connections = {(s.connection, s.label) for s in ends if (s.mark, s.connection) == (got.mark, got.connection)}
    return [f"{difference}\n{typed}\n{listed}" for difference in found]


def run(count: int, seed: int) -> tuple[list[str], Counter[str]]:
    """``count`` rule sets in the namespace of this process."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=60)
    met: Counter[str] = Counter()
    wires = {family: Wire(family) for family in FAMILIES}
    differences: list[str] = []
    for number in range(count):
        rng = random.Random(f"{seed} nft {number}")
        family = rng.choice(tuple(FAMILIES))
        differences += [f"{family} {number}: {text}" for text in judge(rng, wires[family], family, met)]
        forget_connections()
        met["rule sets"] += 1
    return differences, met


def outside(count: int, seed: int) -> tuple[list[str], Counter[str]]:
    """The same in a namespace of its own."""
    process = start("tests.oracle.nft_kernel", "--inside", "--count", str(count), "--seed", str(seed))
    printed, _ = process.communicate()
    assert process.returncode == 0, "see the trace above"
    result = json.loads(printed)
    return result["differences"], Counter(result["met"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        found, met = run(options.count, options.seed)
        print(json.dumps({"differences": found, "met": met}))
        return 0
    began = time.monotonic()
    differences, counts = outside(options.count, options.seed)
    for text in differences[:3]:
        print(text)
    for name, number in sorted(counts.items()):
        print(f"{number:8}  {name}")
    print(f"{len(differences)} differences, {time.monotonic() - began:.0f} s")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
