"""What a mark that was seen somewhere says: the components whose reservations explain its bits, the likeliest first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, reduce
from math import log2
from operator import or_

from markreg.bits import BitsError, bit_numbers, format_bits, format_mask, full, parse_int
from markreg.model import Seen
from markreg.nodemap import UNATTRIBUTED, Known, NodeMap
from markreg.observation import identified
from markreg.registry.effective import Effective, Resolver, layouts
from markreg.registry.elsewhere import moved
from markreg.registry.model import ComponentEntry, Field, Registry
from markreg.registry.numbers import excludes, extract
from markreg.registry.releases import Interval
from markreg.registry.words import When

_SHIFT = re.compile(r"(\w+)\s*<<\s*(\w+)")
# How tc prints a label: bytes in the order of memory.
_MEMORY = re.compile(r"[0-9a-fA-F]{32}")
# How much a flag that is set says, in bits of information, and what a reading loses that needs other settings than the defaults.
_FLAG = 1.0
_UNSET = 16.0
# What each further part of a reading takes away: anything can be explained by enough flags.
_MORE = 0.5


@dataclass(frozen=True, slots=True)
class Part:
    """One reservation in a reading: ``value`` in place under ``mask``, what it means there, and when it holds.

    ``says``: how much less likely this is to be chance, in bits: a code of one in many much, a number of any size nothing.
    """

    path: str
    mask: int
    value: int
    meaning: str
    title: str
    settings: str
    says: float = field(compare=False, default=0.0)
    in_force: bool = field(compare=False, default=True)
    when: When = field(compare=False, default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one component's reservations make of the mark. ``left``: bits that are set and not explained.

    ``releases``: those in which it holds, empty for all. ``present``: whether the node has the component, None where no node is known.
    """

    component: str
    parts: tuple[Part, ...]
    explained: int
    left: int
    releases: str = ""
    present: bool | None = None

    @property
    def says(self) -> float:
        """How much it says, in bits."""
        return sum(part.says - _MORE for part in self.parts) + _MORE - (0 if self.in_force else _UNSET)

    @property
    def in_force(self) -> bool:
        """Whether it holds at default settings."""
        return all(part.in_force for part in self.parts)


@dataclass(frozen=True, slots=True)
class Answer:
    """All readings of a mark, the likeliest first; who on the node writes or tests it; who carries it now.

    ``whole``: components that may hold any value in this field, which explains nothing. ``identified``: what a number in it
    identifies, and what that is on the node; ``note``: where not to look for it. ``zones``: names of zones by number.
    """

    field: str
    value: int
    mask: int
    readings: tuple[Reading, ...]
    node: tuple[Known, ...] = ()
    seen: tuple[Seen, ...] = ()
    whole: tuple[str, ...] = ()
    identified: tuple[str, ...] = ()
    note: str = ""
    zones: tuple[tuple[str, str], ...] = ()


def parse(text: str, width: int) -> tuple[int, int]:
    """``value`` or ``value/mask`` in any spelling: decimal, hexadecimal, octal, a shift, a label's bytes. Raises BitsError."""
    value, slash, mask = text.partition("/")
    both = _number(value, width), _number(mask, width) if slash else full(width)
    for number in both:
        if number > full(width):
            raise BitsError(f"{text.strip()[:60]} does not fit into {width} bits")
    return both


def _number(text: str, width: int) -> int:
    text = text.strip()
    if width == 128 and _MEMORY.fullmatch(text):
        return int.from_bytes(bytes.fromhex(text), "little")
    if shift := _SHIFT.fullmatch(text):
        amount = parse_int(shift[2])
        if amount >= width:
            raise BitsError(f"{text[:60]}: bit {amount} is outside a field of {width} bits")
        return parse_int(shift[1]) << amount
    return parse_int(text)


class Decoder:
    """Answers for one registry and, where there is one, one node. Every component's reservations are resolved once a field."""

    def __init__(self, registry: Registry, node: NodeMap | None = None) -> None:
        self.registry = registry
        self.node = node
        self._rows = cache(self._make_rows)

    def decode(self, name: str, value: int, mask: int | None = None) -> Answer:
        """What a value of the field ``name`` says, of which the bits in ``mask`` are known (None: all)."""
        width = self.registry.fields[name].width
        mask = full(width) if mask is None else mask
        value &= mask
        found: list[Reading] = []
        whole: list[str] = []
        for component, versions in self._rows(name):
            readings: dict[tuple[Part, ...], list[Interval]] = {}
            for releases, rows in versions:
                if parts := _cover(rows, value, mask, width):
                    readings.setdefault(parts, []).append(releases)
                elif value and any(_says_nothing(row, width) and row.in_force for row in rows):
                    whole.append(component)
            for parts, spans in readings.items():
                explained = reduce(or_, (part.mask & value for part in parts))
                said = "" if len(spans) == len(versions) else _spans(spans)
                here = None if self.node is None else component in self.node.present
                found.append(Reading(component, parts, explained, value & ~explained, said, here))
        known = [k for k in self.node.known if k.field == name and k.fits(value, mask)] if self.node else []
        seen = [s for s in self.node.seen if s.field == name and s.value & mask == value] if self.node else []
        ranked = tuple(sorted(found, key=_rank))
        likely = (p.path for r in ranked if r.left == ranked[0].left for p in r.parts)
        what, note = identified(name, value, mask, likely, self.node.rows if self.node else ())
        zones = tuple(self.node.zones.items()) if self.node else ()
        by_rank = tuple(sorted(known, key=_known_rank))
        return Answer(name, value, mask, ranked, by_rank, tuple(seen), tuple(dict.fromkeys(whole)), what, note, zones)

    def _make_rows(self, name: str) -> tuple[tuple[str, tuple[tuple[Interval, tuple[Effective, ...]], ...]], ...]:
        return tuple((entry.name, versions) for entry in self.registry.components.values() if (versions := self._versions(entry, name)))

    def _versions(self, entry: ComponentEntry, name: str) -> tuple[tuple[Interval, tuple[Effective, ...]], ...]:
        """The rows of a component in this field, for each layout that may be the one."""
        made = []
        layout = self.node.present.get(entry.name) if self.node else None
        for releases in layouts(entry):
            if layout is not None and releases.name != layout:
                continue
            resolver = Resolver(self.registry, None, {entry.name: releases})
            release = releases.low
            rows = tuple(
                row
                for row in (*resolver.rows(entry.name), *moved(self.registry, entry, releases))
                if row.field == name and row.mask and row.certain and release in Interval(row.reservation.since, row.reservation.until)
            )
            if rows:
                made.append((releases, rows))
        return tuple(made)


