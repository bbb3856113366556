"""SARIF 2.1.0 (OASIS): rules with the pages of the codes, results with both places, and the packet's way as a code flow."""

from __future__ import annotations

from collections.abc import Mapping

from markreg import __version__
from markreg.bits import format_mask
from markreg.checks import pages
from markreg.model import Audit, Finding, Location, Owned
from markreg.report import Options
from markreg.report.json_ import dumped, identified
from markreg.report.parts.forges import details, message, missing, uri
from markreg.report.parts.snippet import sentence
from markreg.report.parts.usejson import Json, excerpt
from markreg.report.parts.words import part
from markreg.source import Source

NAME = "sarif"
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def render(audit: Audit, options: Options, sources: Mapping[str, Source]) -> str:
    """One run. ``partialFingerprints`` stay when lines move; equal faults are numbered apart."""
    codes = sorted({finding.code for finding in audit.findings})
    uses = {owned.id: owned for owned in audit.node.uses}
    results: list[Json] = [_result(finding, identity, codes, uses, sources) for identity, finding in identified(audit.findings)]
    notices: list[Json] = [{"level": "warning", "message": {"text": said}}] if (said := missing(audit)) else []
    invocation: dict[str, Json] = {"executionSuccessful": True, "toolExecutionNotifications": notices}
    driver: dict[str, Json] = {"name": "markreg", "version": __version__, "rules": [_rule(c) for c in codes]}
    run: dict[str, Json] = {
        "tool": {"driver": driver},
        "invocations": [invocation],
        "columnKind": "unicodeCodePoints",
        "results": results,
        "properties": {"complete": audit.complete},
    }
    return dumped({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]})


def _rule(code: str) -> Json:
    page = pages.page(code)
    summary = next((line for line in page.split("\n")[1:] if line.strip()), pages.name(code))
    return {
        "id": code,
        "name": "".join(word.capitalize() for word in pages.name(code).split("-")),
        "shortDescription": {"text": summary},
        "help": {"text": page or pages.name(code), "markdown": page or pages.name(code)},
    }


def _result(finding: Finding, identity: str, codes: list[str], uses: Mapping[str, Owned], sources: Mapping[str, Source]) -> Json:
    said = [message(finding), *details(finding)]
    result: dict[str, Json] = {
        "ruleId": finding.code,
        "ruleIndex": codes.index(finding.code),
        "level": finding.severity,
        "message": {"text": "\n".join(said)},
        "locations": [_location(place) for place in finding.locations[:1]],
        "partialFingerprints": {"markreg/v1": identity},
        "properties": {
            "field": finding.field or None,
            "mask": format_mask(finding.mask) if finding.field else None,
            "owners": list(finding.owners),
            "occurrences": finding.occurrences,
        },
    }
    if finding.locations[1:]:
        result["relatedLocations"] = [_location(place, number) for number, place in enumerate(finding.locations[1:], 1)]
    if finding.path:
        steps: list[Json] = [_step(step, uses, sources) for step in finding.path]
        result["codeFlows"] = [{"threadFlows": [{"locations": steps}]}]
    return result


def _location(place: Location, identity: int = 0) -> Json:
    physical: dict[str, Json] = {"artifactLocation": {"uri": uri(place.path)}}
    if place.line > 0:
        text = excerpt(place.text, place.column, place.end_column)
        region: dict[str, Json] = {"startLine": place.line, "snippet": {"text": text}}
        if place.column > 0:
            region |= {"startColumn": place.column, "endColumn": max(place.end_column, place.column)}
        physical["region"] = region
    located: dict[str, Json] = {"physicalLocation": physical}
    if said := sentence(part(place)):
        located["message"] = {"text": said}
    return located | ({"id": identity} if identity else {})


def _step(step: Mapping[str, object], uses: Mapping[str, Owned], sources: Mapping[str, Source]) -> Json:
    """A step of the path: where its statement stands if it is one, and the place's name."""
    words = f"{step.get('step', '')}: {step.get('place', '')}"
    assumed = step.get("assumes")
    if isinstance(assumed, list | tuple) and assumed:
        words += f" (assumes {', '.join(map(str, assumed))})"
    location: dict[str, Json] = {"message": {"text": sentence(words)}}
    owned = uses.get(str(step.get("use", "")))
    source = sources.get(owned.use.path) if owned else None
    if owned and owned.use.lines and source:
        line = owned.use.lines[0]
        column, end = source.locate(line, owned.use.clause)
        place = Location("", "", "", owned.use.path, line, column, end, source.line(line))
        found = _location(place)
        if isinstance(found, dict):
            location = {**found, **location}
    return {"location": location}
