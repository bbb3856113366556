"""Terminals: colour, width, and lines wrapped to it."""

from __future__ import annotations

from collections.abc import Mapping
from shutil import get_terminal_size
from typing import Literal, TextIO

from markreg.report import Options
from markreg.report.parts.snippet import columns

_NARROWEST, _WIDEST, _DEFAULT = 60, 120, 80
_CODES = {"error": "1;31", "warning": "1;33", "note": "1;36", "bold": "1", "dim": "2", "help": "1;32", "contested": "1;31"}


def detect(
    stream: TextIO, color: Literal["auto", "always", "never"], environ: Mapping[str, str], quiet: bool = False, verbose: bool = False
) -> Options:
    """What a stream can show: colour by ``color``, then ``NO_COLOR`` and ``TERM``; Unicode by its encoding; a terminal's width, else 80."""
    terminal = stream.isatty()
    wanted = terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    unicode = (stream.encoding or "ascii").lower().replace("-", "").replace("_", "").startswith("utf")
    width = min(max(get_terminal_size((_DEFAULT, 24)).columns, _NARROWEST), _WIDEST) if terminal else _DEFAULT
    return Options(color == "always" or (color == "auto" and wanted), unicode, width, quiet, verbose)


def paint(text: str, style: str, options: Options) -> str:
    """A text in a style, or as it is where there is no colour."""
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if options.color and style in _CODES and text else text


def wrap(text: str, width: int, first: str = "", rest: str = "") -> list[str]:
    """A safe text in lines of at most ``width`` columns, after the prefixes ``first`` and ``rest``.

    Words are never broken; one that does not fit behind the prefix ``rest`` loses blanks of the prefix first.
    """
    lines: list[str] = []
    line, used, empty = first, columns(first), True
    for word in text.split(" "):
        size = columns(word)
        if used + (not empty) + size <= width:
            line, used, empty = (line + word, used + size, False) if empty else (f"{line} {word}", used + 1 + size, False)
            continue
        if not empty or line.strip():
            lines.append(line.rstrip())
            line = rest
        excess = columns(line) + size - width
        if excess > 0:
            kept = line.rstrip(" ")
            line = line[: max(len(line) - excess, len(kept))]
        line, used, empty = line + word, columns(line) + size, False
    return [*lines, line.rstrip()]
