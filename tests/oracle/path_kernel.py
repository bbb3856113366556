"""Generated nodes in network namespaces: what markreg says of two owners must be what packets show.

    python -m tests.oracle.path_kernel --count 300 --seed 1 [--kinds loopback,nat] [--smallest]

A node has two to four components with random bits, in iptables-legacy and nft, with connection marks and a policy routing rule
(tests/oracle/path_nodes.py). Packets go through it with and without each component's writes (tests/oracle/path_network.py). Where the
counters of a reader's rule differ, the writer decides something there: a finding must name the two. Where markreg reports an error
MK101, they must differ.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from markreg.checks import Context, sharing
from markreg.inputs import gather
from markreg.model import Finding, Node, Owned, Use
from markreg.node import read
from markreg.paths.asked import Asked
from markreg.registry.load import load as load_registry
from markreg.resources import builtin_registry
from tests.oracle.iptables_kernel import forget_connections
from tests.oracle.path_network import Network, run
from tests.oracle.path_nodes import FOLLOWED, KINDS, PROTOCOL, Component, Generated, Maker, smaller
from tests.paths import notation

ROOT = Path(__file__).resolve().parents[2]
CODES = ("MK101", "MK102", "MK103", "MK104")
# Kinds that do not go together: what is not tracked is not mapped; a tunnel of ours is no port of the bridge.
_APART = (("bridge-nf", "bridge"), ("nat", "notrack"), ("bridge", "vxlan"), ("bridge-nf", "vxlan"))
_TABLES = ("raw", "mangle", "nat", "filter")
# nat chains are asked only where something in the namespace uses conntrack (nf_ct_netns_get).
_PROBE = """table ip probe {
 chain c {
  type filter hook postrouting priority 900;
  meta rtclassid 9 counter
  ct state invalid counter
 }
}
"""
_BRIDGE_NF = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
_REGISTRY = load_registry(builtin_registry())
Count = tuple[tuple[int, int], ...]  # packets and bytes, for each order of registration


class Fault(NamedTuple):
    """Where packets and markreg differ: ``silent``, and packets show it; or ``not shown``."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """What markreg reports of two owners: ``shown``, an error that a walk confirms as things are; ``later`` where it takes a second
    packet of the connection, ``bridge`` where all of it happens in tables of the bridge; ``way``: from the write to the match."""

    code: str
    owners: tuple[str, ...]
    field: str
    shown: bool
    later: bool
    bridge: bool
    way: str


class Bench:
    """The network, with the rules of one node after the other."""

    def __init__(self, met: Counter[str]) -> None:
        self.network, self.met = Network(), met
        self._rules = False

    def measured(self, node: Generated) -> dict[str, Count]:
        """How often each component's match holds."""
        orders = (False, True) if "equal" in node.kinds else (False,)
        counts = [self._sent(node, backwards) for backwards in orders]
        return {p.name: tuple(c[p.name] for c in counts) for p in node.parts}

    def _sent(self, node: Generated, backwards: bool) -> dict[str, tuple[int, int]]:
        for _ in range(3):
            self.load(node, backwards)
            try:
                self.network.talk(node.kinds)
            except TimeoutError:  # a machine that stood still; rules here drop nothing
                self.met["sent again"] += 1
                continue
            return _counted(node.parts)
        raise AssertionError(f"packets are lost\n{node}")

    def load(self, node: Generated, backwards: bool = False) -> None:
        """Loads a node's rules and no others."""
        text = node.legacy()
        for table in _TABLES:
            if f"*{table}\n" not in text:
                chains = "".join(f":{c} ACCEPT [0:0]\n" for t, c in notation.PRIORITIES if t == table)
                text += f"*{table}\n{chains}COMMIT\n"
        run("iptables-legacy-restore", text=text)
        run("nft", "-f", "-", text=f"flush ruleset\n{_counting(node.nft(backwards))}{_PROBE}")
        if self._rules:
            run("ip", "rule", "del", "table", "99")
        self._rules = False
        for number, part in enumerate(node.parts):
            if part.lookup:
                run("ip", "rule", "add", "priority", str(100 + number), "fwmark", part.lookup, "table", "99")
                self._rules = True
        _BRIDGE_NF.write_text(str(int("bridge-nf" in node.kinds)))
        forget_connections()


def _counting(text: str) -> str:
    return re.sub(r"(_r \{\n(?: +type [^\n]*\n)?[^\n]*?) return", r"\1 counter return", text)


