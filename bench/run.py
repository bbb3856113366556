"""markreg beside `iptables-legacy-restore --test`, `nft -c`, `ovs-ofctl parse-flows`, `ovs.flow` and PyYAML on one and the same input, and
its growth with the size. Prints only.

python -m bench.run [--services N] [--times N] [--lines N …] [--rules N] [--elements N] [--flows N] [--manifests N] [--programs N …]
"""

from __future__ import annotations

import argparse
import compileall
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import bpf
from bench.kubeproxy import LINES_OF_A_SERVICE
from bench.measure import Cost, best

MB = 1_000_000
MARKREG = Path(sys.executable).with_name("markreg")


def write(path: Path, services: int) -> None:
    """Makes a dump, in a process of its own: this one must stay small (see measure)."""
    subprocess.run([sys.executable, "-m", "bench.kubeproxy", str(services), path], check=True)


def allowed(size: int) -> int:
    """The memory that an audit of a file of ``size`` bytes should not exceed."""
    return 3 * size + 60 * MB


def audit(path: Path, times: int, form: str = "json") -> Cost:
    """A whole audit of one file."""
    return best([MARKREG, "audit", path, "--format", form, "--exit-zero"], times=times)


def restore(path: Path, times: int) -> Cost | None:
    """The peer on the same file, in a network namespace of its own; None where that is not possible here."""
    if not (shutil.which("iptables-legacy-restore") and shutil.which("unshare")):
        return None
    alone = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    cost = best([*alone, "iptables-legacy-restore", "--test"], stdin=path, times=times)
    return cost if cost.status == 0 else None


def told(status: int) -> str:
    """A word where the command failed, so that nobody believes its time."""
    return f"  failed: exit {status}" if status else ""


def beside(folder: Path, services: int, times: int) -> None:
    """The comparison."""
    path = folder / "iptables-save.txt"
    write(path, services)
    size = path.stat().st_size
    mine, theirs = audit(path, times), restore(path, times)
    print(f"{services:,} services, {size / MB:.1f} MB, best of {times}:\n")
    print(f"  {'':34} {'seconds':>8} {'peak MB':>8}   3 x file + 60")
    print(f"  {'markreg audit --format json':34} {mine.seconds:8.2f} {mine.peak / MB:8.0f} {allowed(size) / MB:15.0f}{told(mine.status)}")
    if theirs:
        print(f"  {'iptables-legacy-restore --test':34} {theirs.seconds:8.2f} {theirs.peak / MB:8.0f}")
        print(f"  {'ratio':34} {mine.seconds / theirs.seconds:8.2f}")
    else:
        print("  iptables-legacy-restore does not run here")


def beside_nft(folder: Path, kind: str, count: int, times: int) -> None:
    """One ruleset, read by markreg and checked by nft, once: nft takes minutes for many rules."""
    path = folder / "nft.txt"
    subprocess.run([sys.executable, "-m", "bench.nft", kind, str(count), path], check=True)
    mine = audit(path, times, "text")
    print(f"\n{count:,} {kind}, {path.stat().st_size / MB:.1f} MB:\n")
    print(f"  {'markreg audit':34} {mine.seconds:8.2f} {mine.peak / MB:8.0f}{told(mine.status)}")
    if shutil.which("nft") and shutil.which("unshare") and os.geteuid() == 0:
        theirs = best(["unshare", "--net", "nft", "-c", "-f", path], times=1)
        print(f"  {'nft -c -f':34} {theirs.seconds:8.2f} {theirs.peak / MB:8.0f}{told(theirs.status)}")
        print(f"  {'ratio':34} {mine.seconds / theirs.seconds:8.2f}")


_OVS_FLOW = """\
import sys
from ovs.flow.ofp import OFPFlow
for line in open(sys.argv[1]):
    if "actions=" in line:
        OFPFlow(line.strip())
"""


def beside_openflow(folder: Path, kind: str, lines: int, times: int) -> None:
    """A bridge's flows, beside Open vSwitch's own parsers: ovs-ofctl takes them without their counters, which are a quarter of the text."""
    dump, bare, one = folder / "ovs-ofctl_dump-flows_br-int", folder / "flows.txt", folder / "ovs-ofctl_dump-flows_br-one"
    for path, what, count in ((dump, kind, lines), (bare, "bare" if kind == "flows" else f"bare-{kind}", lines), (one, kind, 2)):
        subprocess.run([sys.executable, "-m", "bench.openflow", what, str(count), path], check=True)
    size = dump.stat().st_size
    mine, start = audit(dump, times, "text"), audit(one, times, "text")
    print(f"\n{lines:,} flows ({kind}), {size / MB:.1f} MB:\n")
    print(f"  {'':34} {'seconds':>8} {'peak MB':>8}   2 x file")
    print(f"  {'markreg audit':34} {mine.seconds:8.2f} {mine.peak / MB:8.0f} {2 * size / MB:10.0f}{told(mine.status)}")
    print(f"  {'of this, to start':34} {start.seconds:8.2f} {start.peak / MB:8.0f}")
    peers = [("ovs.flow", best([sys.executable, "-c", _OVS_FLOW, dump], times=1))]
    if shutil.which("ovs-ofctl"):
        peers.append(("ovs-ofctl parse-flows", best(["ovs-ofctl", "-O", "OpenFlow15", "parse-flows", bare], times=times)))
    for name, theirs in peers:
        print(f"  {name:34} {theirs.seconds:8.2f} {theirs.peak / MB:8.0f}{told(theirs.status)}")
        whole, reading = mine.seconds / theirs.seconds, (mine.seconds - start.seconds) / theirs.seconds
        print(f"  {'ratio':34} {whole:8.2f}   without the start {reading:.2f}")


