"""What was put on the stack and cannot be followed further still counts as read: small programs, each of which once hid a read."""

from __future__ import annotations

import pytest

from markreg.bpf import analyse
from tests.bpf.generator import Generated, slot
from tests.bpf.interpreter import CB, MARK, Outcome, Packet, run
from tests.bpf.soundness import influences, packets, program_of, some_bits

START = slot(0xBF, 6, 1) + slot(0x61, 2, 6, MARK) + slot(0x61, 3, 6, CB)
END = slot(0x79, 0, 10, -8) + slot(0x95)
WHOLE = slot(0x7B, 10, 2, -8)
PARTS = slot(0x62, 10, 0, -8, 1) + slot(0x62, 10, 0, -4, 2)
INDEX = slot(0xBF, 4, 3) + slot(0x57, 4, 0, 0, 8) + slot(0xBF, 9, 10) + slot(0x07, 9, 0, 0, -16) + slot(0x0F, 9, 4)
CLEAR = slot(0x7A, 10, 0, -8) + slot(0x7A, 10, 0, -16)


def either(first: bytes, second: bytes) -> bytes:
    jump = slot(0x55, 3, 0, len(first) // 8 + 1)
    return jump + first + slot(0x05, 0, 0, len(second) // 8) + second


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(either(WHOLE, PARTS), id="whole on one way, in parts on the other"),
        pytest.param(either(PARTS, WHOLE), id="in parts, whole"),
        pytest.param(CLEAR + either(slot(0x63, 10, 2, -6), slot(0x63, 10, 2, -8)), id="parts that overlap"),
        pytest.param(CLEAR + either(WHOLE, slot(0x05)), id="written on one way only"),
        pytest.param(CLEAR + WHOLE + INDEX + slot(0x79, 2, 9) + slot(0x7B, 10, 2, -8), id="loaded from a place that depends on a number"),
        pytest.param(CLEAR + INDEX + slot(0x7B, 9, 2), id="stored to a place that depends on a number"),
        pytest.param(CLEAR + WHOLE + INDEX + slot(0x7A, 9), id="perhaps overwritten"),
    ],
)
def test_reads_are_not_lost_on_the_stack(body: bytes) -> None:
    code = START + body + END
    facts = analyse(program_of(Generated(code, (), None, ())))
    assert facts.mark.reads

    def once(packet: Packet) -> Outcome:
        return run(code, packet)

    for packet in packets(1, 40):
        assert not list(influences(facts, packet, once, some_bits(1, 40)))


def test_what_is_overwritten_for_certain_is_no_read() -> None:
    code = START + WHOLE + PARTS + slot(0xB7, 0) + slot(0x95)
    assert not analyse(program_of(Generated(code, (), None, ()))).mark.reads
