"""The abstract interpreter: one program, every path, states joined where paths meet."""

from __future__ import annotations

from collections.abc import Collection
from heapq import heappop, heappush

from markreg.bits import full
from markreg.bpf.arithmetic import add, alu, extended, sdiv, smod
from markreg.bpf.branch import asked, influences, learnt, narrowed, open_ways
from markreg.bpf.calls import Calls
from markreg.bpf.events import Events
from markreg.bpf.image import Program
from markreg.bpf.insn import (
    ADD,
    ALU,
    ALU64,
    AND,
    ARSH,
    ATOMIC,
    DIV,
    END,
    IND,
    JCOND,
    JEQ,
    JGE,
    JGT,
    JLE,
    JLT,
    JMP,
    JNE,
    JSET,
    JSGE,
    JSGT,
    JSLE,
    JSLT,
    LD,
    LDDW,
    LDX,
    LSH,
    MEMSX,
    MOD,
    MOV,
    MUL,
    NEG,
    OP_CALL,
    OP_CALLX,
    OP_EXIT,
    OP_JA,
    OP_JA32,
    OR,
    RSH,
    ST,
    STX,
    SUB,
    XOR,
    target,
    width,
)
from markreg.bpf.memory import Constants, Memory, entry_cells
from markreg.bpf.merge import Meetings
from markreg.bpf.scalar import ALL, LOW, UNKNOWN, Number, Scalar, deps, low, swapped, unknown
from markreg.bpf.scan import Scan
from markreg.bpf.state import Ptr, State, Value

MOST_VISITS = 600_000


class LimitError(Exception):
    """The analysis of a program became too large."""


