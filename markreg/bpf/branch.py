"""Conditional jumps: which ways are open, what they ask, and what is known of marks on each."""

from __future__ import annotations

from markreg.bits import full
from markreg.bpf.arithmetic import known
from markreg.bpf.events import Asked
from markreg.bpf.insn import JEQ, JGE, JGT, JLE, JLT, JNE, JSET, JSGE, JSGT, JSLE, JSLT
from markreg.bpf.scalar import Deps, Number, Scalar, deps, low, merged_deps, ones, single
from markreg.bpf.state import Facts

_MOST_FACTS = 40
_SIGNED = frozenset((JSGT, JSGE, JSLT, JSLE))
_OPPOSITE = {JEQ: JNE, JNE: JEQ, JGT: JLE, JLE: JGT, JGE: JLT, JLT: JGE, JSGT: JSLE, JSLE: JSGT, JSGE: JSLT, JSLT: JSGE}


def open_ways(op: int, a: Number, b: Number, bits: int, facts: Facts) -> tuple[bool, bool]:
    """Whether the jump may be taken, and whether it may not."""
    one_a, zero_a = known(a, facts)
    one_b, zero_b = known(b, facts)
    every = full(bits)
    if op in (JEQ, JNE):
        differ = bool((one_a & zero_b | zero_a & one_b) & every)
        equal = not every & ~((one_a & one_b) | (zero_a & zero_b))
        return (not differ, not equal) if op == JEQ else (not equal, not differ)
    if op == JSET:
        never = not every & ~(zero_a | zero_b)
        return not never, not one_a & one_b & every
    low_a, high_a, low_b, high_b = one_a & every, every & ~zero_a, one_b & every, every & ~zero_b
    if op in _SIGNED:
        low_a, high_a = _signed(low_a, high_a, bits)
        low_b, high_b = _signed(low_b, high_b, bits)
    if op in (JGT, JSGT):
        return high_a > low_b, low_a <= high_b
    if op in (JGE, JSGE):
        return high_a >= low_b, low_a < high_b
    if op in (JLT, JSLT):
        return low_a < high_b, high_a >= low_b
    return low_a <= high_b, high_a > low_b


def _signed(lowest: int, highest: int, bits: int) -> tuple[int, int]:
    """The range of a number whose certain ones are ``lowest`` and possible ones ``highest``, read with a sign."""
    sign = 1 << (bits - 1)
    if lowest & sign:
        return lowest - (1 << bits), highest - (1 << bits)
    if highest & sign:
        return (lowest | sign) - (1 << bits), highest & ~sign
    return lowest, highest


def influences(op: int, a: Number, b: Number, bits: int) -> Deps:
    """The bits of symbols that decide a jump. In a comparison by order with a constant its lowest bits may not matter."""
    every = full(bits)
    if op == JSET:
        return merged_deps((*deps(a, ones(b) & every), *deps(b, ones(a) & every)))
    if op not in (JEQ, JNE) and isinstance(b, int):
        edge = b & every
        if op in (JGT, JLE, JSGT, JSLE):
            edge = edge + 1
        least = every & ~(((edge & -edge) or 1 << bits) - 1)
        if op in _SIGNED:
            least |= 1 << (bits - 1)
        return merged_deps(deps(a, least))
    return merged_deps((*deps(a, every), *deps(b, every)))


def asked(op: int, a: Scalar, b: int, bits: int) -> Asked | None:
    """The comparison as a question about one symbol, where every bit that counts is a copy of one of its bits.

    Of tests whose two ways are one question, ``!=`` and the tests of a sign, it is whether they are equal, and whether the sign is set.
    """
    every = full(bits)
    word = a.word
    if op == JSET:
        clean = _one_symbol(a, b & every, 0)
        if clean is None:
            return None
        name, mask, flipped, _ = clean
        if flipped not in (0, mask):
            return None
        if mask.bit_count() == 1:
            value = 0 if flipped else mask
            return Asked(name, mask, ((value, value),), value)
        if flipped:
            return Asked(name, mask, ((0, mask - 1),), mask, True)
        return Asked(name, mask, ((mask & -mask, mask),), 0, True)
    if op in (JEQ, JNE):
        clean = _one_symbol(a, every & ~(word.known_zero() | word.known_one()), b & every)
        if clean is None:
            return None
        name, mask, flipped, value = clean
        value ^= flipped
        return Asked(name, mask, ((value, value),), value)
    return _ordered(op, a, b & every, bits)


def _one_symbol(a: Scalar, relevant: int, value: int) -> tuple[str, int, int, int] | None:
    """Symbol, its bits, those of them that are inverted in ``a``, and ``value`` as bits of the symbol."""
    alone = single(a.word)
    relevant &= ~(a.word.known_zero() | a.word.known_one())
    if not relevant or relevant & ~alone:
        return None
    name = ""
    mask = flipped = wanted = 0
    for source, bits in a.word.copies:
        if not (bits := bits & relevant):
            continue
        if name and source.symbol != name:
            return None
        name = source.symbol
        there = bits >> source.shift if source.shift >= 0 else bits << -source.shift
        ask = bits & value
        ask = ask >> source.shift if source.shift >= 0 else ask << -source.shift
        if there & mask:
            return None
        mask |= there
        wanted |= ask
        flipped |= there if source.inverted else 0
    return (name, mask, flipped, wanted) if name else None


