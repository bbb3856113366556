"""Where the path analysis gave up and widened its answer: MK904."""

from __future__ import annotations

from collections.abc import Iterator

from markreg.checks import Context
from markreg.checks.located import location_at
from markreg.checks.words import listed
from markreg.model import Finding

AFTER = ("sharing",)
_HELP = "what is reported there is the widest answer; see whether the rules are meant as they are"


def check(context: Context, earlier: tuple[Finding, ...]) -> Iterator[Finding]:
    """One finding for each place where chains call each other in circles, one for all walks that were not ended."""
    del earlier
    pairs = sorted({" and ".join(sorted({p.writer, p.reader})) for p in context.paths.collisions if p.proof == "not followed"})
    for path, line in sorted(set(context.paths.gave_up)):
        message = "chains call each other in circles here, which the kernel refuses: what they lead to is not followed"
        yield Finding("MK904", "warning", message, locations=(location_at(context, "reader", path, line),), help=_HELP)
    if pairs:
        message = (
            f"more states than are followed: between {listed(pairs[:3])}{' and others' if len(pairs) > 3 else ''} nothing is confirmed"
        )
        yield Finding("MK904", "warning", message, occurrences=len(pairs), help=_HELP)
