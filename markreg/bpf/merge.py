"""Where paths meet: states joined, and symbols for marks that are not the same on all of them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from markreg.bpf.arithmetic import known
from markreg.bpf.context import MARK
from markreg.bpf.insn import ByteOrder
from markreg.bpf.scalar import LOW, NOWHERE, UNKNOWN, WIDTH, Deps, Number, Scalar, joined, single, word_of
from markreg.bpf.state import Cell, Facts, Frame, Ptr, State, Value, agreeing, get, hangs, put, replaced
from markreg.transfer import Source, Word


@dataclass(slots=True)
class Phi:
    """The value of one word where paths meet: ``bits`` of it that came in differently, and what they came in with."""

    symbol: str
    cell: int
    bits: int = 0
    zero: int = 0
    one: int = 0
    other: int = 0
    copies: dict[Source, int] = field(default_factory=dict)
    taint: dict[Deps, int] = field(default_factory=dict)
    origin: frozenset[str] = NOWHERE

    def add(self, value: Number, word: Word, bits: int) -> None:
        """What came in in these bits. A copy of the symbol itself says nothing."""
        self.zero |= word.zero & bits
        self.one |= word.one & bits
        for source, mask in word.copies:
            if (mask := mask & bits) and source != (self.symbol, 0, False):
                self.copies[source] = self.copies.get(source, 0) | mask
        if isinstance(value, Scalar) and (other := word.other & bits):
            self.other |= other
            self.origin |= value.origin
            for mask, on in value.taint:
                if mask := mask & bits:
                    self.taint[on] = self.taint.get(on, 0) | mask

    @property
    def content(self) -> Scalar:
        """Everything that came in."""
        word = Word.make(WIDTH, self.zero, self.one, self.copies, self.other)
        return Scalar(word, tuple(sorted((mask, on) for on, mask in self.taint.items())), self.origin)


class _Meeting:
    """A word that two paths brought differently to a place, for what else on both was equal to it."""

    __slots__ = ("_a", "_b", "_wanted", "a", "b", "phi")

    def __init__(self, phi: Phi, a: Number, b: Number, x: Word, y: Word) -> None:
        self.phi, self.a, self.b = phi, a, b
        self._a, self._b = x, y
        self._wanted = phi.bits & single(self._a) & single(self._b)

    def related(self, a: Number, b: Number) -> int:
        """Bits in which the two numbers, one on each path, certainly were equal to the word."""
        if not (wanted := self._wanted):
            return 0
        theirs = (self._b.zero & ~b) | (self._b.one & b) if isinstance(b, int) else agreeing(b.word, self._b)
        equal = wanted & theirs
        if not equal:
            return 0
        if isinstance(a, int):
            equal &= (self._a.zero & ~a) | (self._a.one & a)
        else:
            equal &= agreeing(a.word, self._a)
        if equal and isinstance(b, Scalar):
            equal &= single(b.word)
        return equal & single(a.word) if equal and isinstance(a, Scalar) else equal


class Meetings:
    """Joins the states of one program. A word of the context that differs becomes, bit by bit, a copy of a *phi symbol* of the place,
    so that what is done to it afterwards is still known to keep the rest of it."""

    def __init__(self, order: ByteOrder = "little") -> None:
        self.order = order
        self.phis: dict[Hashable, dict[int, Phi]] = {}
        self.by_symbol: dict[str, Phi] = {}

    def merge(self, place: Hashable, old: State, new: State) -> bool:
        """Joins ``new`` into ``old``, which stands for everything that came to ``place``; whether that changed anything."""
        new = self._without_stale(place, new)
        before, known_before = old.cells, old.facts
        cells: list[Cell] = []
        grown: list[_Meeting] = []
        changed = False
        for i, (a, b) in enumerate(zip(before, new.cells, strict=True)):
            if a is b or a == b:
                cells.append(a)
                continue
            value = a.value
            if a.value != b.value:
                value = self._meet(place, i, a.value, b.value, grown)
            cell = Cell(value, a.differs | b.differs, a.sites | b.sites)
            changed = changed or cell != a
            cells.append(cell)
        facts = _common(old.facts, new.facts) if old.facts is not new.facts else old.facts
        if grown:
            facts = dict(facts)
            for meeting in grown:
                phi = meeting.phi
                one_a, zero_a = known(meeting.a, old.facts)
                one_b, zero_b = known(meeting.b, new.facts)
                one, zero = one_a & one_b & phi.bits, zero_a & zero_b & phi.bits
                facts.pop(phi.symbol, None)
                if one | zero:
                    facts[phi.symbol] = (one | zero, one)
        if facts != old.facts:
            old.facts = facts
            changed = True
        regs = old.regs
        for i, theirs in enumerate(new.regs):
            mine = regs[i]
            if mine is theirs or mine == theirs:
                continue
            value_ = _value(mine, theirs, grown, known_before, new.facts)
            if value_ is not mine and value_ != mine:
                regs[i] = value_
                changed = True
        for frame, other in zip(old.frames, new.frames, strict=True):
            for at, held in list(frame.items()):
                there = other.get(at)
                if held is there or held == there:
                    continue
                if there is None or there[0] != held[0]:
                    if type(held[1]) is Ptr or not (hangs(held[1]) or any(hangs(v) for _, v in _parts(other, at, held[0]))):
                        del frame[at]
                        changed = True
                        continue
                    there = (held[0], get(other, at, held[0], self.order))
                value_ = _value(held[1], there[1], grown, known_before, new.facts)
                if value_ is not held[1] and value_ != held[1]:
                    frame[at] = (held[0], value_)
                    changed = True
            for at in other.keys() - frame.keys():
                size, theirs = other[at]
                if hangs(theirs) and not _covered(frame, at, size):
                    mine = get(frame, at, size, self.order)
                    put(frame, at, size, _value(mine, theirs, grown, known_before, new.facts), self.order)
                    changed = True
        old.cells = cells
        symbols = old.symbols | new.symbols
        if grown:
            symbols |= {meeting.phi.symbol for meeting in grown}
        if symbols != old.symbols:
            old.symbols = symbols
            changed = True
        return changed

    def _without_stale(self, place: Hashable, new: State) -> State:
        """A path that comes back to a place brings copies of what the place's symbols were before."""
        if not (phis := self.phis.get(place)):
            return new
        stale: dict[str, int] = {}
        for i, cell in enumerate(new.cells):
            phi = phis.get(i)
            if phi and phi.symbol in new.symbols and (gone := phi.bits & ~word_of(cell.value).keeps(phi.symbol)):
                stale[phi.symbol] = gone
        if not stale:
            return new
        for i, cell in enumerate(new.cells):
            if phi := phis.get(i):
                phi.add(cell.value, word_of(cell.value), phi.bits)
        fresh = new.copy()
        fresh.forget(stale)
        return fresh

    def _meet(self, place: Hashable, i: int, a: Number, b: Number, grown: list[_Meeting]) -> Number:
        x, y = word_of(a), word_of(b)
        phi = self.phis.get(place, {}).get(i)
        bits = _difference(x, y) & LOW
        if phi is None:
            if not bits:
                return joined(a, b)
            phi = self.phis.setdefault(place, {})[i] = Phi(f"phi{len(self.by_symbol)}", i)
            self.by_symbol[phi.symbol] = phi
        fresh = bits & ~phi.bits
        if fresh:
            phi.add(a, x, fresh)
            phi.bits |= fresh
        phi.add(b, y, phi.bits)
        grown.append(_Meeting(phi, a, b, x, y))
        if not fresh and isinstance(a, Scalar) and not x.other & ~phi.bits:
            return a
        rest = x.only(~phi.bits)
        taint = tuple(sorted({(m & ~phi.bits, on) for v in (a, b) if isinstance(v, Scalar) for m, on in v.taint if m & ~phi.bits}))
        origin = NOWHERE
        if rest.other:
            origin = (a.origin if isinstance(a, Scalar) else NOWHERE) | (b.origin if isinstance(b, Scalar) else NOWHERE)
        copies = {**dict(rest.copies), Source(phi.symbol): phi.bits}
        return Scalar(Word.make(WIDTH, rest.zero, rest.one, copies, rest.other), taint if rest.other else (), origin)


