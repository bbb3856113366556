"""Random rule sets in a network namespace of their own: the marks that the kernel leaves must be those that markreg works out.

    python -m tests.oracle.iptables_kernel --count 10000 --seed 1

runs 10,000 rule sets, half of them through each back end, as root. The process moves into a new namespace, which dies with it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from markreg.formats import iptables
from markreg.formats._iptables_clauses import parse
from markreg.formats._iptables_text import statement_of
from markreg.model import Scope
from markreg.source import Source
from tests.oracle.iptables_rulesets import ruleset, word
from tests.oracle.iptables_walk import Connection, Packet, Walk, function, rules

ROOT = Path(__file__).resolve().parents[2]
BACKENDS = ("legacy", "nft")
SO_MARK, SO_RCVMARK = 36, 75
CONNECTIONS, PACKETS = 2, 3
FAMILIES = {"ip": (socket.AF_INET, "127.0.0.1", "ip"), "ip6": (socket.AF_INET6, "::1", "ip6")}


class Sent(NamedTuple):
    """What became of a packet: its mark at the receiver and its connection's, None where there is none."""

    mark: int
    connection: int | None


class Wire:
    """A receiver on the loopback device of this namespace, and connections to it."""

    def __init__(self, family: str) -> None:
        self.family, self.address, _ = FAMILIES[family]
        self.receiver = socket.socket(self.family, socket.SOCK_DGRAM)
        self.receiver.setsockopt(socket.SOL_SOCKET, SO_RCVMARK, 1)
        self.receiver.bind((self.address, 0))
        self.receiver.settimeout(10)

    def connection(self) -> socket.socket:
        """A socket whose packets are a new connection."""
        sender = socket.socket(self.family, socket.SOCK_DGRAM)
        sender.connect(self.receiver.getsockname()[:2])
        return sender

    def send(self, sender: socket.socket, mark: int) -> Sent:
        """One packet with ``mark`` from its socket."""
        # The kernel takes a signed int.
        sender.setsockopt(socket.SOL_SOCKET, SO_MARK, mark - (1 << 32) if mark >> 31 else mark)
        sender.send(b"x")
        _, extra, _, _ = self.receiver.recvmsg(16, 64)
        marks = [struct.unpack("=I", data[:4])[0] for level, kind, data in extra if (level, kind) == (socket.SOL_SOCKET, SO_MARK)]
        return Sent(marks[0], self._connmark(sender.getsockname()[1]))

    @staticmethod
    def _connmark(port: int) -> int | None:
        listing = Path("/proc/self/net/nf_conntrack").read_text()
        found = re.search(rf" sport={port} .*? mark=(\d+)", listing)
        return int(found[1]) if found else None


