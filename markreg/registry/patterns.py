"""What a signature's keys match: globs, ranges of numbers, marks. No regular expression comes from a file: the input is hostile."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from typing import Literal

from markreg.bits import BitsError, full, parse_int, parse_word
from markreg.registry.numbers import Ranges, parse_ranges

_SPECIAL = re.compile(r"[*?\[]")
_SPAN = re.compile(r"(?:0[xX][0-9a-fA-F]+|[0-9]+)\s*-\s*(?:0[xX][0-9a-fA-F]+|[0-9]+)")
_BRACKET = re.compile(r"\[!?\]?[^\]]*\]")
_WIDTH = 128
Marker = Literal["glob", "range", "mark"]


@dataclass(frozen=True, slots=True)
class Pattern:
    """One alternative of a signature's key. ``prefix``: how every match begins; ``literals``: how many characters it fixes.

    ``tail``: what may follow the prefix: nothing, anything, or what ``regex`` says. ``ranges``: numbers that match too.
    """

    text: str
    prefix: str
    literals: int
    tail: Literal["nothing", "anything", "regex"]
    ranges: Ranges | None = None

    @property
    def core(self) -> str:
        """The longest text that every match holds."""
        return max(_SPECIAL.split(_BRACKET.sub("*", self.text)), key=len) if self.ranges is None else ""

    def matches(self, word: str) -> bool:
        """Whether a word matches as a whole (a number by its value)."""
        if self.ranges is not None:
            number = _as_int(word)
            return number is not None and any(low <= number <= high for low, high in self.ranges)
        if not word.startswith(self.prefix):
            return False
        if self.tail == "regex":
            return _regex(self.text).match(word) is not None
        return self.tail == "anything" or word == self.prefix


@lru_cache(maxsize=4096)
def _regex(text: str) -> re.Pattern[str]:
    return re.compile(translate(text))


def _as_int(word: str) -> int | None:
    try:
        return int(word) if word.isascii() and word.isdigit() and len(word) < 40 else parse_int(word)
    except BitsError:
        return None


@lru_cache(maxsize=16384)
def pattern(text: str | int, marker: Marker = "glob") -> Pattern:
    """A pattern as a file writes it. Raises BitsError for a range or mark that is none."""
    word = str(text)
    if marker == "mark":
        word = mark(word)
        return Pattern(word, word, len(word), "nothing")
    if marker == "range" or _SPAN.fullmatch(word):
        ranges = parse_ranges(word)
        exact = len(ranges) == 1 and ranges[0][0] == ranges[0][1]
        return Pattern(word, "", len(word) if exact else 1, "nothing", ranges)
    special = _SPECIAL.search(word)
    if not special:
        return Pattern(word, word, len(word), "nothing")
    prefix = word[: special.start()]
    literals = len(_BRACKET.sub("", word).replace("*", "").replace("?", ""))
    return Pattern(word, prefix, literals, "anything" if word == prefix + "*" else "regex")


def mark(text: str) -> str:
    """``value`` or ``value/mask`` in the one spelling in which marks are compared. Raises BitsError."""
    value, slash, mask = text.partition("/")
    return written(parse_word(value, _WIDTH), parse_word(mask, _WIDTH) if slash else full(32))


def written(value: int, mask: int) -> str:
    """A mark as `mark` spells it."""
    return f"{value:#x}/{mask:#x}"