def _difference(x: Word, y: Word) -> int:
    """Bits whose possibilities are not the same."""
    mask = (x.zero ^ y.zero) | (x.one ^ y.one) | (x.other ^ y.other)
    if x.copies != y.copies:
        mine, theirs = dict(x.copies), dict(y.copies)
        for source in mine.keys() | theirs.keys():
            mask |= mine.get(source, 0) ^ theirs.get(source, 0)
    return mask


def _common(a: Facts, b: Facts) -> Facts:
    found: Facts = {}
    for name, (mask, value) in a.items():
        if other := b.get(name):
            both = mask & other[0] & ~(value ^ other[1])
            if both:
                found[name] = (both, value & both)
    return found


def _parts(frame: Frame, at: int, size: int) -> Iterator[tuple[int, Value]]:
    """What lies in some bytes of a frame: sizes and values."""
    return (held for start in range(at - 7, at + size) if (held := frame.get(start)) and start + held[0] > at)


def _covered(frame: Frame, at: int, size: int) -> bool:
    """Whether something is held for each of these bytes."""
    missing = set(range(at, at + size))
    for start in range(at - 7, at + size):
        if held := frame.get(start):
            missing.difference_update(range(start, start + held[0]))
    return not missing


def _value(a: Value, b: Value, grown: list[_Meeting], facts_a: Facts, facts_b: Facts) -> Value:
    if type(a) is Ptr or type(b) is Ptr:
        return _address(a, b)
    result = joined(a, b)  # type: ignore[arg-type]
    if (MARK in facts_a or MARK in facts_b or (isinstance(a, Scalar) and a.same)) and (_copying(a) or _copying(b)):
        same = _as_at_entry(a, facts_a) & _as_at_entry(b, facts_b) & LOW  # type: ignore[arg-type]
        if same and isinstance(result, Scalar):
            result = result._replace(same=same)
    for meeting in grown:
        if equal := meeting.related(a, b):  # type: ignore[arg-type]
            result = replaced(result, meeting.phi.symbol, equal)
    return result


def _copying(value: Value) -> bool:
    return type(value) is Scalar and bool(value.word.copies)


def _as_at_entry(a: Number, facts: Facts) -> int:
    """Bits that are what they were in the mark at entry: kept, or constants that the path knows to be the same (compilers fold
    those into masks)."""
    word = word_of(a)
    mask, value = facts.get(MARK, (0, 0))
    same = word.keeps(MARK) | (mask & value & word.known_one()) | (mask & ~value & word.known_zero())
    return same | (a.same if isinstance(a, Scalar) else 0)


def _address(a: Value, b: Value) -> Value:
    """Two values of which one at least is an address; one that may also be 0 (not found) is still that address."""
    if type(a) is not Ptr:
        a, b = b, a
    if b == 0:
        return a
    if type(a) is Ptr and type(b) is Ptr and a[:2] == b[:2]:
        return Ptr(a.kind, a.object, None)
    return UNKNOWN
