"""The machine's state: registers, stack frames, the words that carry marks, and what the path has told of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from markreg.bits import full
from markreg.bpf.insn import ByteOrder
from markreg.bpf.scalar import (
    ALL,
    LOW,
    NOWHERE,
    UNKNOWN,
    WIDTH,
    Number,
    Scalar,
    conj,
    disj,
    joined,
    low,
    merged_deps,
    shifted,
    single,
    unknown,
    word_of,
)
from markreg.transfer import Source, Word


class Ptr(NamedTuple):
    """An address. ``kind``: ``ctx``, ``stack`` (``object`` is the depth of its frame), ``map``, ``value`` (in a map's value), ``data``
    (in a data section), ``func``, ``sock``, ``ct``, ``pkt``, ``mem``. ``offset`` None: somewhere in it."""

    kind: str
    object: str | int = ""
    offset: int | None = 0


Value: TypeAlias = int | Scalar | Ptr
# Value by offset from the frame's end (negative), with its size in bytes.
Frame: TypeAlias = dict[int, tuple[int, Value]]
# For each symbol what is known of it: bits and their values.
Facts: TypeAlias = dict[str, tuple[int, int]]
# Context (which chain of calls) and position; for a store also the word of the context.
SiteKey: TypeAlias = tuple[int, int]
StoreKey: TypeAlias = tuple[int, int, int]
# What a spilled value that was lost leaves behind: a store through it could be one to the context.
LOST = "stack"


class Cell(NamedTuple):
    """A word of the context: what it holds, which bits may differ from those at entry, and the stores that may have been the last."""

    value: Number
    differs: int = 0
    sites: frozenset[StoreKey] = frozenset()


class State:
    """One point of a program. ``symbols``: the symbols that paths have defined on the way here (phi symbols and loaded marks)."""

    __slots__ = ("cells", "facts", "frames", "regs", "symbols")

    def __init__(self, regs: list[Value], frames: list[Frame], cells: list[Cell], facts: Facts, symbols: frozenset[str]) -> None:
        self.regs = regs
        self.frames = frames
        self.cells = cells
        self.facts = facts
        self.symbols = symbols

    def copy(self) -> State:
        """A state that can be changed by itself."""
        return State(self.regs[:], [f.copy() for f in self.frames], self.cells[:], self.facts, self.symbols)

    def changed(self, change: Callable[[Value], Value]) -> None:
        """Every value replaced."""
        self.regs = [change(v) for v in self.regs]
        for frame in self.frames:
            for at, (size, value) in frame.items():
                if type(value) is Scalar:
                    frame[at] = (size, change(value))
        self.cells = [c._replace(value=_number(change(c.value))) for c in self.cells]

    def forget(self, stale: Mapping[str, int]) -> None:
        """Symbols are given new values in these bits: what copied the old ones is unknown from here on."""
        self.changed(lambda value: without(value, stale))
        self.facts = {
            name: fact if name not in stale else (fact[0] & ~stale[name], fact[1] & ~stale[name]) for name, fact in self.facts.items()
        }


def _number(value: Value) -> Number:
    return UNKNOWN if isinstance(value, Ptr) else value


def without(value: Value, stale: Mapping[str, int]) -> Value:
    """A value in which copies of these bits of symbols have become unknown; on what they hang stays known."""
    if type(value) is not Scalar or not any(source.symbol in stale for source, _ in value.word.copies):
        return value
    copies: dict[Source, int] = {}
    lost = 0
    taint = list(value.taint)
    for source, bits in value.word.copies:
        if mask := stale.get(source.symbol, 0):
            gone = bits & (mask << source.shift if source.shift >= 0 else mask >> -source.shift)
            on = gone >> source.shift if source.shift >= 0 else gone << -source.shift
            if gone:
                lost |= gone
                taint.append((gone, merged_deps(((source.symbol, on),))))
            bits &= ~gone
        if bits:
            copies[source] = bits
    word = value.word
    return Scalar(Word.make(WIDTH, word.zero, word.one, copies, word.other | lost), tuple(sorted(taint)), value.origin)


def same_bits(a: Number, b: Number) -> int:
    """Of the low 32 bits those that are certainly equal in two numbers."""
    if isinstance(a, int) and isinstance(b, int):
        return LOW & ~(a ^ b)
    x, y = word_of(a), word_of(b)
    equal = agreeing(x, y) & LOW
    return equal & single(x) & single(y) if equal else 0


def agreeing(x: Word, y: Word) -> int:
    """Bits with a possibility in common that says what they are."""
    equal = (x.zero & y.zero) | (x.one & y.one)
    if x.copies and y.copies:
        if x.copies == y.copies:
            for _, bits in x.copies:
                equal |= bits
        else:
            theirs = dict(y.copies)
            for source, bits in x.copies:
                equal |= bits & theirs.get(source, 0)
    return equal


def slice_of(value: Number, start: int, size: int, whole: int, order: ByteOrder) -> Number:
    """``size`` bytes from byte ``start`` of a number of ``whole`` bytes in memory."""
    skip = start if order == "little" else whole - start - size
    return low(shifted(value, -8 * skip), 8 * size)


def placed(value: Number, start: int, size: int, whole: int, order: ByteOrder) -> Number:
    """The inverse: ``size`` bytes where they stand in a number of ``whole`` bytes."""
    skip = start if order == "little" else whole - start - size
    return shifted(low(value, 8 * size), 8 * skip)


def spliced(old: Number, new: Number, start: int, size: int, whole: int, order: ByteOrder) -> Number:
    """A number in memory in which some bytes were overwritten."""
    skip = start if order == "little" else whole - start - size
    return disj(conj(old, ALL & ~(full(8 * size) << 8 * skip)), placed(new, start, size, whole, order))


def put(frame: Frame, at: int, size: int, value: Value, order: ByteOrder) -> None:
    """A store to the stack; of what it overlaps the rest stays."""
    held = frame.get(at)
    if held is not None and held[0] == size:
        frame[at] = (size, value)  # what is held never overlaps
        return
    for start in range(at - 7, at + size):
        held = frame.get(start)
        if held is None:
            continue
        length, old = held
        if start + length <= at or (start == at and length == size):
            continue
        del frame[start]
        if type(old) is Ptr:
            continue
        for low_end, high_end in ((start, at), (at + size, start + length)):
            if low_end < high_end:
                part = slice_of(old, low_end - start, high_end - low_end, length, order)  # type: ignore[arg-type]
                frame[low_end] = (high_end - low_end, part)
    frame[at] = (size, value)


def get(frame: Frame, at: int, size: int, order: ByteOrder) -> Value:
    """A load from the stack, also out of parts."""
    held = frame.get(at)
    if held is not None and held[0] == size:
        return held[1]
    result: Number = 0
    covered = 0
    for start in range(at - 7, at + size):
        if (held := frame.get(start)) is None or start + held[0] <= at:
            continue
        length, value = held
        begin, end = max(start, at), min(start + length, at + size)
        if type(value) is Ptr:
            return unknown(size, LOST)
        part = slice_of(value, begin - start, end - begin, length, order)  # type: ignore[arg-type]
        result = disj(result, placed(part, begin - at, end - begin, size, order))
        covered += end - begin
    if covered == size:
        return result
    # What is missing may be anything, and what is there may still matter.
    return joined(result, unknown(size, LOST)) if hangs(result) else unknown(size, LOST)


def hangs(value: Value) -> bool:
    """Whether bits of symbols have a part in a value."""
    return type(value) is Scalar and bool(value.word.copies or value.taint)


def lose(frame: Frame, at: int | None, size: int | None) -> None:
    """Somebody else wrote there: numbers are unknown. Addresses stay, for the kernel refuses what would use an overwritten one."""
    for start, (length, value) in list(frame.items()):
        inside = at is None or (start + length > at and (size is None or start < at + size))
        if inside and type(value) is not Ptr:
            frame[start] = (length, unknown(length))


def replaced(value: Number, name: str, bits: int) -> Number:
    """A number in which bits are those of a symbol."""
    word = word_of(value)
    own = Word(WIDTH, copies=((Source(name), bits),))
    taint, origin = (value.taint, value.origin) if isinstance(value, Scalar) else ((), NOWHERE)
    return Scalar(own.masked_into(word, bits), tuple((m & ~bits, on) for m, on in taint if m & ~bits), origin)
