"""One finding's whole way, place by place with its lines, and what was assumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from markreg.checks import pages
from markreg.model import Audit, Finding, Owned
from markreg.report import Options
from markreg.report.parts.snippet import safe, sentence
from markreg.report.parts.terminal import paint, wrap
from markreg.report.parts.words import bits_of, steps
from markreg.source import Source

_CONFIRMED = {
    "shown": "a walk of concrete marks through the rules comes this way as things are",
    "hidden": "a walk comes this way once the other fault of the same two is mended",
    "shielded": "a walk comes this way only without the marks of a third owner, which stand in the way now",
    "presumed": "only with a mark that the registry knows of and no input shows",
    "not followed": "not by a walk: there are more states than it follows, so this is the widest answer",
}


def render(finding: Finding, audit: Audit, options: Options, sources: Mapping[str, Source]) -> str:
    """The text for a terminal. A finding without a way shows its statements."""
    return "".join(f"{line}\n" for line in _lines(finding, {o.id: o for o in audit.node.uses}, options, sources))


def _lines(finding: Finding, uses: Mapping[str, Owned], options: Options, sources: Mapping[str, Source]) -> Iterator[str]:
    label = f"{finding.severity}[{finding.code}]"
    first, *rest = wrap(f"{label} {pages.name(finding.code)}: {sentence(finding.message, options.unicode)}", options.width, rest="  ")
    yield paint(label, finding.severity, options) + paint(first[len(label) :], "bold", options)
    yield from (paint(line, "bold", options) for line in rest)
    if bits := bits_of(finding):
        yield safe(bits, options.unicode)
    yield ""
    for number, step in enumerate(finding.path, 1):
        owned = uses.get(str(step.get("use", "")))
        what = f"{owned.owner}: {step.get('place', '')}" if owned else str(step.get("place", ""))
        yield safe(f"{number:2}. {step.get('step', '')!s:6} {what}", options.unicode)
        line, source = step.get("line"), sources.get(str(step.get("path", "")))
        if isinstance(line, int) and source:
            yield safe(f"    {source.path}:{line}: {source.line(line).strip()}", options.unicode)
    if not finding.path:
        for place in finding.locations:
            yield safe(f"    {place.role} {place.owner}: {place.path}:{place.line}: {place.text.strip()}", options.unicode)
    yield ""
    for text in steps(finding)[1]:
        yield from wrap(f"assumed: {sentence(text, options.unicode)}", options.width, rest="  ")
    confirmed = next((str(s["confirmed"]) for s in reversed(finding.path) if "confirmed" in s), "")
    if confirmed in _CONFIRMED:
        yield from wrap(f"confirmed: {_CONFIRMED[confirmed]}", options.width, rest="  ")
    if finding.help:
        yield from wrap(f"help: {sentence(finding.help, options.unicode)}", options.width, rest="  ")
    yield f"fingerprint: {finding.fingerprint}"
