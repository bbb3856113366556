"""The algebra against a model that spells every bit's possibilities out, and against concrete words.

The model of a word is a list of sets, lowest bit first. A possibility is "0", "1", "x" (anything) or a `Copy` of a symbol's bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markreg.bits import full
from markreg.transfer import Predicate, Source, Word, masked_set

SYMBOLS = ("m", "c")
WIDTH = 8


class Copy(NamedTuple):
    symbol: str
    bit: int
    inverted: bool


Bit = Copy | str
Model = list[frozenset[Bit]]
State = dict[str, int]

copies = st.builds(Copy, st.sampled_from(SYMBOLS), st.integers(0, WIDTH - 1), st.booleans())
possibilities = st.frozensets(st.sampled_from(["0", "1", "x"]) | copies, min_size=1, max_size=3)
bytes_ = st.integers(0, full(WIDTH))
states = st.fixed_dictionaries(dict.fromkeys(SYMBOLS, bytes_))


def models(width: int = WIDTH) -> st.SearchStrategy[Model]:
    return st.lists(possibilities, min_size=width, max_size=width)


def word(model: Model) -> Word:
    """The engine's word of a model."""
    zero = one = other = 0
    found: dict[Source, int] = {}
    for i, bits in enumerate(model):
        for bit in bits:
            if isinstance(bit, Copy):
                source = Source(bit.symbol, i - bit.bit, bit.inverted)
                found[source] = found.get(source, 0) | 1 << i
            zero |= (bit == "0") << i
            one |= (bit == "1") << i
            other |= (bit == "x") << i
    return Word.make(len(model), zero, one, found, other)


def inverse(bit: Bit) -> Bit:
    if isinstance(bit, Copy):
        return bit._replace(inverted=not bit.inverted)
    return {"0": "1", "1": "0", "x": "x"}[bit]


def bit_and(a: Bit, b: Bit) -> Bit:
    if "0" in (a, b) or (isinstance(a, Copy) and a == inverse(b)):
        return "0"
    if a == "1" or a == b:
        return b
    return a if b == "1" else "x"


def bit_xor(a: Bit, b: Bit) -> Bit:
    for mine, theirs in ((a, b), (b, a)):
        if mine in ("0", "1"):
            return inverse(theirs) if mine == "1" else theirs
    if isinstance(a, Copy) and isinstance(b, Copy) and a[:2] == b[:2]:
        return "0" if a == b else "1"
    return "x"


def pairwise(op: Callable[[Bit, Bit], Bit], a: Model, b: Model) -> Model:
    return [frozenset(op(x, y) for x in mine for y in theirs) for mine, theirs in zip(a, b, strict=True)]


def concrete(model: Model, state: Mapping[str, int]) -> list[frozenset[int]]:
    """The values each bit may take when the symbols hold ``state``."""

    def values(bit: Bit) -> set[int]:
        if isinstance(bit, Copy):
            return {state[bit.symbol] >> bit.bit & 1 ^ bit.inverted}
        return {"0": {0}, "1": {1}, "x": {0, 1}}[bit]

    return [frozenset().union(*map(values, bits)) for bits in model]


def choose(data: st.DataObject, model: Model, state: Mapping[str, int]) -> int:
    """One of the values that a model may have."""
    return sum(data.draw(st.sampled_from(sorted(bits))) << i for i, bits in enumerate(concrete(model, state)))


@given(models(), models())
def test_bitwise_operations_are_exact_for_every_bit(a: Model, b: Model) -> None:
    assert word(a) & word(b) == word(pairwise(bit_and, a, b))
    assert word(a) ^ word(b) == word(pairwise(bit_xor, a, b))
    assert word(a).bit_or(word(b)) == word(pairwise(lambda x, y: inverse(bit_and(inverse(x), inverse(y))), a, b))
    assert ~word(a) == word([frozenset(map(inverse, bits)) for bits in a])


@given(models(), models(), bytes_)
def test_joins_and_masks_are_unions_and_choices(a: Model, b: Model, mask: int) -> None:
    assert word(a) | word(b) == word([x | y for x, y in zip(a, b, strict=True)])
    assert word(a).masked_into(word(b), mask) == word([a[i] if mask >> i & 1 else b[i] for i in range(WIDTH)])


@given(models(), st.integers(-2 * WIDTH, 2 * WIDTH), st.integers(0, 2 * WIDTH))
def test_moves_are_moves_of_bits(a: Model, amount: int, width: int) -> None:
    fresh: frozenset[Bit] = frozenset({"0"})
    assert word(a).shifted(amount) == word([a[i - amount] if 0 <= i - amount < WIDTH else fresh for i in range(WIDTH)])
    assert word(a).resized(width) == word([a[i] if i < WIDTH else fresh for i in range(width)])


@given(st.sampled_from([8, 16, 24, 32]).flatmap(models))
def test_a_byte_swap_reverses_the_bytes(a: Model) -> None:
    starts = range(len(a) - 8, -1, -8)
    assert word(a).byteswapped() == word([bit for start in starts for bit in a[start : start + 8]])
    assert word(a).byteswapped().byteswapped() == word(a)


