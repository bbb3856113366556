"""What the flows of a bridge do to a packet on its way through the tables: values that the format yields and the path analysis walks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

# Fields of the packet by the names that are used here. Those of a connection are lost, and known again, by ct.
NARROW = frozenset({"ip_src", "ip_dst", "ipv6_src", "ipv6_dst", "tp_src", "tp_dst"})
CT_STATE = "ct_state"
CT_ZONE = "ct_zone"
TRACKED = 0x20
ALL_STATES = 0xFFFF
VLAN = frozenset({"dl_vlan", "vlan_tci", "vlan_vid"})
PROTOCOL = frozenset({"dl_type", "nw_proto"})
PORT = frozenset({"in_port", "in_port_name"})
HEADERS = NARROW | VLAN | PROTOCOL | PORT | {"dl_src", "dl_dst", "tun_id"}
# What two owners may contend for: that a value is known never says that a flow is not met.
MARKED = frozenset({"skb_mark", "ct_mark", "ct_label"})


class Clause(NamedTuple):
    """A clause of a match: ``field & mask == value``."""

    name: str
    mask: int
    value: int


class Change(NamedTuple):
    """Bits of a field get a ``value``, None for one that is not known; where ``own``, it may be made of the field's own bits."""

    name: str
    mask: int
    value: int | None = None
    own: bool = False


class Forget(NamedTuple):
    """Header fields may be anything from here on."""

    names: frozenset[str]


class Go(NamedTuple):
    """The packet goes to a table or a group. ``call``: it comes back with what was changed there (``resubmit``, ``goto_table``);
    ``copy``: what a group's bucket changes is undone; ``again``: a copy comes back from conntrack (``ct``; no target: none does).

    ``loses``: header fields that the first match there may see otherwise, because of ``resubmit(port,…)``, ``resubmit(…,ct)`` or NAT.
    """

    kind: Literal["call", "copy", "again"]
    target: str
    loses: frozenset[str] = frozenset()


# The pseudo-table that every packet enters at its end: what ``write_actions`` put into its action set.
END = "(end)"


class Leave(NamedTuple):
    """The packet, or a copy of it, leaves by a port."""


class Copied(NamedTuple):
    """A list that a copy of the packet runs through (``clone``)."""

    steps: tuple[Change | Forget | Go | Leave | Copied, ...]


Step = Change | Forget | Go | Leave | Copied


@dataclass(slots=True, eq=False)
class Entry:
    """Flows of one table that ask the same and do the same. ``priority`` -1: not known.

    ``whole``: ``guard`` says all that the match asks. ``lasts``: no timeout takes it away, and it decides alone (no conjunction), so that
    flows below it are not met. ``learned``: it comes when a flow with ``learn`` is met.
    """

    table: str
    priority: int
    guard: tuple[Clause, ...]
    steps: tuple[Step, ...]
    whole: bool
    lasts: bool
    learned: bool = False


@dataclass(frozen=True, slots=True)
class Flows:
    """All flows or groups of one dump. ``saves``: fields that flows put aside, into registers or on the stack, where no statement of a
    mark shows them. ``alg``: connections may have others' marks by a helper. The rest is for `at`."""

    entries: tuple[Entry, ...]
    kinds: Sequence[tuple[Entry, ...]]
    index: Sequence[int]
    more: Mapping[int, tuple[Entry, ...]]
    saves: frozenset[str]
    alg: bool

    def at(self, line: int) -> tuple[Entry, ...]:
        """What stands in a line: a flow and what comes of it, or the buckets of a group."""
        kind = self.index[line - 1] if 0 < line <= len(self.index) else -1
        return (*self.kinds[kind], *self.more.get(line, ())) if kind >= 0 else ()
