"""What ``markreg registry diff`` prints: in words, as Markdown for a review, as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from markreg import __version__
from markreg.bits import format_mask
from markreg.registry.changes import Change
from markreg.report import Options
from markreg.report.parts.terminal import paint, wrap
from markreg.report.parts.words import plural

_SCHEMA = "markreg.registry-diff/1"


def render(changes: Sequence[Change], form: str, options: Options, names: tuple[str, str]) -> str:
    """The changes; ``names``: what was compared."""
    if form == "json":
        return _document(changes, names)
    return _markdown(changes, names) if form == "markdown" else _text(changes, options, names)


def _summary(changes: Sequence[Change], names: tuple[str, str]) -> str:
    broken = sum(c.breaking for c in changes)
    said = plural(len(changes), "change") if changes else "no change to any bits"
    return f"{names[0]} -> {names[1]}: {said}" + (f", {broken} breaking" if broken else ", none breaking" if changes else "")


def _text(changes: Sequence[Change], options: Options, names: tuple[str, str]) -> str:
    lines: list[str] = []
    for change in changes:
        mark = "BREAKING " if change.breaking else ""
        text = wrap(f"{mark}{change.what}: {change.text}", options.width, "  ")
        lines += [paint(line, "error" if change.breaking else "note", options) for line in text]
    lines += wrap(_summary(changes, names), options.width)
    return "".join(line + "\n" for line in lines)


def _markdown(changes: Sequence[Change], names: tuple[str, str]) -> str:
    lines = [f"**markreg registry diff**: {_cell(_summary(changes, names))}"]
    if changes:
        lines += ["", "| | what | reservation | field | before | after | in words |", "| --- | --- | --- | --- | --- | --- | --- |"]
        for change in changes:
            masks = (format_mask(m) if m else "" for m in (change.before, change.after))
            cells = ("breaking" if change.breaking else "", change.what, f"`{change.path}`", change.field, *masks, change.text)
            lines.append(f"| {' | '.join(_cell(c) for c in cells)} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _document(changes: Sequence[Change], names: tuple[str, str]) -> str:
    document = {
        "schema": _SCHEMA,
        "version": __version__,
        "before": names[0],
        "after": names[1],
        "breaking": any(c.breaking for c in changes),
        "changes": [
            {
                "what": c.what,
                "breaking": c.breaking,
                "reservation": c.path,
                "other": c.other or None,
                "field": c.field,
                "before": format_mask(c.before),
                "after": format_mask(c.after),
                "text": c.text,
            }
            for c in changes
        ],
    }
    return json.dumps(document, indent=2) + "\n"
