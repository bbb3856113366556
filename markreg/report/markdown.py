"""For comments on changes: summary, components, the map as runs of bits, findings with their statements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from markreg.bits import format_bits, format_mask
from markreg.checks import pages
from markreg.model import Audit, Finding
from markreg.report import Options
from markreg.report.parts.marksafe import block, code, prose
from markreg.report.parts.ownership import Map, maps
from markreg.report.parts.snippet import safe, sentence, window
from markreg.report.parts.words import bits_of, component, incomplete, map_title, part, plural, steps, totals, what_was_read, where
from markreg.source import Source

NAME = "markdown"
_ROOM = 100
_LONGEST = 60_000  # a comment on GitHub has at most 65,536 characters


def render(audit: Audit, options: Options, sources: Mapping[str, Source]) -> str:
    """Sections with headings; findings that would make it too long for a comment are only counted."""
    lines = [f"## markreg: {totals(audit)}", ""]
    if missing := incomplete(audit):
        lines += [f"**{missing}**", ""]
    lines += [f"Read {what_was_read(audit)}.", ""]
    if not options.quiet:
        lines += _components(audit, options)
        for entry in maps(audit.node.uses):
            lines += _map(entry, options)
    size = sum(len(line) + 1 for line in lines)
    if size > _LONGEST // 2:
        lines = [*lines[:2], "Components and map are left out: they would not fit into a comment.", ""]
    if audit.findings:
        lines += ["### Findings", ""]
    size = sum(len(line) + 1 for line in lines)
    for number, finding in enumerate(audit.findings):
        section = _finding(finding, options)
        size += sum(len(line) + 1 for line in section)
        if size > _LONGEST:
            lines += [f"{plural(len(audit.findings) - number, 'more finding')} left out.", ""]
            break
        lines += section
    return "\n".join(lines).rstrip("\n") + "\n"


def _components(audit: Audit, options: Options) -> list[str]:
    rows = [
        (code(sentence(component(found), options.unicode), cell=True), _codes(found.evidence, options)) for found in audit.node.components
    ]
    return _table("### Components", ("Component", "Recognised by"), rows) if rows else []


def _map(entry: Map, options: Options) -> list[str]:
    title = code(safe(map_title(entry), options.unicode))
    rows = [
        (
            format_bits(run.mask),
            code(format_mask(run.mask)),
            _codes(run.writers, options),
            _codes(run.readers, options),
            _codes(run.reserved_by, options),
        )
        for run in entry.runs()
    ]
    return _table(f"### {title}", ("Bits", "Mask", "Written by", "Read by", "Reserved by"), rows)


def _codes(texts: Iterable[str], options: Options) -> str:
    return ", ".join(code(sentence(text, options.unicode), cell=True) for text in texts)


def _table(title: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    lines = [head, tuple("---" for _ in head), *rows]
    return [title, "", *("| " + " | ".join(cells) + " |" for cells in lines), ""]


def _finding(finding: Finding, options: Options) -> list[str]:
    lines = [f"#### {finding.severity} {finding.code} {pages.name(finding.code)}", "", prose(finding.message, options.unicode), ""]
    if bits := bits_of(finding):
        lines += [f"**Bits:** {code(safe(bits, options.unicode))}", ""]
    for place in finding.locations:
        at, said = safe(where(place), options.unicode), sentence(part(place), options.unicode)
        lines += [", ".join(code(text) for text in (said, at) if text), ""]
        if place.text.strip():
            view = window(place.text, place.column, place.end_column, _ROOM, options.unicode)
            lines += [*block([view.text, " " * view.offset + "^" * view.length]), ""]
    way, assumed = steps(finding)
    details = (("Path", code(sentence(way, options.unicode)) if way else ""), ("Assumes", _prose_list(assumed, options)))
    lines += [line for key, text in details if text for line in (f"**{key}:** {text}", "")]
    if finding.occurrences > 1:
        lines += [f"**Occurrences:** {finding.occurrences}", ""]
    if finding.help:
        lines += [f"**Help:** {prose(finding.help, options.unicode)}", ""]
    return lines


def _prose_list(texts: list[str], options: Options) -> str:
    return "; ".join(prose(text, options.unicode) for text in texts)
