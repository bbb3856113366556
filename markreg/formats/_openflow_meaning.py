"""What the statements of an action list do to fields, and where they send the packet.

Neighbouring writes are one: OpenFlow 1.0 prints ``load:0x1->…[0],load:0x1->…[8]`` where 1.5 prints ``set_field:0x101/0x101``. Four
rules are Open vSwitch's own (ofproto/ofproto-dpif-xlate.c compose_conntrack_action, put_ct_mark): after ``ct`` and ``ct_clear`` the
connection's fields read 0 for the rest of the list; what ``exec`` only reads of them becomes part of the mask it writes; of
several writes of a bit the last counts; and a commit without ``exec`` writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from markreg.bits import full
from markreg.formats._openflow_fields import CONNECTION, METADATA, Part, width_of
from markreg.formats._openflow_ops import Clear, Copy, Ct, Fill, Inner, Item, Jump, Learn, Look, Op, Pop, Push, Set, Strange
from markreg.model import Access
from markreg.pipelines import ANY_METADATA
from markreg.transfer import Predicate, Source, Word

# The zone of what the packet brings along: the last ct(…,table=…) on its way says which that is.
BROUGHT = "*"
UNKNOWN = "?"


@dataclass(frozen=True, slots=True)
class Statement:
    """What a list does to one field. ``start`` and ``end`` are where it stands in the list's text.

    ``zone`` of a connection's field: a number, ``reg13``, ``?``, or BROUGHT. ``slots``: the constants that make up the value, each with
    the shift and the bits it is for, where nothing else does. ``carried``: bits written back as the packet brought them, which
    is a change where it brought another zone's. ``table``: that of a flow to be learned, else empty.
    """

    field: str
    access: Access
    mask: int
    start: int
    end: int
    effect: Word | None = None
    predicate: Predicate | None = None
    values: tuple[tuple[int, int], ...] = ()
    zone: str = ""
    slots: tuple[tuple[int, int, int], ...] = ()
    carried: int = 0
    table: str = ""


@dataclass(frozen=True, slots=True)
class Going:
    """One way out of a list: to a table, a group or into another flow. ``metadata`` None and ``zone`` None: as it came."""

    kind: str
    target: str
    metadata: int | None = None
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class Meaning:
    """A whole list."""

    statements: tuple[Statement, ...]
    goings: tuple[Going, ...]
    strange: tuple[str, ...]


def meaning(items: tuple[Item, ...], asked: frozenset[str]) -> Meaning:
    """What the parsed ``items`` do to the fields ``asked``."""
    walk = _Walk(asked)
    walk.list(items)
    return Meaning(tuple(dict.fromkeys(walk.statements)), tuple(dict.fromkeys(walk.goings)), tuple(dict.fromkeys(walk.strange)))


@dataclass(slots=True)
class _Run:
    """Neighbouring writes: what they leave in each field, in terms of what was there before them."""

    gone: bool
    words: dict[str, Word] = field(default_factory=dict)
    written: dict[str, int] = field(default_factory=dict)
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    looked: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    slots: dict[str, list[tuple[int, int, int]] | None] = field(default_factory=dict)
    values: dict[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)

    def get(self, name: str, words: dict[str, Word] | None = None) -> Word:
        """What is in a field now, or was when ``words`` were written."""
        words = self.words if words is None else words
        if name in words:
            return words[name]
        if self.gone and name in CONNECTION:
            return Word.const(0, width_of(name))
        return Word.entry(name, width_of(name))

    def put(self, name: str, word: Word, mask: int, item: Item) -> None:
        """``word`` into the bits ``mask`` of a field."""
        self.words[name] = word.masked_into(self.get(name), mask)
        self.written[name] = self.written.get(name, 0) | mask
        first = self.spans.get(name, (item.start, item.end))
        self.spans[name] = (min(first[0], item.start), item.end)

    def look(self, name: str, mask: int, item: Item) -> None:
        """Notes where bits of a field are used first."""
        bits, start, end = self.looked.get(name, (0, item.start, item.end))
        self.looked[name] = (bits | mask, start, end)


def _moved(word: Word, amount: int, width: int) -> Word:
    """A word shifted left into one of another width."""
    return word.resized(max(word.width, width)).shifted(amount).resized(width)


class _Walk:
    def __init__(self, asked: frozenset[str]) -> None:
        self.asked = asked
        self.statements: list[Statement] = []
        self.goings: list[Going] = []
        self.strange: list[str] = []
        self.run = _Run(False)
        self.metadata: int | None = None
        self.zone: str | None = None
        self.stack: list[Word] = []

    def list(self, items: tuple[Item, ...]) -> None:
        """One list, to its end."""
        for item in items:
            before = dict(self.run.words)
            for op in item.ops:
                if not self._writes(self.run, op, item, before):
                    self._ends(op, item)
        self._flush()

    def _writes(self, run: _Run, op: Op, item: Item, before: dict[str, Word]) -> bool:
        """A statement that only writes fields. What it copies is as it was ``before``: a wide register's words move at once."""
        if isinstance(op, Set):
            width = width_of(op.field)
            known = run.slots.setdefault(op.field, [])
            fresh = not run.written.get(op.field, 0) & op.mask and op.slot >= 0
            run.slots[op.field] = [*known, (op.slot, op.shift, op.mask)] if known is not None and fresh else None
            run.put(op.field, Word.const(op.value, width), op.mask, item)
            if op.field == METADATA:
                self.metadata = op.value if op.mask == full(width) else ANY_METADATA
        elif isinstance(op, Copy):
            to, source = op
            width = width_of(to.field)
            run.slots[to.field] = None
            run.look(source.field, source.mask, item)
            run.put(to.field, _moved(run.get(source.field, before), to.low - source.low, width), to.mask, item)
            self._metadata_lost(to)
        elif isinstance(op, Fill):
            self._fill(run, op, item)
        elif isinstance(op, Push):
            self._push(run, op, item)
        elif isinstance(op, Pop):
            self._pop(run, op, item)
        else:
            return False
        return True

    def _fill(self, run: _Run, op: Fill, item: Item) -> None:
        to, width = op.to, width_of(op.to.field)
        varies = full(op.most.bit_length()) << to.low
        word = Word(width, full(width), varies) if op.most < full(to.width) or to.width == 1 else Word.unknown(width)
        run.slots[to.field] = None
        if op.most < full(to.width):
            run.values[to.field] = ((0, op.most << to.low),)
        run.put(to.field, word, to.mask, item)
        self._metadata_lost(to)

    def _push(self, run: _Run, op: Push, item: Item) -> None:
        total = sum(part.width for part in op.parts)
        word, done = Word.const(0, total), 0
        for part in op.parts:
            run.look(part.field, part.mask, item)
            word = _moved(run.get(part.field), done - part.low, total).masked_into(word, full(part.width) << done)
            done += part.width
        self.stack.append(word)

    def _pop(self, run: _Run, op: Pop, item: Item) -> None:
        """From the stack; what was pushed by another table is not known."""
        word = self.stack.pop() if self.stack else None
        done = 0
        for part in op.parts:
            width = width_of(part.field)
            value = Word.unknown(width) if word is None else _moved(word, part.low - done, width)
            run.slots[part.field] = None
            run.put(part.field, value, part.mask, item)
            self._metadata_lost(part)
            done += part.width

    def _metadata_lost(self, to: Part) -> None:
        if to.field == METADATA:
            self.metadata = ANY_METADATA

    def _ends(self, op: Op, item: Item) -> None:
        """Everything else: what was written before is seen by it."""
        self._flush()
        if isinstance(op, Ct):
            self._ct(op, item)
        elif isinstance(op, Clear):
            self._gone()
        elif isinstance(op, Inner):
            self._inner(op)
        elif isinstance(op, Jump):
            if op.kind != "output":
                self.goings.append(Going(op.kind, op.target, self.metadata, self.zone))
        elif isinstance(op, Learn):
            self._learn(op, item)
        elif isinstance(op, Look):
            self._read(op.part.field, op.part.mask, item.start, item.end)
        elif isinstance(op, Strange):
            self.strange.append(op.reason)

    def _gone(self) -> None:
        self.run.gone = True
        self.zone = ""

    def _ct(self, op: Ct, at: Item) -> None:
        zone = op.zone or UNKNOWN
        for part in op.reads:
            self._read(part.field, part.mask, at.start, at.end)
        if op.body is not None:
            run = _Run(self.run.gone)
            for item in op.body:
                before = dict(run.words)
                for inner in item.ops:
                    if isinstance(inner, Strange):
                        self.strange.append(inner.reason)
                    else:
                        self._writes(run, inner, item, before)
            self._exec(run, zone)
        self.goings.append(Going("ct", op.table or "", self.metadata, zone))
        self._gone()

    def _exec(self, run: _Run, zone: str) -> None:
        for name in CONNECTION & self.asked:
            looked, start, end = run.looked.get(name, (0, 0, 0))
            written = run.written.get(name, 0)
            if not written | looked:
                continue
            start, end = run.spans.get(name, (start, end))
            effect = run.get(name).masked_into(Word.entry(name, width_of(name)), written | looked)
            carried = looked & effect.keeps(name)
            slots = run.slots.get(name) if not looked else None
            self._write(name, effect, run.values.get(name, ()), start, end, zone, slots, carried)
        self._reads(run)

    def _inner(self, op: Inner) -> None:
        """A clone gets its own copy of all; what is written at the end of the pipeline may find any state."""
        kept = self.run, self.metadata, self.zone, self.stack
        self.run = _Run(self.run.gone)
        self.stack = [] if op.later else [*self.stack]
        if op.later:
            self.metadata = self.metadata if self.metadata is None else ANY_METADATA
        self.list(op.body)
        self.run, self.metadata, self.zone, self.stack = kept

    def _learn(self, op: Learn, item: Item) -> None:
        for part in op.reads:
            self._read(part.field, part.mask, item.start, item.end)
        for part in op.result:
            if part.field in self.asked:
                effect = Word(width_of(part.field), part.mask, part.mask).masked_into(
                    Word.entry(part.field, width_of(part.field)), part.mask
                )
                self.statements.append(Statement(part.field, "write", part.mask, item.start, item.end, effect))
        self.goings.append(Going("learn", op.table))
        for part, value in op.compares:
            if part.field in self.asked:
                test = None if value is None else Predicate.equals(part.field, value << part.low, part.mask)
                zone = BROUGHT if part.field in CONNECTION else ""
                read = Statement(part.field, "read", part.mask, item.start, item.end, predicate=test, zone=zone, table=op.table)
                self.statements.append(read)
        run = _Run(False)
        for write in op.writes:
            self._writes(run, write, item, {})
        self._changes(run, op.table)

    def _read(self, name: str, mask: int, start: int, end: int) -> None:
        if name not in self.asked or (name in CONNECTION and self.run.gone):
            return
        zone = BROUGHT if name in CONNECTION else ""
        self.statements.append(Statement(name, "read", mask, start, end, zone=zone))

    def _flush(self) -> None:
        """The neighbours end here: what they did becomes statements."""
        run = self.run
        self._reads(run)
        self._changes(run)
        for number, word in enumerate(self.stack):
            for symbol, bits in _symbols(word):
                self._read(symbol, bits, *run.looked.get(symbol, (0, 0, 0))[1:])
            if word.copies:
                self.stack[number] = Word.unknown(word.width)
        self.run = _Run(run.gone)

    def _changes(self, run: _Run, table: str = "") -> None:
        for name in run.words:
            if name in self.asked:
                zone = UNKNOWN if name in CONNECTION else ""
                self._write(name, run.get(name), run.values.get(name, ()), *run.spans[name], zone, run.slots[name], table=table)

    def _reads(self, run: _Run) -> None:
        """What ends up in another field, or elsewhere in its own, was read."""
        seen: dict[str, int] = {}
        for name, word in run.words.items():
            for symbol, bits in _symbols(word, name):
                seen[symbol] = seen.get(symbol, 0) | bits
        for symbol, bits in seen.items():
            self._read(symbol, bits, *run.looked.get(symbol, (0, 0, 0))[1:])

    def _write(
        self,
        name: str,
        effect: Word,
        values: tuple[tuple[int, int], ...],
        start: int,
        end: int,
        zone: str,
        slots: Sequence[tuple[int, int, int]] | None,
        carried: int = 0,
        table: str = "",
    ) -> None:
        mask = full(effect.width) & ~effect.keeps(name) | carried
        if not mask:
            return
        moved = any(source.symbol != name or source != Source(name) for source, _ in effect.copies)
        access: Access = "copy" if moved else "write"
        made = tuple(slots or ())
        self.statements.append(
            Statement(name, access, mask, start, end, effect, None, values, zone, made, carried, table),
        )


def _symbols(word: Word, own: str = "") -> Iterator[tuple[str, int]]:
    """The bits of other fields that are in a word, or moved ones of its ``own``."""
    for source, bits in word.copies:
        if source != Source(own):
            yield source.symbol, bits >> source.shift if source.shift >= 0 else bits << -source.shift


def resolved(statement: Statement, zone: str) -> Statement | None:
    """A statement whose packet brings fields of ``zone`` along (empty: none). None where nothing is left of it."""
    if statement.zone == BROUGHT:
        return replace(statement, zone=zone)
    if not statement.carried or statement.effect is None:
        return statement
    effect = statement.effect
    if zone != statement.zone:
        effect = Word.unknown(effect.width).masked_into(effect, statement.carried)
    mask = full(effect.width) & ~effect.keeps(statement.field)
    return replace(statement, effect=effect, mask=mask, carried=0) if mask else None
