"""Random programs: what the concrete machine does must be within what the abstract one says, and what that calls unread must not matter."""

from __future__ import annotations

import random

import pytest

from markreg.bpf import analyse
from markreg.bpf.insn import ByteOrder
from tests.bpf.generator import generate
from tests.bpf.interpreter import Outcome, Packet, run
from tests.bpf.soundness import PROGRAMS, in_order, influences, outside, outside_sites, packets, program_of, some_bits

PACKETS = 12


@pytest.mark.parametrize(("order", "first"), [("little", 0), ("big", PROGRAMS)])
def test_nothing_happens_that_the_facts_forbid(order: ByteOrder, first: int) -> None:
    known = 0
    for seed in range(first, first + PROGRAMS):
        program = generate(seed)
        facts = analyse(program_of(program, order))
        assert not facts.limits
        code = in_order(program.code, order)
        numbers = random.Random(seed)
        for packet in packets(seed, PACKETS):
            stores: list[tuple[int, int]] = []
            drawn = [numbers.getrandbits(32) for _ in range(40)]
            after = run(code, packet, program.maps, order, drawn, stores)
            faults = [*outside(facts, packet, after), *outside_sites(facts, packet, stores)]
            assert not faults, f"seed {seed}: {faults[0]}"
        known += sum((w.effect.other ^ 0xFFFFFFFF).bit_count() for w in facts.words.values() if w.effect)
    # Not everything is unknown, which would allow anything.
    assert known > PROGRAMS * 6 * 32 * 0.6


@pytest.mark.parametrize(("order", "first"), [("little", 2 * PROGRAMS), ("big", 3 * PROGRAMS)])
def test_bits_that_are_not_read_change_nothing_but_themselves(order: ByteOrder, first: int) -> None:
    tried = 0
    for seed in range(first, first + PROGRAMS // 2):
        program = generate(seed, helpers=False)
        facts = analyse(program_of(program, order))
        code = in_order(program.code, order)

        def once(packet: Packet, code: bytes = code, maps: tuple[bytes, ...] = program.maps) -> Outcome:
            return run(code, packet, maps, order)

        for packet in packets(seed, 3):
            faults = list(influences(facts, packet, once, some_bits(seed, 12)))
            assert not faults, f"seed {seed}: {faults[0]}"
        tried += 32 - facts.mark.reads.bit_count()
    assert tried > PROGRAMS // 2 * 8
