"""Where the keys and values of a TOML text stand. Needed only when there is something to report, so it may take its time.

The text has been parsed before: this scan follows headers, keys, strings, arrays and inline tables, and judges nothing.
"""

from __future__ import annotations

import bisect
import contextlib
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

Keys = tuple[str | int, ...]
_BLANK = re.compile(r"(?:[ \t\r\n,]|#[^\n]*)+")
_SPACE = re.compile(r"[ \t]*")
_KEY = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|[A-Za-z0-9_-]+')
_STRING = re.compile(r'"""(?:[^\\]|\\.)*?"""+|\'\'\'.*?\'\'\'+|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'', re.DOTALL)
_TOKEN = re.compile(r"\[+[^\]\n]*\]+|[^\s,=\]}]+")
_BARE = re.compile(r"[^,\]}\n#]+")


@dataclass(slots=True)
class Positions:
    """Offsets of every key and value by their path; tables of an array have a number in it: ``("component", 0, "name")``."""

    text: str
    keys: dict[Keys, int] = field(default_factory=dict)
    values: dict[Keys, int] = field(default_factory=dict)
    starts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.starts = [0, *(m.end() for m in re.finditer("\n", self.text))]
        # Deeper than the interpreter's stack: what was found so far has to do.
        with contextlib.suppress(RecursionError):
            _Scan(self).document()

    def find(self, keys: Keys, value: bool = False) -> tuple[int, int, int]:
        """Line, column and end column (from 1) of a key or of its value; of the nearest table around it if it is not there."""
        while keys:
            for place in (self.values, self.keys) if value else (self.keys, self.values):
                if keys in place:
                    return self._at(place[keys])
            keys = keys[:-1]
        return self._at(0)

    def line(self, number: int) -> str:
        """The text of a line."""
        if not 1 <= number <= len(self.starts):
            return ""
        end = self.starts[number] if number < len(self.starts) else len(self.text)
        return self.text[self.starts[number - 1] : end].rstrip("\r\n")

    def _at(self, offset: int) -> tuple[int, int, int]:
        line = bisect.bisect_right(self.starts, offset)
        column = offset - self.starts[line - 1] + 1
        token = _STRING.match(self.text, offset) or _TOKEN.match(self.text, offset)
        end = column + len(token[0].split("\n")[0].rstrip()) if token else column + 1
        return line, column, end


class _Scan:
    def __init__(self, found: Positions) -> None:
        self.found = found
        self.text = found.text
        self.at = 0
        self.counts: dict[Keys, int] = {}

    def document(self) -> None:
        table: Keys = ()
        while self._skip() < len(self.text):
            start = self.at
            if self.text[start] == "[":
                many = self.text.startswith("[[", start)
                self.at += 2 if many else 1
                table = self._open(self._dotted(), many, start)
                self.at = self._after("\n")
            elif not self._pair(table):
                self.at = self._after("\n")

    def _skip(self) -> int:
        if blank := _BLANK.match(self.text, self.at):
            self.at = blank.end()
        return self.at

    def _after(self, mark: str) -> int:
        end = self.text.find(mark, self.at)
        return len(self.text) if end < 0 else end + 1

    def _dotted(self) -> list[tuple[str, int]]:
        """A key with its parts and where each stands."""
        parts: list[tuple[str, int]] = []
        while True:
            self.at = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]
            match = _KEY.match(self.text, self.at)
            if not match:
                return parts
            word = match[0]
            parts.append((word[1:-1] if word[0] in "\"'" else word, self.at))
            self.at = _SPACE.match(self.text, match.end()).end()  # type: ignore[union-attr]
            if not self.text.startswith(".", self.at):
                return parts
            self.at += 1

    def _open(self, parts: list[tuple[str, int]], many: bool, start: int) -> Keys:
        keys: Keys = ()
        for number, (name, _) in enumerate(parts):
            keys = (*keys, name)
            last = number == len(parts) - 1
            if last and many:
                self.counts[keys] = self.counts.get(keys, 0) + 1
            self.found.keys.setdefault(keys, start)
            if keys in self.counts:
                keys = (*keys, self.counts[keys] - 1)
        self.found.keys[keys] = start
        return keys

    def _pair(self, table: Keys) -> bool:
        start = self.at
        parts = self._dotted()
        if not parts or not self.text.startswith("=", self.at):
            self.at = max(self.at, start + 1)
            return False
        self.at = _SPACE.match(self.text, self.at + 1).end()  # type: ignore[union-attr]
        keys = table
        for name, where in parts:
            keys = (*keys, name)
            self.found.keys.setdefault(keys, where)
        self._value(keys)
        return True

    def _value(self, keys: Keys) -> None:
        self.found.values[keys] = self.at
        # TOML nests as deep as the parser lets it; a frame here is smaller than one there.
        opening = self.text[self.at : self.at + 1]
        if opening == "[":
            self.at += 1
            number = 0
            while self._skip() < len(self.text) and self.text[self.at] != "]":
                self._value((*keys, number))
                number += 1
            self.counts[keys] = number
            self.at += 1
        elif opening == "{":
            self.at += 1
            while self._skip() < len(self.text) and self.text[self.at] != "}":
                self._pair(keys)
            self.at += 1
        else:
            match = _STRING.match(self.text, self.at) or _BARE.match(self.text, self.at)
            self.at = match.end() if match else self.at + 1


@lru_cache(maxsize=32)
def of_file(path: str) -> Positions:
    """The positions in a file; nothing is found in one that cannot be read any more."""
    try:
        return Positions(Path(path).read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return Positions("")