@given(models(), st.dictionaries(st.sampled_from(SYMBOLS), models()))
def test_composition_puts_in_what_a_symbol_holds(f: Model, held: dict[str, Model]) -> None:
    def put(bit: Bit) -> frozenset[Bit]:
        if not isinstance(bit, Copy) or bit.symbol not in held:
            return frozenset({bit})
        found = held[bit.symbol][bit.bit]
        return frozenset(map(inverse, found)) if bit.inverted else found

    expected: Model = [frozenset().union(*map(put, bits)) for bits in f]
    assert word(f).applied({symbol: word(model) for symbol, model in held.items()}) == word(expected)


@given(models(), models(), states, st.data())
def test_what_happens_is_allowed(f: Model, g: Model, state: State, data: st.DataObject) -> None:
    x, y = choose(data, f, state), choose(data, g, state)
    assert (word(f) & word(g)).allows(x & y, state)
    assert word(f).bit_or(word(g)).allows(x | y, state)
    assert (word(f) ^ word(g)).allows(x ^ y, state)
    assert (~word(f)).allows(~x & full(WIDTH), state)
    assert (word(f) | word(g)).allows(x, state)


@given(models(), models(), states, st.data())
def test_composition_is_one_after_the_other(f: Model, g: Model, state: State, data: st.DataObject) -> None:
    between = choose(data, g, state)
    after = choose(data, f, state | {"m": between})
    assert word(f).applied({"m": word(g)}).allows(after, state)


@given(models(), states, bytes_)
def test_only_what_may_be_is_allowed(f: Model, state: State, value: int) -> None:
    assert word(f).allows(value, state) == all(value >> i & 1 in bits for i, bits in enumerate(concrete(f, state)))
    assert word(f).allows(value, {}) or not word(f).allows(value, state)


@given(models(), states)
def test_a_value_is_told_where_there_is_just_one(f: Model, state: State) -> None:
    value = word(f).value(state)
    bits = concrete(f, state)
    if value is not None:
        assert bits == [frozenset({value >> i & 1}) for i in range(WIDTH)]
    elif all(len(b) == 1 for b in f):
        assert any(b == {"x"} for b in f)


@given(models())
def test_what_is_known_is_what_every_possibility_says(f: Model) -> None:
    w = word(f)

    def mask(test: Callable[[frozenset[Bit], int], bool]) -> int:
        return sum(test(bits, i) << i for i, bits in enumerate(f))

    assert w.known_zero() == mask(lambda bits, _: bits == {"0"})
    assert w.known_one() == mask(lambda bits, _: bits == {"1"})
    assert w.keeps("m") == mask(lambda bits, i: bits == {Copy("m", i, False)})
    assert w.toggles("m") == mask(lambda bits, i: Copy("m", i, True) in bits)
    assert w.copied() == mask(lambda bits, _: any(isinstance(bit, Copy) for bit in bits))


@given(bytes_, bytes_, bytes_)
def test_a_masked_write_is_the_kernels_formula(x: int, clear: int, flip: int) -> None:
    effect = masked_set("m", WIDTH, clear, flip)
    assert effect.value({"m": x}) == (x & ~clear) ^ flip
    assert effect.keeps("m") == full(WIDTH) & ~(clear | flip)
    assert effect.toggles("m") == flip & ~clear


@given(bytes_, bytes_, states)
def test_constants_unknowns_and_entries(value: int, other: int, state: State) -> None:
    assert Word.const(value, WIDTH).value({}) == value
    assert Word.const(value, WIDTH).allows(other, state) == (value == other)
    assert Word.unknown(WIDTH).allows(other, {})
    assert Word.entry("m", WIDTH).value(state) == state["m"]


@pytest.mark.parametrize("negated", [False, True])
@given(value=st.integers(0, 511), mask=bytes_)
def test_equality_is_decided_for_every_word(negated: bool, value: int, mask: int) -> None:
    predicate = Predicate.equals("m", value, mask, negated)
    truth = [((x & mask) == value) != negated for x in range(256)]
    assert [predicate.holds(x) for x in range(256)] == truth
    assert predicate.never() == (not any(truth))
    assert predicate.always() == all(truth)
    accepted = {x & mask for x in range(256) if truth[x]}
    assert (predicate.exact() is not None) == (len(accepted) == 1 and (not predicate.always() or mask == 0))
    for low, high in predicate.accepts:
        assert {low, high} <= accepted
        assert low <= high
    assert all(high < low for (_, high), (low, _) in zip(predicate.accepts, predicate.accepts[1:], strict=False))


@given(models(), st.integers(0, 511), bytes_, st.booleans(), states, st.data())
def test_a_predicate_that_holds_may_hold(f: Model, value: int, mask: int, negated: bool, state: State, data: st.DataObject) -> None:
    predicate = Predicate.equals("m", value, mask, negated)
    assert predicate.may_hold(word(f)) or not predicate.holds(choose(data, f, state))


@given(models(), bytes_, bytes_)
def test_may_hold_is_exact_for_one_value(f: Model, value: int, mask: int) -> None:
    can = all(any(bit == "x" or isinstance(bit, Copy) or bit == str(value >> i & 1) for bit in f[i]) for i in range(WIDTH) if mask >> i & 1)
    assert Predicate.equals("m", value & mask, mask).may_hold(word(f)) == can


@given(models(), bytes_)
def test_the_forms_for_a_const_operand_are_the_general_ones(model: Model, mask: int) -> None:
    one, const = word(model), Word.const(mask, WIDTH)
    assert one.masked(mask) == one & const
    assert one.raised(mask) == one.bit_or(const)
    assert one.flipped(mask) == one ^ const
