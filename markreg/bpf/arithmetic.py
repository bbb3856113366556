"""What the machine's arithmetic makes of numbers that are not known, and of marks in them."""

from __future__ import annotations

from collections.abc import Callable

from markreg.bits import bit_numbers, full
from markreg.bpf.insn import ADD, AND, ARSH, DIV, LSH, MOD, MOV, MUL, NEG, OR, RSH, SUB, XOR
from markreg.bpf.scalar import (
    ALL,
    LOW,
    NOWHERE,
    WIDTH,
    Deps,
    Number,
    Scalar,
    anything,
    conj,
    deps,
    disj,
    excl,
    inverse,
    low,
    merged_deps,
    ones,
    settled,
    shifted,
    single,
    spread,
    word_of,
)
from markreg.transfer import Word

_FEW = 4


def add(a: Number, b: Number, carry: int = 0) -> Number:
    """The sum modulo 2^64; ``carry`` 1 adds one more."""
    if isinstance(a, int) and isinstance(b, int):
        return (a + b + carry) & ALL
    both = ones(a) & ones(b)
    if not carry and not both:
        return disj(a, b)
    top = min((ones(a) + ones(b) + carry).bit_length(), WIDTH)
    if _plain(a) and _plain(b):
        below = 0 if carry else (both & -both).bit_length() - 1
        word = word_of(disj(low(a, below), low(b, below))) if below else Word.const(0, WIDTH)
        rest = full(top) & ~full(below)
        origin = (a.origin if isinstance(a, Scalar) else NOWHERE) | (b.origin if isinstance(b, Scalar) else NOWHERE)
        return settled(Word(WIDTH, word.zero & ~rest, word.one & ~rest, word.copies, (word.other & ~rest) | rest), (), origin)
    return _ripple(a, b, carry, top)


def _plain(a: Number) -> bool:
    """Whether no bit of a number hangs on a symbol."""
    return isinstance(a, int) or not (a.taint or a.word.copies)


def _ripple(a: Number, b: Number, carry: int, top: int) -> Number:
    """A sum bit by bit: where no carry can come in and only one operand has the bit, it is that operand's."""
    exact = 0
    other = 0
    taint: list[tuple[int, Deps]] = []
    chain: Deps = ()
    maybe = bool(carry)
    ones_a, ones_b = ones(a), ones(b)
    for i in range(top):
        bit = 1 << i
        may_a, may_b = bool(ones_a & bit), bool(ones_b & bit)
        if not maybe and not (may_a and may_b):
            exact |= bit
            chain = ()
            continue
        here = merged_deps((*chain, *deps(a, bit), *deps(b, bit)))
        other |= bit
        if here:
            taint.append((bit, here))
        maybe = may_a + may_b + maybe >= 2
        chain = here if maybe else ()
    part = disj(conj(a, exact), conj(b, exact))
    word = word_of(part)
    origin = (a.origin if isinstance(a, Scalar) else NOWHERE) | (b.origin if isinstance(b, Scalar) else NOWHERE)
    taint += list(part.taint) if isinstance(part, Scalar) else []
    made = Word(WIDTH, word.zero & ~other, word.one & ~other, word.copies, word.other | other)
    return settled(made, tuple(sorted(taint)), origin)


def sub(a: Number, b: Number) -> Number:
    """The difference modulo 2^64."""
    if isinstance(b, int):
        return add(a, -b & ALL)
    return add(a, inverse(b), 1)


def neg(a: Number) -> Number:
    """0 - a."""
    if isinstance(a, int):
        return -a & ALL
    may = ones(a)
    if may & (may - 1) == 0 and may:  # one bit: it fills everything above itself
        return spread(a, may.bit_length() - 1, WIDTH)
    return add(inverse(a), 0, 1)


def mul(a: Number, b: Number) -> Number:
    """The product modulo 2^64."""
    if isinstance(a, int):
        a, b = b, a
    if isinstance(b, int):
        if isinstance(a, int):
            return a * b & ALL
        if b.bit_count() <= _FEW:
            total: Number = 0
            for amount in bit_numbers(b):
                total = add(total, shifted(a, amount))
            return total
    may_a, may_b = ones(a), ones(b)
    bottom = _trailing(may_a) + _trailing(may_b)
    top = min((may_a * may_b).bit_length(), WIDTH)
    return anything((a, b), full(top) & ~full(min(bottom, top)))


def _trailing(value: int) -> int:
    return (value & -value).bit_length() - 1 if value else WIDTH