def objects(folder: Path, counts: list[int], times: int) -> None:
    """BPF objects by size: time of a whole audit, and of the analysis for an instruction that is visited."""
    path = folder / "large.o"
    if not shutil.which("clang"):
        print("\n  clang, which makes the BPF objects, is not here")
        return
    print(f"\n  {'instructions':>12} {'programs':>8} {'audit s':>8} {'peak MB':>8} {'read s':>7} {'analyse s':>9} {'visits':>8} {'µs':>6}")
    for count in counts:
        subprocess.run([sys.executable, "-m", "bench.bpf", str(count), path], check=True)
        cost = audit(path, times)
        inner = bpf.best_of(path, times)
        print(
            f"  {inner.instructions:12,} {count:8,} {cost.seconds:8.2f} {cost.peak / MB:8.0f} {inner.reading:7.2f} {inner.analysis:9.2f} "
            f"{inner.visits:8,} {inner.analysis / inner.visits * 1e6:6.2f}{told(cost.status)}"
        )


def beside_pyyaml(folder: Path, files: int, times: int) -> None:
    """A tree of manifests: a whole lint beside PyYAML's C loader, which only loads them."""
    tree = folder / "manifests"
    subprocess.run([sys.executable, "-m", "bench.manifests", tree, str(files)], check=True)
    size = sum(path.stat().st_size for path in tree.iterdir())
    mine = best([MARKREG, "lint", tree, "--format", "json", "--exit-zero"], times=times)
    theirs = best([sys.executable, "-m", "bench.manifests", "load", tree], times=times)
    print(f"\n{files:,} manifests, {size / MB:.1f} MB, best of {times}:\n")
    print(f"  {'markreg lint':34} {mine.seconds:8.2f} s {mine.peak / MB:8.0f} MB{told(mine.status)}")
    print(f"  {'PyYAML, C loader':34} {theirs.seconds:8.2f} s {theirs.peak / MB:8.0f} MB{told(theirs.status)}")
    print(f"  {'ratio':34} {mine.seconds / theirs.seconds:8.2f}   at most 1.5 is allowed")


def growth(folder: Path, lines: list[int], times: int) -> None:
    """Time and memory by size: linear if the time for a line stays."""
    path = folder / "iptables-save.txt"
    print(f"\n  {'lines':>9} {'MB':>6} {'seconds':>8} {'µs a line':>9} {'peak MB':>8} {'3 x file + 60':>13}")
    for wanted in lines:
        write(path, wanted // LINES_OF_A_SERVICE)
        size = path.stat().st_size
        cost = audit(path, times)
        print(
            f"  {wanted:9,} {size / MB:6.1f} {cost.seconds:8.2f} {cost.seconds / wanted * 1e6:9.2f} {cost.peak / MB:8.0f} "
            f"{allowed(size) / MB:13.0f}{told(cost.status)}"
        )


def main() -> None:
    """Runs all."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--services", type=int, default=10_000)
    options.add_argument("--times", type=int, default=3)
    options.add_argument("--lines", type=int, nargs="*", default=[10_000, 30_000, 100_000, 300_000, 1_000_000])
    options.add_argument("--rules", type=int, default=100_000)
    options.add_argument("--elements", type=int, default=100_000)
    options.add_argument("--flows", type=int, default=100_000)
    options.add_argument("--manifests", type=int, default=2_000)
    options.add_argument("--programs", type=int, nargs="*", default=[30, 60, 125, 250])
    chosen = options.parse_args()
    # As pip does when it installs; a checkout may hold sources that are newer than their bytecode.
    compileall.compile_dir(Path(__file__).parent.parent / "markreg", quiet=1)
    with TemporaryDirectory() as folder:
        beside(Path(folder), chosen.services, chosen.times)
        growth(Path(folder), chosen.lines, chosen.times)
        beside_nft(Path(folder), "rules", chosen.rules, chosen.times)
        beside_nft(Path(folder), "elements", chosen.elements, chosen.times)
        for kind in ("flows", "distinct"):
            beside_openflow(Path(folder), kind, chosen.flows, chosen.times)
        objects(Path(folder), chosen.programs, chosen.times)
        beside_pyyaml(Path(folder), chosen.manifests, chosen.times)


if __name__ == "__main__":
    main()
