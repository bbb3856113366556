"""Matches that can never hold: MK204."""

from __future__ import annotations

from collections.abc import Iterator

from markreg.bits import format_mask
from markreg.checks import Context
from markreg.checks.located import location
from markreg.model import Finding, Severity


def check(context: Context, earlier: tuple[Finding, ...]) -> Iterator[Finding]:
    """A value with bits outside its mask: xt_mark and cls_fw never match it, ip rule ignores those bits (net/core/fib_rules.c)."""
    del earlier
    for owned in context.node.uses:
        predicate = owned.use.predicate
        if predicate is None or predicate.value is None or not (outside := predicate.value & ~predicate.mask):
            continue
        rule = owned.use.place.kind == "rule"
        never = "so it always matches" if predicate.negated else "so it never matches"
        what = "and the kernel ignores the bits beyond" if rule else never
        message = f"{owned.owner} compares with {format_mask(predicate.value)} under {format_mask(predicate.mask)}, {what}"
        help_ = f"take the bits {format_mask(outside)} out of the value or into the mask"
        places = (location(context, "reader", owned),)
        severity: Severity = "note" if rule else "warning"
        yield Finding("MK204", severity, message, owned.use.field, outside, (owned.owner,), places, help_, max(len(owned.use.lines), 1))
