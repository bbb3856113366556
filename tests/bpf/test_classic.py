"""Classic BPF: what is said of the mark, against runs of random programs."""

from __future__ import annotations

import random

import pytest

from markreg.bpf import BpfError
from markreg.bpf.classic import LOAD_MARK, Classic, Questions, parse, questions

LOW = 0xFFFFFFFF
PROGRAMS = 1_000
OPERATIONS = (0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x90, 0xA0)


def run(code: list[Classic], mark: int, packet: int) -> int:
    """What a program returns. ``packet``: what every other load yields."""
    a = x = pc = 0
    memory = [0] * 16
    while True:
        op, yes, no, k = code[pc]
        pc += 1
        kind, what, operand = op & 7, op & 0xF0, x if op & 8 else k
        if kind == 6:
            return a if op & 0x18 == 0x10 else k
        if kind == 5:
            if not what:
                pc += k
                continue
            holds = {0x10: a == operand, 0x20: a > operand, 0x30: a >= operand, 0x40: bool(a & operand)}[what]
            pc += yes if holds else no
        elif kind == 0:
            mode = op & 0xE0
            a = k if mode == 0 else memory[k] if mode == 0x60 else mark if k == LOAD_MARK else packet
        elif kind == 1:
            x = k if op & 0xE0 == 0 else memory[k] if op & 0xE0 == 0x60 else packet & 0xFF
        elif kind in (2, 3):
            memory[k] = a if kind == 2 else x
        elif kind == 4:
            shift = operand & 31
            values = {
                0x00: a + operand, 0x10: a - operand, 0x20: a * operand, 0x30: a // operand if operand else 0, 0x40: a | operand,
                0x50: a & operand, 0x60: a << shift, 0x70: a >> shift, 0x80: -a, 0x90: a % operand if operand else a, 0xA0: a ^ operand,
            }  # fmt: skip
            a = values[what] & LOW
        elif op & 0x80:
            a = x
        else:
            x = a


def program(seed: int) -> list[Classic]:
    choose = random.Random(seed)
    count = choose.randrange(3, 14)
    code = [Classic(0x20, 0, 0, LOAD_MARK)]
    for at in range(1, count):
        left = count - at
        k = choose.choice((1, 0xFF, 0xF00, 0x300, 8, 0xFFFF0000, 0x80000000, choose.getrandbits(32)))
        code.append(
            choose.choice(
                (
                    Classic(0x20, 0, 0, LOAD_MARK),
                    Classic(0x28, 0, 0, 12),
                    Classic(choose.choice((0x04, 0x0C)) | choose.choice(OPERATIONS), 0, 0, k & 15 if left % 2 else k),
                    Classic(choose.choice((0x04, 0x0C)) | 0x50, 0, 0, k),
                    Classic(choose.choice((0x02, 0x03, 0x60, 0x61)), 0, 0, choose.randrange(3)),
                    Classic(choose.choice((0x07, 0x87)), 0, 0, 0),
                    Classic(0x05 | choose.choice((0x10, 0x20, 0x30, 0x40)), choose.randrange(left + 1), choose.randrange(left + 1), k),
                    Classic(0x05 | choose.choice((0x10, 0x20, 0x30, 0x40)), choose.randrange(left + 1), choose.randrange(left + 1), k),
                )
            )
        )
    return [*code, Classic(choose.choice((0x06, 0x06, 0x16)), 0, 0, 0), Classic(0x06, 0, 0, 1)]


def test_bits_that_are_not_read_do_not_matter_and_needs_are_needed() -> None:
    read = needed = 0
    for seed in range(PROGRAMS):
        code = program(seed)
        found = questions(code)
        choose = random.Random(seed)
        for _ in range(6):
            few = choose.getrandbits(32) & choose.getrandbits(32)
            mark, packet = choose.choice((few, choose.getrandbits(32), 0, 0x300)), choose.choice((0, 6, choose.getrandbits(16)))
            result = run(code, mark, packet)
            other = mark ^ (choose.getrandbits(32) & ~found.reads)
            assert run(code, other, packet) == result, f"seed {seed}: {mark:#x} {other:#x} {packet:#x}"
            for asked, holds in found.needs if result else ():
                bits = mark & asked.mask
                assert any(low <= bits <= high for low, high in asked.accepts) == holds, f"seed {seed}: {mark:#x}"
        read += found.reads == LOW
        needed += len(found.needs)
    # Not everything is read, and something is needed now and then.
    assert read < PROGRAMS * 0.9
    assert needed > PROGRAMS * 0.05


@pytest.mark.parametrize(
    ("text", "reads", "needs"),
    [
        ("4,32 0 0 4294963220,21 0 1 5,6 0 0 65535,6 0 0 0", LOW, [(LOW, 5, True)]),
        ("4,32 0 0 4294963220,21 0 1 5,6 0 0 0,6 0 0 65535", LOW, [(LOW, 5, False)]),
        ("5,32 0 0 4294963220,84 0 0 3840,21 0 1 768,6 0 0 1,6 0 0 0", 0xF00, [(0xF00, 0x300, True)]),
        ("6,48 0 0 9,21 0 3 6,32 0 0 4294963220,69 0 1 16,6 0 0 1,6 0 0 0", 0x10, [(0x10, 0x10, True)]),
        ("1,6 0 0 1", 0, []),
    ],
)
def test_what_a_text_asks(text: str, reads: int, needs: list[tuple[int, int, bool]]) -> None:
    found: Questions = questions(parse(text))
    assert found.reads == reads
    assert [(asked.mask, asked.value, holds) for asked, holds in found.needs] == needs


@pytest.mark.parametrize(
    "text", ["", "2,6 0 0 1", "1,6 0 0", "x,6 0 0 1", "1,6 0 0 4294967296", "1,6 256 0 1", "1,21 5 5 5", "1,0 0 0 1", "2,97 0 0 16,6 0 0 0"]
)
def test_what_is_no_program_is_an_error(text: str) -> None:
    with pytest.raises(BpfError):
        questions(parse(text))