def div(a: Number, b: Number) -> Number:
    """The unsigned quotient; division by 0 gives 0."""
    if isinstance(b, int):
        if isinstance(a, int):
            return a // b if b else 0
        if b and b & (b - 1) == 0:
            return shifted(a, 1 - b.bit_length())
        return anything((a,), full((ones(a) // b).bit_length())) if b else 0
    return anything((a, b), full(ones(a).bit_length()))


def mod(a: Number, b: Number) -> Number:
    """The unsigned remainder; that of a division by 0 is the dividend."""
    if isinstance(b, int):
        if isinstance(a, int):
            return a % b if b else a
        if not b:
            return a
        if b & (b - 1) == 0:
            return conj(a, b - 1)
        return a if ones(a) < b else anything((a,), full((b - 1).bit_length()))
    return anything((a, b), full(ones(a).bit_length()))


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) & 1 else value


def sdiv(a: Number, b: Number, bits: int) -> Number:
    """The signed quotient, rounded to zero (cpu v4)."""
    if isinstance(a, int) and isinstance(b, int):
        x, y = _signed(a, bits), _signed(b, bits)
        return (abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)) & full(bits) if y else 0
    return anything((a, b), full(bits))


def smod(a: Number, b: Number, bits: int) -> Number:
    """The signed remainder, with the dividend's sign (cpu v4)."""
    if isinstance(a, int) and isinstance(b, int):
        x, y = _signed(a, bits), _signed(b, bits)
        return (abs(x) % abs(y) * (1 if x >= 0 else -1)) & full(bits) if y else a
    return anything((a, b), full(bits))


def shift(op: int, a: Number, b: Number, bits: int) -> Number:
    """A shift of the low ``bits`` bits; the amount counts modulo ``bits``."""
    if not isinstance(b, int):
        b = conj(b, bits - 1)
    if isinstance(b, int):
        amount = b & (bits - 1)
        if op == LSH:
            return low(shifted(a, amount), bits)
        if op == RSH:
            return shifted(a, -amount)
        return low(shifted(spread(a, bits - 1, WIDTH), -amount), bits) if bits < WIDTH else _arsh64(a, amount)
    may = ones(a)
    if op == LSH:
        return anything((a, b), full(bits) & ~full(min(_trailing(may), bits)))
    if op == RSH:
        return anything((a, b), full(may.bit_length()))
    return anything((a, b), full(bits))


def _arsh64(a: Number, amount: int) -> Number:
    moved = shifted(a, -amount)
    return spread(moved, WIDTH - 1 - amount, WIDTH)


def extended(a: Number, source: int, bits: int) -> Number:
    """The low ``source`` bits with their sign, within ``bits``."""
    return spread(low(a, source), source - 1, bits)


_OPS: dict[int, Callable[[Number, Number], Number]] = {
    ADD: add,
    SUB: sub,
    MUL: mul,
    DIV: div,
    MOD: mod,
    OR: disj,
    AND: conj,
    XOR: excl,
    MOV: lambda a, b: b,
    NEG: lambda a, b: neg(a),
}


def alu(op: int, a: Number, b: Number, bits: int) -> Number:
    """One operation (unsigned where that matters) on the low ``bits`` bits, extended with zeros."""
    if bits == WIDTH:
        return shift(op, a, b, WIDTH) if op in (LSH, RSH, ARSH) else _OPS[op](a, b)
    if isinstance(a, int):
        a &= LOW
    elif ones(a) > LOW:
        a = conj(a, LOW)
    if isinstance(b, int):
        b &= LOW
    elif ones(b) > LOW:
        b = conj(b, LOW)
    result = shift(op, a, b, bits) if op in (LSH, RSH, ARSH) else _OPS[op](a, b)
    return result & LOW if isinstance(result, int) else conj(result, LOW) if ones(result) > LOW else result


def known(a: Number, facts: dict[str, tuple[int, int]]) -> tuple[int, int]:
    """Bits that are certainly 1 and bits that are certainly 0, with what is known of symbols as (mask, value)."""
    if isinstance(a, int):
        return a, ALL & ~a
    word = a.word
    one, zero = word.known_one(), word.known_zero()
    if facts and word.copies:
        alone = single(word)
        for source, bits in word.copies:
            if (fact := facts.get(source.symbol)) and (bits := bits & alone):
                mask, value = fact
                if source.inverted:
                    value = mask & ~value
                set_, clear = value, mask & ~value
                if source.shift >= 0:
                    set_, clear = set_ << source.shift, clear << source.shift
                else:
                    set_, clear = set_ >> -source.shift, clear >> -source.shift
                one |= bits & set_
                zero |= bits & clear
    return one, zero
