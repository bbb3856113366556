"""One finding for a terminal: its statements with carets, the contested bits on a ruler, the packet's path, help."""

from __future__ import annotations

from collections.abc import Iterator

from markreg.bits import full
from markreg.checks import pages
from markreg.model import Audit, Finding, Location, Use
from markreg.report import Options
from markreg.report.parts import ruler
from markreg.report.parts.ownership import width_of
from markreg.report.parts.snippet import columns, safe, sentence, window
from markreg.report.parts.terminal import paint, wrap
from markreg.report.parts.words import bits_of, part, steps, where


def diagnostic(finding: Finding, audit: Audit, options: Options) -> Iterator[str]:
    """The lines of a finding."""
    label = f"{finding.severity}[{finding.code}]"
    title = f"{label} {pages.name(finding.code)}: {sentence(finding.message, options.unicode)}"
    first, *rest = wrap(title, options.width, rest="  ")
    yield paint(label, finding.severity, options) + paint(first[len(label) :], "bold", options)
    yield from (paint(line, "bold", options) for line in rest)
    gutter = max((len(str(place.line)) for place in finding.locations if place.line), default=1)
    for number, place in enumerate(finding.locations):
        yield from _statement(place, number == 0, gutter, finding.severity, options)
    margin = " " * (gutter + 1)
    if bits := bits_of(finding):
        yield from wrap(safe(bits, options.unicode), options.width, f"{margin}= ", f"{margin}  ")
    if finding.mask:
        yield from _bits(finding, audit, margin)
    for key, text in _details(finding, options):
        lines = wrap(sentence(text, options.unicode), options.width, f"{margin}= {key}: ", f"{margin}    ")
        yield lines[0].replace(f"= {key}:", f"= {paint(f'{key}:', key, options)}", 1)
        yield from lines[1:]


def _details(finding: Finding, options: Options) -> Iterator[tuple[str, str]]:
    way, assumed = steps(finding)
    if way:
        yield "path", way
    for text in assumed:
        yield "assumes", text
    if finding.occurrences > 1:
        yield "occurrences", f"{finding.occurrences}, the first of each kind are shown"
    if options.verbose and finding.fingerprint:
        yield "fingerprint", finding.fingerprint
    if finding.help:
        yield "help", finding.help


def _statement(place: Location, primary: bool, gutter: int, severity: str, options: Options) -> Iterator[str]:
    """Where a statement stands, its text, and under the exact columns what it does."""
    corner, bar = ("┌─" if primary else "├─", "│") if options.unicode else ("-->" if primary else ":::", "|")
    margin = " " * (gutter + 1)
    if at := safe(where(place), options.unicode):
        yield f"{margin}{corner} {at}"  # never wrapped: terminals and editors open it
    said = sentence(part(place), options.unicode)
    if not place.text.strip():
        yield from wrap(said, options.width, f"{margin}{bar} ", f"{margin}{bar}   ") if said else ()
        return
    room = options.width - gutter - 3
    view = window(place.text, place.column, place.end_column, room, options.unicode)
    number = str(place.line) if place.line else ""
    yield f"{number:>{gutter}} {bar} {view.text}".rstrip()
    carets = ("^" if primary else "-") * view.length
    style = severity if primary else "note"
    lead = f"{margin}{bar} {' ' * view.offset}"
    if view.offset + view.length + 1 + columns(said) <= room:
        yield f"{lead}{paint(carets, style, options)} {paint(said, style, options)}".rstrip()
        return
    yield lead + paint(carets, style, options)
    indent = " " * max(0, min(view.offset, room - columns(said)))
    yield from wrap(said, options.width, f"{margin}{bar} {indent}", f"{margin}{bar} ")


def _bits(finding: Finding, audit: Audit, margin: str) -> Iterator[str]:
    """The contested bits among what the statements read and write, word by word."""
    wanted = {place.use for place in finding.locations if place.use}
    uses = [owned.use for owned in audit.node.uses if owned.id in wanted and owned.use.field == finding.field]
    width = width_of(finding.field, audit.node.uses)
    for low in ruler.words(finding.mask, width):
        yield f"{margin}  {ruler.header(low)}"
        said = "contested" if len(set(finding.owners)) > 1 else "the bits meant"
        yield f"{margin}  {ruler.row(low, lambda bit: _sign(bit, finding.mask, uses, width))}   ! {said}"


def _sign(bit: int, contested: int, uses: list[Use], width: int) -> str:
    """``!`` contested; else as in the ownership map."""
    if bit & contested:
        return "!"
    narrow = [use for use in uses if use.mask & bit and use.mask != full(width)]
    touching = narrow or [use for use in uses if use.mask & bit]
    writes, reads = (any((use.access != "read") == writing for use in touching) for writing in (True, False))
    sign = "B" if writes and reads else "W" if writes else "R" if reads else ruler.EMPTY
    return sign if narrow else sign.lower()
