"""The concrete machine, instruction by instruction; tests/oracle/test_bpf_kernel.py holds it against the kernel."""

from __future__ import annotations

import struct

import pytest

from tests.bpf.generator import generate, slot
from tests.bpf.interpreter import CB, MARK, MachineError, Packet, run

EXIT = slot(0x95)
ONES = (1 << 64) - 1


def returned(*slots: bytes, mark: int = 0) -> int:
    return run(b"".join(slots) + EXIT, Packet(mark)).returned


def wide(register: int, value: int) -> bytes:
    return slot(0x18, register, 0, 0, value & 0xFFFFFFFF) + slot(0, 0, 0, 0, value >> 32)


@pytest.mark.parametrize(
    ("op", "a", "b", "off", "low", "high"),
    [
        pytest.param(0x0C, 0xFFFFFFFF, 1, 0, 0, 0, id="add32 wraps and clears the upper half"),
        pytest.param(0x0F, 0xFFFFFFFF, 1, 0, 0, 1, id="add64"),
        pytest.param(0x1F, 0, 1, 0, 0xFFFFFFFF, 0xFFFFFFFF, id="sub64"),
        pytest.param(0x2F, 1 << 33, 4, 0, 0, 8, id="mul64"),
        pytest.param(0x3F, 7, 0, 0, 0, 0, id="division by zero gives 0"),
        pytest.param(0x9F, 7, 0, 0, 7, 0, id="remainder by zero gives the dividend"),
        pytest.param(0x3F, ONES - 6, 2, 1, 0xFFFFFFFD, 0xFFFFFFFF, id="sdiv cuts towards zero"),
        pytest.param(0x9F, ONES - 6, 2, 1, 0xFFFFFFFF, 0xFFFFFFFF, id="smod has the sign of the dividend"),
        pytest.param(0x6F, 1, 33, 0, 0, 2, id="lsh64"),
        pytest.param(0x6C, 1, 33, 0, 2, 0, id="lsh32 takes five bits of the amount"),
        pytest.param(0xCC, 0x80000000, 31, 0, 0xFFFFFFFF, 0, id="arsh32"),
        pytest.param(0xCF, 1 << 63, 63, 0, 0xFFFFFFFF, 0xFFFFFFFF, id="arsh64"),
        pytest.param(0x8F, 1, 0, 0, 0xFFFFFFFF, 0xFFFFFFFF, id="neg"),
        pytest.param(0xBF, 0, 0x80, 8, 0xFFFFFF80, 0xFFFFFFFF, id="movsx from 8 bits"),
        pytest.param(0xBC, 0, 0x8000, 16, 0xFFFF8000, 0, id="movsx32 from 16 bits"),
        pytest.param(0xBC, 0, ONES, 0, 0xFFFFFFFF, 0, id="mov32"),
    ],
)
def test_arithmetic(op: int, a: int, b: int, off: int, low: int, high: int) -> None:
    code = wide(0, a), wide(1, b), slot(op, 0, 1, off)
    assert returned(*code) == low
    assert returned(*code, slot(0x77, 0, 0, 0, 32)) == high


def test_an_immediate_is_extended_by_its_sign_to_64_bits_but_not_to_32() -> None:
    assert returned(wide(0, ONES), slot(0x57, 0, 0, 0, -3841), slot(0x77, 0, 0, 0, 32)) == 0xFFFFFFFF
    assert returned(wide(0, ONES), slot(0x54, 0, 0, 0, -3841), slot(0x77, 0, 0, 0, 32)) == 0


@pytest.mark.parametrize(
    ("op", "bits", "little", "big"),
    [(0xD4, 32, 0x11223344, 0x44332211), (0xDC, 32, 0x44332211, 0x11223344), (0xD7, 16, 0x4433, 0x4433), (0xDC, 16, 0x4433, 0x3344)],
)
def test_byte_swaps_depend_on_the_machine(op: int, bits: int, little: int, big: int) -> None:
    assert returned(wide(0, 0x11223344), slot(op, 0, 0, 0, bits)) == little
    code = [struct.pack(">BBhI", *head) for head in ((0x18, 0, 0, 0x11223344), (0, 0, 0, 0), (op, 0, 0, bits), (0x95, 0, 0, 0))]
    assert run(b"".join(code), Packet(), order="big").returned == big


