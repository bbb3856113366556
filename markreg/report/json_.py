"""The whole audit for programs: the schema ``markreg.audit/1`` of the public contract."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping

from markreg import __version__
from markreg.bits import format_bits, format_mask
from markreg.checks import pages
from markreg.model import Audit, Component, Finding, Input, Location
from markreg.report import Options
from markreg.report.parts.ownership import Map, maps
from markreg.report.parts.programjson import programs
from markreg.report.parts.usejson import Json, Printer, excerpt, masked
from markreg.report.parts.words import counts
from markreg.source import Source

NAME = "json"
SCHEMA = "markreg.audit/1"


def render(audit: Audit, options: Options, sources: Mapping[str, Source]) -> str:
    """The same bytes for the same audit, ASCII, ending with a newline. Bytes that are no UTF-8 stand as ``\\xNN`` in strings."""
    uses = Printer(sources)
    number = counts(audit)
    document: dict[str, Json] = {
        **preamble(audit, SCHEMA),
        "components": [_component(entry) for entry in audit.node.components],
        "uses": [uses.use(owned) for owned in audit.node.uses],
        "map": ownership(audit),
        "findings": findings_of(audit.findings),
        **programs(audit),
        "summary": {"errors": number["error"], "warnings": number["warning"], "notes": number["note"]},
    }
    return dumped(document)


def preamble(audit: Audit, schema: str) -> dict[str, Json]:
    """What every document begins with."""
    return {
        "schema": schema,
        "version": __version__,
        "complete": audit.complete,
        "registry": {"path": audit.registry_path, "sha256": audit.registry_sha256},
        "inputs": [_input(entry) for entry in audit.node.inputs],
    }


def ownership(audit: Audit) -> Json:
    """The ownership map of every field and scope."""
    return [_map(entry) for entry in maps(audit.node.uses)]


def dumped(document: Json) -> str:
    """A document as text: ASCII, bytes that are no UTF-8 as ``\\xNN``."""
    return json.dumps(_printable(document), indent=2).replace("\x7f", "\\u007f") + "\n"


def _input(entry: Input) -> Json:
    return {
        "path": entry.path,
        "format": entry.format,
        "scope": {"netns": entry.scope.netns, "family": entry.scope.family},
        "statements": entry.statements,
        "mark_statements": entry.mark_statements,
        "not_understood": entry.not_understood,
    }


def _component(entry: Component) -> Json:
    return {
        "name": entry.name,
        "layout": entry.layout,
        "release": entry.release,
        "confidence": entry.confidence,
        "evidence": list(entry.evidence),
    }


def _map(entry: Map) -> Json:
    return {
        "field": entry.field,
        "scope": {"netns": entry.netns, "zone": entry.zone, **({"bridge": entry.bridge} if entry.bridge else {})},
        "bits": [
            {
                "bits": format_bits(run.mask),
                "mask": format_mask(run.mask),
                "owners": list(run.owners),
                "writers": list(run.writers),
                "readers": list(run.readers),
                "reserved_by": list(run.reserved_by),
            }
            for run in entry.runs()
        ],
    }


def identified(findings: tuple[Finding, ...]) -> Iterator[tuple[str, Finding]]:
    """Findings, each with an ``id`` that tells equal fingerprints on one node apart."""
    seen: Counter[str] = Counter()
    for finding in findings:
        seen[finding.fingerprint] += 1
        again = seen[finding.fingerprint]
        yield finding.fingerprint if again == 1 else f"{finding.fingerprint}-{again}", finding


def findings_of(findings: tuple[Finding, ...]) -> list[Json]:
    """Findings as the contract has them."""
    return [_finding(finding, identity) for identity, finding in identified(findings)]


def _finding(finding: Finding, identity: str) -> Json:
    return {
        "code": finding.code,
        "name": pages.name(finding.code),
        "severity": finding.severity,
        "field": finding.field or None,
        "mask": masked(finding.mask if finding.field else None),
        "owners": list(finding.owners),
        "message": finding.message,
        "help": finding.help,
        "occurrences": finding.occurrences,
        "related": list(finding.related),
        "locations": [_location(place) for place in finding.locations],
        "path": [{key: _any(value) for key, value in step.items()} for step in finding.path],
        "fingerprint": finding.fingerprint,
        "id": identity,
    }


def _location(place: Location) -> Json:
    known = place.line > 0
    return {
        "role": place.role,
        "use": place.use or None,
        "owner": place.owner,
        "place": place.place,
        "path": place.path,
        "line": place.line if known else None,
        "column": place.column if known else None,
        "end_column": place.end_column if known else None,
        "text": excerpt(place.text, place.column, place.end_column),
    }


def _any(value: object) -> Json:
    """A value of a path's step, whatever it is, as JSON."""
    if isinstance(value, list | tuple):
        return [_any(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _any(item) for key, item in value.items()}
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _printable(value: Json) -> Json:
    """The same without lone surrogates, which many readers of JSON refuse."""
    if isinstance(value, str):
        return value if value.isascii() else "".join(_character(char) for char in value)
    if isinstance(value, list):
        return [_printable(item) for item in value]
    if isinstance(value, dict):
        return {_key(key): _printable(item) for key, item in value.items()}
    return value


def _key(key: str) -> str:
    return key if key.isascii() else "".join(_character(char) for char in key)


def _character(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if 0xD800 <= code <= 0xDFFF else char
