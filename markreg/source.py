"""A named input: its bytes, its lines, and where in a line a clause stands."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)("?)', re.DOTALL)
_BLOCK = 16384
_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


@dataclass(slots=True)
class Source:
    """The bytes of one input and the name that reports print for it. Bytes that are not UTF-8 are kept as escapes."""

    path: str
    data: bytes
    # How many lines end before each block of the data: counting is a tenth of the cost of noting every line's start.
    _ended: array[int] = field(default_factory=lambda: array("q"), repr=False)
    # Where lines begin in a document that has few of its own.
    _cuts: array[int] = field(default_factory=lambda: array("q"), repr=False)
    # Where statements that take several lines begin and end (bytes), by the line at which they are said to stand.
    _long: dict[int, tuple[int, int]] = field(default_factory=dict, repr=False, compare=False)
    # Number, text and blanked text of the line last asked for: a dump in JSON is one line of megabytes.
    _last: tuple[int, str, str] = field(default=(0, "", ""), repr=False, compare=False)
    # Number and beginning of that line: the next one is mostly near.
    _at: tuple[int, int] = field(default=(0, 0), repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.data.startswith(_UTF8_BOM):
            self.data = self.data[len(_UTF8_BOM) :]
        elif encoding := _UTF16.get(self.data[:2]):
            self.data = self.data[2:].decode(encoding, "replace").encode()

    def text(self) -> str:
        """The whole input as text."""
        return decode(self.data)

    def head(self, size: int = 65536) -> str:
        """The beginning of the input, for finding out what it is."""
        return decode(self.data[:size])

    def cut(self, starts: Iterable[int]) -> None:
        """Says where lines begin (bytes, ascending): the parts of a document that is all one line are told apart by their lines."""
        self._cuts = array("q", starts)
        self._last = (0, "", "")

    def stretch(self, number: int, start: int, end: int) -> None:
        """Says that the statement of a line is more than that line: from byte ``start`` to before ``end``."""
        self._long[number] = start, end

    def statement(self, number: int) -> str:
        """The whole text of the statement of a line: the line, unless it was said to be longer."""
        start, end = self._long.get(number, (0, 0))
        return decode(self.data[start:end]) if end else self.line(number)

    def real(self, number: int, column: int) -> tuple[int, int]:
        """The line and column at which an editor shows what stands in a line of a document that was cut."""
        if not 1 <= number <= len(self._cuts):
            return number, column
        start = self._cuts[number - 1]
        before = self.data.rfind(b"\n", 0, start) + 1
        return self.data.count(b"\n", 0, start) + 1, len(decode(self.data[before:start])) + column

    def line(self, number: int) -> str:
        """Line ``number`` (from 1) without its end; empty outside the input."""
        if self._cuts:
            if not 1 <= number <= len(self._cuts):
                return ""
            end = self._cuts[number] if number < len(self._cuts) else len(self.data)
            return decode(self.data[self._cuts[number - 1] : end]).rstrip(", \r\n")
        if not self._ended:
            ended = 0
            for start in range(0, len(self.data) + 1, _BLOCK):
                self._ended.append(ended)
                ended += self.data.count(b"\n", start, start + _BLOCK)
        if number < 1:
            return ""
        start = 0
        if before := number - 1:
            block = bisect_right(self._ended, before - 1) - 1
            start, left = block * _BLOCK, before - self._ended[block]
            known, at = self._at
            if known and 0 <= number - known <= left:
                start, left = at, number - known
            for _ in range(left):
                start = self.data.find(b"\n", start) + 1
                if not start:
                    return ""
        self._at = (number, start)
        end = self.data.find(b"\n", start)
        return decode(self.data[start : end if end >= 0 else len(self.data)]).rstrip("\r")

    def locate(self, number: int, clause: str) -> tuple[int, int]:
        """First and one-past-last column (from 1) of ``clause`` in a line, not inside quotes; the whole line if it is not there."""
        if self._last[0] != number:
            line = self.line(number)
            self._last = (number, line, blank_quoted(line))
        _, line, blanked = self._last
        start = blanked.find(clause) if clause else -1
        if start < 0 and clause:
            start = line.find(clause)
        if start < 0:
            return len(line) - len(line.lstrip()) + 1, len(line) + 1
        return start + 1, start + 1 + len(clause)


def decode(data: bytes) -> str:
    """Text of bytes, never failing; undecodable bytes become surrogates, which reports print as escapes."""
    return data.decode("utf-8", "surrogateescape")


def blank_quoted(line: str) -> str:
    """A line of the same length in which quoted strings hold nothing; a quote that nobody closes is no string."""
    return _QUOTED.sub(lambda m: '"' + "\0" * len(m[1]) + '"' if m[2] else m[0], line) if '"' in line else line
