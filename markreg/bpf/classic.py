"""Classic BPF, as ``-m bpf --bytecode`` and socket filters have it: which bits of the packet's mark decide, and how.

Such a program has an accumulator A, an index X and sixteen words of memory; it loads the mark by an ancillary offset
(linux/filter.h SKF_AD_OFF + SKF_AD_MARK) and cannot write it. Jumps only lead forward, so one pass over the code sees every path.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from markreg.bpf.arithmetic import alu
from markreg.bpf.branch import asked, influences, learnt, open_ways
from markreg.bpf.context import MARK
from markreg.bpf.errors import BpfError
from markreg.bpf.events import Asked
from markreg.bpf.insn import JEQ, JGE, JGT, JSET, NEG
from markreg.bpf.scalar import LOW, Deps, Number, Scalar, deps, joined, low, merged_deps, symbol, unknown
from markreg.bpf.state import Facts

LOAD_MARK = 0xFFFFF000 + 20
_MOST = 4096  # BPF_MAXINSNS
_MEMORY = 16
_LD, _LDX, _ST, _STX, _ALU, _JMP, _RET, _MISC = range(8)
_IMM, _ABS, _IND, _MEM, _LEN, _MSH = 0x00, 0x20, 0x40, 0x60, 0x80, 0xA0
_OPERATIONS = {0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80, 0x90, 0xA0}
_JUMPS = {0x10: JEQ, 0x20: JGT, 0x30: JGE, 0x40: JSET}
_SIZES = {0x00: 4, 0x08: 2, 0x10: 1}


class Classic(NamedTuple):
    """One instruction: code, how far to jump if the test holds and if not, and the constant."""

    code: int
    yes: int
    no: int
    k: int


@dataclass(slots=True)
class _State:
    a: Number
    x: Number
    memory: list[Number]
    facts: Facts
    # For each question passed on the way: 1 answered with yes, 2 with no, 3 either.
    answers: dict[int, int]


@dataclass(frozen=True, slots=True)
class Questions:
    """``reads``: bits of the mark that have an influence. ``needs``: the comparisons with constants without which the program never
    returns anything but 0 (no match), each with whether it must hold or must not."""

    reads: int
    needs: tuple[tuple[Asked, bool], ...]


def parse(text: str) -> list[Classic]:
    """The text of ``--bytecode``: how many instructions, then ``code jt jf k`` for each, with commas. Raises BpfError."""
    head, *rest = (part.strip() for part in text.strip().strip(",").split(","))
    try:
        code = [Classic(*(int(word) for word in part.split())) for part in rest]
        count = int(head)
    except (ValueError, TypeError):
        raise BpfError("bytecode is a number of instructions and four numbers for each") from None
    if count != len(code) or not 0 < count <= _MOST:
        raise BpfError(f"bytecode says {count} instructions and has {len(code)}")
    if any(not (0 <= c.code <= 0xFFFF and 0 <= c.yes <= 255 and 0 <= c.no <= 255 and 0 <= c.k <= LOW) for c in code):
        raise BpfError("a number of the bytecode does not fit")
    return code


def questions(code: list[Classic]) -> Questions:
    """What a program makes of the mark. Raises BpfError for code that the kernel refuses (net/core/filter.c bpf_check_classic)."""
    states: dict[int, _State] = {0: _State(0, 0, [0] * _MEMORY, {}, {})}
    reads: list[Deps] = []
    found: dict[int, Asked] = {}
    matches: list[dict[int, int]] = []
    for pc, insn in enumerate(code):
        st = states.pop(pc, None)
        if st is None:
            continue
        kind = insn.code & 7
        if kind == _RET:
            result = st.a if insn.code & 0x18 == 0x10 else insn.k
            reads.append(merged_deps(deps(result, LOW)))
            if result != 0:
                matches.append(st.answers)
            continue
        if kind == _JMP:
            for there, new in _branch(pc, insn, st, reads, found):
                _arrive(states, there, new, len(code))
            continue
        _step(insn, st, reads)
        _arrive(states, pc + 1, st, len(code))
    mask = dict(merged_deps(part for on in reads for part in on)).get(MARK, 0)
    needs = []
    for pc, question in found.items():
        answers = {m.get(pc, 3) for m in matches}
        if answers in ({1}, {2}):
            needs.append((question, answers == {1}))
    return Questions(mask, tuple(needs))


def _arrive(states: dict[int, _State], pc: int, new: _State, size: int) -> None:
    if pc >= size:
        raise BpfError("the bytecode runs on behind its end")
    held = states.get(pc)
    if held is None:
        states[pc] = new
        return
    facts = {name: fact for name, fact in held.facts.items() if new.facts.get(name) == fact}
    memory = [joined(a, b) for a, b in zip(held.memory, new.memory, strict=True)]
    answers = {q: held.answers.get(q, 3) | new.answers.get(q, 3) for q in held.answers.keys() | new.answers.keys()}
    states[pc] = _State(joined(held.a, new.a), joined(held.x, new.x), memory, facts, answers)


def _branch(pc: int, insn: Classic, st: _State, reads: list[Deps], found: dict[int, Asked]) -> list[tuple[int, _State]]:
    if insn.code & 0xF0 == 0:  # ja
        return [(pc + 1 + insn.k, st)]
    op = _JUMPS.get(insn.code & 0xF0)
    if op is None:
        raise BpfError(f"bytecode {insn.code:#x} is not known")
    a = st.a
    b: Number = st.x if insn.code & 8 else insn.k
    taken, not_taken = open_ways(op, a, b, 32, st.facts)
    if taken and not_taken and insn.yes != insn.no:
        reads.append(influences(op, a, b, 32))
        if isinstance(a, Scalar) and isinstance(b, int) and a.word.copies and (question := asked(op, a, b, 32)):
            found[pc] = question
    ways = []
    for way, distance, is_open in ((True, insn.yes, taken), (False, insn.no, not_taken)):
        if is_open:
            answers = {**st.answers, pc: 1 if way else 2} if pc in found else st.answers
            ways.append((pc + 1 + distance, _State(a, st.x, st.memory[:], learnt(op, way, a, b, 32, st.facts), answers)))
    return ways


def _step(insn: Classic, st: _State, reads: list[Deps]) -> None:
    """One instruction that is no jump."""
    code, k = insn.code, insn.k
    kind = code & 7
    if kind == _LD:
        st.a = _load(code, k, st, reads)
    elif kind == _LDX:
        st.x = _memory(st, k) if code & 0xE0 == _MEM else k if code & 0xE0 == _IMM else unknown(4)
    elif kind in (_ST, _STX):
        _memory(st, k)
        st.memory[k] = st.a if kind == _ST else st.x
    elif kind == _ALU:
        operation = code & 0xF0
        if operation not in _OPERATIONS:
            raise BpfError(f"bytecode {code:#x} is not known")
        st.a = alu(operation, st.a, 0 if operation == NEG else st.x if code & 8 else k, 32)
    elif code & 0xF8 == 0x80:
        st.a = st.x
    else:
        st.x = st.a


def _memory(st: _State, k: int) -> Number:
    if k >= _MEMORY:
        raise BpfError(f"bytecode uses word {k} of {_MEMORY}")
    return st.memory[k]


def _load(code: int, k: int, st: _State, reads: list[Deps]) -> Number:
    mode = code & 0xE0
    if mode == _IMM:
        return k
    if mode == _MEM:
        return _memory(st, k)
    if mode == _ABS and k == LOAD_MARK:
        return symbol(MARK)
    if mode == _IND:
        reads.append(merged_deps(deps(st.x, LOW)))
    return low(unknown(_SIZES.get(code & 0x18, 4)), 32)
