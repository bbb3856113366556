"""``markreg: ignore[MK202] reason`` in a comment of a rule, on its line or on the line before: the finding is not reported."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from markreg.checks import pages
from markreg.model import Finding, Location
from markreg.source import Source

CODE = "MK308"
_IGNORE = re.compile(r"markreg:\s*ignore\[([^\]\n]*)\]([^\n\"]*)")
_NEEDLE = b"markreg:"


@dataclass(frozen=True, slots=True)
class _Ignore:
    """A comment that asks for it, and where it stands."""

    path: str
    line: int
    column: int
    end: int
    codes: tuple[str, ...]
    reason: str
    text: str

    def hides(self, finding: Finding) -> bool:
        named = any(finding.code == c or pages.name(finding.code) == c for c in self.codes)
        return named and any(self.at(x) for x in finding.locations)

    def at(self, location: Location) -> bool:
        """Whether a location is on the line of the comment or on the next."""
        return location.path == self.path and location.line in (self.line, self.line + 1)


def apply(findings: Iterable[Finding], sources: Mapping[str, Source]) -> list[Finding]:
    """The findings that no ignore hides, then MK308 for each ignore that hid nothing or gives no reason."""
    ignores = [ignore for source in sources.values() for ignore in _ignores(source)]
    found = list(findings)
    if not ignores:
        return found
    kept = [left for f in found if (left := _left(f, [i for i in ignores if i.reason and i.hides(f)])) is not None]
    for ignore in ignores:
        why = "gives no reason" if not ignore.reason else "" if any(ignore.hides(f) for f in found) else "hides nothing"
        if why:
            place = Location("reader", "", "", ignore.path, ignore.line, ignore.column, ignore.end, ignore.text)
            message = f"markreg: ignore[{', '.join(ignore.codes)}] {why}"
            kept.append(Finding(CODE, "warning", message, locations=(place,), help="markreg: ignore[CODE] REASON, or take it out"))
    return kept


def _left(finding: Finding, ignores: list[_Ignore]) -> Finding | None:
    """What is left of a finding: nothing if it is about how statements act on each other, else the statements elsewhere."""
    if not ignores:
        return finding
    if len(finding.owners) > 1 or len(finding.locations) < 2:
        return None
    rest = tuple(x for x in finding.locations if not any(i.at(x) for i in ignores))
    gone = len(finding.locations) - len(rest)
    return replace(finding, locations=rest, occurrences=max(finding.occurrences - gone, len(rest))) if rest else None


def _ignores(source: Source) -> Iterable[_Ignore]:
    at = source.data.find(_NEEDLE)
    line, counted = 1, 0
    while at >= 0:
        line += source.data.count(b"\n", counted, at)
        counted = at
        text = source.line(line)
        start = at - source.data.rfind(b"\n", 0, at) - 1
        if match := _IGNORE.search(text, min(start, len(text))) or _IGNORE.search(text):
            codes = tuple(c.strip() for c in match[1].split(",") if c.strip())
            yield _Ignore(source.path, line, match.start() + 1, match.end() + 1, codes, match[2].strip(" */-"), text)
        at = source.data.find(_NEEDLE, source.data.find(b"\n", at) if b"\n" in source.data[at:] else len(source.data))