def _says_nothing(row: Effective, width: int) -> bool:
    """Whether a row takes the whole field for (nearly) any value."""
    numbers_ = sum(high - low + 1 for low, high in row.ranges or ())
    return row.mask == full(width) and not row.codes and (row.ranges is None or numbers_ > full(width) >> 1)


def _rank(reading: Reading) -> tuple[object, ...]:
    return reading.present is False, reading.left.bit_count(), -reading.says, reading.component, reading.releases


def _known_rank(known: Known) -> tuple[object, ...]:
    return known.access == "read", known.owner.startswith(UNATTRIBUTED), -known.mask.bit_count(), known.name


def _cover(rows: Sequence[Effective], value: int, mask: int, width: int) -> tuple[Part, ...]:
    """Reservations that together explain as much of the value as they can; what says most comes first."""
    parts = [part for row in rows if not _says_nothing(row, width) and (part := _part(row, rows, value, mask, width))]
    parts.sort(key=lambda p: (-p.says, not p.in_force, -p.value.bit_count(), p.mask.bit_count()))
    chosen: list[Part] = []
    left = value
    for part in parts:
        if part.value & left and not any(excludes(part.when, other.when) for other in chosen):
            chosen.append(part)
            left &= ~part.mask
    return tuple(sorted(chosen, key=lambda p: p.mask & -p.mask))


def _part(row: Effective, rows: Sequence[Effective], value: int, mask: int, width: int) -> Part | None:
    """What a row makes of the value; None where it cannot hold it, or says nothing because its bits are 0."""
    common = row.mask & mask
    bits = value & common
    if common != row.mask and row.mask.bit_count() == width and not row.codes:
        return None
    if not bits or not _variant(row, rows, value, mask):
        return None
    meaning, says = "", 0.0
    exact = [text for code, text in row.codes if code & common == bits]
    number = extract(bits, row.mask)
    if exact:
        meaning, says = " or ".join(exact), common.bit_count() - log2(len(row.codes))
    elif row.codes and row.reservation.value_range is None:
        return None
    elif row.ranges is not None:
        if common == row.mask and not any(low <= number <= high for low, high in row.ranges):
            return None
        meaning = f"number {number}"
        says = max(common.bit_count() - log2(sum(high - low + 1 for low, high in row.ranges)), 0.0) if common == row.mask else 0.0
    elif row.mask.bit_count() == 1:
        says = _FLAG
    else:
        meaning = f"number {number}"
    r = row.reservation
    if not r.changes:
        says /= 2
    # Who looks at some bits of a code only is hardly one who uses the code.
    says *= common.bit_count() / row.mask.bit_count()
    when = ", ".join(f"{k} = {' or '.join(str(v).lower() or 'unset' for v in vs)}" for k, vs in r.when.items())
    return Part(row.path, row.mask, bits, meaning, r.title, when, max(says, 0.0), row.in_force, r.when)


def _variant(row: Effective, rows: Sequence[Effective], value: int, mask: int) -> bool:
    """Whether the discriminator of a row has one of the codes at which its bits mean this."""
    variant = row.reservation.variant
    if variant is None:
        return True
    tags = [r for r in rows if r.reservation.name == variant.of]
    codes = [parse_int(code) for code in variant.values]
    return not tags or any(code & t.mask & mask == value & t.mask & mask for t in tags for code in codes)


def _spans(found: Iterable[Interval]) -> str:
    """Intervals of releases, with those that meet made one."""
    made: list[Interval] = []
    for interval in found:
        if made and made[-1].until is not None and made[-1].until == interval.since:
            made[-1] = replace(made[-1], until=interval.until)
        else:
            made.append(interval)
    return ", ".join(i.name for i in made)


def meaning(known: Field, value: int, mask: int) -> str:
    """A value as a sentence begins with it: ``ct_mark 0x8000, bit 15``."""
    said = format_mask(value) if mask == full(known.width) else f"{format_mask(value)}/{format_mask(mask)}"
    if not value:
        return f"{known.name} {said}: no bit is set"
    return f"{known.name} {said}, {'bit' if len(list(bit_numbers(value))) == 1 else 'bits'} {format_bits(value)}"
