"""The kernel runs programs on packets with random marks: nothing may happen that the analysis forbids, and the concrete machine of the
other tests must leave what the kernel leaves.

200 random programs; MARKREG_BPF_PROGRAMS=1000 for the extended run.
"""

from __future__ import annotations

import pytest

from markreg.bpf import analyse
from tests.bpf.generator import generate
from tests.bpf.interpreter import run
from tests.bpf.soundness import PROGRAMS, influences, outside, packets, program_of, some_bits
from tests.oracle.bpf_kernel import loaded

pytestmark = pytest.mark.oracle


def test_nothing_happens_in_the_kernel_that_the_facts_forbid() -> None:
    marked = 0
    for seed in range(PROGRAMS):
        program = generate(seed)
        facts = analyse(program_of(program))
        with loaded(program) as kernel:
            for packet in packets(seed, 20):
                after = kernel.run(packet)
                faults = list(outside(facts, packet, after))
                assert not faults, f"seed {seed}: {faults[0]}"
                marked += after.mark != packet.mark
    # Had nothing happened, nothing would have differed.
    assert marked > PROGRAMS * 10


def test_in_the_kernel_bits_that_are_not_read_change_nothing_but_themselves() -> None:
    for seed in range(PROGRAMS):
        program = generate(seed, helpers=False)
        facts = analyse(program_of(program))
        with loaded(program) as kernel:
            for packet in packets(seed, 3):
                faults = list(influences(facts, packet, kernel.run, some_bits(seed, 8)))
                assert not faults, f"seed {seed}: {faults[0]}"


def test_the_concrete_machine_does_what_the_kernel_does() -> None:
    for seed in range(PROGRAMS, 2 * PROGRAMS):
        program = generate(seed, helpers=False)
        with loaded(program) as kernel:
            for packet in packets(seed, 20):
                assert run(program.code, packet, program.maps) == kernel.run(packet), f"seed {seed}, {packet}"
