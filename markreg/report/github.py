"""Workflow commands of GitHub Actions: an annotation a finding, at its first place.

The start line only: an end behind the last line of a file loses the annotation.
"""

from __future__ import annotations

from collections.abc import Mapping

from markreg.model import Audit, Finding
from markreg.report import Options
from markreg.report.parts.forges import details, first, message, missing, relative, title
from markreg.source import Source

NAME = "github"
_LEVELS = {"error": "error", "warning": "warning", "note": "notice"}


def render(audit: Audit, options: Options, sources: Mapping[str, Source]) -> str:
    """A command a finding; a warning without a place when the run is incomplete."""
    lines = [_command("warning", {"title": "markreg"}, said)] if (said := missing(audit)) else []
    lines += [_annotation(finding) for finding in audit.findings]
    return "".join(line + "\n" for line in lines)


def _annotation(finding: Finding) -> str:
    keys: dict[str, object] = {}
    if (place := first(finding)) and place.path:
        keys["file"] = relative(place.path)
        if place.line:
            keys |= {"line": place.line, "col": max(place.column, 1)}
    keys["title"] = title(finding)
    return _command(_LEVELS[finding.severity], keys, "\n".join([message(finding), *details(finding)]))


def _command(level: str, keys: Mapping[str, object], text: str) -> str:
    return f"::{level} {','.join(f'{key}={_value(str(value))}' for key, value in keys.items())}::{_data(text)}"


def _data(text: str) -> str:
    printable = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return printable.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _value(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
