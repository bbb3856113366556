"""``--baseline``: findings that were there before, by fingerprint. A baseline only shrinks: ``--write-baseline`` takes out what is gone.

The file is JSON, one finding a line, sorted, so that a change to it reads well in a review. How often a fault was there counts: one more
of the same is reported.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markreg.bits import format_mask
from markreg.model import Finding, Location

CODE = "MK308"
SCHEMA = "markreg.baseline/1"
# What says that something is wrong with the run or its rules stays visible.
_NEVER = frozenset({"MK307", CODE, "MK902"})
_HELP = "markreg audit --baseline FILE --write-baseline takes out what is gone"
_KEYS = {"fingerprint": str, "code": str, "count": int}


class BaselineError(Exception):
    """The text is no baseline; the message says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A finding that is known: its fingerprint and code, how often it was there, and its line in the file."""

    fingerprint: str
    code: str
    count: int
    line: int
    text: str


def load(text: str) -> tuple[Entry, ...]:
    """The entries of a baseline; raises BaselineError."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BaselineError(f"no JSON: {error}") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA or not isinstance(document.get("findings"), list):
        raise BaselineError(f"no {SCHEMA}")
    return tuple(_entries(document["findings"], text.split("\n")))


def _entries(found: list[object], lines: Sequence[str]) -> Iterator[Entry]:
    at: dict[str, int] = {}
    for number, text in enumerate(lines, 1):
        for word in text.split('"'):
            at.setdefault(word, number)
    for item in found:
        if not isinstance(item, dict) or any(not isinstance(item.get(key), kind) for key, kind in _KEYS.items()):
            raise BaselineError(f"an entry without {', '.join(_KEYS)}")
        where = at.get(item["fingerprint"], 1)
        yield Entry(item["fingerprint"], item["code"], item["count"], where, lines[where - 1])


def apply(findings: Sequence[Finding], entries: Sequence[Entry], path: str) -> tuple[Finding, ...]:
    """The findings that are new, and MK308 for every entry that is (or of which some are) gone."""
    known = {e.fingerprint: e for e in entries}
    there: Counter[str] = Counter(f.fingerprint for f in findings if _may_hide(f))
    left = Counter({e.fingerprint: e.count for e in entries})
    new = []
    for finding in findings:
        if _may_hide(finding) and left[finding.fingerprint] > 0:
            left[finding.fingerprint] -= 1
        else:
            new.append(finding)
    stale = (e for e in known.values() if there[e.fingerprint] < e.count)
    return (*new, *(_stale(entry, there[entry.fingerprint], path) for entry in stale))


def _may_hide(finding: Finding) -> bool:
    return finding.code not in _NEVER


def _stale(entry: Entry, there: int, path: str) -> Finding:
    gone = "matched nothing" if not there else f"was there {entry.count} times and is there {there} times now"
    column = entry.text.find(entry.fingerprint) + 1
    place = Location("reader", "", "baseline", path, entry.line, column, column + len(entry.fingerprint), entry.text)
    return Finding(
        CODE, "warning", f"the baseline's {entry.code} {gone}", locations=(place,), help=_HELP, fingerprint=f"baseline-{entry.fingerprint}"
    )


def dump(findings: Sequence[Finding], before: Sequence[Entry] | None = None) -> str:
    """The text of a baseline of these findings; with ``before``, only what was in that one is kept, at most as often."""
    count: Counter[str] = Counter(f.fingerprint for f in findings if _may_hide(f))
    if before is not None:
        most = {e.fingerprint: e.count for e in before}
        count = Counter({key: min(number, most[key]) for key, number in count.items() if key in most})
    one = {f.fingerprint: f for f in reversed(findings)}
    rows = sorted((one[key].code, one[key].field, -one[key].mask, one[key].owners, key) for key in count)
    lines = [json.dumps(_row(one[key], count[key])) for *_, key in rows]
    return "\n".join(["{", f'"schema": "{SCHEMA}",', '"findings": [', *(",\n".join(lines).split("\n") if lines else []), "]", "}", ""])


def _row(finding: Finding, count: int) -> dict[str, object]:
    about = {"field": finding.field, "mask": format_mask(finding.mask)} if finding.field else {}
    return {"code": finding.code, "fingerprint": finding.fingerprint, "count": count, **about, "owners": list(finding.owners)}
