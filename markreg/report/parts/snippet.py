"""Text of inputs made safe to print, and the window of a long line that shows a clause.

Inputs come from strangers: a comment in a dump may hold escape sequences, bidirectional controls that reorder what a reviewer
sees, or characters nobody sees. They are printed as escapes: bytes that are not UTF-8 and C0 controls as ``\\xNN``, the rest as
``\\uNNNN`` or ``\\UNNNNNNNN``.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from unicodedata import category, east_asian_width

_TAB = 4
_MOST = 4096
# Controls, formats, surrogates, private, unassigned, separators of lines: what acts, is invisible or has no known width.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Invisible although they are letters, marks or symbols: fillers, joiners, variation selectors.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {
    chr(c) for r in (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0)) for c in r
}
_PLAIN = {
    "…": "...",
    "–": "-",
    "—": "-",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "→": "->",
    "←": "<-",
    "≥": ">=",
    "≤": "<=",
    "·": "-",
    "×": "x",
}


@lru_cache(maxsize=_MOST)
def safe_char(char: str, unicode: bool = True) -> str:
    """One character as it is printed: itself, or an escape."""
    if " " <= char <= "~":
        return char
    code = ord(char)
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if category(char) not in _UNSAFE and char not in _INVISIBLE:
        if unicode:
            return char
        if char in _PLAIN:
            return _PLAIN[char]
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def safe(text: str, unicode: bool = True) -> str:
    """A text on one line without anything that a terminal or a reader's eye would act upon; only ASCII unless ``unicode``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(safe_char(char, unicode) for char in text)


def sentence(text: str, unicode: bool = True) -> str:
    """Prose on one line: white space collapsed, the rest made safe."""
    return safe(" ".join(text.split()), unicode)


def columns(text: str) -> int:
    """How many terminal columns a safe text takes."""
    return len(text) if text.isascii() else sum(map(_char_columns, text))


@lru_cache(maxsize=_MOST)
def _char_columns(char: str) -> int:
    if category(char) in ("Mn", "Me"):
        return 0
    return 2 if east_asian_width(char) in "WF" else 1


@dataclass(frozen=True, slots=True)
class Window:
    """A line, or the part of it around a clause: what to print, and where the carets go (columns from 0)."""

    text: str
    offset: int
    length: int


def window(line: str, column: int, end_column: int, room: int, unicode: bool = True) -> Window:
    """The part of ``line`` that fits into ``room`` columns (at least 20) and shows the characters ``column`` to ``end_column`` (from 1)."""
    room = max(room, 20)
    first = min(max(column, 1) - 1, len(line))
    last = min(max(end_column - 1, first), len(line))
    if first == len(line):
        room -= 1  # the caret stands behind the text
    low = max(0, first - 4 * room)
    high = min(len(line), min(last, first + 4 * room) + 4 * room)
    shown, starts = _cells(line[low:high], unicode)
    start, end = starts[first - low], starts[min(last, high) - low]
    dots = "…" if unicode else "..."
    left, right = (dots if low else ""), (dots if high < len(line) else "")
    begin, stop = 0, len(shown)
    if left or right or starts[-1] > room:
        wanted = start - max(room - (end - start) - 2 * len(dots), 0) // 2
        if not right:
            wanted = min(wanted, starts[-1] - room + len(dots))
        begin = bisect_left(starts, wanted) if wanted > 0 else 0
        left = left or (dots if begin else "")
        if right or starts[-1] - starts[begin] > room - len(left):
            right = dots
            stop = bisect_right(starts, starts[begin] + room - len(left) - len(right)) - 1
    text = left + "".join(shown[begin:stop]) + right
    return Window(text.rstrip(), len(left) + start - starts[begin], max(1, min(end, starts[stop]) - start))


def _cells(text: str, unicode: bool) -> tuple[list[str], list[int]]:
    """What each character prints as, and the column where each begins (and where the text ends)."""
    shown: list[str] = []
    at = 0
    widths: list[int] = []
    for char in text:
        cell = " " * (_TAB - at % _TAB) if char == "\t" else safe_char(char, unicode)
        shown.append(cell)
        widths.append(columns(cell))
        at += widths[-1]
    return shown, list(accumulate(widths, initial=0))
