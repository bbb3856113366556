"""Two owners' lookups that one and the same mark satisfies: MK105."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations

from markreg.bits import format_mask
from markreg.checks import Context
from markreg.checks.located import locations
from markreg.checks.severity import limited
from markreg.model import Finding, Owned, Rule, Severity
from markreg.paths.selectors import FINAL, Order, apart
from markreg.paths.uses import families_meet
from markreg.registry.agreements import Side, agreed


@dataclass(frozen=True, slots=True)
class _Lookup:
    """Rules that select the same packets and lead to the same place: the first of them, and how many there are."""

    rule: Rule
    owned: Owned
    count: list[None]


@dataclass(slots=True)
class _Pairs:
    """The pairs of two owners."""

    mask: int = 0
    count: int = 0
    found: list[tuple[_Lookup, _Lookup]] = field(default_factory=list)


def check(context: Context, earlier: tuple[Finding, ...]) -> Iterator[Finding]:
    """A finding for each pair of rules of different owners that one mark selects and that lead elsewhere."""
    del earlier
    # In a repository rules stand as they are written, not as they are asked.
    order = Order(() if context.node.repository else context.node.rules)
    pairs: dict[tuple[str, str, bool], _Pairs] = {}
    for a, b in _rivals(_lookups(context)):
        mask, value = _common(a.owned, b.owned), _value(a.owned) | _value(b.owned)
        known = a.owned.use.mask | b.owned.use.mask
        if not mask or apart(a.rule, b.rule):
            continue
        if not (order.reached(a.rule, value, known, b.rule) and order.reached(b.rule, value, known, a.rule)):
            continue
        if not agreed(context.registry, Side(a.owned.owner, "read"), Side(b.owned.owner, "read"), "skb_mark", mask):
            pair = pairs.setdefault((a.owned.owner, b.owned.owner, _final(a.rule) or _final(b.rule)), _Pairs())
            pair.mask |= mask
            pair.count += len(a.count) * len(b.count)
            pair.found.append((a, b))
    for (one, other, final), pair in pairs.items():
        yield _finding(context, (one, other), final, pair)
