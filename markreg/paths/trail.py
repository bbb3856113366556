"""What a walk keeps: packets, the way that each came, and where a question was answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from markreg.model import Owned
from markreg.paths.effects import Mark
from markreg.paths.graph import Item

LATER = "a later packet of the connection"
# In State.freed: the packet came a way that nobody has shown.
UNSHOWN = 4
# In Hit.freed: it needs bits that somebody is presumed to have set.
GUESSED = 3


class Via(str):
    """How a packet came back to the hooks: over loopback, out of a tunnel."""

    __slots__ = ()


def freed(a: int, b: int) -> int:
    """What had to be wished away for two things."""
    return max(a & ~UNSHOWN, b & ~UNSHOWN) | (a | b) & UNSHOWN


class State(NamedTuple):
    """A packet: its devices and protocol as sets of representatives, its fields in the order of the walk; ``freed``: 0, or which marks of
    others had to be wished away on its way (1: of the pair in question, 2: of a third), plus UNSHOWN. ``bare``: why it has no
    connection (``untracked``, ``invalid``), if so. ``ends``: addresses and ports as sets of ranges, where they are followed. ``ports``: by
    which devices it came to a bridge and leaves it, which other hooks do not see; 0 for any."""

    iif: int
    oif: int
    proto: int
    freed: int
    marks: tuple[Mark, ...]
    bare: str = ""
    ends: tuple[int, ...] = ()
    ports: tuple[int, int] = (0, 0)


class Trail(NamedTuple):
    """What happened on the way, last first: ``what`` is an act with its rule, the name of a hook, or the trail through a chain."""

    before: Trail | None
    what: tuple[Owned, Item | None] | str | Trail


Ways = dict[State, Trail | None]


@dataclass(slots=True)
class Hit:
    """A match that turns, or that misses what was lost: the bits, the best way (``freed`` as in State), and how it went."""

    code: str
    reader: Owned
    item: Item | None
    mask: int = 0
    freed: int = 9
    trail: Trail | None = None


@dataclass(slots=True)
class Found:
    """The answer to a question."""

    hits: dict[tuple[str, str], Hit] = field(default_factory=dict)
    capped: bool = False
