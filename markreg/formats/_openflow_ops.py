"""What an action list of OpenFlow says, statement by statement, with its numbers: what parsing yields and meaning starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from markreg.formats._openflow_fields import Part


class Set(NamedTuple):
    """``field = field & ~mask | value``. ``slot``: the constant of the list that it is, moved left by ``shift`` (-1: none alone)."""

    field: str
    mask: int
    value: int
    slot: int = -1
    shift: int = 0


class Copy(NamedTuple):
    """Bits of one field into another."""

    to: Part
    source: Part


class Fill(NamedTuple):
    """A number that the switch finds goes into a part; ``most`` is the greatest."""

    to: Part
    most: int


class Look(NamedTuple):
    """Bits are used in some other way: sent to a collector, taken as a port."""

    part: Part


class Push(NamedTuple):
    """Bits go onto the stack, the least significant part first."""

    parts: tuple[Part, ...]


class Pop(NamedTuple):
    """Bits come from the stack."""

    parts: tuple[Part, ...]


class Ct(NamedTuple):
    """The packet through conntrack in ``zone`` (a number, ``reg13``, None: not known), then on in ``table`` if one is named.

    ``body``: the list of exec. ``reads``: the bits that give the zone, where bits do.
    """

    commit: bool
    zone: str | None
    table: str | None
    body: tuple[Item, ...] | None
    reads: tuple[Part, ...] = ()


class Clear(NamedTuple):
    """ct_clear."""


class Inner(NamedTuple):
    """A list of its own: ``clone`` puts fields back afterwards, ``write_actions`` runs at the end of the pipeline."""

    later: bool
    body: tuple[Item, ...]


class Jump(NamedTuple):
    """``resubmit``, ``goto``, ``group`` or ``output``; the target is a table, a group or a port, empty for the same table."""

    kind: str
    target: str


class Learn(NamedTuple):
    """A flow that comes into ``table`` when a packet passes: what it will match and write, from constants and bits of this packet.

    ``compares``: parts, with a value where it is a constant. ``writes``: statements of the new flow. ``reads``: taken now.
    """

    table: str
    compares: tuple[tuple[Part, int | None], ...]
    writes: tuple[Set | Fill, ...]
    reads: tuple[Part, ...]
    result: tuple[Part, ...]


class Strange(NamedTuple):
    """It names a field that was asked for, and is not understood."""

    reason: str


class Other(NamedTuple):
    """Nothing to do with fields or control."""


Op = Set | Copy | Fill | Look | Push | Pop | Ct | Clear | Inner | Jump | Learn | Strange | Other


@dataclass(frozen=True, slots=True)
class Item:
    """A statement and where it stands in the text that was parsed. One text can be several: a wide register is several words."""

    ops: tuple[Op, ...]
    start: int
    end: int