class Interpreter:
    """Runs one program. ``events`` has what it did. ``symbolic``: words of maps, by name and offset, that are followed bit by bit."""

    def __init__(
        self,
        program: Program,
        constants: Constants | None = None,
        symbolic: Collection[tuple[str, int]] = (),
        most: int = MOST_VISITS,
        scan: Scan | None = None,
    ) -> None:
        self.program = program
        self.image = program.image
        self.code = program.image.code
        self.events = Events()
        self.meetings = Meetings(program.image.order)
        self.memory = Memory(program, self.events, self.meetings, constants or Constants(), symbolic)
        self.calls = Calls(self)
        self.most = most
        self._contexts: dict[tuple[int, ...], int] = {}
        self._blocks: dict[int, dict[int, State]] = {}
        self._exits: dict[int, State] = {}
        self._scan = scan or Scan(program.image)
        self._defined: dict[int, set[str]] = {}

    def run(self) -> Events:
        """The whole program. Where a limit is reached, ``events.limits`` says so and the rest is not exact."""
        regs: list[Value] = [UNKNOWN] * 11
        regs[1] = Ptr("ctx")
        regs[10] = Ptr("stack", 0)
        try:
            self.function((), self.program.entry, State(regs, [{}], entry_cells(self.program), {}, frozenset()))
        except LimitError as error:
            self.events.limits[str(error)] = None
        return self.events

    def function(self, chain: tuple[int, ...], entry: int, st: State) -> tuple[State | None, set[str]]:
        """A function called through ``chain`` (the positions of the calls): the state where it returns, None if it never does, and
        the symbols that it gave new values."""
        context = self._contexts.setdefault((*chain, entry), len(self._contexts))
        blocks = self._blocks.setdefault(context, {})
        leaders = self._scan.function(entry).leaders
        outer, self.memory.defined = self.memory.defined, self._defined.setdefault(context, set())
        pending: list[tuple[int, int]] = []
        queued: set[int] = set()

        def go(pc: int, new: State) -> None:
            held = blocks.get(pc)
            if held is None:
                blocks[pc] = new
            elif not self.meetings.merge((context, pc), held, new):
                return
            if pc not in queued:
                queued.add(pc)
                heappush(pending, (leaders.get(pc, pc), pc))

        go(entry, st)
        while pending:
            _, pc = heappop(pending)
            queued.discard(pc)
            for there, new in self._block(context, chain, pc, blocks[pc].copy(), leaders):
                if there >= 0:
                    go(there, new)
                    continue
                done = self._exits.get(context)
                if done is None:
                    self._exits[context] = new
                else:
                    self.meetings.merge((context, -1), done, new)
        defined = self.memory.defined
        for place in (*blocks, -1):
            defined.update(phi.symbol for phi in self.meetings.phis.get((context, place), {}).values())
        self.memory.defined = outer
        outer |= defined
        end = self._exits.get(context)
        return (end.copy() if end else None), defined

    def _block(self, context: int, chain: tuple[int, ...], pc: int, st: State, leaders: dict[int, int]) -> list[tuple[int, State]]:
        """Straight-line code from a leader on; where it goes, -1 for the return."""
        code, regs, events, memory = self.code, st.regs, self.events, self.memory
        size = len(code)
        start = pc
        steps = 0
        try:
            while True:
                if not 0 <= pc < size:
                    events.notes["code runs on behind the end of its section"] = None
                    return []
                if pc != start and pc in leaders:
                    return [(pc, st)]
                op, dst, src, off, imm = code[pc]
                if dst > 10 or src > 10:
                    events.notes[f"instruction {pc} names a register that there is not"] = None
                    return []
                steps += 1
                kind = op & 7
                if kind == ALU64:
                    b: Value = regs[src] if op & 8 else imm & ALL
                    a = regs[dst]
                    what = op & 0xF0
                    if what == MOV:
                        if off and op & 8 and off in (8, 16, 32):
                            b = UNKNOWN if type(b) is Ptr else extended(b, off, 64)  # type: ignore[arg-type]
                        regs[dst] = b
                    elif type(a) is int and type(b) is int and what == ADD:
                        regs[dst] = (a + b) & ALL
                    elif type(a) is Ptr or type(b) is Ptr:
                        regs[dst] = self._address(what, a, b, context, pc)
                    else:
                        regs[dst] = self._alu(op, off, imm, a, b, dst == src, 64)  # type: ignore[arg-type]
                elif kind == ALU:
                    a, b = regs[dst], regs[src] if op & 8 else imm & LOW
                    if type(b) is Ptr:
                        b = UNKNOWN
                    if op & 0xF0 == MOV and not off:
                        regs[dst] = low(b, 32)  # type: ignore[arg-type]
                    else:
                        regs[dst] = self._alu(op, off, imm, UNKNOWN if type(a) is Ptr else a, b, dst == src, 32)  # type: ignore[arg-type]
                elif kind == LDX:
                    moved = width(op)
                    value = memory.load(st, regs[src], off, moved, (context, pc))
                    regs = st.regs
                    if op & 0xE0 == MEMSX:
                        value = unknown(8) if type(value) is Ptr else extended(value, 8 * moved, 64)  # type: ignore[arg-type]
                    regs[dst] = value
                elif kind == STX:
                    if op & 0xE0 == ATOMIC:
                        self._atomic(st, width(op), dst, src, off, imm, (context, pc))
                        regs = st.regs
                    else:
                        memory.store(st, regs[dst], off, width(op), regs[src], (context, pc))
                elif kind == ST:
                    memory.store(st, regs[dst], off, width(op), imm & ALL, (context, pc))
                elif op == LDDW:
                    regs[dst] = self._wide(pc, imm)
                    pc += 1
                elif kind == LD:  # LD_ABS, LD_IND: the packet's bytes; r0 to r5 are lost
                    if op & 0xE0 == IND and isinstance(regs[src], Scalar):
                        events.read((context, pc), deps(regs[src]), "address")  # type: ignore[arg-type]
                    regs[0] = unknown(4, "pkt")
                    regs[1:6] = [UNKNOWN] * 5
                elif op == OP_CALL:
                    after = self.calls.call(st, chain, context, pc)
                    if after is None:
                        return []
                    st = after
                    regs = st.regs
                elif op == OP_EXIT:
                    if not chain:
                        if isinstance(regs[0], Scalar):
                            events.read((context, pc), deps(regs[0], LOW), "returned")
                        events.exits[(context, pc)] = tuple(st.cells)
                    return [(-1, st)]
                elif op in (OP_JA, OP_JA32):
                    return [(target(pc, code[pc]), st)]
                elif op == OP_CALLX:
                    events.notes["a call through a register goes to a place that is not known"] = None
                    self.calls.elsewhere(st, (context, pc))
                else:
                    return self._branch(st, pc, context)
                pc += 1
        finally:
            events.visits += steps + 1
            if events.visits > self.most:
                raise LimitError(f"more than {self.most} instructions visited" if self.most > 0 else "too much code for one object")

    def _alu(self, op: int, off: int, imm: int, a: Number, b: Number, same: bool, bits: int) -> Number:
        what = op & 0xF0
        if what == END:
            return self._swap(op, imm, a)
        if same and op & 8 and what in (XOR, SUB):
            return 0
        if same and op & 8 and what in (AND, OR):
            return low(a, bits)
        if what == MOV:
            return extended(b, off, bits) if off in (8, 16) else low(b, bits)
        if off == 1 and what in (DIV, MOD):
            return (sdiv if what == DIV else smod)(low(a, bits), low(b, bits), bits)
        if what not in (ADD, SUB, MUL, DIV, OR, AND, LSH, RSH, NEG, MOD, XOR, ARSH):
            self.events.notes[f"operation {op:#x} is not known"] = None
            return unknown(bits // 8)
        return alu(what, a, b, bits)

    def _swap(self, op: int, imm: int, a: Number) -> Number:
        """To little or big endian (ALU), or always the other way (ALU64)."""
        if imm not in (16, 32, 64):
            return UNKNOWN
        to_big = bool(op & 8)
        if op & 7 == ALU64 or to_big == (self.image.order == "little"):
            return swapped(a, imm)
        return low(a, imm)

    def _address(self, what: int, a: Value, b: Value, context: int, pc: int) -> Value:
        """Arithmetic with an address."""
        if type(a) is not Ptr and what == ADD:
            a, b = b, a
        if type(a) is not Ptr or what not in (ADD, SUB):
            return UNKNOWN
        if isinstance(b, Ptr):
            return UNKNOWN
        if isinstance(b, Scalar):
            self.events.read((context, pc), deps(b), "address")
            return Ptr(a.kind, a.object, None)
        if a.offset is None:
            return a
        moved = b - (1 << 64) if b >> 63 else b
        return Ptr(a.kind, a.object, a.offset + moved if what == ADD else a.offset - moved)

    def _wide(self, pc: int, imm: int) -> Value:
        """lddw: a constant, or the address of a map, of data or of a function."""
        ref = self.image.refs.get(pc)
        if ref is None:
            high = self.code[pc + 1].imm if pc + 1 < len(self.code) else 0
            return (imm & LOW) | (high & LOW) << 32
        return Ptr(ref.kind, ref.offset, 0) if ref.kind == "func" else Ptr(ref.kind, ref.name, ref.offset)

    def _atomic(self, st: State, size: int, dst: int, src: int, off: int, imm: int, key: tuple[int, int]) -> None:
        """Read-modify-write: what it adds is read, what it fetches is unknown where the memory is not the stack's."""
        base = st.regs[dst]
        old = self.memory.load(st, base, off, size, key)
        operand = st.regs[src]
        if type(base) is not Ptr or base.kind != "stack":
            if isinstance(operand, Scalar):
                self.events.read(key, deps(operand), "atomic")
            if imm == 0xF1 and isinstance(st.regs[0], Scalar):
                self.events.read(key, deps(st.regs[0]), "compared")
            if type(base) is Ptr and base.kind == "ctx":
                self.memory.store(st, base, off, size, unknown(size), key)
        else:
            parts = [v for v in (old, operand) if not isinstance(v, Ptr)]
            new: Number = unknown(size)
            if len(parts) == 2 and imm & 0xFE == 0x00:
                new = low(add(parts[0], parts[1]), 8 * size)
            else:
                for part in parts:
                    if isinstance(part, Scalar):
                        self.events.read(key, deps(part), "atomic")
            self.memory.store(st, base, off, size, new, key)
        if imm == 0xF1:
            st.regs[0] = old
        elif imm & 1:
            st.regs[src] = old

    def _branch(self, st: State, pc: int, context: int) -> list[tuple[int, State]]:
        op, dst, src, off, imm = self.code[pc]
        there = pc + 1 + off
        what = op & 0xF0
        bits = 64 if op & 7 == JMP else 32
        a, b = st.regs[dst], st.regs[src] if op & 8 else imm & full(bits)
        if what == JCOND or type(a) is Ptr or type(b) is Ptr:
            return [(there, st), (pc + 1, st)]
        if what not in (JEQ, JGT, JGE, JSET, JNE, JSGT, JSGE, JLT, JLE, JSLT, JSLE):
            self.events.notes[f"operation {op:#x} is not known"] = None
            return [(there, st), (pc + 1, st)]
        if bits == 32:
            a, b = low(a, 32), low(b, 32)  # type: ignore[arg-type]
        taken, not_taken = open_ways(what, a, b, bits, st.facts)  # type: ignore[arg-type]
        if not (taken and not_taken):
            return [(there if taken else pc + 1, st)] if taken or not_taken else []
        key = (context, pc)
        if isinstance(a, Scalar) or isinstance(b, Scalar):
            self.events.read(key, influences(what, a, b, bits), "branch")  # type: ignore[arg-type]
            if isinstance(a, Scalar) and isinstance(b, int) and a.word.copies and (question := asked(what, a, b, bits)):
                self.events.asked[key] = question
        other = st.copy()
        for way, state in ((True, other), (False, st)):
            state.facts = learnt(what, way, a, b, bits, state.facts)  # type: ignore[arg-type]
            if isinstance(a, Scalar) and isinstance(b, int) and (value := narrowed(what, way, a, b, bits)) is not a:
                state.regs[dst] = value
        return [(there, other), (pc + 1, st)]
