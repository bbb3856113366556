"""GitLab's Code Quality report: an array of issues.

GitLab hides all but one of equal fingerprints, so repeated ones are numbered, and it does not show ``check_name``, so the
description begins with the code.
"""

from __future__ import annotations

from collections.abc import Mapping

from markreg.model import Audit
from markreg.report import Options
from markreg.report.json_ import dumped, identified
from markreg.report.parts.forges import NOWHERE, details, first, message, missing, relative, title
from markreg.report.parts.usejson import Json
from markreg.source import Source

NAME = "gitlab"
_LEVELS = {"error": "critical", "warning": "major", "note": "info"}


def render(audit: Audit, options: Options, sources: Mapping[str, Source]) -> str:
    """The array, empty for a clean run; an incomplete run is an issue of its own."""
    issues: list[Json] = []
    if said := missing(audit):
        issues.append(_issue("incomplete", said, "", "major", "incomplete", NOWHERE, 1))
    for identity, finding in identified(audit.findings):
        place = first(finding)
        path, line = (relative(place.path), max(place.line, 1)) if place else (NOWHERE, 1)
        body = "\n\n".join([message(finding), *details(finding)])
        description = f"{title(finding)}: {message(finding)}"
        issues.append(_issue(finding.code, description, body, _LEVELS[finding.severity], identity, path, line))
    return dumped(issues)


def _issue(name: str, description: str, body: str, severity: str, fingerprint: str, path: str, line: int) -> Json:
    issue: dict[str, Json] = {
        "type": "issue",
        "check_name": name,
        "description": description,
        "categories": ["Bug Risk"],
        "severity": severity,
        "fingerprint": fingerprint,
        "location": {"path": path, "lines": {"begin": line}},
    }
    return issue | ({"content": {"body": body}} if body else {})
