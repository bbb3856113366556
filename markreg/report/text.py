"""For terminals: what was read, components, the ownership map, findings with both statements, totals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from markreg.model import Audit, Component
from markreg.report import Options
from markreg.report.parts import ruler
from markreg.report.parts.diagnostic import diagnostic
from markreg.report.parts.ownership import Map, Row, maps
from markreg.report.parts.snippet import columns, safe, sentence
from markreg.report.parts.terminal import paint, wrap
from markreg.report.parts.words import component, incomplete, map_title, plural, totals, what_was_read
from markreg.source import Source

NAME = "text"
_LEGEND = "W writes, R reads, B both; lower case: only by statements about the whole field"
_EVIDENCE = 3
_NAMED = 12


def render(audit: Audit, options: Options, sources: Mapping[str, Source]) -> str:
    """Blocks with a blank line between them; ``quiet`` prints findings and totals only, and nothing for a clean complete audit."""
    blocks = [head(audit, options)]
    if not options.quiet:
        blocks += [_components(audit, options), ownership(audit, options)]
    blocks += [list(diagnostic(finding, audit, options)) for finding in audit.findings]
    if not options.quiet or audit.findings:
        style = next((f.severity for f in audit.findings), "bold") if audit.findings else "bold"
        blocks.append([paint(line, style, options) for line in wrap(totals(audit), options.width)])
    return "".join(line + "\n" for line in joined(blocks))


def joined(blocks: list[list[str]]) -> Iterator[str]:
    """The lines of all blocks, with a blank line between two."""
    filled = [block for block in blocks if block]
    for number, block in enumerate(filled):
        if number:
            yield ""
        yield from block


def head(audit: Audit, options: Options) -> list[str]:
    """What was not understood, if anything; what was read, unless ``quiet``."""
    lines = [paint(line, "warning", options) for line in wrap(incomplete(audit), options.width) if line]
    if options.quiet:
        return lines
    lines += wrap(f"read {what_was_read(audit)}", options.width)
    inputs = audit.node.inputs
    if not options.verbose and inputs and (len(inputs) > 1 or audit.node.skipped):
        names = [safe(entry.path.rpartition("/")[2], options.unicode) for entry in inputs[:_NAMED]]
        more = f" and {len(inputs) - _NAMED} more" if len(inputs) > _NAMED else ""
        lines += wrap(", ".join(names) + more, options.width, "  ", "  ")
    if options.verbose:
        for entry in audit.node.inputs:
            said = f"{entry.path}: {entry.format}, {plural(entry.statements, 'statement')}, {entry.mark_statements} about marks"
            said += f", {entry.not_understood} not understood" if entry.not_understood else ""
            lines += wrap(safe(said, options.unicode), options.width, "  ", "    ")
        lines += wrap(safe(f"registry: {audit.registry_path}", options.unicode), options.width, "  ", "    ")
    return lines


def _components(audit: Audit, options: Options) -> list[str]:
    lines = [paint("components", "bold", options)]
    for found in audit.node.components:
        lines += wrap(sentence(_recognised(found, options), options.unicode), options.width, "  ", "    ")
    return lines if audit.node.components else []


def _recognised(found: Component, options: Options) -> str:
    shown = found.evidence if options.verbose else found.evidence[:_EVIDENCE]
    more = len(found.evidence) - len(shown)
    by = ", ".join(shown) + (f" and {more} more" if more else "")
    return f"{component(found)}: {by}" if by else component(found)


def ownership(audit: Audit, options: Options) -> list[str]:
    """The ownership map of every field and scope, with its legend."""
    lines: list[str] = []
    found = maps(audit.node.uses)
    for entry in found:
        lines += [*_map(entry, options), ""]
    legend = _LEGEND
    if any(entry.contested() for entry in found):
        legend += "; ! shared by owners of whom one writes"
    if any(row.presumed for entry in found for row in entry.rows):
        legend += "; * presumed from the registry, not seen"
    return [*lines, *(paint(line, "dim", options) for line in wrap(legend, options.width))] if found else []


def _map(found: Map, options: Options) -> list[str]:
    names = {row.owner: safe(row.owner, options.unicode) + ("*" if row.presumed else "") for row in found.rows}
    most = options.width - ruler.WIDTH - 4
    longest = max((size for name in names.values() if (size := columns(name)) <= most), default=0)
    indent = max(longest, len("contested"))
    lines = [paint(line, "bold", options) for line in wrap(safe(map_title(found), options.unicode), options.width)]
    contested = found.contested()
    for low in ruler.words(found.mask, found.width):
        lines.append(f"  {'':{indent}}  {ruler.header(low)}")
        for row in found.rows:
            if row.mask >> low & (1 << ruler.WORD) - 1:
                lines += _row(names[row.owner], indent, low, row, options)
        if contested >> low & (1 << ruler.WORD) - 1:
            marks = ruler.row(low, lambda bit: "!" if bit & contested else ruler.EMPTY)
            lines.append(f"  {'contested':{indent}}  {paint(marks, 'contested', options)}")
    return lines


def _row(name: str, indent: int, low: int, row: Row, options: Options) -> list[str]:
    bits = ruler.row(low, row.symbol)
    if columns(name) > indent:
        return [*wrap(name, options.width, "  ", "    "), f"  {'':{indent}}  {bits}"]
    return [f"  {name}{' ' * (indent - columns(name))}  {bits}"]
