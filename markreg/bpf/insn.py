"""BPF instructions: decoding, and the numbers of their opcodes (Documentation/bpf/standardization/instruction-set.rst)."""

from __future__ import annotations

from collections.abc import Iterable
from struct import iter_unpack
from typing import Literal, NamedTuple

from markreg.bpf.errors import BpfError

ByteOrder = Literal["little", "big"]
SIZE = 8

# Classes: the low three bits of an opcode.
LD, LDX, ST, STX, ALU, JMP, JMP32, ALU64 = range(8)
# Modes of loads and stores: the high three bits.
IMM, ABS, IND, MEM, MEMSX, ATOMIC = 0x00, 0x20, 0x40, 0x60, 0x80, 0xC0
# Operations of ALU and ALU64: the high four bits.
ADD, SUB, MUL, DIV, OR, AND, LSH, RSH, NEG, MOD, XOR, MOV, ARSH, END = range(0x00, 0xE0, 0x10)
# Operations of JMP and JMP32.
JA, JEQ, JGT, JGE, JSET, JNE, JSGT, JSGE, CALL, EXIT, JLT, JLE, JSLT, JSLE, JCOND = range(0x00, 0xF0, 0x10)

LDDW = LD | 0x18 | IMM
OP_CALL, OP_CALLX, OP_EXIT, OP_JA, OP_JA32 = 0x85, 0x8D, 0x95, 0x05, 0x06
# What the source register of lddw and call says (linux/bpf.h BPF_PSEUDO_*).
PSEUDO_MAP_FD, PSEUDO_MAP_VALUE, PSEUDO_FUNC = 1, 2, 4
PSEUDO_CALL, PSEUDO_KFUNC_CALL = 1, 2

_WIDTHS = {0x00: 4, 0x08: 2, 0x10: 1, 0x18: 8}


class Insn(NamedTuple):
    """One slot of eight bytes. ``off`` and ``imm`` are signed. The second slot of an lddw has opcode 0 and the high half in ``imm``."""

    op: int
    dst: int
    src: int
    off: int
    imm: int


def width(op: int) -> int:
    """The bytes that a load or store moves."""
    return _WIDTHS[op & 0x18]


def decode(code: bytes, order: ByteOrder = "little") -> list[Insn]:
    """The instructions of a code section. Raises BpfError where it is no whole number of them."""
    if len(code) % SIZE:
        raise BpfError(f"code of {len(code)} bytes is no whole number of instructions")
    if order == "little":
        return [Insn(op, regs & 15, regs >> 4, off, imm) for op, regs, off, imm in iter_unpack("<BBhi", code)]
    return [Insn(op, regs >> 4, regs & 15, off, imm) for op, regs, off, imm in iter_unpack(">BBhi", code)]


def target(pc: int, insn: Insn) -> int:
    """Where a jump goes; gotol (JMP32 | JA, cpu v4) has its distance in ``imm``."""
    return pc + 1 + (insn.imm if insn.op == OP_JA32 else insn.off)


def slots(insns: Iterable[Insn]) -> Iterable[tuple[int, Insn]]:
    """Index and instruction, without the second slots of lddw."""
    skip = False
    for pc, insn in enumerate(insns):
        if not skip:
            yield pc, insn
        skip = not skip and insn.op == LDDW
