"""The way of a finding: from the write to the read, place by place, with what had to be assumed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from markreg.model import Owned
from markreg.paths.graph import Item
from markreg.paths.requests import Requests, requested
from markreg.paths.trail import LATER, Hit, Trail


@dataclass(frozen=True, slots=True)
class Step:
    """``kind``: ``victim`` (wrote what is lost), ``write``, ``copy``, ``hop`` (``text`` says from where to where) or ``read``.

    ``line`` is that of the rule on the way, 0 where there is none; ``assumes``: conditions of the rule that may hold.
    """

    kind: str
    owned: Owned | None
    line: int = 0
    text: str = ""
    assumes: str = ""


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


def steps(hit: Hit, writer: str, reader: str, requests: Requests) -> tuple[Step, ...]:
    """The steps of a hit, in order. ``requests``: what others set for the reader, and may lose like its own."""
    found: list[tuple[Step, str]] = []
    hooks: list[_Event] = []
    events = list(_events(hit.trail))
    now = next((name for name, owned, _ in events if owned is None), "")
    found.append((_step("read" if hit.reader.use.effect is None else "write", hit.reader, hit.item), now))
    name, bits = hit.reader.use.field, hit.mask
    at = list(_with_hooks(events))
    stage = "write"
    for owned, item, hook in at:
        use = owned.use
        if use.effect is None or use.field != name or not use.mask & bits:
            continue
        sources = [(s, mask & bits) for s, mask in use.effect.copies if mask & bits and s.symbol != name]
        if stage == "victim":
            if owned.owner == reader or requested(requests.get((owned.owner, name), 0), owned) & bits:
                found.append((_step("victim", owned, item), hook))
                break
            continue
        if hit.code == "MK102" and owned.owner == writer:
            found.append((_step("write", owned, item), hook))
            stage = "victim"
        elif sources:
            found.append((_step("copy", owned, item), hook))
            (symbol, shift, _), moved = sources[0]
            name, bits = symbol, moved >> shift if shift >= 0 else moved << -shift
        elif owned.owner == writer:
            found.append((_step("write", owned, item), hook))
            break
    del hooks
    found.reverse()
    result: list[Step] = []
    for number, (step, hook) in enumerate(found):
        if number and hook != (before := found[number - 1][1]) and hook and before:
            result.append(Step("hop", None, text=f"{before} to {hook}"))
        result.append(step)
    return tuple(result)


def _with_hooks(events: list[_Event]) -> Iterator[tuple[Owned, Item | None, str]]:
    """Every act, last first, with the hook at which it was met."""
    for number, (_, owned, item) in enumerate(events):
        if owned is not None:
            hook = next((n for n, o, _ in events[number:] if o is None and n != LATER), "")
            yield owned, item, hook


def _step(kind: str, owned: Owned, item: Item | None) -> Step:
    line = item.line if item else owned.use.lines[0] if owned.use.lines else 0
    if item and line not in owned.use.lines:
        line = owned.use.lines[0] if owned.use.lines else 0
    return Step(kind, owned, line, assumes=f"{item.others} may hold" if item and item.others else "")
