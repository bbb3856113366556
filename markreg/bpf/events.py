"""What the interpretation of a program notes on the way; `facts` makes of it what is reported."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from markreg.bpf.scalar import Deps, Number, merged_deps
from markreg.bpf.state import Cell, SiteKey, StoreKey


class Asked(NamedTuple):
    """A comparison with a constant of bits that are one symbol's: it holds for the closed intervals ``accepts`` of ``symbol & mask``.

    ``value`` None: a comparison by order.
    """

    symbol: str
    mask: int
    accepts: tuple[tuple[int, int], ...]
    value: int | None
    negated: bool = False


class Stored(NamedTuple):
    """A store to a word of the context: which, what it held and what it holds now.

    ``size``: the bytes stored. ``possible``: it is not certain that the store hits this word.
    """

    cell: int
    before: Number
    after: Number
    differs: int
    size: int
    possible: bool = False


class Given(NamedTuple):
    """A mark given to something else: ``kind`` is ``socket`` (SO_MARK), ``fib`` (a route lookup), ``ct`` (a connection).

    ``bits``: those that are written, ``certain`` False where it is not known whether it is the mark.
    """

    kind: str
    value: Number
    bits: int = 0xFFFFFFFF
    certain: bool = True


class Tail(NamedTuple):
    """A tail call: the map, and the slot where it is constant."""

    map: str
    slot: int | None


@dataclass(slots=True)
class Events:
    """By context and position, so that a second visit takes the place of the first: it knows of more paths."""

    reads: dict[tuple[SiteKey, str], Deps] = field(default_factory=dict)
    asked: dict[SiteKey, Asked] = field(default_factory=dict)
    stores: dict[StoreKey, Stored] = field(default_factory=dict)
    given: dict[SiteKey, Given] = field(default_factory=dict)
    tails: dict[SiteKey, Tail] = field(default_factory=dict)
    # What the words of the context held where the program ended or the packet left.
    exits: dict[SiteKey, tuple[Cell, ...]] = field(default_factory=dict)
    # Marks of sockets and connections that were read, as symbols.
    loads: dict[str, int] = field(default_factory=dict)
    # What is stored into words of maps, by name, offset and size; offset None: somewhere, by a store or by a helper.
    map_stores: dict[tuple[str, int | None, int], Number] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    limits: dict[str, None] = field(default_factory=dict)
    visits: int = 0

    def read(self, key: SiteKey, parts: Iterable[tuple[str, int]], why: str = "") -> None:
        """Bits of symbols that had an influence."""
        if on := merged_deps(parts):
            self.reads[key, why] = on
