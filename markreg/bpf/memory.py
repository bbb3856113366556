"""Loads and stores: the context, the stack, sockets, connections, data sections, and everything else."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from markreg.bits import full
from markreg.bpf.arithmetic import known
from markreg.bpf.context import WORD
from markreg.bpf.events import Events, Given, Stored
from markreg.bpf.image import Image, Program
from markreg.bpf.merge import Meetings
from markreg.bpf.scalar import ALL, LOW, Number, Scalar, deps, joined, low, symbol, unknown, word_of
from markreg.bpf.state import LOST, Cell, Frame, Ptr, SiteKey, State, Value, get, lose, put, same_bits, slice_of, spliced
from markreg.model import CT_MARK
from markreg.transfer import Word

SK_MARK = "sk_mark"


@dataclass(frozen=True, slots=True)
class Constants:
    """Values that a loader puts into data sections: by the variable's name, or those that the object was built with (only
    ``.rodata`` sections: others the program may write)."""

    values: Mapping[str, int] = field(default_factory=dict)
    as_built: bool = False


class Memory:
    """What a program's loads and stores mean, for one program."""

    def __init__(
        self, program: Program, events: Events, meetings: Meetings, constants: Constants, symbolic: Collection[tuple[str, int]]
    ) -> None:
        self._meetings = meetings
        self.image: Image = program.image
        self.order = program.image.order
        self.context = program.context
        self.events = events
        self.constants = constants
        self.symbolic = symbolic
        self.defined: set[str] = set()
        self.owners = {name: i for i, (name, _) in enumerate(program.context.cells)}
        self._data: dict[tuple[str, int, int], Number] = {}

    def load(self, st: State, base: Value, off: int, size: int, key: SiteKey) -> Value:
        """What a load of ``size`` bytes yields."""
        if type(base) is not Ptr:
            if isinstance(base, Scalar):
                self.events.read(key, deps(base), "address")
            return unknown(size)
        kind, of, at = base
        if kind == "stack":
            if at is None:
                self._frame_read(st.frames[int(of)], key)
                return unknown(size, LOST)
            return get(st.frames[int(of)], at + off, size, self.order)
        if at is None:
            if kind == "ctx":
                self.events.notes["the context is read at an offset that is not known"] = None
            return unknown(size, f"{kind}:{of}" if of else kind)
        at += off
        if kind == "ctx":
            return self._context(st, at, size)
        if kind == "value":
            return self._map(st, str(of), at, size, key)
        if kind == "data":
            return self._section(str(of), at, size)
        if kind == "sock":
            if (own := self.image.sock_mark) <= at and at + size <= own + WORD:
                return self._loaded(st, SK_MARK, at - own, size, key)
            return unknown(size, "sk")
        if kind == "ct":
            if (mark := self.image.ct_mark) is not None and mark <= at and at + size <= mark + WORD:
                return self._loaded(st, CT_MARK.name, at - mark, size, key)
            return unknown(size, "nf_conn")
        return unknown(size, kind)

    def _context(self, st: State, at: int, size: int) -> Value:
        for i, (_, offset) in enumerate(self.context.cells):
            if offset <= at < offset + WORD or at <= offset < at + size:
                if at >= offset and at + size <= offset + WORD:
                    value = st.cells[i].value
                    return value if size == WORD else slice_of(value, at - offset, size, WORD, self.order)
                return self._words(st, at, size)
        if kind := self.context.pointers.get(at):
            return Ptr(kind)
        return unknown(size, f"{self.context.prefix}.{self.context.names.get(at & ~3) or f'+{at}'}")

    def _words(self, st: State, at: int, size: int) -> Number:
        """A load over more than one word."""
        value: Number = unknown(size, self.context.prefix)
        for i, (_, offset) in enumerate(self.context.cells):
            begin, end = max(at, offset), min(at + size, offset + WORD)
            if begin < end:
                part = slice_of(st.cells[i].value, begin - offset, end - begin, WORD, self.order)
                value = spliced(value, part, begin - at, end - begin, size, self.order)
        return value

    def _map(self, st: State, name: str, at: int, size: int, key: SiteKey) -> Number:
        if (name, at) in self.symbolic:
            return self._symbol(st, f"map:{name}+{at}/{size}", size, key)
        return unknown(size, f"map:{name}+{at}")

    def _section(self, name: str, at: int, size: int) -> Number:
        where = (name, at, size)
        if where not in self._data:
            self._data[where] = self._constant(name, at, size)
        return self._data[where]

    def _constant(self, name: str, at: int, size: int) -> Number:
        variable = self.image.variable(name, at)
        if variable:
            plain = variable.name.removeprefix("__config_")
            given = self.constants.values.get(variable.name, self.constants.values.get(plain))
            if given is not None and variable.size <= 8 and at + size <= variable.offset + variable.size:
                return slice_of(given & full(8 * variable.size), at - variable.offset, size, variable.size, self.order)
        held = self.image.data.get(name, b"")[at : at + size] if at >= 0 else b""
        if self.constants.as_built and name.startswith(".rodata") and len(held) == size:
            return int.from_bytes(held, self.order)
        inside = at - variable.offset if variable else at
        return unknown(size, f"{name}:{variable.name if variable else ''}{f'+{inside}' if inside or not variable else ''}")

    def _symbol(self, st: State, name: str, size: int, key: SiteKey) -> Number:
        """A symbol of the place that loads something; it is given a new value at every load."""
        here = f"{name}@{key[0]}.{key[1]}"
        if here in st.symbols:
            st.forget({here: ALL})
        st.symbols |= {here}
        self.defined.add(here)
        return symbol(here, 8 * size)

    def _loaded(self, st: State, name: str, start: int, size: int, key: SiteKey) -> Number:
        """A mark of something else."""
        value = slice_of(self._symbol(st, name, WORD, key), start, size, WORD, self.order)
        here = f"{name}@{key[0]}.{key[1]}"
        skip = 8 * (start if self.order == "little" else WORD - start - size)
        self.events.loads[here] = self.events.loads.get(here, 0) | full(8 * size) << skip
        return value

    def store(self, st: State, base: Value, off: int, size: int, value: Value, key: SiteKey) -> None:
        """A store of the low ``size`` bytes of a value."""
        if type(base) is Ptr and base.kind == "stack":
            frame = st.frames[int(base.object)]
            if base.offset is None:
                self._frame_read(frame, key)
                if isinstance(value, Scalar):
                    self.events.read(key, deps(value), "stored")
                lose(frame, None, None)
                return
            if size < 8:
                value = low(value, 8 * size) if type(value) is not Ptr else unknown(size)  # type: ignore[arg-type]
            put(frame, base.offset + off, size, value, self.order)
            return
        number: Number = unknown(size) if type(value) is Ptr else low(value, 8 * size)  # type: ignore[arg-type]
        if type(base) is not Ptr:
            self._anywhere(st, base, off, number, key)
            return
        kind, of, at = base
        if kind == "ctx":
            if at is None:
                self.events.notes["the context is written at an offset that is not known"] = None
                self.lose_words(st, key, size)
            else:
                self._to_context(st, at + off, size, number, key)
            return
        if kind == "ct" and at is not None and (mark := self.image.ct_mark) is not None and mark <= at + off < mark + WORD:
            skip = 8 * (at + off - mark if self.order == "little" else mark + WORD - at - off - size)
            moved = number << skip if isinstance(number, int) else Scalar(number.word.shifted(skip), number.taint, number.origin)
            self.events.given[key] = Given("ct", moved, (full(8 * size) << skip) & LOW)
        if kind == "value":
            where = (str(of), None if at is None else at + off, size)
            held = self.events.map_stores.get(where)
            self.events.map_stores[where] = number if held is None else joined(held, number)
        self.events.read(key, deps(number), "stored")

    def _frame_read(self, frame: Frame, key: SiteKey) -> None:
        """Something of a frame is read or overwritten, and it is not known what: all of it may have an influence from here on."""
        self.events.read(key, [part for _, value in frame.values() if isinstance(value, Scalar) for part in deps(value)], "stack")

    def _anywhere(self, st: State, base: Value, off: int, number: Number, key: SiteKey) -> None:
        """A store through what is not known to be an address."""
        self.events.read(key, deps(number), "stored")
        if isinstance(base, Scalar):
            self.events.read(key, deps(base), "address")
            if LOST in base.origin and any(offset <= off < offset + WORD for _, offset in self.context.cells):
                self.events.notes["a store through an address that was lost track of may be one to the mark"] = None
                self.lose_words(st, key, WORD)

    def lose_words(self, st: State, key: SiteKey, size: int) -> None:
        """It is not known which word of the context was written, or whether one was."""
        for i in range(len(st.cells)):
            cell = st.cells[i]
            value = joined(cell.value, unknown(WORD, "lost"))
            self.events.stores[(*key, i)] = Stored(i, cell.value, value, LOW, size, True)
            st.cells[i] = Cell(value, LOW, cell.sites | {(*key, i)})

    def _to_context(self, st: State, at: int, size: int, number: Number, key: SiteKey) -> None:
        touched = False
        for i, (_, offset) in enumerate(self.context.cells):
            begin, end = max(at, offset), min(at + size, offset + WORD)
            if begin >= end:
                continue
            touched = True
            part = slice_of(number, begin - at, end - begin, size, self.order)
            value = part if end - begin == WORD else spliced(st.cells[i].value, part, begin - offset, end - begin, WORD, self.order)
            self._set(st, i, value, size, key)
        if not touched:
            self.events.read(key, deps(number), "stored")

    def _set(self, st: State, i: int, value: Number, size: int, key: SiteKey) -> None:
        cell = st.cells[i]
        value = self._told(st, i, value)
        one, zero = known(cell.value, st.facts)
        word = word_of(value)
        kept = same_bits(value, cell.value) | (one & word.known_one()) | (zero & word.known_zero())
        name = self.context.cells[i][0]
        mask, bits = st.facts.get(name, (0, 0))
        entry = word.keeps(name) | (mask & bits & word.known_one()) | (mask & ~bits & word.known_zero())
        if i == 0 and isinstance(value, Scalar):
            entry |= value.same
            value = value._replace(same=0)
        differs = LOW & ((cell.differs & kept) | ~(kept | entry))
        where = (*key, i)
        self.events.stores[where] = Stored(i, cell.value, value, differs, size)
        self.events.read(key, self._foreign(i, value), f"word {i}")
        st.cells[i] = Cell(value, differs, frozenset((where,)))

    def _told(self, st: State, i: int, value: Number) -> Number:
        """A value to be stored: bits of other words that the path has told are constants."""
        if not isinstance(value, Scalar) or not st.facts or not value.word.copies:
            return value
        one, zero = known(value, st.facts)
        own = 0
        for source, bits in value.word.copies:
            if not source.shift and not source.inverted and self.cell_of(source.symbol) == i:
                own |= bits
        fixed = (one | zero) & ~own & ~(value.word.known_one() | value.word.known_zero())
        if not fixed:
            return value
        word = Word.const(one & fixed, value.word.width).masked_into(value.word, fixed)
        return Scalar(word, tuple((m & ~fixed, on) for m, on in value.taint if m & ~fixed), value.origin)

    def cell_of(self, name: str) -> int | None:
        """The word of the context whose value a symbol is, at entry or where paths meet."""
        phi = self._meetings.by_symbol.get(name)
        return phi.cell if phi else self.owners.get(name)

    def _foreign(self, i: int, value: Number) -> list[tuple[str, int]]:
        """On what a stored value hangs apart from each bit's own former value."""
        if not isinstance(value, Scalar):
            return []
        found = [part for _, on in value.taint for part in on]
        for source, bits in value.word.copies:
            if source.shift or self.cell_of(source.symbol) != i:
                found.append((source.symbol, bits >> source.shift if source.shift >= 0 else bits << -source.shift))
        return found

    def exported(self, st: State, address: Value, size: int | None, key: SiteKey, why: str) -> None:
        """The kernel reads memory of the stack: what it holds has an influence."""
        if type(address) is not Ptr or address.kind != "stack":
            return
        frame = st.frames[int(address.object)]
        found: list[tuple[str, int]] = []
        if address.offset is None:
            for _, value in frame.values():
                found += deps(value) if type(value) is Scalar else ()
        else:
            at = address.offset
            stop = at + size if size is not None else 0
            for start, (length, value) in sorted(frame.items()):
                if start + length <= at or start >= stop or type(value) is not Scalar:
                    continue
                skip, end = max(at - start, 0), min(stop - start, length)
                found += deps(slice_of(value, skip, end - skip, length, self.order))
        self.events.read(key, found, why)


def entry_cells(program: Program) -> list[Cell]:
    """The words of the context as they are when the program begins."""
    return [Cell(symbol(name)) for name, _ in program.context.cells]
