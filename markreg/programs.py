"""What the analysis of BPF programs says of itself: how far it got, what it assumed, and every store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from markreg.transfer import Word

if TYPE_CHECKING:
    from markreg.model import Place


@dataclass(frozen=True, slots=True)
class BpfSite:
    """A store of a BPF program to a word: ``effect`` is what the word holds then, in terms of the program's start, and ``mask`` the bits
    that may differ from it; ``keeps`` are the bits that the store itself leaves alone. ``origin``: where unknown bits come from.
    ``size`` in bytes; ``net``: whether it is there at the end; ``possible``: whether it may go elsewhere. ``assumed``: what it is if
    ``assumption`` holds.
    """

    field: str
    clause: str
    effect: Word
    mask: int
    keeps: int
    origin: tuple[str, ...]
    size: int
    net: bool
    possible: bool = False
    assumed: Word | None = None
    assumption: str = ""


@dataclass(frozen=True, slots=True)
class BpfProgram:
    """What the analysis of a BPF program says of itself. ``reads`` and ``writes``: masks of words by name; ``known``: of ``writes`` the
    bits of which it is known what they become. ``tails``: map and slot of tail calls. ``notes`` are diagnostics, ``limits`` why it is
    not exact.
    """

    path: str
    place: Place
    type: str
    reads: tuple[tuple[str, int], ...] = ()
    writes: tuple[tuple[str, int], ...] = ()
    known: tuple[tuple[str, int], ...] = ()
    sites: tuple[BpfSite, ...] = ()
    tails: tuple[tuple[str, int | None], ...] = ()
    maps: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    visits: int = 0
