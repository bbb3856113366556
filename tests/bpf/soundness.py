"""What markreg finds out about a program, held against runs of it: on a machine or in the kernel, which must not matter."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from markreg.bpf import SK_BUFF, Facts, Image, MapInfo, Program, Ref
from markreg.bpf.insn import ByteOrder, Insn, decode
from tests.bpf.generator import MAP_SIZE, Generated
from tests.bpf.interpreter import Outcome, Packet

# Random programs a test; 1,000 in the extended run.
PROGRAMS = int(os.environ.get("MARKREG_BPF_PROGRAMS", "200"))
WORDS = ("skb_mark", "cb0", "cb1", "cb2", "cb3", "cb4")
Run = Callable[[Packet], Outcome]


def program_of(generated: Generated, order: ByteOrder = "little") -> Program:
    """A generated program as the analysis takes it."""
    code = decode(in_order(generated.code, order), order)
    calls: dict[int, int | str] = {}
    refs: dict[int, Ref] = {}
    maps: dict[str, MapInfo] = {}
    for pc, insn in enumerate(code):
        if insn.op == 0x85 and insn.src == 1:
            calls[pc] = pc + 1 + insn.imm
        elif insn.op == 0x18 and insn.src == 1:
            name, info = ("programs", (3, 4, 4)) if insn.imm == generated.programs else ("values", (2, 4, MAP_SIZE))
            refs[pc], maps[name] = Ref("map", name), MapInfo(name, *info)
    return Program("generated", Image(code, order, calls, refs, {0: "generated"}, maps), 0, SK_BUFF)


def in_order(code: bytes, order: ByteOrder) -> bytes:
    """Little-endian code for a machine of a byte order."""
    if order == "little":
        return code
    return b"".join(struct.pack(">BBhi", op, dst << 4 | src, off, imm) for op, dst, src, off, imm in map(Insn._make, decode(code)))


def packets(seed: int, count: int) -> list[Packet]:
    """Marks and cb words; many with few bits, so that tests of whole fields hold now and then."""
    choose = random.Random(seed)

    def word() -> int:
        few = choose.getrandbits(32) & choose.getrandbits(32) & choose.getrandbits(32)
        return choose.choice((choose.getrandbits(32), few, 0x300, 0))

    return [Packet(word(), (word(), word(), word(), word(), word())) for _ in range(count)]


def outside(facts: Facts, given: Packet, after: Outcome) -> Iterator[str]:
    """What a run left that the facts forbid."""
    before, left = _words(given), (after.mark, *after.cb)
    for name, value in zip(WORDS, left, strict=True):
        word = facts.words[name]
        if (value ^ before[name]) & ~word.mask:
            yield f"{name} {before[name]:#x} became {value:#x}, only {word.mask:#x} may change"
        if word.effect is None or not word.effect.allows(value, before):
            yield f"{name} {before[name]:#x} became {value:#x}, which {word.effect} does not allow"


def outside_sites(facts: Facts, given: Packet, stores: Iterable[tuple[int, int]]) -> Iterator[str]:
    """Stores to the mark that the facts forbid."""
    sites = {site.at: site for site in facts.mark.sites}
    before = _words(given)
    for at, value in stores:
        site = sites.get(at)
        if site is None:
            yield f"a store at {at} is not among the sites"
        elif not site.effect.allows(value, before) or (value ^ given.mark) & ~site.mask:
            yield f"the store at {at} left {value:#x} of {given.mark:#x}; {site.effect}, {site.mask:#x}"


def influences(facts: Facts, given: Packet, run: Run, bits: Iterable[tuple[str, int]]) -> Iterator[str]:
    """Bits outside ``reads`` that change more than themselves; ``bits``: words and bit numbers that are tried."""
    base = run(given)
    for name, bit in bits:
        if facts.words[name].reads >> bit & 1:
            continue
        other = run(_flipped(given, name, 1 << bit))
        left, changed = _words_of(base), _words_of(other)
        changed[name] ^= (left[name] ^ changed[name]) & 1 << bit
        if left != changed or (base.returned, base.maps) != (other.returned, other.maps):
            yield f"bit {bit} of {name} ({given}) is no read and changed {base} to {other}"


def some_bits(seed: int, count: int) -> list[tuple[str, int]]:
    """All bits of the mark, and some of the cb words."""
    choose = random.Random(seed)
    return [("skb_mark", bit) for bit in range(32)] + [(f"cb{choose.randrange(5)}", choose.randrange(32)) for _ in range(count)]


def _words(packet: Packet) -> dict[str, int]:
    return dict(zip(WORDS, (packet.mark, *packet.cb), strict=True))


def _words_of(outcome: Outcome) -> dict[str, int]:
    return dict(zip(WORDS, (outcome.mark, *outcome.cb), strict=True))


def _flipped(packet: Packet, name: str, bit: int) -> Packet:
    if name == "skb_mark":
        return replace(packet, mark=packet.mark ^ bit)
    number = int(name[2:])
    return replace(packet, cb=tuple(word ^ bit if i == number else word for i, word in enumerate(packet.cb)))
