"""What lines of a dump have in common: shapes, lists, and lines by value."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from markreg.bits import BitsError, full, parse_int
from markreg.formats._openflow_fields import parts
from markreg.formats._openflow_meaning import Meaning, meaning
from markreg.formats._openflow_parse import Load, Parser
from markreg.formats._openflow_text import PLACE
from markreg.source import blank_quoted

# As many values of one group are uses of their own; more are one use with many values.
MOST_VALUES = 8
_ACTIONS = re.compile(r"actions?\s*=")
Values = tuple[str, ...]


@dataclass(slots=True)
class Lines:
    """The lines of a group by value, with their cookies; all together where there are too many values."""

    by: dict[Values, tuple[array[int], array[int]]] = field(default_factory=dict)
    together: tuple[array[int], array[int]] | None = None

    def add(self, values: Values, line: int, cookie: int) -> None:
        """One more line."""
        found = self.by.get(values)
        if found is None:
            if len(self.by) >= MOST_VALUES and self.together is None:
                pairs = sorted((n, c) for lines, cookies in self.by.values() for n, c in zip(lines, cookies, strict=True))
                self.together = array("I", [n for n, _ in pairs]), array("Q", [c for _, c in pairs])
                self.by = dict.fromkeys(self.by, self.together)
            found = self.by[values] = self.together or (array("I"), array("Q"))
        found[0].append(line)
        found[1].append(cookie)


@dataclass(slots=True)
class Listing:
    """An action list but for its values: the meaning of its first text, and what it takes to have that of another."""

    number: int
    shape: str
    constants: Values
    slots: tuple[int, ...]
    meaning: Meaning
    names: tuple[str, ...]
    flags: int

    def with_values(self, values: Values, asked: frozenset[str]) -> Meaning:
        """The meaning with other values."""
        if values == tuple(self.constants[i] for i in self.slots):
            return self.meaning
        return meaning(Parser(self.shape, self.filled(values), asked).items(), asked)

    def filled(self, values: Values) -> Values:
        """The list's constants with other values."""
        changed = dict(zip(self.slots, values, strict=True))
        return tuple(changed.get(i, text) for i, text in enumerate(self.constants))

    def text(self, start: int, end: int, constants: Values) -> str:
        """A piece of the shape as it stood in a line."""
        before = self.shape.count(PLACE, 0, start)
        pieces = self.shape[start:end].split(PLACE)
        filled = [p for pair in zip(pieces[1:], constants[before:], strict=False) for p in reversed(pair)]
        return pieces[0] + "".join(filled)


# What is known of the exact text of a list: how it is read, its values, its ports, and which of GOES, ACTS, STRANGE hold.
Known = tuple[Listing, Values, Values, int]
GOES, ACTS, STRANGE = 1, 2, 4


@dataclass(slots=True)
class There:
    """The flows of one table that match one metadata: where they go on."""

    number: int
    table: str
    metadata: str
    hops: dict[int, Listing] = field(default_factory=dict)
    ports: set[str] = field(default_factory=set)


def taken(slots: Sequence[int]) -> Callable[[Values], Values]:
    """What takes the constants of these numbers."""
    if not slots:
        return lambda _: ()
    if len(slots) == 1:
        only = slots[0]
        return lambda texts: (texts[only],)
    return itemgetter(*slots)


@dataclass(slots=True)
class Shape:
    """What the constants of a shape are for, and its lists by those that are no values."""

    key: Callable[[Values], Values]
    values: Callable[[Values], Values]
    slots: tuple[int, ...]
    ports: Callable[[Values], Values]
    loads: tuple[Load, ...]
    sends: bool
    listings: dict[Values, Listing] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Match:
    """A clause of a match: ``field=value/mask`` in a zone that ``ct_zone`` tells, empty where it is not told."""

    name: str
    mask: str
    zone: str


def parted(line: str) -> tuple[str, str] | None:
    """A flow's match and its actions; quoted strings may hold what looks like actions. None for a line that has none."""
    line = line.strip()
    if line[:1] == line[-1:] == '"':  # a flow as a shell is given it
        line = line[1:-1]
    found = _ACTIONS.search(blank_quoted(line) if '"' in line else line)
    return (line[: found.start()], line[found.end() :].strip()) if found else None


def compared(match: Match, value: str) -> list[tuple[str, int, int]] | None:
    """The fields, masks and values that a clause compares; None where it is no number or does not fit."""
    try:
        number, mask = parse_int(value), parse_int(match.mask) if match.mask else None
    except BitsError:
        return None
    covered = parts(match.name)
    width = sum(p.width for p in covered)
    if number > full(width) or (mask or 0) > full(width):
        return None
    bits, found, done = full(width) if mask is None else mask, [], 0
    for part in covered:
        if here := bits >> done & full(part.width):
            found.append((part.field, here, number >> done & here))
        done += part.width
    return found


def apart(line: str) -> Iterator[str]:
    """A group line cut where buckets begin, strings left whole."""
    blank, at = blank_quoted(line), 0
    for found in re.finditer("bucket=", blank):
        yield line[at : found.start()]
        at = found.end()
    yield line[at:]
