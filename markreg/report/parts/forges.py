"""What the formats of code forges share: a path as they take it, one message, and what an incomplete run has to say."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from urllib.parse import quote

from markreg.checks import pages
from markreg.model import Audit, Finding, Location
from markreg.report.parts.snippet import safe, sentence
from markreg.report.parts.words import bits_of, incomplete, part, where

NOWHERE = "markreg"


def relative(path: str) -> str:
    """A path as forges join it with a change: below the current folder, with slashes; others stay what they are."""
    return safe(_below_here(path))


def _below_here(path: str) -> str:
    pure = PurePosixPath(path)
    if pure.is_absolute():
        here = PurePosixPath(Path.cwd().as_posix())
        return str(pure.relative_to(here)) if pure.is_relative_to(here) else path
    return str(pure) if path else NOWHERE


def uri(path: str) -> str:
    """A path as a URI reference; ``file:`` only for absolute ones outside the current folder."""
    found = _below_here(path)
    escaped = quote(found.encode("utf-8", "surrogateescape"), safe="/")
    return f"file://{escaped}" if found.startswith("/") else escaped


def title(finding: Finding) -> str:
    """``MK101 steered-match``."""
    return f"{finding.code} {pages.name(finding.code)}"


def message(finding: Finding) -> str:
    """What is wrong, in which bits, one line."""
    bits = bits_of(finding)
    return sentence(f"{finding.message} [{bits}]" if bits and finding.mask else finding.message)


def details(finding: Finding) -> list[str]:
    """Every place with the part it plays, then the help; a line each."""
    said = [sentence(f"{where(place)}: {part(place)}" if part(place) else where(place)) for place in finding.locations]
    return [*said, *([f"help: {sentence(finding.help)}"] if finding.help else [])]


def first(finding: Finding) -> Location | None:
    """The place that a finding is shown at."""
    return finding.locations[0] if finding.locations else None


def missing(audit: Audit) -> str:
    """What an incomplete run says of itself; empty for a complete one."""
    return sentence(incomplete(audit))
