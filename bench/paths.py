"""What the path analysis costs: its share of a whole audit, and its growth with rules and with chains that call each other.

python -m bench.paths [--services N]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.kubeproxy import dump
from markreg import audit as engine
from markreg.inputs import gather
from markreg.node import build
from markreg.paths.analysis import Paths
from markreg.registry.load import load
from markreg.resources import builtin_registry

# Four more components on the same node, in tables that the dump has or has not.
OTHERS = """\
*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:cali-PREROUTING - [0:0]
:mwan3_hook - [0:0]
:AWS-CONNMARK-CHAIN-0 - [0:0]
:ts-save - [0:0]
-A PREROUTING -j cali-PREROUTING
-A PREROUTING -j mwan3_hook
-A PREROUTING -i eni+ -j AWS-CONNMARK-CHAIN-0
-A OUTPUT -j mwan3_hook
-A OUTPUT -m conntrack --ctstate NEW -m mark ! --mark 0x0/0xff0000 -j ts-save
-A cali-PREROUTING -i cali+ -j MARK --set-xmark 0x40000/0x40000
-A cali-PREROUTING -m mark --mark 0x10000/0x10000 -j ACCEPT
-A mwan3_hook -j CONNMARK --restore-mark --nfmask 0x3f00 --ctmask 0x3f00
-A mwan3_hook -m mark --mark 0x0/0x3f00 -s 10.0.0.0/8 -j MARK --set-xmark 0x100/0x3f00
-A mwan3_hook -j CONNMARK --save-mark --nfmask 0x3f00 --ctmask 0x3f00
-A AWS-CONNMARK-CHAIN-0 -j CONNMARK --restore-mark --nfmask 0x80 --ctmask 0x80
-A ts-save -j CONNMARK --save-mark --nfmask 0xff0000 --ctmask 0xff0000
COMMIT
"""


def _chain(number: int) -> str:
    """A chain's name, by which it is one component's or another's."""
    return ("cali-w{}", "ts-w{}", "mwan3_w{}", "KUBE-W{}", "neutron-l3-agent-{}", "GCP-W{}", "CNI-HOSTPORT-{}")[number % 7].format(number)


def writers(chains: int, rules: int) -> Iterator[str]:
    """So many chains of so many rules that write marks, a few owners, all called from one."""
    yield "*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n"
    yield from (f":{_chain(n)} - [0:0]\n" for n in range(chains))
    yield from (f"-A PREROUTING -j {_chain(n)}\n" for n in range(chains))
    for n in range(chains):
        for i in range(rules):
            bit = 1 << (n * 3 + i) % 32
            yield f"-A {_chain(n)} -d 10.{n % 256}.{i % 256}.0/24 -m mark --mark 0x0/{bit:#x} -j MARK --set-xmark {bit:#x}/{bit:#x}\n"
    yield "COMMIT\n"


def ladder(steps: int) -> Iterator[str]:
    """Chains that each call the next one twice."""
    yield "*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n"
    yield from (f":cali-step-{n} - [0:0]\n" for n in range(steps))
    yield ":ts-last - [0:0]\n-A PREROUTING -j cali-step-0\n-A FORWARD -j ts-last\n"
    yield from (f"-A cali-step-{n} -s 10.0.0.{k}/32 -j cali-step-{n + 1}\n" for n in range(steps - 1) for k in range(2))
    yield f"-A cali-step-{steps - 1} -j MARK --set-xmark 0x1/0x1\n-A ts-last -m mark --mark 0x1/0x1 -j ACCEPT\nCOMMIT\n"


def measured(name: str, text: str, folder: Path) -> None:
    """Prints the time of an audit, and of the path analysis in it."""
    (folder / "iptables-save.txt").write_text(text)
    registry = load(builtin_registry())
    start = time.perf_counter()
    gathered = gather([str(folder / "iptables-save.txt")], BytesIO())
    engine.audit(gathered, registry)
    whole = time.perf_counter() - start
    node = build(gathered, registry)
    readers = {k.source.path: flow for k in gathered.known if (flow := getattr(k.format, "flow", None))}
    paths = Paths(node, engine.sources(gathered, node), readers)
    start = time.perf_counter()
    found = len(paths.collisions)
    analysed = time.perf_counter() - start
    lines = text.count("\n")
    print(f"  {name:34} {lines:9,} {whole:8.2f} {analysed:8.2f} {analysed / whole:7.0%} {found:6}")


def main() -> None:
    """Runs all."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--services", type=int, default=10_000)
    chosen = options.parse_args()
    print(f"  {'':34} {'lines':>9} {'audit s':>8} {'paths s':>8} {'share':>7} {'found':>6}")
    with TemporaryDirectory() as folder:
        for services in (chosen.services // 10, chosen.services):
            measured(f"{services:,} services, 4 components more", "".join(dump(services)) + OTHERS, Path(folder))
        for rules in (5, 50):
            measured(f"200 chains of {rules} writing rules", "".join(writers(200, rules)), Path(folder))
        for steps in (10, 100):
            measured(f"a ladder of {steps} chains", "".join(ladder(steps)), Path(folder))


if __name__ == "__main__":
    main()
