"""A BPF machine that runs one program on one packet: what the abstract interpreter is held against, and itself held against the kernel.

Instructions as in the kernel's Documentation/bpf/standardization/instruction-set.rst. Memory is a few regions at addresses far
apart, so pointers are plain numbers. It is for programs that the verifier would take: a wild access is an error of the test.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

CONTEXT, STACK, MAPS, VALUES = (n << 48 for n in range(1, 5))
CONTEXT_SIZE, STACK_SIZE, FRAMES = 192, 512, 8
MARK, CB = 8, 48
LOOKUP, RANDOM, TAIL_CALL = 1, 7, 12
_M32, _M64 = (1 << 32) - 1, (1 << 64) - 1
_LIMIT = 1 << 16
_SIZES = {0x00: 4, 0x08: 2, 0x10: 1, 0x18: 8}
_MEM, _MEMSX, _ATOMIC = 0x60, 0x80, 0xC0
_FETCH, _CMPXCHG = 0x01, 0xF1


class MachineError(Exception):
    """What no verified program does: a wild access, an unknown instruction, no end."""


@dataclass(slots=True)
class Packet:
    """The words of ``__sk_buff`` that a program may be given: ``mark``, ``cb`` and others by their offset."""

    mark: int = 0
    cb: tuple[int, ...] = (0, 0, 0, 0, 0)
    others: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is left of a run: the return value (32 bits, as the kernel takes it), mark, cb words, the maps' values."""

    returned: int
    mark: int
    cb: tuple[int, ...]
    maps: tuple[bytes, ...]


