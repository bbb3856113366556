"""What the list of a flow does to a packet, step by step: from the statements that `_openflow_parse` reads."""

from __future__ import annotations

import re
from collections.abc import Iterator

from markreg.bits import full
from markreg.formats._openflow_asks import NAMES
from markreg.formats._openflow_fields import CONNECTION, PREFIX
from markreg.formats._openflow_ops import Clear, Copy, Ct, Fill, Inner, Item, Jump, Learn, Op, Other, Pop, Push, Set, Strange
from markreg.model import FIELDS
from markreg.switching import CT_STATE, CT_ZONE, END, HEADERS, NARROW, PORT, VLAN, Change, Copied, Entry, Forget, Go, Leave, Step

_VLAN_NAMES = VLAN | {"dl_vlan_pcp", "vlan_pcp"}
# Other words of a list: those that change nothing which is followed, those by which a packet leaves, and what the others change.
_HARMLESS = frozenset(
    {
        "drop",
        "controller",
        "note",
        "set_queue",
        "pop_queue",
        "exit",
        "meter",
        "fin_timeout",
        "conjunction",
        "sample",
        "dec_ttl",
        "mod_nw_tos",
    }
    | {"mod_nw_ecn", "mod_nw_ttl", "clear_actions", "debug_recirc", "debug_slow"}
)
_LEAVES = frozenset({"flood", "all", "in_port", "table", "normal", "local", "enqueue", "output", "bundle"})
_CHANGES = {
    **dict.fromkeys(("mod_vlan_vid", "mod_vlan_pcp", "strip_vlan", "push_vlan", "pop_vlan", "set_vlan_vid", "set_vlan_pcp"), VLAN),
    "mod_dl_src": frozenset({"dl_src"}),
    "mod_dl_dst": frozenset({"dl_dst"}),
    "mod_nw_src": frozenset({"ip_src"}),
    "mod_nw_dst": frozenset({"ip_dst"}),
    "mod_tp_src": frozenset({"tp_src"}),
    "mod_tp_dst": frozenset({"tp_dst"}),
    "set_tunnel": frozenset({"tun_id"}),
    "set_tunnel64": frozenset({"tun_id"}),
}
_ALL_REGISTERS = tuple(Change(name, full(FIELDS[name].width)) for name in sorted(FIELDS) if name.startswith(PREFIX))

_WORD = re.compile(r"[A-Za-z_][\w-]*")


def as_set(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """A list as an action set, which buckets and ``write_actions`` are: fields are written first, then the packet goes one of its ways
    (lib/ofp-actions.c ofpacts_execute_action_set)."""
    writes = tuple(s for s in steps if isinstance(s, Change | Forget))
    return (*writes, *(Copied((s,)) for s in steps if not isinstance(s, Change | Forget)))


class Steps:
    """The steps of one list. ``saves`` as in Flows; ``extra``: the flows that come of it, and its part of the action set.
    ``only``: the field of which numbers are kept, where not all are."""

    def __init__(self, text: str, only: str | None = None) -> None:
        self.text = text
        self.only = only
        self.saves: set[str] = set()
        self.extra: list[Entry] = []

    def list(self, items: tuple[Item, ...]) -> Iterator[Step]:
        """A list, step by step."""
        for item in items:
            for op in item.ops:
                yield from self._step(op, item)

    def _step(self, op: Op, item: Item) -> Iterator[Step]:
        if isinstance(op, Set):
            yield Change(op.field, op.mask, op.value if self.only in (None, op.field) else None)
        elif isinstance(op, Copy):
            if op.source.field != op.to.field:
                self.saves.add(op.source.field)
            yield from _changed(op.to.field, op.to.mask, op.source.field == op.to.field)
        elif isinstance(op, Fill):
            yield from _changed(op.to.field, op.to.mask)
        elif isinstance(op, Push):
            self.saves |= {part.field for part in op.parts}
        elif isinstance(op, Pop):
            for part in op.parts:
                yield from _changed(part.field, part.mask)
        elif isinstance(op, Ct):
            nat = "nat" in self.text[item.start : item.end]
            yield Go("again", op.table or "", NARROW if nat else frozenset())
        elif isinstance(op, Clear):
            yield Forget(frozenset({CT_STATE, CT_ZONE}))
        elif isinstance(op, Inner):
            body = tuple(self.list(op.body))
            if op.later:
                self.extra.append(Entry(END, -1, (), as_set((*body, Leave())), False, False, True))
            else:
                yield Copied(body)
        elif isinstance(op, Jump):
            yield from self._jump(op, item)
        elif isinstance(op, Learn):
            for part in op.result:
                yield Change(part.field, part.mask)
            steps = tuple(s for write in op.writes for s in self._step(write, item))
            self.extra.append(Entry(op.table, -1, (), steps, False, False, True))
        elif isinstance(op, Other | Strange):
            yield from self._other(item)

    def _jump(self, op: Jump, item: Item) -> Iterator[Step]:
        if op.kind == "output":
            yield Leave()
        elif op.kind == "group":
            yield Go("copy", f"group {op.target}")
        else:
            text = self.text[item.start : item.end]
            loses: frozenset[str] = frozenset()
            if op.kind == "resubmit" and not text.startswith("resubmit(,"):
                loses |= PORT
            if re.search(r",\s*ct\s*\)", text):
                loses |= NARROW | {"nw_proto"}
            yield Go("call", op.target, loses)

    def _other(self, item: Item) -> Iterator[Step]:
        match = _WORD.match(self.text, item.start, item.end)
        word = match[0].lower() if match else ""
        if word in _HARMLESS:
            return
        if word in _LEAVES:
            yield Leave()
        elif (changed := _CHANGES.get(word)) is not None:
            yield Forget(changed)
        else:
            # Not known: it may leave, or change what is followed. Registers are only written by what is read above, if it can be read.
            yield Forget(HEADERS)
            if word in ("load", "set_field", "move", "pop", "write_metadata", "multipath", "bundle_load", "check_pkt_larger", "learn", ""):
                yield from _ALL_REGISTERS
            yield Leave()


def _changed(name: str, mask: int, own: bool = False) -> Iterator[Step]:
    """A field gets what is not known."""
    if name in FIELDS:
        yield Change(name, mask, None, own)
    elif name in _VLAN_NAMES:
        yield Forget(VLAN)
    elif name == "in_port":
        yield Forget(PORT)
    elif name in NAMES:
        yield Forget(frozenset({NAMES[name][0]}))
    elif name not in CONNECTION:
        yield Forget(HEADERS)
