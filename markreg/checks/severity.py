"""Severity is evidence: what is known of the owners limits what a finding may be."""

from __future__ import annotations

from markreg.model import Confidence, Owned, Severity
from markreg.paths.uses import whole

_RANK: dict[Confidence, int] = {"low": 0, "medium": 1, "high": 2}


def limited(severity: Severity, *sides: Owned) -> Severity:
    """A severity as far as the owners of a finding's sides allow it.

    A presumed use, a guessed owner and a value that a variable leaves open never make more than a note, an owner known by a shared
    place never more than a warning unless every side is a statement about the whole field.
    """
    if any(o.use.basis == "registry" or o.use.open for o in sides):
        return "note"
    weakest = min(_RANK[o.confidence] for o in sides)
    if weakest == 0:
        return "note"
    if weakest == 1 and severity == "error" and not all(whole(o.use) for o in sides):
        return "warning"
    return severity
