"""The way of a finding: from the write to the read, place by place, with what had to be assumed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from markreg.model import Owned
from markreg.paths.graph import Item
from markreg.paths.jumps import Jumps
from markreg.paths.requests import Requests, requested
from markreg.paths.trail import LATER, Hit, Trail, Via


@dataclass(frozen=True, slots=True)
class Step:
    """``kind``: ``victim`` (wrote what is lost), ``write``, ``copy``, ``hop`` (``text`` says from where to where) or ``read``.

    ``line`` is that of the rule on the way, 0 where there is none; ``assumes``: conditions of the rule, and of the jumps to it, that may
    hold.
    """

    kind: str
    owned: Owned | None
    line: int = 0
    text: str = ""
    assumes: tuple[str, ...] = ()


class _Met(NamedTuple):
    """A step, the hook of it, and its number among the events."""

    step: Step
    hook: str
    number: int


_Event = tuple[str, Owned | None, Item | None]


def _events(trail: Trail | None) -> Iterator[_Event]:
    """What happened, last first."""
    pending = [trail]
    while pending:
        here = pending.pop()
        if here is None:
            continue
        pending.append(here.before)
        if isinstance(here.what, Trail):
            pending.append(here.what)
        elif isinstance(here.what, str):
            yield here.what, None, None
        else:
            yield "", *here.what


def steps(hit: Hit, writer: str, reader: str, requests: Requests, jumps: Jumps) -> tuple[Step, ...]:
    """The steps of a hit, in order. ``requests``: what others set for the reader, and may lose like its own."""
    events = list(_events(hit.trail))
    found = [_Met(_step("read" if hit.reader.use.effect is None else "write", hit.reader, hit.item, jumps), _hook(events), -1)]
    name, bits = hit.reader.use.field, hit.mask
    stage = "write"
    for number, (_, owned, item) in enumerate(events):
        if owned is None:
            continue
        use = owned.use
        if use.effect is None or use.field != name or not use.mask & bits:
            continue
        sources = [(s, mask & bits) for s, mask in use.effect.copies if mask & bits and s.symbol != name]
        if stage == "victim":
            if owned.owner == reader or requested(requests.get((owned.owner, name), 0), owned) & bits:
                kind = "victim"
                found.append(_Met(_step(kind, owned, item, jumps), _hook(events[number:]), number))
                break
            continue
        kind = "copy" if sources and not (hit.code == "MK102" and owned.owner == writer) else "write"
        if kind == "write" and owned.owner != writer:
            continue
        found.append(_Met(_step(kind, owned, item, jumps), _hook(events[number:]), number))
        if kind == "write" and hit.code == "MK102":
            stage = "victim"
        elif kind == "copy":
            (symbol, shift, _), moved = sources[0]
            name, bits = symbol, moved >> shift if shift >= 0 else moved << -shift
        else:
            break
    found.reverse()
    result = [found[0].step]
    for before, here in pairwise(found):
        # Events are listed last first: how the packet came from the one to the other.
        ways = [text for text, _, _ in reversed(events[here.number + 1 : before.number]) if isinstance(text, Via) or text == LATER]
        if before.hook and here.hook and (before.hook != here.hook or ways):
            result.append(Step("hop", None, text=", ".join((f"{before.hook} to {here.hook}", *dict.fromkeys(ways)))))
        result.append(here.step)
    return tuple(result)


def _hook(events: Iterable[_Event]) -> str:
    """The hook at which the first of some events was met."""
    return next((text for text, owned, _ in events if owned is None and text != LATER and not isinstance(text, Via)), "")


def _step(kind: str, owned: Owned, item: Item | None, jumps: Jumps) -> Step:
    line = item.line if item else owned.use.lines[0] if owned.use.lines else 0
    if item and line not in owned.use.lines:
        line = owned.use.lines[0] if owned.use.lines else 0
    own = (f"{item.others} may hold",) if item and item.others else ()
    return Step(kind, owned, line, assumes=(*own, *jumps.assumed(owned)))
