"""Statements about a whole word that others use too: MK201, MK202, MK203."""

from __future__ import annotations

from collections.abc import Iterator

from markreg.checks import Context
from markreg.checks.located import locations
from markreg.checks.severity import limited
from markreg.checks.words import listed
from markreg.model import Finding, Owned, Severity
from markreg.paths.openflow import KINDS, concerned
from markreg.paths.uses import families_meet, whole

AFTER = ("sharing", "lookups")
_SAYS = {
    "MK201": "{owner} writes the whole {field}{others}",
    "MK202": "{owner} compares the whole {field}{others}",
    "MK203": "{owner} copies a whole word into {field}{others}",
}
_HELP = {
    "MK201": "write with a mask that holds your own bits alone: --set-xmark VALUE/MASK",
    "MK202": "compare under a mask that holds your own bits alone: --mark VALUE/MASK, fwmark VALUE/MASK for ip rule",
    "MK203": "save and restore under masks that hold your own bits alone: --nfmask MASK --ctmask MASK",
}

_IN_A_PROGRAM = {
    "MK201": "read the mark, change your own bits and store all of it: mark = (mark & ~MASK) | VALUE",
    "MK202": "compare under a mask that holds your own bits alone: (mark & MASK) == VALUE",
    "MK203": "copy your own bits alone: mark = (mark & ~MASK) | (other & MASK)",
}


def check(context: Context, earlier: tuple[Finding, ...]) -> Iterator[Finding]:
    """One finding for each owner, field and kind; a warning where another owner uses the field in that scope."""
    told = {x.use for f in earlier if f.code.startswith("MK10") and f.severity != "note" for x in f.locations}
    told |= {u for f in earlier if f.code.startswith("MK10") and f.severity != "note" for u in _owners_uses(context, f)}
    groups: dict[tuple[str, str, str, str], list[Owned]] = {}
    for owned in context.node.uses:
        if (code := _code(owned)) and owned.id not in told:
            groups.setdefault((code, owned.owner, owned.use.field, owned.use.scope.netns), []).append(owned)
    for (code, owner, field, _), uses in groups.items():
        others = sorted({o.owner for o in context.node.uses if o.owner != owner and any(_beside(context, o, u) for u in uses)})
        if not others and all(o.use.place.kind in KINDS for o in uses):
            continue  # a flow's whole word is its owner's own: nobody else is in that zone, or on that bridge
        severity: Severity = limited("warning" if others else "note", *uses[:1])
        beside = f", where {listed(others)} use{'s' if len(others) == 1 else ''} bits of it" if others else ""
        message = _SAYS[code].format(owner=owner, field=field, others=beside)
        mask = uses[0].use.mask
        count = sum(max(len(o.use.lines), 1) for o in uses)
        role = "reader" if code == "MK202" else "writer"
        yield Finding(code, severity, message, field, mask, (owner,), locations(context, role, uses), _help(code, uses), count)


def _help(code: str, uses: list[Owned]) -> str:
    """What to do; a program has no options but its source."""
    if all(o.use.place.kind in ("bpf", "socket", "route", "trace") and o.use.place.program for o in uses):
        return _IN_A_PROGRAM[code]
    return _HELP[code]


def _owners_uses(context: Context, finding: Finding) -> set[str]:
    """The uses that a finding speaks of without showing them: those of its owners like one that it shows."""
    shown = {x.use: x for x in finding.locations}
    alike = {(o.owner, o.use.clause) for o in context.node.uses if o.id in shown}
    return {o.id for o in context.node.uses if (o.owner, o.use.clause) in alike}


def _code(owned: Owned) -> str | None:
    use = owned.use
    if not whole(use) or use.possible or use.basis != "observed":
        return None
    if use.effect is None:
        return "MK202" if use.predicate and not use.predicate.always() else None
    return "MK203" if use.access == "copy" else "MK201"


def _beside(context: Context, other: Owned, owned: Owned) -> bool:
    """Whether another owner means bits of the same field in the same scope.

    Beside flows, whether it writes some where a packet or a connection meets both: what a match of its own would see is MK101.
    """
    a, b = other.use, owned.use
    same = a.field == b.field and a.scope.netns == b.scope.netns and families_meet(a.scope.family, b.scope.family)
    if not same or other.owner == owned.owner or whole(a) or a.possible:
        return False
    if not concerned(a, b):
        return True
    return a.effect is not None and (context.paths.meets(other, owned) or context.paths.meets(owned, other))
