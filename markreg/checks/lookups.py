"""Two owners' lookups that one and the same mark satisfies: MK105."""

from __future__ import annotations

from collections.abc import Iterator

from markreg.bits import format_mask
from markreg.checks import Context
from markreg.checks.located import locations
from markreg.checks.severity import limited
from markreg.model import Finding, Owned, Rule, Severity
from markreg.paths.uses import families_meet
from markreg.registry.agreements import Side, agreed

# What ends a lookup for good (net/core/fib_rules.c fib4_rule_action); a table may hold no route and lets the next rule look.
_FINAL = ("unreachable", "blackhole", "prohibit", "block")


def check(context: Context, earlier: tuple[Finding, ...]) -> Iterator[Finding]:
    """A finding for each pair of rules of different owners that one mark selects and that lead elsewhere."""
    del earlier
    owners = {id(o.use): o for o in context.node.uses}
    rules = [(r, owners[id(r.use)]) for r in context.node.rules if r.use is not None and id(r.use) in owners]
    pairs: dict[tuple[str, str, bool], list[tuple[Owned, Owned, int]]] = {}
    for number, (first, a) in enumerate(rules):
        for second, b in rules[number + 1 :]:
            if a.owner == b.owner or not _compete(first, second) or not (mask := _common(a, b)):
                continue
            if not agreed(context.registry, Side(a.owner, "read"), Side(b.owner, "read"), "skb_mark", mask):
                final = first.action in _FINAL or second.action in _FINAL
                pairs.setdefault((a.owner, b.owner, final), []).append((a, b, mask))
    for (one, other, final), found in pairs.items():
        yield _finding(context, (one, other), final, found)


def _compete(a: Rule, b: Rule) -> bool:
    """Whether two rules of one kind and scope lead to different places."""
    same = a.kind == b.kind and a.scope.netns == b.scope.netns and families_meet(a.scope.family, b.scope.family)
    return same and (a.action, a.table) != (b.action, b.table)


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


def _finding(context: Context, owners: tuple[str, str], final: bool, found: list[tuple[Owned, Owned, int]]) -> Finding:
    a, b, mask = found[0]
    for *_, more in found:
        mask |= more
    value = _value(a) | _value(b)
    severity: Severity = limited("error" if final else "note", a, b)
    message = f"one mark ({format_mask(value)}) selects {a.use.place.text} of {owners[0]} and {b.use.place.text} of {owners[1]}, "
    message += "which lead elsewhere"
    sides = [list({o.id: o for o in side}.values()) for side in ([x for x, *_ in found], [y for _, y, _ in found])]
    places = (*locations(context, "reader", sides[0]), *locations(context, "reader", sides[1]))
    help_ = f"the lower priority wins; ip route get 192.0.2.1 mark {format_mask(value)} shows which"
    path: tuple[dict[str, object], ...] = tuple({"step": "read", "use": o.id, "place": o.use.place.text} for o in (a, b))
    return Finding("MK105", severity, message, "skb_mark", mask, owners, places, help_, len(found), path)