def signed(value: int, bits: int) -> int:
    """A number of so many bits as a signed one."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def decode(code: bytes, order: str) -> list[tuple[int, int, int, int, int]]:
    """Opcode, destination, source, offset and immediate of every slot. A big-endian machine has the registers the other way round."""
    little = order == "little"
    slots = struct.iter_unpack("<BBhi" if little else ">BBhi", code)
    return [(op, regs & 15, regs >> 4, off, imm) if little else (op, regs >> 4, regs & 15, off, imm) for op, regs, off, imm in slots]


def run(
    code: bytes,
    packet: Packet,
    maps: Sequence[bytes] = (),
    order: str = "little",
    random: Sequence[int] = (),
    stores: list[tuple[int, int]] | None = None,
) -> Outcome:
    """Runs a program from its first instruction. ``maps``: the values of array maps; lddw names them by their place here.

    ``stores`` gets the instruction of each store to the mark, and what the mark is after it.
    """
    machine = _Machine(code, packet, maps, order, list(random))
    machine.stores = stores
    returned = machine.run(0, [0, CONTEXT, *[0] * 8, 0], 0)
    read = machine.read
    values = tuple(bytes(region) for base, region in machine.regions.items() if base >= VALUES)
    return Outcome(returned & _M32, read(CONTEXT + MARK, 4), tuple(read(CONTEXT + CB + 4 * i, 4) for i in range(5)), values)


class _Machine:
    def __init__(self, code: bytes, packet: Packet, maps: Sequence[bytes], order: str, random: list[int]) -> None:
        self.order, self.big, self.random, self.left = order, order == "big", random, _LIMIT
        self.code = decode(code, order)
        self.stores: list[tuple[int, int]] | None = None
        self.regions = {CONTEXT: bytearray(CONTEXT_SIZE), STACK: bytearray(STACK_SIZE * FRAMES)}
        for number, content in enumerate(maps):
            self.regions[VALUES + (number << 32)] = bytearray(content)
        for offset, value in {**packet.others, MARK: packet.mark, **{CB + 4 * i: v for i, v in enumerate(packet.cb)}}.items():
            self.write(CONTEXT + offset, 4, value)

    def _region(self, address: int, size: int) -> tuple[bytearray, int]:
        for base, region in self.regions.items():
            if base <= address and address + size <= base + len(region):
                return region, address - base
        raise MachineError(f"{size} bytes at {address:#x}")

    def read(self, address: int, size: int) -> int:
        region, at = self._region(address & _M64, size)
        return int.from_bytes(region[at : at + size], "big" if self.big else "little")

    def write(self, address: int, size: int, value: int) -> None:
        region, at = self._region(address & _M64, size)
        region[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "big" if self.big else "little")

    def run(self, pc: int, regs: list[int], depth: int) -> int:
        """A function until its exit; gives r0."""
        if depth >= FRAMES:
            raise MachineError("too many frames")
        regs[10] = STACK + STACK_SIZE * (depth + 1)
        while True:
            if not 0 <= pc < len(self.code) or not self.left:
                raise MachineError(f"no end at {pc}")
            self.left -= 1
            op, dst, src, off, imm = self.code[pc]
            pc += 1
            kind = op & 7
            if op == 0x18:
                regs[dst] = MAPS + imm if src == 1 else (imm & _M32) | (self.code[pc][4] & _M32) << 32
                pc += 1
            elif kind in (4, 7):
                regs[dst] = self._alu(op, regs[dst], regs[src], off, imm)
            elif kind == 1:
                size = _SIZES[op & 0x18]
                value = self.read(regs[src] + off, size)
                regs[dst] = signed(value, 8 * size) & _M64 if op & 0xE0 == _MEMSX else value
            elif kind in (2, 3) and op & 0xE0 == _MEM:
                self.write(regs[dst] + off, _SIZES[op & 0x18], regs[src] if kind == 3 else imm)
                if self.stores is not None and regs[dst] + off == CONTEXT + MARK:
                    self.stores.append((pc - 1, self.read(CONTEXT + MARK, 4)))
            elif kind == 3 and op & 0xE0 == _ATOMIC:
                self._atomic(regs, dst, src, off, imm, _SIZES[op & 0x18])
            elif op == 0x95:
                return regs[0]
            elif op == 0x85:
                regs[0] = self.run(pc + imm, [*regs[:6], *[0] * 5], depth + 1) if src == 1 else self._helper(imm, regs)
            elif op == 0x06:
                pc += imm
            elif kind in (5, 6):
                if op == 0x05 or _taken(op, regs[dst], regs[src] if op & 8 else imm):
                    pc += off
            else:
                raise MachineError(f"opcode {op:#x}")

    def _alu(self, op: int, a: int, b: int, off: int, imm: int) -> int:
        wide = op & 7 == 7
        bits = 64 if wide else 32
        full = _M64 if wide else _M32
        code = op & 0xF0
        if code == 0xD0:
            swaps = wide or bool(op & 8) != self.big
            part = a & ((1 << imm) - 1)
            return int.from_bytes(part.to_bytes(imm // 8, "little"), "big") if swaps else part
        b = (b if op & 8 else imm) & full
        a &= full
        if code == 0xB0:
            return signed(b, off) & full if off else b
        if code in (0x30, 0x90):
            return _divided(code, a, b, off, bits)
        shift = b & (bits - 1)
        results = {
            0x00: lambda: a + b,
            0x10: lambda: a - b,
            0x20: lambda: a * b,
            0x40: lambda: a | b,
            0x50: lambda: a & b,
            0x60: lambda: a << shift,
            0x70: lambda: a >> shift,
            0x80: lambda: -a,
            0xA0: lambda: a ^ b,
            0xC0: lambda: signed(a, bits) >> shift,
        }
        if code not in results:
            raise MachineError(f"opcode {op:#x}")
        return results[code]() & full

    def _atomic(self, regs: list[int], dst: int, src: int, off: int, imm: int, size: int) -> None:
        address, given, full = regs[dst] + off, regs[src], (1 << 8 * size) - 1
        old = self.read(address, size)
        if imm == _CMPXCHG:
            self.write(address, size, given if old == regs[0] & full else old)
            regs[0] = old
            return
        new = {0x00: old + given, 0x40: old | given, 0x50: old & given, 0xA0: old ^ given, 0xE0: given}[imm & 0xF0]
        self.write(address, size, new)
        if imm & _FETCH:
            regs[src] = old

    def _helper(self, number: int, regs: list[int]) -> int:
        if number == LOOKUP:
            which = regs[1] - MAPS
            base = VALUES + (which << 32)
            return base if self.read(regs[2], 4) == 0 else 0
        if number == RANDOM:
            return self.random.pop(0) & _M32 if self.random else 0
        if number == TAIL_CALL:
            return 0  # the slot is empty, so it goes on here
        raise MachineError(f"helper {number}")


def _divided(code: int, a: int, b: int, off: int, bits: int) -> int:
    """Division and remainder: by zero they give 0 and the dividend; signed ones cut towards zero."""
    full = (1 << bits) - 1
    if not b:
        return 0 if code == 0x30 else a
    if not off:
        return a // b if code == 0x30 else a % b
    x, y = signed(a, bits), signed(b, bits)
    quotient = abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)
    return (quotient if code == 0x30 else x - quotient * y) & full


def _taken(op: int, a: int, b: int) -> bool:
    bits = 64 if op & 7 == 5 else 32
    a, b = a & ((1 << bits) - 1), b & ((1 << bits) - 1)
    x, y = signed(a, bits), signed(b, bits)
    return {
        0x10: a == b,
        0x20: a > b,
        0x30: a >= b,
        0x40: bool(a & b),
        0x50: a != b,
        0x60: x > y,
        0x70: x >= y,
        0xA0: a < b,
        0xB0: a <= b,
        0xC0: x < y,
        0xD0: x <= y,
    }[op & 0xF0]
