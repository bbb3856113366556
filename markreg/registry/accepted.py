"""Findings that a registry file accepts, and accepted entries that hide nothing (MK308)."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime

from markreg.bits import parse_bits
from markreg.model import Finding, Location
from markreg.registry import positions
from markreg.registry.model import Accepted, Registry

CODE = "MK308"


def today() -> date:
    """The day that counts: SOURCE_DATE_EPOCH where set and a number, else today (UTC)."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if epoch.isascii() and epoch.isdigit() and len(epoch) <= 11:
        return datetime.fromtimestamp(int(epoch), UTC).date()
    return datetime.now(UTC).date()


def apply(
    findings: Sequence[Finding], registry: Registry, judged: Collection[str] | None = None, day: date | None = None
) -> tuple[Finding, ...]:
    """The findings that nothing hides, then MK308 for every accepted entry that has expired or matched nothing.

    ``judged``: the codes that this run could have found (None: all); an entry for another code is not stale for matching nothing.
    """
    day = day or today()
    kept = [f for f in findings if not any(_live(a, day) and _matches(registry, a, f) for a in registry.accepted)]
    for entry in registry.accepted:
        if not _live(entry, day):
            kept.append(_stale(entry, f"expired on {entry.until}"))
        elif (judged is None or entry.code in judged) and not any(_matches(registry, entry, f) for f in findings):
            kept.append(_stale(entry, "matched nothing"))
    return tuple(kept)


def _live(entry: Accepted, day: date) -> bool:
    return entry.until is None or day < entry.until


def _matches(registry: Registry, entry: Accepted, finding: Finding) -> bool:
    """Every owner of the entry takes part in the finding (a component's name stands for all its reservations), and no bit is new."""
    parts = {
        name for owner in finding.owners for name in (owner, owner.partition("/")[0] if not owner.startswith("unattributed:") else owner)
    }
    if entry.code != finding.code or entry.field not in (None, finding.field) or not parts.issuperset(entry.owners):
        return False
    return entry.field is None or entry.bits is None or not finding.mask & ~parse_bits(entry.bits, registry.fields[entry.field].width)


def _stale(entry: Accepted, why: str) -> Finding:
    found = positions.of_file(entry.origin.path)
    line, column, end = found.find(entry.origin.keys)
    location = Location("writer", "", "registry", entry.origin.path, line, column, end, found.line(line))
    owners = f" of {', '.join(entry.owners)}" if entry.owners else ""
    message = f"the accepted {entry.code}{owners} {why}"
    return Finding(CODE, "warning", message, entry.field or "", 0, entry.owners, (location,), "remove the entry, or renew its date")
