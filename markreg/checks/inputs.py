"""What was not understood and what is broken: MK901, MK902, MK903. Incomplete is not clean."""

from __future__ import annotations

from collections.abc import Iterator

from markreg.checks import Context
from markreg.checks.located import location_at
from markreg.model import Finding

_SHOWN = 3


def check(context: Context, earlier: tuple[Finding, ...]) -> Iterator[Finding]:
    """One finding for each input and reason."""
    del earlier
    for opaque in context.node.opaque:
        count = len(opaque.lines)
        places = tuple(location_at(context, "reader", opaque.path, line) for line in opaque.lines[:_SHOWN])
        what = "a statement that mentions a mark was" if count == 1 else f"{count} statements that mention a mark were"
        message = f"{what} not understood: {opaque.reason}"
        yield Finding("MK901", "warning", message, locations=places, occurrences=count, help="nothing is known of what these lines do")
    for problem in context.node.problems:
        places = (location_at(context, "reader", problem.path, problem.line),)
        yield Finding("MK902", "error", f"{problem.path}: {problem.message}", locations=places, help="capture it again")
    for unread in context.node.unread:
        yield Finding("MK903", "note", f"{unread.path} could not be read: {unread.message}")