def _counted(parts: Iterable[Component]) -> dict[str, tuple[int, int]]:
    """Packets and bytes of each match; a component that has none counts nothing."""
    found: dict[str, tuple[int, int]] = {}
    saved, listed = run("iptables-legacy-save", "-c"), run("nft", "list", "ruleset")
    for part in parts:
        if part.lookup:
            match = re.search(r"rtclassid (?:9|\S+) counter packets (\d+) bytes (\d+)", listed)
        elif not (reader := next((r for r in part.rules if r.reads), None)):
            found[part.name] = 0, 0
            continue
        elif part.backend == "legacy" and reader.table != "bridge":
            match = re.search(rf"\[(\d+):(\d+)\] -A {part.name}-r ", saved)
        else:
            match = re.search(rf"{part.name}_r \{{[^}}]*? counter packets (\d+) bytes (\d+)", listed)
        assert match, f"{part}\n{saved}\n{listed}"
        found[part.name] = int(match[1]), int(match[2])
    return found


def told(node: Generated) -> tuple[list[Said], set[tuple[str, str]]]:
    """What markreg finds by what the tools print of the rules that are loaded; and (other, reader) of marks that are carried to who
    keeps them itself, which it takes for a service."""
    parts = node.parts
    # Devices through which no packet of this node goes.
    hidden = {
        d for d, kind in (("vx0", "vxlan"), ("br0", "bridge"), ("p0", "bridge"), ("p1", "bridge")) if kind not in " ".join(node.kinds)
    }
    texts = {
        "iptables-save.txt": run("iptables-legacy-save"),
        "nft.txt": run("nft", "-s", "list", "ruleset"),
        "ip-rule.txt": run("ip", "rule"),
        "ip-link.json": json.dumps([d for d in json.loads(run("ip", "-d", "-j", "link")) if d["ifname"] not in hidden]),
        "sysctl.txt": f"net.bridge.bridge-nf-call-iptables = {int('bridge-nf' in node.kinds)}\n",
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            (Path(folder) / name).write_text(text)
        known = gather([folder], io.BytesIO()).known
    readings = read(known)
    lookups = {str(100 + n): part.name for n, part in enumerate(parts) if part.lookup}
    uses = tuple(Owned(f"u{n}", use, _owner(use, lookups)) for n, use in enumerate(u for r in readings for u in r.uses))
    whole = Node(
        (),
        (),
        uses,
        tuple(t for r in readings for t in r.tables),
        devices=tuple(d for r in readings for d in r.devices),
        sysctls=tuple(s for r in readings for s in r.sysctls),
    )
    sources = {k.source.path: k.source for k in known}
    readers = {k.source.path: flow for k in known if (flow := getattr(k.format, "flow", None))}
    paths = Asked(whole, sources, readers, lambda *_: 0)
    findings = [f for f in sharing.check(Context(whole, _REGISTRY, sources, paths), ()) if f.code in CODES]
    said = [_said(f, uses) for f in findings]
    carried = [c for c in paths.collisions if c.code == "MK104"]
    served = {(other, c.reader) for c in carried for other in (c.writer, c.carrier) if other != c.reader}
    return said, served


def _owner(use: Use, lookups: dict[str, str]) -> str:
    if use.place.kind == "rule":
        return lookups.get(str(use.place.priority), "")
    return use.place.table if use.path.endswith("nft.txt") else use.place.chain.split("-")[0]


def _said(finding: Finding, uses: Iterable[Owned]) -> Said:
    fields = {o.id: [o.use.field, *(s.symbol for s, _ in (o.use.effect.copies if o.use.effect else ()))] for o in uses}
    later = any("ct_mark" in fields.get(str(step.get("use")), ()) for step in finding.path)
    shown = finding.severity == "error" and bool(finding.path) and finding.path[-1].get("confirmed") == "shown"
    way = ", ".join(f"{step['step']} {step['place']}" for step in finding.path)
    bridge = all(str(step["place"]).startswith("nft bridge") for step in finding.path if "use" in step)
    return Said(finding.code, finding.owners, finding.field, shown, later, bridge, way)


def judge(node: Generated, bench: Bench, met: Counter[str], strict: bool = False) -> Iterator[Fault]:
    """Every difference between packets and markreg on one node; ``strict``: that both write the bits does not say it, either."""
    base = bench.measured(node)
    said, served = told(node)
    _note(node, met)
    for gone in node.parts:
        if gone.silenced == gone:
            continue
        after = bench.measured(node.without(gone.name))
        for part in node.parts:
            if part is gone:
                continue
            differs = after[part.name] != base[part.name]
            named = [s for s in said if {gone.name, part.name} <= {*s.owners} and s.field == part.field]
            met["pairs"] += 1
            met["pairs that packets show"] += differs
            met.update(f"pairs that packets show: {k}" for k in node.kinds if differs)
            met["pairs without a finding"] += not named
            reports = [s for s in named if s.owners[1] == part.name]
            met.update(f"{code} reported" for code in {s.code for s in reports})
            met.update(f"{code} reported and shown" for code in {s.code for s in reports} if differs)
            what = f"{gone.name} changes {part.name}: {base[part.name]} with, {after[part.name]} without"
            if differs and not named:
                if (gone.name, part.name) in served:
                    met["shown, but what the reader keeps itself"] += 1
                elif _over_lo(node, bench, gone, part):
                    met["shown, but only over lo, which no rule of the two names"] += 1
                elif _by_others(node, bench, gone, part):
                    met["shown, but only by marks of others"] += 1
                else:
                    yield Fault("silent", f"{what}; markreg says nothing")
            elif differs and {s.code for s in named} == {"MK103"}:
                met["shown, told as MK103"] += 1
                if strict:
                    yield Fault("told as MK103", what)
            claims = [s for s in reports if s.code == "MK101" and s.owners[0] == gone.name and s.shown]
            if claims and not differs:
                if why := _exempt(node, part, claims):
                    met[f"MK101 not shown, and need not be: {why}"] += 1
                else:
                    yield Fault(
                        "not shown",
                        f"markreg: {gone.name} decides {part.name}, and packets do not show it: {base[part.name]}; {claims[0].way}",
                    )


def _note(node: Generated, met: Counter[str]) -> None:
    met["nodes"] += 1
    met.update(f"nodes: {kind}" for kind in node.kinds or ("plain",))
    met["nodes: back ends mixed"] += len({p.backend for p in node.parts}) > 1
    met["nodes: routing rule"] += any(p.lookup for p in node.parts)
    met["nodes: connection marks"] += "connmark" in str(node).lower()


def _over_lo(node: Generated, bench: Bench, gone: Component, part: Component) -> bool:
    """Whether only packets over loopback show what a component changes, and nothing shows that there are any: of every node it is not
    assumed."""
    if "loopback" not in node.kinds or gone.names_lo or part.names_lo:
        return False
    node = replace(node, kinds=node.kinds - {"loopback"})
    return bench.measured(node)[part.name] == bench.measured(node.without(gone.name))[part.name]


def _by_others(node: Generated, bench: Bench, gone: Component, part: Component) -> bool:
    """Whether a component changes a match only by what it does to the marks of others: without theirs it changes nothing. So is one that
    clears another's bit before it comes through; that is told of the other. Of several that set one bit, nobody is told."""
    others: set[str] = set()
    if any("CONNMARK --" in r.action and "--nfmask" in r.action for r in gone.rules):  # it may carry them, which has to be told
        for variant in (node, node.without(gone.name)):
            bench.load(variant)
            said = told(variant)[0]
            others |= {o for s in said if part.name in s.owners and s.field == part.field for o in s.owners}
    else:
        others = {p.name for p in node.parts}
    for other in others - {gone.name, part.name}:
        node = node.without(other)
    return bool(others) and bench.measured(node)[part.name] == bench.measured(node.without(gone.name))[part.name]


def _exempt(node: Generated, part: Component, claims: list[Said]) -> str:
    """Why no packet of ours may be such as a finding says; empty if some must be."""
    again = sum((r.table, r.base) == ("mangle", "OUTPUT") for p in node.parts for r in p.rules)
    if part.lookup and again > ("vxlan" not in node.kinds):
        return "routes looked up again"  # of which only the last tells where the packet goes
    if "equal" in node.kinds and max(Counter((r.table, r.base) for p in node.parts for r in p.rules).values()) > 2:
        return "more orders than two"
    if any(r.contrary for p in node.parts for r in p.rules):
        return "devices or addresses"
    if "UNTRACKED" in str(node) and "notrack" not in str(node.settings):
        return "packets that nobody untracks"
    if "RELATED" in str(node) and f"-p {PROTOCOL}" in str(node):
        return "related packets of that protocol"
    if all(s.bridge for s in claims):
        return "IPv6 over a bridge"  # which meets no rule of IPv4, and of which we send nothing
    copied = "--restore-mark" in str(node)
    if "related" not in node.kinds and copied and all(" nat" in s.way for s in claims):
        return "first packets of expected connections"
    if not copied and not all(s.later for s in claims):
        return ""
    # What a routing table holds is not known: with a rule that asks for marks, packets of one connection may go different ways.
    if any(p.lookup for p in node.parts):
        return "connections and routing rules"
    # Expected connections and errors may have another protocol than the connection whose mark they have.
    return "connections and protocols" if any("-p " in g for p in node.parts for r in p.rules for g in r.guards) else ""


def smallest(node: Generated, kind: str, bench: Bench) -> tuple[Generated, Fault]:
    """A node of which nothing can be taken away without losing a fault of this kind."""

    def fault(of: Generated) -> Fault | None:
        return next((f for f in judge(of, bench, Counter(), True) if f.kind == kind), None)

    found = fault(node)
    assert found, f"seen once, and not again\n{node}"

    def candidates() -> Iterator[Generated]:
        # Without its packets nothing is shown: a kind may go where packets show too much, not where they show too little.
        return (n for n in smaller(node) if len(n.parts) > 1 and (kind != "not shown" or n.kinds == node.kinds))

    while better := next(((n, f) for n in candidates() if (f := fault(n))), None):
        node, found = better
    return node, found


def kinds_of(rng: random.Random, among: tuple[str, ...]) -> frozenset[str]:
    """What one node has: nothing special, one kind or two."""
    found = frozenset(rng.sample(among, min(len(among), rng.choice((0, 1, 1, 2)))))
    for one, other in _APART:
        found -= {other} if one in found else set()
    return found


def inside(
    count: int, seed: int, first: int = 0, among: tuple[str, ...] = FOLLOWED, least: bool = False, strict: bool = False
) -> tuple[list[str], Counter[str]]:
    """So many nodes in this namespace; ``least``: of each fault the smallest node that shows it."""
    met: Counter[str] = Counter()
    bench = Bench(met)
    differences: list[str] = []
    for number in range(first, first + count):
        rng = random.Random(f"{seed} {number}")
        node = Maker(rng, kinds_of(rng, among)).node()
        for fault in judge(node, bench, met, strict):
            met[f"FAULT {fault.kind}"] += 1
            met.update(f"FAULT {fault.kind}: {kind}" for kind in node.kinds or ("plain",))
            differences.append(f"node {number} of seed {seed}: {fault.text}\n{node}")
            if least:
                small, why = smallest(node, fault.kind, bench)
                differences[-1] += f"\nsmallest: {why.text}\n{small}"
                print(differences[-1], file=sys.stderr, flush=True)
    return differences, met


def outside(count: int, seed: int, *options: str) -> tuple[list[str], Counter[str]]:
    """The same in a namespace that dies afterwards."""
    words = [sys.executable, "-m", "tests.oracle.path_kernel", "--inside", "--count", str(count), "--seed", str(seed), *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(["unshare", "--net", *words], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, "see the trace above"
    result = json.loads(done.stdout)
    return result["differences"], Counter(result["met"])


def main() -> int:
    """Runs so many nodes and prints what was met, then every difference."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=60)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--first", type=int, default=0, help="the number of the first node")
    options.add_argument("--kinds", default=",".join(FOLLOWED), help=f"what nodes may have, of {','.join(KINDS)}")
    options.add_argument("--smallest", action="store_true", help="of each fault the smallest node")
    options.add_argument("--strict", action="store_true", help="MK103 alone does not do where packets show more")
    options.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    among = tuple(k for k in chosen.kinds.split(",") if k)
    if chosen.inside:
        differences, met = inside(chosen.count, chosen.seed, chosen.first, among, chosen.smallest, chosen.strict)
        print(json.dumps({"differences": differences, "met": met}))
        return 0
    start = time.monotonic()
    rest = (
        "--first",
        str(chosen.first),
        "--kinds",
        chosen.kinds,
        *(f"--{name}" for name in ("smallest", "strict") if getattr(chosen, name)),
    )
    differences, met = outside(chosen.count, chosen.seed, *rest)
    for name, number in sorted(met.items()):
        print(f"{number:6}  {name}")
    for difference in differences:
        print(f"\n{difference}")
    print(f"{time.monotonic() - start:.1f} s", file=sys.stderr)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
