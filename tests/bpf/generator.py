"""Random programs that handle marks, instruction by instruction, such as the kernel's verifier takes: the same seed, the same program.

r6 is the context, all other registers and the stack slots in use hold numbers from the first instruction on, so any order of
statements is valid. Branches only lead forward, but for short counted loops.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass

from tests.bpf.interpreter import CB, LOOKUP, MARK, RANDOM, TAIL_CALL

# Registers that hold numbers between statements; r1 and r9 are for addresses.
NUMBERS = (0, 2, 3, 4, 5, 7, 8)
SLOTS = tuple(-8 * n for n in range(1, 9))
# The context; a map's key; a loop's rounds; in a subprogram the address of a slot of its caller, which comes in r5.
CONTEXT_SLOT, KEY_SLOT, COUNTER_SLOT, CALLER_SLOT = -72, -80, -88, -104
MAP_SIZE = 64
MASKS = (0x1, 0xF, 0xF0, 0xFF, 0xF00, 0xFF00, 0xFFFF, 0x300, 0x0FF00000, 0x7FFFFFFF, -1, -0x10000, -0xF01, -0x80000000, 0xE00, 0x10)
ATOMIC = (0x00, 0x01, 0x40, 0x41, 0x50, 0x51, 0xA0, 0xA1, 0xE1, 0xF1)
_W, _H, _B, _DW = 0x00, 0x08, 0x10, 0x18
_BYTES = {_W: 4, _H: 2, _B: 1, _DW: 8}
_ALU = {"add": 0x00, "sub": 0x10, "mul": 0x20, "or": 0x40, "and": 0x50, "lsh": 0x60, "rsh": 0x70, "xor": 0xA0, "mov": 0xB0, "arsh": 0xC0}
_RARE = {"div": 0x30, "mod": 0x90}
_JUMPS = (0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xA0, 0xB0, 0xC0, 0xD0)


@dataclass(frozen=True, slots=True)
class Generated:
    """A program of type sched_cls in little-endian code.

    ``maps``: the values of its array maps; an lddw of source 1 names one by its place here. ``programs``: at which place a map of
    programs is, all of whose slots are empty. ``subprograms``: where they begin, in slots.
    """

    code: bytes
    maps: tuple[bytes, ...]
    programs: int | None
    subprograms: tuple[int, ...]


def slot(op: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    """One instruction slot; ``imm`` as signed or unsigned 32 bits."""
    return struct.pack("<BBhI", op, dst | src << 4, off, imm & 0xFFFFFFFF)


def generate(seed: int, cpu: int = 4, helpers: bool = True) -> Generated:
    """The program of a seed. ``cpu``: the version of the instruction set, 3 or 4. ``helpers``: also random numbers, which no two
    runs have in common."""
    return _Writer(random.Random(seed), cpu, helpers).program()


class _Writer:
    def __init__(self, choose: random.Random, cpu: int, helpers: bool) -> None:
        self.choose, self.cpu, self.helpers = choose, cpu, helpers
        self.code: list[bytes] = []
        self.calls: list[tuple[int, int]] = []
        self.depth = self.loops = 0
        self.inside = False
        self.has_map = choose.random() < 0.4
        self.has_programs = choose.random() < 0.2

    def program(self) -> Generated:
        functions = self.choose.choice((0, 0, 1, 2))
        self.starts = [0] * functions
        self._function(self.choose.randint(4, 22), functions)
        self.inside = True
        for number in sorted({number for _, number in self.calls}):
            self.starts[number] = len(self.code)
            self._function(self.choose.randint(2, 8), 0)
        for at, number in self.calls:
            self.code[at] = slot(0x85, 0, 1, 0, self.starts[number] - at - 1)
        maps = (self.choose.randbytes(MAP_SIZE),) if self.has_map else ()
        starts = tuple(start for start in self.starts if start)
        return Generated(b"".join(self.code), maps, len(maps) if self.has_programs else None, starts)

    def emit(self, op: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> int:
        """Gives the place of the instruction, to be completed later if it is a jump."""
        self.code.append(slot(op, dst, src, off, imm))
        return len(self.code) - 1

    def number(self) -> int:
        return self.choose.choice(NUMBERS)

    def constant(self) -> int:
        some = self.choose
        return some.choice(
            (some.choice(MASKS), some.choice(MASKS), some.getrandbits(32) - (1 << 31), some.randrange(256), 1 << some.randrange(31))
        )

    def _function(self, statements: int, callable_: int) -> None:
        self.callable = callable_
        self.emit(0xBF, 6, 1)
        keeps = self.inside and self.choose.random() < 0.7  # a subprogram may take its arguments as they come
        if self.inside:
            self.emit(0x7B, 10, 5, CALLER_SLOT)
        for register in NUMBERS:
            if not (keeps and 2 <= register <= 4):
                self._given(register)
        for offset in (*SLOTS, KEY_SLOT, COUNTER_SLOT):
            self.emit(0x7B, 10, self.number(), offset)
        self.emit(0x7B, 10, 6, CONTEXT_SLOT)
        self.statements(statements)
        self.emit(0xBF, 0, self.number()) if self.choose.random() < 0.3 else self.emit(0xB7, 0, 0, 0, self.choose.choice((0, 2, -1)))
        self.emit(0x95)

    def _given(self, register: int) -> None:
        """A start: the mark, a cb word, or a constant."""
        kind = self.choose.random()
        if kind < 0.3:
            self.emit(0x61, register, 6, MARK)
        elif kind < 0.5:
            self.emit(0x61, register, 6, CB + 4 * self.choose.randrange(5))
        else:
            self.emit(0xB7, register, 0, 0, self.constant())

    def statements(self, count: int) -> None:
        kinds: list[tuple[int, Callable[[], object]]] = [
            (10, self.alu),
            (4, self.load_mark),
            (5, self.store_mark),
            (3, self.load_cb),
            (3, self.store_cb),
            (3, self.stack),
            (3, self.shift),
            (2, self.rewrite),
            (1, self.swap),
            (1, self.spilled_context),
            (1, self.long_constant),
            (1, self.somewhere),
            (1, self.parted),
        ]
        if self.depth < 3:
            kinds.append((5, self.branch))
        if self.callable:
            kinds.append((2, self.call))
        if self.has_map:
            kinds.append((2, self.map_value))
        if self.has_programs and not self.inside and not self.starts:
            kinds.append((1, self.tail_call))
        if self.helpers:
            kinds.append((1, self.random))
        if self.inside:
            kinds.append((2, self.frame))
        if not self.loops and self.depth < 2:
            kinds.append((1, self.loop))
        for kind in self.choose.choices([k for _, k in kinds], [w for w, _ in kinds], k=count):
            kind()

    def alu(self) -> None:
        name = self.choose.choice(tuple(_ALU)) if self.choose.random() < 0.9 else self.choose.choice(tuple(_RARE))
        if name in ("lsh", "rsh", "arsh"):
            self.shift()
            return
        wide = self.choose.choice((4, 7))
        dst = self.number()
        if name in _RARE:
            signed = int(self.cpu > 3 and self.choose.random() < 0.3)
            divisor = self.choose.choice((1, 2, 3, 8, 16, 255, 256))
            self.emit(_RARE[name] | wide, dst, 0, signed, divisor)
        elif self.choose.random() < 0.5:
            self.emit(_ALU[name] | wide, dst, 0, 0, self.constant())
        else:
            extends = name == "mov" and self.cpu > 3 and self.choose.random() < 0.3
            size = self.choose.choice((8, 16, 32) if wide == 7 else (8, 16)) if extends else 0
            self.emit(_ALU[name] | wide | 8, dst, self.number(), size)

    def shift(self) -> None:
        wide, op = self.choose.choice((4, 7)), self.choose.choice((0x60, 0x70, 0xC0))
        if self.choose.random() < 0.1:
            self.emit(op | wide | 8, self.number(), self.number())
            return
        most = 63 if wide == 7 else 31
        amount = self.choose.choice([n for n in (1, 4, 8, 12, 16, 24, 28, 31, 32, 48, self.choose.randrange(32)) if n <= most])
        self.emit(op | wide, self.number(), 0, 0, amount)

    def load_mark(self) -> None:
        size = self.choose.choice((_W, _W, _W, _H, _B))
        self.emit(0x61 | size, self.number(), 6, MARK + self.choose.randrange(0, 4, _BYTES[size]))

    def store_mark(self) -> None:
        if self.choose.random() < 0.15:
            self.emit(0x62, 6, 0, MARK, self.constant())
        else:
            self.emit(0x63, 6, self.number(), MARK)

    def rewrite(self) -> None:
        """As a compiler does it: load, clear a field, set it, store."""
        register = self.number()
        self.emit(0x61, register, 6, MARK)
        wide = self.choose.choice((4, 7))
        self.emit(0x50 | wide, register, 0, 0, self.choose.choice(MASKS))
        if self.choose.random() < 0.5:
            self.emit(0x40 | wide, register, 0, 0, self.choose.choice(MASKS))
        else:
            self.emit(0x4C, register, self.number())
        self.emit(0x63, 6, register, MARK)

    def load_cb(self) -> None:
        size = self.choose.choice((_W, _W, _H, _B, _DW))
        self.emit(0x61 | size, self.number(), 6, CB + self.choose.randrange(0, 20 if size != _DW else 16, _BYTES[size]))

    def store_cb(self) -> None:
        size = self.choose.choice((_W, _W, _W, _H, _B, _DW))
        at = CB + self.choose.randrange(0, 20 if size != _DW else 16, _BYTES[size])
        if self.choose.random() < 0.1:
            self.emit(0x62 | size, 6, 0, at, self.constant())
        else:
            self.emit(0x63 | size, 6, self.number(), at)

    def somewhere(self) -> None:
        """A slot of the stack that depends on a number."""
        index = self.number()
        self.emit(0x57, index, 0, 0, 0x38)
        self.emit(0xBF, 9, 10)
        self.emit(0x07, 9, 0, 0, SLOTS[-1])
        self.emit(0x0F, 9, index)
        if self.choose.random() < 0.5:
            self.emit(0x7B, 9, self.number(), 0)
        else:
            self.emit(0x79, self.number(), 9, 0)

    def stack(self) -> None:
        """Narrow and wide, so that parts of what was spilled come back."""
        size = self.choose.choice((_DW, _DW, _W, _H, _B))
        at = self.choose.choice(SLOTS) + self.choose.randrange(0, 8, _BYTES[size])
        kind = self.choose.random()
        if kind < 0.45:
            self.emit(0x63 | size, 10, self.number(), at)
        elif kind < 0.55:
            self.emit(0x62 | size, 10, 0, at, self.constant())
        elif kind < 0.65 and self.cpu > 3 and size != _DW:
            self.emit(0x81 | size, self.number(), 10, at)
        elif kind < 0.72 and size in (_W, _DW):
            self.emit(0xC3 | size, 10, self.number(), at, self.choose.choice(ATOMIC))
        else:
            self.emit(0x61 | size, self.number(), 10, at)

    def parted(self) -> None:
        """A slot that is written as a whole on one way and in parts on the other."""
        at = self.choose.choice(SLOTS)
        ways = [[(_DW, at)], [(_W, at), (_W, at + 4)]]
        if self.choose.random() < 0.3:
            ways[1] = [(_W, at + self.choose.choice((0, 4)))]
        self.choose.shuffle(ways)
        jump = self.jump()
        for size, place in ways[0]:
            self.emit(0x63 | size, 10, self.number(), place)
        end = self.emit(0x05)
        self.land(jump)
        for size, place in ways[1]:
            self.emit(0x63 | size, 10, self.number(), place)
        self.land(end)
        self.emit(0x79, self.number(), 10, at)

    def swap(self) -> None:
        self.emit(
            self.choose.choice((0xD4, 0xDC, 0xD7) if self.cpu > 3 else (0xD4, 0xDC)), self.number(), 0, 0, self.choose.choice((16, 32, 64))
        )
        if self.choose.random() < 0.3:
            self.emit(self.choose.choice((0x84, 0x87)), self.number())

    def spilled_context(self) -> None:
        self.emit(0x79, 9, 10, CONTEXT_SLOT)
        if self.choose.random() < 0.5:
            self.emit(0x61, self.number(), 9, MARK)
        else:
            self.emit(0x63, 9, self.number(), MARK)

    def long_constant(self) -> None:
        self.emit(0x18, self.number(), 0, 0, self.choose.getrandbits(32))
        self.emit(0, 0, 0, 0, self.choose.choice((0, 0, self.choose.getrandbits(32))))

    def jump(self) -> int:
        kind = self.choose.choice((5, 6))
        op = self.choose.choice((*_JUMPS, 0x10, 0x50, 0x10, 0x50, 0x40))
        if self.choose.random() < 0.7:
            return self.emit(op | kind, self.number(), 0, 0, self.constant())
        return self.emit(op | kind | 8, self.number(), self.number())

    def branch(self) -> None:
        """If, else; sometimes on a field of the mark as compilers ask for it."""
        if self.choose.random() < 0.5:
            register, mask = self.number(), self.choose.choice(MASKS)
            self.emit(0x61, register, 6, self.choose.choice((MARK, MARK, CB)))
            self.emit(self.choose.choice((0x54, 0x57)), register, 0, 0, mask)
            at = self.emit(self.choose.choice((0x15, 0x55, 0x16, 0x56)), register, 0, 0, mask & self.choose.choice((0, mask, 0x300, 0x10)))
        else:
            at = self.jump()
        self.depth += 1
        self.statements(self.choose.randint(1, 4))
        if self.choose.random() < 0.5:
            end = self.emit(0x05)
            self.land(at)
            self.statements(self.choose.randint(1, 4))
            self.land(end)
        else:
            self.land(at)
        self.depth -= 1

    def land(self, at: int) -> None:
        """A jump leads to here."""
        op, regs, _, imm = struct.unpack("<BBhI", self.code[at])
        self.code[at] = slot(op, regs & 15, regs >> 4, len(self.code) - at - 1, imm)

    def loop(self) -> None:
        """Two to four rounds."""
        self.loops += 1
        self.depth += 1
        self.emit(0x7A, 10, 0, COUNTER_SLOT, self.choose.randint(2, 4))
        start = len(self.code)
        self.statements(self.choose.randint(1, 3))
        self.emit(0x79, 9, 10, COUNTER_SLOT)
        self.emit(0x17, 9, 0, 0, 1)
        self.emit(0x7B, 10, 9, COUNTER_SLOT)
        at = self.emit(0x55, 9)
        self.code[at] = slot(0x55, 9, 0, start - at - 1, 0)
        self.depth -= 1

    def clobbered(self) -> None:
        """After a call nothing is left in r1 to r5."""
        for register in (2, 3, 4, 5):
            self._given(register)

    def call(self) -> None:
        self.emit(0xBF, 1, 6)
        self.emit(0xBF, 5, 10)
        self.emit(0x07, 5, 0, 0, self.choose.choice(SLOTS))
        self.calls.append((self.emit(0x85), self.choose.randrange(self.callable)))
        self.clobbered()

    def frame(self) -> None:
        """A slot of the caller."""
        self.emit(0x79, 9, 10, CALLER_SLOT)
        if self.choose.random() < 0.5:
            self.emit(0x7B, 9, self.number(), 0)
        else:
            self.emit(0x79, self.number(), 9, 0)

    def map_value(self) -> None:
        """Looked up, then read, written or changed."""
        self.emit(0x7A, 10, 0, KEY_SLOT, self.choose.choice((0, 0, 0, 1)))
        self.emit(0xBF, 2, 10)
        self.emit(0x07, 2, 0, 0, KEY_SLOT)
        self.emit(0x18, 1, 1, 0, 0)
        self.emit(0)
        self.emit(0x85, 0, 0, 0, LOOKUP)
        self.emit(0xBF, 9, 0)
        self._given(0)
        self.clobbered()
        missing = self.emit(0x15, 9)
        for _ in range(self.choose.randint(1, 2)):
            size = self.choose.choice((_W, _W, _DW, _H, _B))
            at = self.choose.randrange(0, MAP_SIZE, _BYTES[size])
            if size in (_W, _DW) and self.choose.random() < 0.15:
                self.emit(0xC3 | size, 9, self.number(), at, self.choose.choice(ATOMIC))
            elif self.choose.random() < 0.6:
                self.emit(0x61 | size, self.number(), 9, at)
            else:
                self.emit(0x63 | size, 9, self.number(), at)
        self.land(missing)

    def tail_call(self) -> None:
        self.emit(0xBF, 1, 6)
        self.emit(0x18, 2, 1, 0, int(self.has_map))
        self.emit(0)
        self.emit(0xB7, 3, 0, 0, self.choose.randrange(4))
        self.emit(0x85, 0, 0, 0, TAIL_CALL)
        self._given(0)
        self.clobbered()

    def random(self) -> None:
        self.emit(0x85, 0, 0, 0, RANDOM)
        self.clobbered()
