"""What ``markreg registry check`` prints: the findings of a registry file, like an audit's."""

from __future__ import annotations

from dataclasses import dataclass, replace

from markreg import __version__
from markreg.checks.fingerprint import fingerprint
from markreg.model import Audit, Finding, Location, Node
from markreg.registry.errors import RegistryError
from markreg.registry.model import Registry
from markreg.report import Options
from markreg.report.parts.snippet import safe
from markreg.report.parts.terminal import paint, wrap
from markreg.report.parts.words import counts, plural
from markreg.source import Source

_SCHEMA = "markreg.registry-check/1"


@dataclass(frozen=True, slots=True)
class Checked:
    """A registry file and what is wrong with it; ``registry`` is None where it is invalid."""

    path: str
    registry: Registry | None
    findings: tuple[Finding, ...]


def fingerprints(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """The findings with their fingerprints."""
    return tuple(replace(f, fingerprint=fingerprint(f, {})) for f in findings)


def invalid(error: RegistryError) -> Finding:
    """MK307 at its place."""
    from pathlib import Path

    try:
        text = Source(error.path, Path(error.path).read_bytes()).line(error.line)
    except OSError:
        text = ""
    end = max(len(text.rstrip()) + 1, error.column + 1)
    place = Location("reader", "", "", error.path, error.line, error.column, end, text)
    return fingerprints((Finding(error.code, "error", error.message, locations=(place,)),))[0]


def render(done: Checked, form: str, options: Options) -> str:
    """The findings as text, one a line (``concise``), or as JSON."""
    audit = Audit(Node((), (), ()), done.findings, True, done.path, done.registry.sha256 if done.registry else "")
    if form == "concise":
        from markreg.report import concise

        return concise.render(audit, options, {})
    return _document(done, audit) if form == "json" else _text(done, audit, options)


def _text(done: Checked, audit: Audit, options: Options) -> str:
    from markreg.report.parts.diagnostic import diagnostic
    from markreg.report.text import joined

    blocks = [list(diagnostic(finding, audit, options)) for finding in done.findings]
    said = ", ".join(plural(count, severity) for severity, count in counts(audit).items()) if done.findings else "no findings"
    if not options.quiet or done.findings:
        style = done.findings[0].severity if done.findings else "bold"
        blocks.append([paint(line, style, options) for line in wrap(f"{_what(done, options)}: {said}", options.width)])
    return "".join(line + "\n" for line in joined(blocks))


def _what(done: Checked, options: Options) -> str:
    path = safe(done.path, options.unicode)
    if done.registry is None:
        return path
    components = done.registry.components.values()
    said = f"{plural(len(components), 'component')}, {plural(sum(len(c.reservation) for c in components), 'reservation')}"
    return f"{path} ({done.registry.kind}: {said})"


def _document(done: Checked, audit: Audit) -> str:
    from markreg.report.json_ import dumped, findings_of

    number = counts(audit)
    return dumped(
        {
            "schema": _SCHEMA,
            "version": __version__,
            "valid": done.registry is not None,
            "registry": {"path": done.path, "sha256": done.registry.sha256 if done.registry else None},
            "kind": done.registry.kind if done.registry else None,
            "findings": findings_of(done.findings),
            "summary": {"errors": number["error"], "warnings": number["warning"], "notes": number["note"]},
        }
    )
