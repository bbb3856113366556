"""One line a finding: ``path:line:col: CODE severity message``."""

from __future__ import annotations

from collections.abc import Mapping

from markreg.model import Audit, Finding
from markreg.report import Options
from markreg.report.parts.snippet import safe, sentence
from markreg.report.parts.terminal import paint
from markreg.report.parts.words import where
from markreg.source import Source

NAME = "concise"


def render(audit: Audit, options: Options, sources: Mapping[str, Source]) -> str:
    """Nothing but the findings; one without a line has its path alone, one without a place ``markreg``."""
    return "".join(_line(finding, options) + "\n" for finding in audit.findings)


def _line(finding: Finding, options: Options) -> str:
    place = safe(where(finding.locations[0]), options.unicode) if finding.locations else ""
    what = paint(f"{finding.code} {finding.severity}", finding.severity, options)
    return f"{place or 'markreg'}: {what} {sentence(finding.message, options.unicode)}".rstrip()
