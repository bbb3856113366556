"""What a use does by itself: which bits it can set or clear, whether it is about the whole field, whether it is a match."""

from __future__ import annotations

from markreg.bits import full
from markreg.model import FIELDS, Owned, Use


def uncertain(use: Use) -> bool:
    """Whether it is not known that a statement writes anything: a queue's verdict. A claim to write counts as a write."""
    return use.possible and use.basis == "observed"


def sets(use: Use) -> int:
    """Bits that a write can turn from 0 to 1 without a copy from another mark: what is in a register, the flows of its owner put there."""
    if use.effect is None or uncertain(use):
        return 0
    own = use.effect.one | use.effect.other | use.effect.toggles(use.field)
    for source, bits in use.effect.copies:
        if source.symbol not in FIELDS or (FIELDS[source.symbol].carrier == "pipeline" and source.symbol != use.field):
            own |= bits
    return own & use.mask


def clears(use: Use) -> int:
    """Bits that a write can turn from 1 to 0."""
    if use.effect is None or uncertain(use):
        return 0
    foreign = 0
    for source, bits in use.effect.copies:
        if source != (use.field, 0, False):
            foreign |= bits
    return (use.effect.zero | use.effect.other | foreign) & use.mask


def whole(use: Use) -> bool:
    """Whether a statement is about every bit of its field."""
    return use.field in FIELDS and use.mask == full(FIELDS[use.field].width)


def means(use: Use) -> int:
    """The bits that a write claims: its mask, or what it sets where it writes the whole word; a copy claims none."""
    return sets(use) if whole(use) or use.access == "copy" else use.mask


def matches(owned: Owned) -> bool:
    """Whether a use tests bits: a comparison that can turn out both ways, or a claim to read them."""
    use = owned.use
    if use.effect is not None:
        return False
    if use.predicate is None:
        return use.basis != "observed"
    return not use.predicate.always() and not use.predicate.never()


def connection(name: str) -> bool:
    """Whether a field is a connection's, not a packet's."""
    return name in FIELDS and FIELDS[name].carrier == "connection"


def asks_connection(use: Use) -> bool:
    """Whether a statement does nothing, or fails, for a packet that has no connection: it is about one, or copies from it."""
    return connection(use.field) or (use.effect is not None and any(connection(s.symbol) for s, _ in use.effect.copies))


def families_meet(a: str, b: str) -> bool:
    """Whether a packet can be of both families; ``inet`` is both IPv4 and IPv6."""
    return a == b or ("inet" in (a, b) and {a, b} <= {"inet", "ip", "ip6"})
