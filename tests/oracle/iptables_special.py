"""Targets and matches whose outcome no text tells alone: hashes, sets and sockets, held against the kernel in a new namespace."""

from __future__ import annotations

import json
import random
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from markreg.formats import ipset, iptables
from markreg.model import MarkSet, Scope, Use
from markreg.source import Source
from tests.oracle.iptables_kernel import BACKENDS, FAMILIES, SO_MARK, Wire, tool
from tests.oracle.iptables_rulesets import HOOKS, word

PACKETS = 40
IP_TRANSPARENT, IPV6_TRANSPARENT = 19, 75
Sets = Mapping[str, MarkSet]
Case = Callable[[random.Random, Wire, str, str], Iterator[str]]


def loaded(family: str, backend: str, rules: str, sets: Sets | None = None) -> list[Use]:
    """The uses of mangle rules, read from what the kernel's tables are printed as."""
    chains = "".join(f":{hook} ACCEPT [0:0]\n" for hook in HOOKS["mangle"])
    tool(family, backend, "restore", f"*mangle\n{chains}{rules}\nCOMMIT\n")
    source = Source("iptables-save", tool(family, backend, "save").encode())
    reading = iptables.read(source, "iptables-save", Scope(), sets)
    assert not reading.opaque, reading.opaque
    return list(reading.uses)


def marks(rng: random.Random, wire: Wire) -> Iterator[tuple[int, int]]:
    """Pairs of marks, sent and received, each on a new connection."""
    for _ in range(PACKETS):
        mark = word(rng)
        with wire.connection() as sender:
            yield mark, wire.send(sender, mark).mark


def hmark(rng: random.Random, wire: Wire, family: str, backend: str) -> Iterator[str]:
    """The mark lies where offset and modulus say, and takes many values."""
    for modulus, offset in ((10, 100), (1, 7), (300, 0), (0x10000, 0x30000), (20, 0xFFFFFFF6)):
        rule = f"-A INPUT -j HMARK --hmark-tuple sport --hmark-mod {modulus} --hmark-offset {offset:#x} --hmark-rnd 0x5"
        (use,) = loaded(family, backend, rule)
        for mark, got in marks(rng, wire):
            assert use.effect
            if not use.effect.allows(got, {"skb_mark": mark}) or not any(low <= got <= high for low, high in use.values):
                yield f"{use.clause}: {got:#x} is not in {use.values}"


def set_target(rng: random.Random, wire: Wire, family: str, backend: str) -> Iterator[str]:
    """The mark is what the matched element says; the use allows it, and nothing else in bits that all elements leave alone."""
    value, mask = word(rng), word(rng)
    kind = "inet6" if family == "ip6" else "inet"
    other = "2001:db8::1" if family == "ip6" else "192.0.2.1"
    with made(
        f"create S hash:ip family {kind} skbinfo\nadd S {wire.address} skbmark {value:#x}/{mask:#x}\nadd S {other} skbmark 0x1/0x1\n"
    ) as sets:
        (use,) = loaded(family, backend, "-A INPUT -j SET --map-set S src --map-mark", sets)
        for mark, got in marks(rng, wire):
            assert use.effect
            untouched = (mark ^ got) & ~use.mask
            if got != (mark & ~mask) ^ value or not use.effect.allows(got, {"skb_mark": mark}) or untouched:
                yield f"{use.clause} with {value:#x}/{mask:#x}: {mark:#x} became {got:#x}"
        flush(family, backend)


def restored(rng: random.Random, wire: Wire, family: str, backend: str) -> Iterator[str]:
    """The mark becomes that of the receiving socket."""
    for _ in range(5):
        own = word(rng)
        wire.receiver.setsockopt(socket.SOL_SOCKET, SO_MARK, own - (1 << 32) if own >> 31 else own)
        (use,) = loaded(family, backend, "-A INPUT -p udp -m socket --nowildcard --restore-skmark")
        for mark, got in marks(rng, wire):
            assert use.effect
            if use.effect.value({"skb_mark": mark, "sk_mark": own}) != got:
                yield f"{use.clause} with {own:#x}: {mark:#x} became {got:#x}"
    flush(family, backend)
    wire.receiver.setsockopt(socket.SOL_SOCKET, SO_MARK, 0)


def tproxy(rng: random.Random, wire: Wire, family: str, backend: str) -> Iterator[str]:
    """A redirected packet takes the mark of the rule; without an option it keeps its own."""
    level, option = (socket.IPPROTO_IPV6, IPV6_TRANSPARENT) if family == "ip6" else (socket.IPPROTO_IP, IP_TRANSPARENT)
    wire.receiver.setsockopt(level, option, 1)
    port = wire.receiver.getsockname()[1]
    for text in (f"{word(rng):#x}/{word(rng):#x}", f"{word(rng):#x}", f"{word(rng):#x}/{word(rng):#x}", ""):
        marked = f" --tproxy-mark {text}" if text else ""
        uses = loaded(family, backend, f"-A PREROUTING -p udp -j TPROXY --on-port {port} --on-ip {wire.address}{marked}")
        for mark, got in marks(rng, wire):
            expected = uses[0].effect.value({"skb_mark": mark}) if uses and uses[0].effect else mark
            if expected != got:
                yield f"TPROXY{marked}: {mark:#x} became {got:#x}, not {expected}"
    flush(family, backend)


def bytecode(rng: random.Random, wire: Wire, family: str, backend: str) -> Iterator[str]:
    """A classic filter that tests the mark, and one that does not."""
    program = "4,32 0 0 4294963220,21 0 1 5,6 0 0 65535,6 0 0 0"
    uses = loaded(family, backend, f'-A INPUT -m bpf --bytecode "{program}" -j MARK --set-xmark 0x7')
    if [u.access for u in uses] != ["read", "write"]:
        yield f"{program}: {uses}"
    for mark in (5, 6, 0x105):
        with wire.connection() as sender:
            got = wire.send(sender, mark).mark
        if got != (7 if mark == 5 else mark):
            yield f"{program}: {mark:#x} became {got:#x}"
    flush(family, backend)


@contextmanager
def made(text: str) -> Iterator[Sets]:
    """Sets that live for the time of a block, as ``ipset save`` prints them and markreg reads them."""
    subprocess.run(["ipset", "restore"], input=text.encode(), check=True, timeout=60)
    saved = subprocess.run(["ipset", "save"], check=True, capture_output=True, timeout=60).stdout
    source = Source("ipset-save", saved)
    try:
        yield {s.name: s for s in ipset.read(source, ipset.detect(source) or "", Scope()).sets}
    finally:
        subprocess.run(["ipset", "destroy", "S"], check=True, timeout=60)


def flush(family: str, backend: str) -> None:
    """Takes the rules out, which hold sets."""
    loaded(family, backend, "")


CASES: tuple[Case, ...] = (hmark, set_target, restored, tproxy, bytecode)


def main() -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=60)
    found: dict[str, list[str]] = {}
    for case in CASES:
        for backend in BACKENDS:
            for family in FAMILIES:
                rng = random.Random(f"{case.__name__} {backend} {family}")
                found[f"{case.__name__} {backend} {family}"] = list(case(rng, Wire(family), family, backend))
                flush(family, backend)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
