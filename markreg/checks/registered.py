"""Commands and rule files of a repository beside the components that it deploys: MK101 to MK103 by reservations alone.

Nobody has seen the rules that the components will program: a registered use may be at any place of the packet's way, so this asks
for bits and not for paths. Statements about the whole field are MK201 to MK203.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from markreg.checks import Context
from markreg.checks.advice import advice
from markreg.checks.located import locations
from markreg.checks.severity import limited
from markreg.checks.words import bits_of
from markreg.model import Finding, Owned, Severity
from markreg.paths.uses import clears, families_meet, matches, sets, uncertain, whole
from markreg.registry.agreements import Side, agreed

_SAYS = {
    "MK101": "{writer} sets {bits}, which {reader} looks for",
    "MK102": "{writer} clears {bits}, which {reader} sets and looks for",
    "MK103": "{writer} and {reader} both write {bits}",
}
_SEVERITY: dict[str, Severity] = {"MK101": "error", "MK102": "error", "MK103": "warning"}


@dataclass(slots=True)
class _Pair:
    """The bits of two owners, with the uses of each."""

    mask: int = 0
    first: dict[str, Owned] = field(default_factory=dict)
    second: dict[str, Owned] = field(default_factory=dict)


def check(context: Context, earlier: tuple[Finding, ...]) -> Iterator[Finding]:
    """One finding for each code, pair of owners and field."""
    del earlier
    if not context.node.repository:
        return
    planned = [o for o in context.node.uses if o.use.basis == "manifest"]
    pairs: dict[tuple[str, str, str, str], _Pair] = {}
    for seen in context.node.uses:
        if seen.use.basis == "manifest" or whole(seen.use) or uncertain(seen.use):
            continue
        for other in planned:
            if other.owner != seen.owner and _beside(seen, other) and (found := _between(context, seen, other)):
                code, writer, reader, mask = found
                pair = pairs.setdefault((code, writer.owner, reader.owner, seen.use.field), _Pair())
                pair.mask |= mask
                pair.first.setdefault(writer.id, writer)
                pair.second.setdefault(reader.id, reader)
    told: dict[tuple[frozenset[str], str], int] = {}
    for (code, writer_, reader_, name), pair in sorted(pairs.items(), key=lambda item: item[0][0]):
        key = (frozenset((writer_, reader_)), name)
        mask = pair.mask & ~told.get(key, 0)
        told[key] = told.get(key, 0) | pair.mask
        if mask:
            yield _finding(context, code, writer_, reader_, name, mask, pair)


def _beside(a: Owned, b: Owned) -> bool:
    same = a.use.field == b.use.field and a.use.scope.netns == b.use.scope.netns
    return same and families_meet(a.use.scope.family, b.use.scope.family)


def _between(context: Context, seen: Owned, planned: Owned) -> tuple[str, Owned, Owned, int] | None:
    """What one statement and one registered use are to each other: the code, who writes, who is hit, the bits."""
    if seen.use.effect is None:
        if planned.use.effect is None or not (matches(seen) or seen.use.predicate is None):
            return None
        mask = sets(planned.use) & seen.use.mask
        return ("MK101", planned, seen, mask) if mask and not _agreed(context, planned, seen, mask, "read") else None
    if planned.use.effect is None:
        if mask := sets(seen.use) & planned.use.mask:
            return None if _agreed(context, seen, planned, mask, "read") else ("MK101", seen, planned, mask)
        mask = clears(seen.use) & planned.use.mask
        return ("MK102", seen, planned, mask) if mask and not _agreed(context, seen, planned, mask, "read") else None
    mask = seen.use.mask & planned.use.mask if not whole(planned.use) else sets(planned.use) & seen.use.mask
    return ("MK103", seen, planned, mask) if mask and not _agreed(context, seen, planned, mask, "write") else None


def _agreed(context: Context, writer: Owned, other: Owned, mask: int, access: Literal["read", "write"]) -> bool:
    return agreed(context.registry, Side(writer.owner, "write"), Side(other.owner, access), writer.use.field, mask)


def _finding(context: Context, code: str, writer: str, reader: str, name: str, mask: int, pair: _Pair) -> Finding:
    firsts, seconds = list(pair.first.values()), list(pair.second.values())
    places = (*locations(context, "writer", firsts), *locations(context, "writer" if code == "MK103" else "reader", seconds))
    message = _SAYS[code].format(writer=writer, reader=reader, bits=bits_of(name, mask))
    help_ = advice(context, name, mask, (writer, reader), code, tuple(firsts))
    return Finding(code, limited(_SEVERITY[code], firsts[0], seconds[0]), message, name, mask, (writer, reader), places, help_)
