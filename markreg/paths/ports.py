"""Flows of Open vSwitch as the host meets them, where a port of a bridge is one of its devices: a mark goes through."""

from __future__ import annotations

from dataclasses import replace

from markreg.model import SKB_MARK, Node, Owned
from markreg.transfer import Word


def flows(node: Node, netns: str) -> list[Owned]:
    """What flows do to the mark of packets, one for all that do the same. Registers are not known here; the fields of a connection in a
    zone of the switch are not those of the host's."""
    found: dict[tuple[object, ...], Owned] = {}
    ports = any(d.kind == "internal" and d.netns == netns and not d.userspace for d in node.devices)
    for owned in node.uses if ports else ():
        use = owned.use
        if use.place.kind == "openflow" and use.field == SKB_MARK.name and use.scope.netns == netns:
            if use.effect is not None:
                use = replace(use, effect=_alone(use.effect), access="write")
            key = owned.owner, use.access, use.effect, use.predicate, use.mask
            found.setdefault(key, replace(owned, use=use))
    return list(found.values())


def _alone(effect: Word) -> Word:
    """A write whose copies from other fields may bring anything, or, of a connection, nothing that is a bit of somebody's."""
    kept = sum(bits for source, bits in effect.copies if source == (SKB_MARK.name, 0, False))
    strange = effect.copied() & ~kept
    registers = sum(bits for source, bits in effect.copies if source.symbol.startswith("ovs.")) & strange
    own = effect.only(~strange)
    return Word(own.width, zero=own.zero | strange & ~registers, one=own.one, other=own.other | registers, copies=own.copies)
