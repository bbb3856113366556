"""What one program does to marks, in terms of what they were when it began."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from markreg.bpf.btf import Line
from markreg.bpf.context import MARK
from markreg.bpf.events import Tail
from markreg.bpf.image import Program
from markreg.transfer import Word


@dataclass(frozen=True, slots=True)
class Test:
    """A question about the word as it was at entry: it holds for the closed intervals ``accepts`` of ``word & mask``.

    ``value``: what it is compared with, None for a comparison by order. ``at``: the instruction.
    """

    mask: int
    accepts: tuple[tuple[int, int], ...]
    value: int | None
    negated: bool
    at: int


@dataclass(frozen=True, slots=True)
class Site:
    """A store to a word of the context.

    ``effect``: what the word holds afterwards, in terms of the words at entry; ``mask``: the bits that may differ from entry then.
    ``keeps``: the bits that this store leaves as it found them. ``origin``: where unknown bits come from. ``net``: whether what it
    stores may be there when the program ends. ``size``: the bytes stored; fewer than four are refused by the kernel for the mark.
    ``possible``: the store may go elsewhere. ``assumed``: what the word holds under the ``assumption``, which is about maps.
    """

    at: int
    effect: Word
    mask: int
    keeps: int
    origin: tuple[str, ...]
    net: bool
    size: int
    possible: bool
    assumed: Word | None = None
    assumption: str = ""


@dataclass(frozen=True, slots=True)
class WordFacts:
    """What happens to one word: ``reads`` are the bits that have an influence on anything but their own place, ``read_at`` where.

    ``mask`` and ``effect`` are what is left at the end, at tail calls and where the packet leaves; ``transient`` what stores changed that
    was put back by then (None: nothing), of the bits ``put_back``.
    """

    symbol: str
    reads: int = 0
    read_at: tuple[tuple[int, int], ...] = ()
    tests: tuple[Test, ...] = ()
    mask: int = 0
    effect: Word | None = None
    sites: tuple[Site, ...] = ()
    transient: Word | None = None
    put_back: int = 0


@dataclass(frozen=True, slots=True)
class Handed:
    """A mark given to a socket (SO_MARK), a route lookup or a connection: what it is and which bits of it are written."""

    kind: str
    effect: Word
    mask: int
    at: int
    certain: bool
    origin: tuple[str, ...]


class MapStore(NamedTuple):
    """What is stored into a word of a map: ``at`` is its offset (None: somewhere in the map), ``size`` in bytes."""

    map: str
    at: int | None
    size: int
    value: Word
    origin: frozenset[str]


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything found about a program.

    ``words``: by symbol, ``skb_mark`` (where its context has one) and ``cb0`` … ``cb4``. ``loaded``: bits of ``ct_mark`` and ``sk_mark``
    that have an influence, with the instruction of the first. ``accesses``: CO-RE accesses to marks of kernel structures
    (``sk_buff.mark``), with the instruction. ``notes`` are diagnostics, ``limits`` why the analysis is not exact.
    """

    program: Program
    words: dict[str, WordFacts] = field(default_factory=dict)
    handed: tuple[Handed, ...] = ()
    loaded: dict[str, tuple[int, int]] = field(default_factory=dict)
    touched: dict[str, int] = field(default_factory=dict)
    accesses: tuple[tuple[str, int], ...] = ()
    tails: tuple[Tail, ...] = ()
    maps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    visits: int = 0
    map_stores: tuple[MapStore, ...] = ()

    @property
    def mark(self) -> WordFacts:
        """The mark of the program's own context."""
        return self.words.get(MARK, WordFacts(MARK))

    def line(self, at: int) -> Line | None:
        """The source line of an instruction, where the object has it."""
        return self.program.image.line(at)
