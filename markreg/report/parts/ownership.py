"""The ownership map: who writes, reads and holds which bits of a field in a scope."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from markreg.bits import full
from markreg.model import FIELDS, Owned
from markreg.report.parts.ruler import EMPTY, WORD

UNATTRIBUTED = "unattributed:"


@dataclass(slots=True)
class Row:
    """One owner's bits of a field: masks of what is read and written by statements about part of it, and about the whole field."""

    owner: str
    reads: int = 0
    writes: int = 0
    whole_reads: int = 0
    whole_writes: int = 0
    presumed: bool = True

    @property
    def mask(self) -> int:
        """All bits used."""
        return self.reads | self.writes | self.whole_reads | self.whole_writes

    def symbol(self, bit: int) -> str:
        """``W`` written, ``R`` read, ``B`` both; lower case where only statements about the whole field do it."""
        for reads, writes, letters in ((self.reads, self.writes, "RWB"), (self.whole_reads, self.whole_writes, "rwb")):
            if bit & (reads | writes):
                return letters[bool(bit & reads) + 2 * bool(bit & writes) - 1]
        return EMPTY


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring bits with the same owners, writers, readers and reservations."""

    low: int
    high: int
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    reserved_by: tuple[str, ...]

    @property
    def mask(self) -> int:
        """The bits of the run."""
        return full(self.high + 1) & ~full(self.low)

    @property
    def owners(self) -> tuple[str, ...]:
        """Everybody who uses the run."""
        return tuple(sorted({*self.writers, *self.readers}))


@dataclass(slots=True)
class Map:
    """What is known of one field in one network namespace and conntrack zone (empty: none, packets that conntrack did not see).

    ``bridge``: of which switch the registers are; empty for what no switch has of its own, or where its name is not told.
    """

    field: str
    netns: str
    zone: str | None
    width: int
    bridge: str = ""
    rows: list[Row] = dataclasses.field(default_factory=list)
    reserved: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def mask(self) -> int:
        """All bits used."""
        mask = 0
        for row in self.rows:
            mask |= row.mask
        return mask

    def contested(self) -> int:
        """Bits that two owners mean, of whom one writes them.

        A write of the whole field contests what others mean, a read of it nothing.
        """
        meant = _others([row.reads | row.writes for row in self.rows])
        written = _others([row.writes for row in self.rows])
        mask = 0
        for row, theirs, their_writes in zip(self.rows, meant, written, strict=True):
            mask |= theirs & (row.writes | row.whole_writes) | (row.reads | row.writes) & their_writes
        return mask

    def runs(self) -> list[Run]:
        """The used bits from the least significant, as runs of bits that are alike."""
        bits = [bit for bit in range(self.mask.bit_length()) if self.mask >> bit & 1]
        found: list[Run] = []
        for bit in bits:
            run = self._run(bit)
            last = found[-1] if found else None
            if (
                last
                and last.high == bit - 1
                and (last.writers, last.readers, last.reserved_by) == (run.writers, run.readers, run.reserved_by)
            ):
                found[-1] = Run(last.low, bit, run.writers, run.readers, run.reserved_by)
            else:
                found.append(run)
        return found

    def _run(self, bit: int) -> Run:
        one = 1 << bit
        writers = tuple(sorted(r.owner for r in self.rows if (r.writes | r.whole_writes) & one))
        readers = tuple(sorted(r.owner for r in self.rows if (r.reads | r.whole_reads) & one))
        return Run(bit, bit, writers, readers, tuple(sorted(name for name, mask in self.reserved.items() if mask & one)))


def maps(uses: Iterable[Owned]) -> list[Map]:
    """One map for each field, network namespace, zone and, of registers, bridge in which something is used.

    Known fields come in their order, then others by name.
    """
    known = list(FIELDS)

    def key(owned: Owned) -> tuple[int, str, str, bool, str, str]:
        use = owned.use
        number = known.index(use.field) if use.field in FIELDS else len(known)
        return number, use.field, use.scope.netns, use.scope.zone is not None, use.scope.zone or "", _bridge(owned)

    return [_map(list(group)) for _, group in groupby(sorted((o for o in uses if o.use.mask), key=key), key=key)]


def _bridge(owned: Owned) -> str:
    """The switch whose own a field is."""
    field = FIELDS.get(owned.use.field)
    return owned.use.place.bridge if field and field.carrier == "pipeline" else ""


def _map(uses: list[Owned]) -> Map:
    first = uses[0].use
    found = Map(first.field, first.scope.netns, first.scope.zone, width_of(first.field, uses), _bridge(uses[0]))
    rows: dict[str, Row] = {}
    for owned in uses:
        use, row = owned.use, rows.setdefault(owned.owner, Row(owned.owner))
        whole = use.mask == full(found.width)
        if use.access == "read":
            row.whole_reads |= use.mask if whole else 0
            row.reads |= 0 if whole else use.mask
        else:
            row.whole_writes |= use.mask if whole else 0
            row.writes |= 0 if whole else use.mask
        row.presumed = row.presumed and use.basis == "registry"
        if owned.reservation:
            found.reserved[owned.reservation] = found.reserved.get(owned.reservation, 0) | use.mask
    found.rows = sorted(rows.values(), key=lambda row: (row.owner.startswith(UNATTRIBUTED), row.owner))
    return found


def _others(masks: list[int]) -> list[int]:
    """For each mask the union of the others."""
    once = twice = 0
    for mask in masks:
        twice |= once & mask
        once |= mask
    return [twice | once & ~mask for mask in masks]


def width_of(name: str, uses: Iterable[Owned] = ()) -> int:
    """The width of a field in bits; of one that is not built in what its uses show, in whole words."""
    if name in FIELDS:
        return FIELDS[name].width
    widest = max(
        (max(o.use.effect.width if o.use.effect else 0, o.use.mask.bit_length()) for o in uses if o.use.field == name), default=WORD
    )
    return max(-(-widest // WORD) * WORD, WORD)