def forget_connections() -> None:
    """Empties the connection table of this namespace: IPCTNL_MSG_CT_DELETE without a tuple."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as netlink:
        netlink.bind((0, 0))
        netlink.send(struct.pack("=IHHIIBBH", 20, (1 << 8) | 2, 0x1 | 0x4, 1, 0, socket.AF_UNSPEC, 0, 0))
        error = struct.unpack_from("=i", netlink.recv(4096), 16)[0]
        assert error == 0, os.strerror(-error)


def tool(family: str, backend: str, verb: str, text: str = "") -> str:
    """``iptables-legacy-restore`` and its like; what it prints."""
    program = f"{FAMILIES[family][2]}tables-{backend}-{verb}"
    done = subprocess.run([program], input=text.encode(), capture_output=True, timeout=60)
    assert done.returncode == 0, f"{program}: {done.stderr.decode(errors='replace')}\n{text}"
    return done.stdout.decode("utf-8", "surrogateescape")


def saved_otherwise(typed: str, saved: str) -> str:
    """The first rule whose function changed from what was typed to what was saved; empty if none."""
    before, after = ([(table, chain, rest) for table, chain, _, rest in rules(text)] for text in (typed, saved))
    for (table, chain, rest), (_, _, printed) in zip(sorted(before, key=lambda r: r[:2]), sorted(after, key=lambda r: r[:2]), strict=True):
        one, two = (sorted((function(c) for c in parse(statement_of(text)).clauses), key=repr) for text in (rest, printed))
        if one != two:
            return f"{table} {chain}: {rest}  is saved as  {printed}"
    return ""


def judge(rng: random.Random, wire: Wire, family: str, backend: str, met: Counter[str]) -> list[str]:
    """One rule set; every difference between the kernel and markreg."""
    typed = ruleset(rng)
    tool(family, backend, "restore", typed)
    saved = tool(family, backend, "save")
    source = Source("iptables-save.txt", saved.encode("utf-8", "surrogateescape"))
    reading = iptables.read(source, "iptables-save", Scope())
    walk = Walk(source, reading, met=met)
    found = [str(part) for part in (*reading.opaque, *reading.problems)]
    found += filter(None, (saved_otherwise(typed, saved), walk.disagreement()))
    if reading.scope.family != family or {t.backend for t in reading.tables} != {backend}:
        found.append(f"read as {reading.scope.family} {[t.backend for t in reading.tables]}")
    with ExitStack() as open_:
        # All stay open: the port of a closed one may be given out again, and with it an old connection.
        for sender in [open_.enter_context(wire.connection()) for _ in range(CONNECTIONS)]:
            found += conversation(rng, wire, sender, walk)
    return [f"{difference}\n{typed}\n{saved}" for difference in found]


def conversation(rng: random.Random, wire: Wire, sender: socket.socket, walk: Walk) -> Iterator[str]:
    """The packets of one connection, up to the first that differs."""
    connection = Connection()
    for number in range(PACKETS):
        mark, before = word(rng), (connection.mark, connection.label)
        packet = Packet(mark, connection)
        walk.send(packet)
        walk.met["packets"] += 1
        walk.met["packets marked"] += packet.mark != mark
        walk.met["connections marked"] += connection.mark != before[0]
        expected = Sent(packet.mark, connection.mark if packet.entry or connection.translated else None)
        got = wire.send(sender, mark)
        if got != expected:
            yield f"packet {number} mark {mark:#x} connection {before}: kernel {got}, markreg {expected}"
            return


def run(backend: str, count: int, seed: int) -> tuple[list[str], Counter[str]]:
    """``count`` rule sets in the namespace of this process."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=60)
    met: Counter[str] = Counter()
    wires = {family: Wire(family) for family in FAMILIES}
    differences: list[str] = []
    for number in range(count):
        rng = random.Random(f"{seed} {backend} {number}")
        family = rng.choice(tuple(FAMILIES))
        differences += [f"{backend} {family} {number}: {text}" for text in judge(rng, wires[family], family, backend, met)]
        forget_connections()
        met["rule sets"] += 1
    return differences, met


def start(module: str, *arguments: str) -> subprocess.Popen[str]:
    """A module in a process with a network namespace of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = ["unshare", "--net", sys.executable, "-m", module, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--backend", choices=BACKENDS, default=BACKENDS[0], help=argparse.SUPPRESS)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        found, met = run(options.backend, options.count, options.seed)
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


def outside(count: int, seed: int) -> tuple[list[str], Counter[str]]:
    """``count`` rule sets, both back ends side by side; every difference, and how often what happened."""
    own, common = "tests.oracle.iptables_kernel", ("--inside", "--seed", str(seed))
    processes = [start(own, *common, "--backend", b, "--count", str((count + n) // 2)) for n, b in enumerate(BACKENDS)]
    differences: list[str] = []
    met: Counter[str] = Counter()
    for process in processes:
        printed, _ = process.communicate()
        assert process.returncode == 0, "see the trace above"
        result = json.loads(printed)
        differences += result["differences"]
        met.update(result["met"])
    return differences, met


if __name__ == "__main__":
    raise SystemExit(main())
