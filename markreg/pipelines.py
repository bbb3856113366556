"""OpenFlow's control flow, as the dumps of a bridge tell it: values that the format yields and the path analysis reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

# The metadata of a packet may be any number.
ANY_METADATA = -1


@dataclass(frozen=True, slots=True)
class Hop:
    """One way on from the flows of a table, or the buckets of a group: equal flows are one hop, whatever their priorities.

    ``source`` and, by ``kind``, ``target`` are tables (``12`` or a name) and groups (``group 5``): ``resubmit`` is a call that comes back,
    ``goto`` does not, ``group`` goes to each bucket, ``ct`` comes back after conntrack, ``learn`` makes a flow there. ``metadata``: what
    the flows match of it as (value, mask), None for nothing. ``sets``: what it is afterwards (None: unchanged, ANY_METADATA).
    ``zone``: of which conntrack zone the connection's fields are there: a number, ``reg13``, ``?`` for not known, empty for none (they
    read 0), None for as before.
    """

    source: str
    kind: Literal["resubmit", "goto", "group", "ct", "learn"]
    target: str
    metadata: tuple[int, int] | None = None
    sets: int | None = None
    zone: str | None = None


@dataclass(frozen=True)
class Pipeline:
    """The control flow of a bridge's flows or groups, as one dump tells it.

    ``version``: OpenFlow's of the dump (15 for 1.5; 0: not said). ``zones``: for every register that ct takes a zone from the numbers
    that flows put into it (0 is what resets it), None where they are not all known; two registers with disjoint sets are never
    the same zone. ``ports``: by table the ports to which flows send, as printed (``LOCAL``, names, numbers; at most some hundreds).
    ``groups``: the groups that the dump defines; ``asks``: those that its flows name. ``kind``: whether it is a dump of flows or of groups.
    """

    bridge: str
    path: str
    netns: str
    version: int
    hops: tuple[Hop, ...]
    zones: Mapping[str, frozenset[int] | None]
    ports: Mapping[str, frozenset[str]]
    groups: frozenset[str]
    asks: frozenset[str]
    kind: Literal["flows", "groups"] = "flows"
