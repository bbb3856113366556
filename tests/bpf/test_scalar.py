"""The numbers of the abstract machine against concrete ones: whatever the symbols hold, the result is among what is said to be possible,
and a bit that nothing is said to hang on does not change it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hypothesis import given
from hypothesis import strategies as st

from markreg.bits import full
from markreg.bpf.arithmetic import alu, extended, known, neg, sub
from markreg.bpf.branch import asked, influences, learnt, narrowed, open_ways
from markreg.bpf.insn import (
    ADD,
    AND,
    ARSH,
    DIV,
    JEQ,
    JGE,
    JGT,
    JLE,
    JLT,
    JNE,
    JSET,
    JSGE,
    JSGT,
    JSLE,
    JSLT,
    LSH,
    MOD,
    MUL,
    OR,
    RSH,
    SUB,
    XOR,
)
from markreg.bpf.scalar import ALL, Number, conj, deps, disj, excl, joined, low, shifted, spread, swapped, symbol, word_of
from markreg.bpf.state import placed, same_bits, slice_of, spliced

State = Mapping[str, int]
# A number with how to get it from the symbols.
Pair = tuple[Number, Callable[[State], int]]
SYMBOLS = ("skb_mark", "cb0")
words = st.integers(0, full(32)) | st.sampled_from([0, 1, 0xFF, 0xF00, 0xFFFF0000, 0x80000000, full(32)])
states = st.fixed_dictionaries(dict.fromkeys(SYMBOLS, words))
constants = st.integers(0, ALL) | st.sampled_from([0, 1, 3, 8, 0x10, 0xF0, 0xFFFFFFFFFFFFF0FF, 1 << 31, 1 << 63, ALL])
OPERATIONS = (ADD, SUB, MUL, DIV, OR, AND, LSH, RSH, MOD, XOR, ARSH)


def concrete(op: int, a: int, b: int, bits: int) -> int:
    """What the machine computes (kernel/bpf/core.c ___bpf_prog_run)."""
    a, b = a & full(bits), b & full(bits)
    signed = a - (1 << bits) if a >> (bits - 1) else a
    amount = b & (bits - 1)
    results = {
        ADD: a + b, SUB: a - b, MUL: a * b, DIV: a // b if b else 0, OR: a | b, AND: a & b, LSH: a << amount, RSH: a >> amount,
        MOD: a % b if b else a, XOR: a ^ b, ARSH: signed >> amount,
    }  # fmt: skip
    return results[op] & full(bits)


def leaf() -> st.SearchStrategy[Pair]:
    named = st.sampled_from(SYMBOLS).map(lambda name: (symbol(name), lambda state: state[name]))
    return named | constants.map(lambda value: (value, lambda state: value))


def combined(inner: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    def operation(a: Pair, b: Pair, op: int, bits: int) -> Pair:
        return alu(op, a[0], b[0], bits), lambda state: concrete(op, a[1](state), b[1](state), bits)

    def moved(a: Pair, amount: int) -> Pair:
        return shifted(a[0], amount), lambda state: a[1](state) << amount & ALL if amount >= 0 else a[1](state) >> -amount

    def turned(a: Pair, bits: int) -> Pair:
        return swapped(a[0], bits), lambda state: int.from_bytes((a[1](state) & full(bits)).to_bytes(bits // 8, "little"), "big")

    def signed(a: Pair, source: int) -> Pair:
        def value(state: State) -> int:
            held = a[1](state) & full(source)
            return (held - (1 << source) if held >> (source - 1) else held) & ALL

        return extended(a[0], source, 64), value

    def negative(a: Pair) -> Pair:
        return neg(a[0]), lambda state: -a[1](state) & ALL

    return (
        st.builds(operation, inner, inner, st.sampled_from(OPERATIONS), st.sampled_from([32, 64]))
        | st.builds(moved, inner, st.integers(-63, 63))
        | st.builds(turned, inner, st.sampled_from([16, 32, 64]))
        | st.builds(signed, inner, st.sampled_from([8, 16, 32]))
        | st.builds(negative, inner)
    )


numbers = st.recursive(leaf(), combined, max_leaves=6)


@given(numbers, states)
def test_a_result_is_among_what_is_possible(pair: Pair, state: State) -> None:
    number, value = pair
    assert word_of(number).allows(value(state), state)


@given(numbers, states, st.sampled_from(SYMBOLS), st.integers(0, 31))
def test_what_a_number_does_not_hang_on_does_not_change_it(pair: Pair, state: State, name: str, bit: int) -> None:
    number, value = pair
    changed = value(state) ^ value({**state, name: state[name] ^ 1 << bit})
    for i in range(64):
        if changed >> i & 1:
            assert any(n == name and mask >> bit & 1 for n, mask in deps(number, 1 << i)), f"bit {i}"


@given(numbers, numbers, states)
def test_either_of_two_is_among_the_two_joined(a: Pair, b: Pair, state: State) -> None:
    word = word_of(joined(a[0], b[0]))
    assert word.allows(a[1](state), state)
    assert word.allows(b[1](state), state)


@given(numbers, numbers, states)
def test_bits_said_to_be_equal_are(a: Pair, b: Pair, state: State) -> None:
    assert not same_bits(a[0], b[0]) & (a[1](state) ^ b[1](state))


@given(numbers, states, st.sampled_from([1, 2, 4, 8]), st.integers(0, 7), st.sampled_from(["little", "big"]))
def test_bytes_in_memory(pair: Pair, state: State, size: int, start: int, order: str) -> None:
    start = min(start, 8 - size)
    held = pair[1](state).to_bytes(8, order)  # type: ignore[arg-type]
    part = slice_of(pair[0], start, size, 8, order)  # type: ignore[arg-type]
    assert word_of(part).allows(int.from_bytes(held[start : start + size], order), state)  # type: ignore[arg-type]
    back = spliced(ALL, part, start, size, 8, order)  # type: ignore[arg-type]
    filled = b"\xff" * start + held[start : start + size] + b"\xff" * (8 - start - size)
    assert word_of(back).allows(int.from_bytes(filled, order), state)  # type: ignore[arg-type]
    assert placed(part, 0, size, size, order) == low(part, 8 * size)  # type: ignore[arg-type]


COMPARISONS: dict[int, Callable[[int, int, int, int], bool]] = {
    JEQ: lambda a, b, x, y: a == b, JNE: lambda a, b, x, y: a != b, JGT: lambda a, b, x, y: a > b, JGE: lambda a, b, x, y: a >= b,
    JLT: lambda a, b, x, y: a < b, JLE: lambda a, b, x, y: a <= b, JSET: lambda a, b, x, y: bool(a & b), JSGT: lambda a, b, x, y: x > y,
    JSGE: lambda a, b, x, y: x >= y, JSLT: lambda a, b, x, y: x < y, JSLE: lambda a, b, x, y: x <= y,
}  # fmt: skip
edges = constants | st.integers(0, 40).map(lambda n: full(n) & ALL) | st.integers(0, 32).map(lambda n: -(1 << n) & ALL)


def holds(op: int, a: int, b: int, bits: int) -> bool:
    a, b = a & full(bits), b & full(bits)
    x, y = (v - (1 << bits) if v >> (bits - 1) else v for v in (a, b))
    return COMPARISONS[op](a, b, x, y)


@given(numbers, edges, states, st.sampled_from([*COMPARISONS]), st.sampled_from([32, 64]))
def test_a_jump_goes_only_where_it_may_and_what_is_learnt_is_true(a: Pair, b: int, state: State, op: int, bits: int) -> None:
    value = a[1](state)
    number = low(a[0], bits)
    went = holds(op, value, b, bits)
    assert open_ways(op, number, b & full(bits), bits, {})[0 if went else 1]
    facts = learnt(op, went, number, b, bits, {})
    for name, (mask, bits_) in facts.items():
        assert state[name] & mask == bits_
    one, zero = known(number, facts)
    assert not (one & ~value | zero & value) & full(bits)
    assert word_of(narrowed(op, went, number, b, bits)).allows(value & full(bits), state)


@given(numbers, edges, states, st.sampled_from([*COMPARISONS]), st.sampled_from(SYMBOLS), st.integers(0, 31))
def test_bits_without_influence_do_not_turn_a_jump(a: Pair, b: int, state: State, op: int, name: str, bit: int) -> None:
    number = low(a[0], 32)
    if any(n == name and mask >> bit & 1 for n, mask in influences(op, number, b & full(32), 32)):
        return
    other = {**state, name: state[name] ^ 1 << bit}
    assert holds(op, a[1](state), b, 32) == holds(op, a[1](other), b, 32)


@given(numbers, edges, states, st.sampled_from([*COMPARISONS]))
def test_a_question_about_a_symbol_is_the_question(a: Pair, b: int, state: State, op: int) -> None:
    number = low(a[0], 32)
    if isinstance(number, int) or open_ways(op, number, b & full(32), 32, {}) != (True, True):
        return
    question = asked(op, number, b & full(32), 32)
    if question:
        bits = state[question.symbol] & question.mask
        answer = any(lowest <= bits <= highest for lowest, highest in question.accepts)
        sign = op in (JSGT, JSGE) and question.mask.bit_count() == 1 and b & full(32) in (0, full(32)) and question.value is not None
        turned = op == JNE or sign
        assert answer == (holds(op, a[1](state), b, 32) != turned)


def test_shapes_that_compilers_make() -> None:
    mark = symbol("skb_mark")
    assert word_of(disj(conj(mark, 0xFFFFF0FF), 0x300)).keeps("skb_mark") == 0xFFFFF0FF
    blend = excl(mark, conj(excl(mark, 0x300), 0xF00))
    assert word_of(blend).only(0xF00).one == 0x300
    assert word_of(blend).keeps("skb_mark") == 0xFFFFF0FF
    assert word_of(spread(conj(mark, 0x80000000), 31, 64)).copied() == ALL & ~full(31)
    assert sub(mark, 0) == mark
    sign = alu(ARSH, shifted(mark, 28), 31, 32)
    assert {s.shift for s, _ in word_of(sign).copies} == set(range(-3, 29))
