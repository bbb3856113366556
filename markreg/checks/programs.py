"""What BPF programs tell of themselves: stores that the kernel refuses (MK207), analyses that were given up (MK904)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from markreg.checks import Context
from markreg.model import SKB_MARK, Finding, Location

if TYPE_CHECKING:
    from markreg.programs import BpfProgram

_WORD = 4
_MOST = 3


def check(context: Context, earlier: tuple[Finding, ...]) -> Iterator[Finding]:
    """One finding for each program and code."""
    del earlier
    owners = {(o.use.path, o.use.place.object, o.use.place.program): o.owner for o in context.node.uses if o.use.place.program}
    for program in context.node.programs:
        place = program.place
        owner = owners.get((program.path, place.object, place.program), "")
        narrow = [s for s in program.sites if s.field == SKB_MARK.name and s.size < _WORD]
        if narrow:
            mask = 0
            for site in narrow:
                mask |= site.mask
            size = min(s.size for s in narrow)
            message = f"{place.program} stores {size} byte{'s' * (size > 1)} of {SKB_MARK.name}: the kernel's verifier refuses the program"
            places = tuple(_location(program, owner, s.clause) for s in narrow[:_MOST])
            help_ = "write the whole word: read it as volatile, change the bits and store all four bytes"
            yield Finding("MK207", "note", message, SKB_MARK.name, mask, (owner,) if owner else (), places, help_, len(narrow))
        for limit in program.limits:
            message = f"the analysis of {place.text} was given up ({limit}): its whole mark counts as read and written"
            yield Finding("MK904", "warning", message, locations=(_location(program, owner, ""),), help="look at the program's source")


def _location(program: BpfProgram, owner: str, clause: str) -> Location:
    return Location("writer", owner, program.place.text, program.path, 0, 1, len(clause) + 1, clause)