@pytest.mark.parametrize(
    ("op", "a", "b", "taken"),
    [
        (0x2D, ONES, 1, True),
        (0x6D, ONES, 1, False),
        (0xCD, ONES, 1, True),
        (0x1E, 1 << 32 | 5, 5, True),
        (0x1D, 1 << 32 | 5, 5, False),
        (0x4D, 6, 1, False),
        (0x66 | 8, 0x80000000, 0, False),
        (0xAD, 4, 5, True),
    ],
)
def test_comparisons(op: int, a: int, b: int, taken: bool) -> None:
    code = wide(2, a), wide(3, b), slot(0xB7, 0, 0, 0, 1), slot(op, 2, 3, 1), slot(0xB7, 0, 0, 0, 0)
    assert bool(returned(*code)) is taken


def test_parts_of_the_mark_and_of_cb() -> None:
    assert returned(slot(0x71, 0, 1, MARK + 1), mark=0x11223344) == 0x33
    assert returned(slot(0x69, 0, 1, MARK + 2), mark=0x11223344) == 0x1122
    code = slot(0xB7, 2, 0, 0, 0xAB) + slot(0x73, 1, 2, CB + 6) + slot(0x62, 1, 0, MARK, 7) + slot(0xB7, 0) + EXIT
    after = run(code, Packet(1, (1, 2, 3, 4, 5)))
    assert (after.mark, after.cb) == (7, (1, 0xAB0002, 3, 4, 5))


def test_a_big_endian_packet_has_its_bytes_at_the_other_end() -> None:
    code = struct.pack(">BBhI", 0x71, 0x01, MARK, 0) + struct.pack(">BBhI", 0x95, 0, 0, 0)
    assert run(code, Packet(0x11223344), order="big").returned == 0x11


def test_a_call_keeps_the_callers_registers_and_stack() -> None:
    code = (
        slot(0xB7, 6, 0, 0, 5),
        slot(0x7A, 10, 0, -8, 3),
        slot(0x85, 0, 1, 0, 3),
        slot(0x79, 1, 10, -8),
        slot(0x0F, 0, 1),
        slot(0x95),
        slot(0xB7, 6, 0, 0, 99),
        slot(0x7A, 10, 0, -8, 99),
        slot(0xB7, 0, 0, 0, 4),
    )
    assert returned(*code) == 7


def test_a_value_of_a_map() -> None:
    code = (
        slot(0x7A, 10, 0, -8, 0),
        slot(0xBF, 2, 10),
        slot(0x07, 2, 0, 0, -8),
        slot(0x18, 1, 1) + slot(0),
        slot(0x85, 0, 0, 0, 1),
        slot(0x72, 0, 0, 1, 9),
        slot(0x61, 0, 0, 0),
        EXIT,
    )
    after = run(b"".join(code), Packet(), maps=(bytes(8),))
    assert (after.returned, after.maps) == (0x900, (b"\0\x09" + bytes(6),))


@pytest.mark.parametrize(("op", "left", "got"), [(0x00, 7, 3), (0x01, 7, 3), (0x51, 0, 3), (0xE1, 4, 3), (0xF1, 4, 3)])
def test_atomic_operations(op: int, left: int, got: int) -> None:
    start = slot(0x7A, 10, 0, -8, 3), slot(0xB7, 0, 0, 0, 3), slot(0xB7, 2, 0, 0, 4), slot(0xDB, 10, 2, -8, op)
    assert returned(*start, slot(0x79, 0, 10, -8)) == left
    if op not in (0x00, 0xF1):
        assert returned(*start, slot(0xBF, 0, 2)) == got


@pytest.mark.parametrize("code", [slot(0x05, 0, 0, -1), slot(0x79, 0, 1, 4000) + EXIT, slot(0xFF) + EXIT, slot(0xB7)])
def test_what_no_verifier_takes_ends_in_an_error(code: bytes) -> None:
    with pytest.raises(MachineError):
        run(code, Packet())


def test_a_seed_is_a_program_that_runs() -> None:
    for seed in range(50):
        program = generate(seed)
        assert program == generate(seed)
        assert run(program.code, Packet(seed), program.maps) == run(program.code, Packet(seed), program.maps)
    assert len({generate(seed).code for seed in range(50)}) == 50
