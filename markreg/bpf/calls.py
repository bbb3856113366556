"""Calls: of the program's own functions, of helpers by number, of kfuncs by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markreg.bpf import helpers
from markreg.bpf.events import Given, Tail
from markreg.bpf.insn import PSEUDO_CALL, PSEUDO_KFUNC_CALL
from markreg.bpf.memory import SK_MARK
from markreg.bpf.scalar import LOW, UNKNOWN, Scalar, conj, deps, ones, unknown
from markreg.bpf.state import Frame, Ptr, SiteKey, State, Value, get, lose

if TYPE_CHECKING:
    from markreg.bpf.interpret import Interpreter

_DEEPEST = 8
_ROUNDS = 64


class Calls:
    """What calls do to the state of an interpreter's program."""

    def __init__(self, machine: Interpreter) -> None:
        self.machine = machine
        self.image = machine.image
        self.events = machine.events
        self.memory = machine.memory

    def call(self, st: State, chain: tuple[int, ...], context: int, pc: int) -> State | None:
        """The state behind a call; None if it does not come back."""
        insn = self.image.code[pc]
        target = self.image.calls.get(pc)
        key = (context, pc)
        if insn.src == PSEUDO_CALL or isinstance(target, int):
            if isinstance(target, int):
                return self.function(st, chain, pc, target)
            if target is None:
                self.events.notes[f"the call at {pc} goes to a function that is not there"] = None
                return self.elsewhere(st, key)
        if insn.src == PSEUDO_KFUNC_CALL or isinstance(target, str):
            return self._kfunc(st, str(target or ""), key)
        return self._helper(st, insn.imm, key, chain)

    def function(self, st: State, chain: tuple[int, ...], pc: int, entry: int) -> State | None:
        """A function of the program, in the caller's state; it sees the caller's frames only if it is given an address in them."""
        if len(chain) >= _DEEPEST:
            self.events.limits["calls go deeper than the kernel allows"] = None
            return self._returned(st, UNKNOWN)
        shared = any(type(v) is Ptr and v.kind == "stack" for v in st.regs[1:6])
        frames: list[Frame] = [*(st.frames if shared else [{} for _ in st.frames]), {}]
        regs: list[Value] = [UNKNOWN, *st.regs[1:6], *[UNKNOWN] * 4, Ptr("stack", len(st.frames))]
        inner = State(regs, [f.copy() for f in frames], st.cells[:], st.facts, st.symbols)
        end, defined = self.machine.function((*chain, pc), entry, inner)
        if end is None:
            return None
        if not shared:
            end.frames = [f.copy() for f in st.frames]
        else:
            end.frames.pop()
        outside = State([UNKNOWN] * 6 + st.regs[6:11], [] if shared else end.frames, [], {}, st.symbols)
        if stale := {name: LOW for name in defined if name in st.symbols}:
            outside.forget(stale)
        end.regs = [end.regs[0], *[UNKNOWN] * 5, *outside.regs[6:11]]
        return end

    def elsewhere(self, st: State, key: SiteKey) -> State:
        """A call to code that is not known: with the context it may do anything to the mark."""
        for value in st.regs[1:6]:
            if isinstance(value, Scalar):
                self.events.read(key, deps(value), "argument")
        if any(type(v) is Ptr and v.kind in ("ctx", "stack") for v in st.regs[1:6]):
            self.memory.lose_words(st, key, 4)
        for frame in st.frames:
            lose(frame, None, None)
        return self._returned(st, UNKNOWN)

    @staticmethod
    def _returned(st: State, value: Value) -> State:
        st.regs[0] = value
        st.regs[1:6] = [UNKNOWN] * 5
        return st

    def _helper(self, st: State, number: int, key: SiteKey, chain: tuple[int, ...]) -> State | None:
        regs = st.regs
        count = helpers.arity(number)
        result: Value = UNKNOWN
        if number == helpers.TAIL_CALL:
            where = regs[2]
            slot = regs[3] if isinstance(regs[3], int) else None
            self.events.tails[key] = Tail(str(where.object) if type(where) is Ptr else "", slot)
            if isinstance(regs[3], Scalar):
                self.events.read(key, deps(regs[3]), "argument 3")
            self.events.exits[key] = tuple(st.cells)
            return self._returned(st, UNKNOWN)
        if number == helpers.CLONE_REDIRECT:
            self.events.exits[key] = tuple(st.cells)
        elif number == helpers.SETSOCKOPT:
            self._set_option(st, key)
        elif number == helpers.GETSOCKOPT:
            if _may_be(regs[2], helpers.SOL_SOCKET) and _may_be(regs[3], helpers.SO_MARK):
                self.events.loads[f"{SK_MARK}@{key[0]}.{key[1]}"] = LOW
        elif number == helpers.FIB_LOOKUP:
            self._fib(st, key)
        elif number in helpers.LOOKUPS and type(regs[1]) is Ptr:
            result = Ptr("value", regs[1].object)
        elif number in helpers.SOCKETS:
            result = Ptr("sock")
        self._arguments(st, number, count, key)
        if number in helpers.CALLBACKS:
            return self._callback(st, number, chain, key)
        return self._returned(st, result)

    def _arguments(self, st: State, number: int, count: int, key: SiteKey) -> None:
        """What the kernel reads and writes through the arguments."""
        regs = st.regs
        where = regs[1]
        info = self.image.maps.get(str(where.object)) if type(where) is Ptr and where.kind == "map" else None
        if info and number in helpers.VALUES:
            self.events.map_stores[info.name, None, 0] = UNKNOWN
        for i in range(1, count + 1):
            value = regs[i]
            if isinstance(value, Scalar):
                self.events.read(key, deps(value), f"argument {i}")
            if type(value) is Ptr and value.kind == "value" and number not in helpers.READ_ONLY:
                self.events.map_stores[str(value.object), None, 0] = UNKNOWN
            if type(value) is not Ptr or value.kind != "stack":
                continue
            size: int | None
            if i in helpers.KEYS.get(number, ()):
                size = (info.key if info else 0) or self._slot(st, value)
            elif i in helpers.VALUES.get(number, ()):
                size = (info.value if info else 0) or self._slot(st, value)
            else:
                after = regs[i + 1] if i < count else None
                before = regs[i - 1] if number in (112, 113, 114, 115, 4, 45) and i == 1 else None
                size = after if isinstance(after, int) else before if isinstance(before, int) else None
                if size is not None and size > 4096:
                    size = None
            self.memory.exported(st, value, size, key, f"argument {i}")
            if number not in helpers.READ_ONLY:
                lose(st.frames[int(value.object)], value.offset, size)

    @staticmethod
    def _slot(st: State, address: Ptr) -> int | None:
        """The size of what stands at an address of the stack, where nothing else says it."""
        held = st.frames[int(address.object)].get(address.offset) if address.offset is not None else None
        return held[0] if held else None

    def _set_option(self, st: State, key: SiteKey) -> None:
        """bpf_setsockopt(ctx, level, option, value, length)."""
        regs = st.regs
        if not (_may_be(regs[2], helpers.SOL_SOCKET) and _may_be(regs[3], helpers.SO_MARK)):
            return
        value: Value = unknown(4)
        where = regs[4]
        if type(where) is Ptr and where.kind == "stack" and where.offset is not None:
            value = get(st.frames[int(where.object)], where.offset, 4, self.image.order)
        certain = regs[2] == helpers.SOL_SOCKET and regs[3] == helpers.SO_MARK
        self.events.given[key] = Given("socket", UNKNOWN if type(value) is Ptr else value, LOW, certain)  # type: ignore[arg-type]

    def _fib(self, st: State, key: SiteKey) -> None:
        """bpf_fib_lookup(ctx, params, length, flags): the mark in params counts if a flag says so (net/core/filter.c)."""
        flags, where = st.regs[4], st.regs[2]
        if type(flags) is Ptr or not ones(flags) & helpers.FIB_LOOKUP_MARK:  # type: ignore[arg-type]
            return
        value: Value = unknown(4)
        if type(where) is Ptr and where.kind == "stack" and where.offset is not None:
            value = get(st.frames[int(where.object)], where.offset + helpers.FIB_MARK, 4, self.image.order)
        certain = isinstance(flags, int)
        self.events.given[key] = Given("fib", UNKNOWN if type(value) is Ptr else value, LOW, certain)  # type: ignore[arg-type]

    def _kfunc(self, st: State, name: str, key: SiteKey) -> State:
        """A function of the kernel: what it gets it may read and write."""
        regs = st.regs
        count = self.image.kfuncs.get(name, 5)
        for i in range(1, count + 1):
            value = regs[i]
            if isinstance(value, Scalar):
                self.events.read(key, deps(value), f"argument {i}")
            elif type(value) is Ptr and value.kind == "stack":
                after = regs[i + 1] if i < count else None
                size = after if isinstance(after, int) and after <= 4096 else None
                self.memory.exported(st, value, size, key, f"argument {i}")
                lose(st.frames[int(value.object)], value.offset, size)
        return self._returned(st, Ptr("ct") if helpers.of_connection(name) else UNKNOWN)

    def _callback(self, st: State, number: int, chain: tuple[int, ...], key: SiteKey) -> State | None:
        """A helper that calls a function of the program, any number of times."""
        register, given = helpers.CALLBACKS[number]
        address = st.regs[register]
        if type(address) is not Ptr or address.kind != "func":
            self.events.notes["a helper calls a function that is not known"] = None
            return self._returned(st, UNKNOWN)
        arguments = [st.regs[i] if i else UNKNOWN for i in given]
        saved = st.regs[:]
        place = (key, "callback")
        for _ in range(_ROUNDS):
            once = st.copy()
            once.regs = [UNKNOWN, *arguments, *[UNKNOWN] * (5 - len(arguments)), *saved[6:]]
            end = self.function(once, chain, key[1], int(address.object))
            if end is None:
                break
            end.regs = st.regs[:6] + end.regs[6:]
            if not self.machine.meetings.merge(place, st, end):
                break
            self.memory.defined.update(phi.symbol for phi in self.machine.meetings.phis.get(place, {}).values())
        else:
            self.events.limits["a callback changes the state for ever"] = None
        return self._returned(st, UNKNOWN)


def _may_be(value: Value, number: int) -> bool:
    return value == number or (isinstance(value, Scalar) and conj(value, number) != 0)
