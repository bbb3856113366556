"""A named input: its bytes, its lines, and where in a line a clause stands."""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass, field

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


@dataclass(slots=True)
class Source:
    """The bytes of one input and the name that reports print for it. Bytes that are not UTF-8 are kept as escapes."""

    path: str
    data: bytes
    _starts: array[int] = field(default_factory=lambda: array("q"), repr=False)

    def __post_init__(self) -> None:
        for bom, encoding in _BOMS:
            if self.data.startswith(bom):
                text = self.data[len(bom) :].decode(encoding, "replace")
                self.data = text.encode()

    def text(self) -> str:
        """The whole input as text."""
        return decode(self.data)

    def line(self, number: int) -> str:
        """Line ``number`` (from 1) without its end; empty outside the input."""
        if not self._starts:
            self._starts.append(0)
            self._starts.extend(m.end() for m in re.finditer(b"\n", self.data))
        if not 1 <= number <= len(self._starts):
            return ""
        end = self._starts[number] - 1 if number < len(self._starts) else len(self.data)
        return decode(self.data[self._starts[number - 1] : end]).rstrip("\r")

    def locate(self, number: int, clause: str) -> tuple[int, int]:
        """First and one-past-last column (from 1) of ``clause`` in a line, not inside quotes; the whole line if it is not there."""
        line = self.line(number)
        start = blank_quoted(line).find(clause) if clause else -1
        if start < 0 and clause:
            start = line.find(clause)
        if start < 0:
            return len(line) - len(line.lstrip()) + 1, len(line) + 1
        return start + 1, start + 1 + len(clause)


def decode(data: bytes) -> str:
    """Text of bytes, never failing; undecodable bytes become surrogates, which reports print as escapes."""
    return data.decode("utf-8", "surrogateescape")


def blank_quoted(line: str) -> str:
    """A line of the same length in which quoted strings hold nothing."""
    return _QUOTED.sub(lambda m: '"' + "\0" * (len(m[0]) - 2) + '"', line) if '"' in line else line