def _ordered(op: int, a: Scalar, edge: int, bits: int) -> Asked | None:
    """``(x & mask) >> n`` compared by order, or a sign alone."""
    word = a.word
    sign = 1 << (bits - 1)
    if op in _SIGNED:
        if word.known_zero() & sign == 0:
            if edge not in (0, full(bits)) or (edge == 0) != (op in (JSGE, JSLT)):
                return None
            clean = _one_symbol(a, sign, sign)
            if clean is None:
                return None
            name, mask, flipped, _ = clean
            negative = 0 if flipped else mask
            return Asked(name, mask, ((negative, negative),), negative)
        if edge & sign:
            return None
    zero = word.known_zero()
    moving = full(bits) & ~zero
    clean = _one_symbol(a, moving, 0)
    if clean is None or clean[2] or len({s.shift for s, m in word.copies if m & moving}) != 1:
        return None
    shift = next(s.shift for s, m in word.copies if m & moving)
    name, mask, _, _ = clean
    run = mask // (mask & -mask)
    if run & (run + 1):
        return None
    if op in (JGT, JLE, JSGT, JSLE):
        edge += 1
    # Upwards: of a word moved left by one, x >= 1 asks for 1 in the word itself.
    start = -(-edge >> shift) if shift >= 0 else edge << -shift
    start = -(-start // (mask & -mask)) * (mask & -mask)
    above = ((start, mask),) if start <= mask else ()
    if op in (JLT, JLE, JSLT, JSLE):
        step = mask & -mask
        return Asked(name, mask, ((0, start - step),) if start else (), None)
    return Asked(name, mask, above, None)


def learnt(op: int, taken: bool, a: Number, b: Number, bits: int, facts: Facts) -> Facts:
    """What is known of symbols on one way out of a jump."""
    if not isinstance(a, Scalar) or not isinstance(b, int) or not a.word.copies:
        return facts
    if not taken:
        if op == JSET:
            return _noted(a, b & full(bits), 0, facts)
        op = _OPPOSITE[op]
    elif op == JSET:
        one, zero = known(a, facts)
        may = b & full(bits) & ~zero
        return _noted(a, may, may, facts) if may & (may - 1) == 0 else facts
    every = full(bits)
    b &= every
    if op == JEQ:
        return _noted(a, every, b, facts)
    if op == JNE:
        return facts
    one, zero = known(a, facts)
    least, most = one & every, every & ~zero
    if op in _SIGNED:
        sign = 1 << (bits - 1)
        if op in (JSGT, JSGE) and not b & sign:
            return _noted(a, sign, 0, facts)
        if op == JSGT and b == every:
            return _noted(a, sign, 0, facts)
        if (op == JSLT and (b & sign or b == 0)) or (op == JSLE and b & sign):
            return _noted(a, sign, sign, facts)
        return facts
    if op == JGT:
        least = max(least, b + 1)
    elif op == JGE:
        least = max(least, b)
    elif op == JLT:
        most = min(most, b - 1)
    else:
        most = min(most, b)
    if least > most or most < 0:
        return facts
    same = every & ~full((least ^ most).bit_length())
    return _noted(a, same, most, facts)


def _noted(a: Scalar, bits: int, value: int, facts: Facts) -> Facts:
    """Facts with ``bits`` of a number known to be those of ``value``."""
    alone = single(a.word) & bits
    found = facts
    for source, mask in a.word.copies:
        if not (mask := mask & alone):
            continue
        if found is facts:
            found = dict(facts)
        is_one = mask & (~value if source.inverted else value)
        if source.shift >= 0:
            mask, is_one = mask >> source.shift, is_one >> source.shift
        else:
            mask, is_one = mask << -source.shift, is_one << -source.shift
        was_mask, was_value = found.get(source.symbol, (0, 0))
        found[source.symbol] = (was_mask | mask, (was_value & ~mask) | is_one)
    while len(found) > _MOST_FACTS and any(name.startswith("phi") for name in found):
        del found[next(name for name in found if name.startswith("phi"))]  # the oldest; to know less is no fault
    return found


def narrowed(op: int, taken: bool, a: Number, b: Number, bits: int) -> Number:
    """What a number that hangs on no symbol is on one way out of a jump."""
    if not isinstance(a, Scalar) or not isinstance(b, int) or a.word.copies or a.taint or ones(a) > full(bits):
        return a
    if not taken:
        if op == JSET:
            return a
        op = _OPPOSITE[op]
    b &= full(bits)
    if op == JEQ:
        return b
    if op == JLE or (op == JLT and b):
        return low(a, (b if op == JLE else b - 1).bit_length())
    return a
