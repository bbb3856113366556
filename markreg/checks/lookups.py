"""Two owners' lookups that one and the same mark satisfies: MK105."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import combinations, islice, product

from markreg.bits import format_mask
from markreg.checks import Context
from markreg.checks.located import locations
from markreg.checks.severity import limited
from markreg.model import Finding, Owned, Rule, Severity
from markreg.paths.selectors import FINAL, Order, apart, span
from markreg.paths.uses import families_meet
from markreg.registry.agreements import Side, agreed

# A policy of IPsec always ends its lookup; with `block` the packet goes nowhere.
_ENDS = (*FINAL, "block")
# Of rules that are alike but for addresses, as there may be one for every pod, that many pairs are looked for.
_ENOUGH = 1000


@dataclass(slots=True)
class _Lookup:
    """The first of ``count`` rules that select the same packets and do the same with them."""

    rule: Rule
    owned: Owned
    count: int = 0


@dataclass(slots=True)
class _Pairs:
    """Lookups of two owners that compete for the bits of ``mask``."""

    mask: int = 0
    count: int = 0
    found: list[tuple[_Lookup, _Lookup]] = field(default_factory=list)


def check(context: Context, earlier: tuple[Finding, ...]) -> Iterator[Finding]:
    """A finding for each pair of owners that have rules which one mark selects and that lead elsewhere."""
    del earlier
    # In a repository rules stand in the order in which they are written.
    order = Order(() if context.node.repository else context.node.rules)
    for (one, firsts), (other, seconds) in combinations(_lookups(context).items(), 2):
        pairs: dict[bool, _Pairs] = {}
        for alike, also in product(firsts, seconds):
            a, b = alike[0], also[0]
            mask = _common(a.owned, b.owned) if _asked_together(a.rule, b.rule) else 0
            if not mask or agreed(context.registry, Side(one, "read"), Side(other, "read"), "skb_mark", mask):
                continue
            for x, y in islice(_competing(order, alike, also), _ENOUGH):
                pair = pairs.setdefault(_ends(x.rule) or _ends(y.rule), _Pairs())
                pair.mask |= mask
                pair.count += x.count * y.count
                pair.found.append((x, y))
        for final, pair in pairs.items():
            yield _finding(context, (one, other), final, pair)


def _lookups(context: Context) -> dict[str, list[list[_Lookup]]]:
    """For each owner the rules that select by mark, in the order of their priorities; those that test it alike side by side."""
    owners = {id(o.use): o for o in context.node.uses}
    known: dict[tuple[object, ...], _Lookup] = {}
    alike: dict[tuple[object, ...], list[_Lookup]] = {}
    found: dict[str, list[list[_Lookup]]] = {}
    for rule in sorted(context.node.rules, key=lambda r: (r.priority, r.path, r.line)):
        if rule.use is None or (owned := owners.get(id(rule.use))) is None:
            continue
        test = owned.owner, rule.kind, _asked_in(rule), rule.scope, rule.use.predicate
        lookup = _Lookup(rule, owned)
        if test not in alike:
            found.setdefault(owned.owner, []).append(alike.setdefault(test, []))
        if (first := known.setdefault((*test, rule.path, rule.selectors, rule.action, rule.table), lookup)) is lookup:
            alike[test].append(lookup)
        first.count += 1
    return found


def _competing(order: Order, firsts: list[_Lookup], seconds: list[_Lookup]) -> Iterator[tuple[_Lookup, _Lookup]]:
    """The pairs that can select one packet, lead elsewhere and are both reached."""
    for a, b in _near(firsts, seconds):
        if (a.rule.action, a.rule.table) != (b.rule.action, b.rule.table) and not apart(a.rule, b.rule) and _met(order, a, b):
            yield a, b


def _near(firsts: list[_Lookup], seconds: list[_Lookup]) -> Iterator[tuple[_Lookup, _Lookup]]:
    """Pairs whose addresses may meet: all of them, or where these are many a sweep over the address that most rules ask for."""
    if len(firsts) * len(seconds) <= _ENOUGH:
        yield from product(firsts, seconds)
        return
    asks = Counter(guard.kind for x in (*firsts, *seconds) for guard in x.rule.asks)
    kind = max(("src", "dst"), key=lambda k: asks[k])
    spans = [(*_span(x.rule, kind), side, n, x) for side, half in enumerate((firsts, seconds)) for n, x in enumerate(half)]
    open_: tuple[list[tuple[int, int, _Lookup]], ...] = ([], [])
    for low, high, side, n, x in sorted(spans, key=lambda s: s[:4]):
        others = open_[1 - side]
        while others and others[0][0] < low:
            heappop(others)
        yield from ((y, x) if side else (x, y) for *_, y in others)
        heappush(open_[side], (high, n, x))


def _span(rule: Rule, kind: str) -> tuple[int, int]:
    return next((span(guard) for guard in rule.asks if guard.kind == kind), (0, 1 << 200))


def _asked_together(a: Rule, b: Rule) -> bool:
    """Whether rules of one kind and scope are asked in one lookup."""
    same = a.kind == b.kind and a.scope.netns == b.scope.netns and families_meet(a.scope.family, b.scope.family)
    return same and _asked_in(a) == _asked_in(b) != "state"


def _asked_in(rule: Rule) -> str:
    """In which lookup a rule is asked: that of the direction of an IPsec policy, ``state``, or the one of all routing rules."""
    return rule.action.rpartition(" ")[0] if rule.kind == "xfrm" else ""


def _ends(rule: Rule) -> bool:
    """Whether a packet that a rule selects goes nowhere."""
    return rule.action.rpartition(" ")[2] in _ENDS


def _met(order: Order, a: _Lookup, b: _Lookup) -> bool:
    """Whether earlier rules leave both the packets that they compete for."""
    value, mask = _value(a.owned) | _value(b.owned), a.owned.use.mask | b.owned.use.mask
    return order.reached(a.rule, value, mask, b.rule) and order.reached(b.rule, value, mask, a.rule)


def _value(owned: Owned) -> int:
    predicate = owned.use.predicate
    return predicate.value & predicate.mask if predicate and predicate.value is not None else 0


def _common(a: Owned, b: Owned) -> int:
    """The bits that both examine, if one mark can satisfy both and the common bits are not all 0 for both."""
    p, q = a.use.predicate, b.use.predicate
    if p is None or q is None or p.negated or q.negated or p.value is None or q.value is None:
        return 0
    mask = p.mask & q.mask
    return mask if mask and not (p.value ^ q.value) & mask and p.value & mask else 0


def _finding(context: Context, owners: tuple[str, str], final: bool, pairs: _Pairs) -> Finding:
    a, b = pairs.found[0]
    value = _value(a.owned) | _value(b.owned)
    severity: Severity = limited("error" if final else "note", a.owned, b.owned)
    message = (
        f"one mark ({format_mask(value)}) selects {a.owned.use.place.text} of {owners[0]} and {b.owned.use.place.text} of {owners[1]}, "
    )
    message += "which lead elsewhere"
    sides = [list({p[side].owned.id: p[side].owned for p in pairs.found}.values()) for side in (0, 1)]
    places = (*locations(context, "reader", sides[0]), *locations(context, "reader", sides[1]))
    help_ = f"the lower priority wins; ip route get 192.0.2.1 mark {format_mask(value)} shows which"
    path = tuple(_step(lookup) for lookup in sorted((a, b), key=lambda x: x.rule.priority))
    return Finding("MK105", severity, message, "skb_mark", pairs.mask, owners, places, help_, pairs.count, path)


def _step(lookup: _Lookup) -> dict[str, object]:
    """A step of the witness, with what the rule asks besides the mark."""
    use, rule = lookup.owned.use, lookup.rule
    step: dict[str, object] = {"step": "read", "use": lookup.owned.id, "place": use.place.text, "path": use.path, "line": use.lines[0]}
    return {**step, "assumes": [f"{rule.selectors} may hold"]} if rule.selectors else step
