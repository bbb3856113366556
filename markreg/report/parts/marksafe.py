"""Text made safe inside Markdown that a forge renders: no markup, HTML, mentions or links out of an input.

Words that could mean anything in Markdown are put into code spans, in which forges expand nothing.
"""

from __future__ import annotations

import re
from itertools import groupby

from markreg.report.parts.snippet import safe

_TICKS = re.compile(r"`+")
_PIPE = re.compile(r"(\\*)\|")
_WORD = re.compile(r"\(?[A-Za-z]+(?:['-][A-Za-z]+)*\)?[.,;:!?]?|[0-9]{1,6}[,;:]?")
_CLOSING = re.compile(r"[.,;:!?]$")


def code(text: str, cell: bool = False) -> str:
    """A text as a code span; in a table's cell pipes are escaped."""
    text = text.strip() or " "
    fence = "`" * (max((len(run) for run in _TICKS.findall(text)), default=0) + 1)
    pad = " " if "`" in (text[0], text[-1]) else ""
    # A backslash before an escaped pipe is read differently by different forges: the pipe is then spelled out.
    return fence + pad + (_PIPE.sub(lambda m: f"{m[1]}\\x7c" if m[1] else "\\|", text) if cell else text) + pad + fence


def prose(text: str, unicode: bool, cell: bool = False) -> str:
    """A sentence: plain words as they are, everything else in code spans."""
    spans: list[str] = []
    for plain, words in groupby(text.split(), lambda word: bool(_WORD.fullmatch(word))):
        joined = safe(" ".join(words), unicode)
        closing = _CLOSING.search(joined)
        if plain:
            spans.append(joined)
        elif closing and len(joined) > 1:
            spans.append(code(joined[:-1], cell) + closing[0])
        else:
            spans.append(code(joined, cell))
    return " ".join(spans)


def block(lines: list[str]) -> list[str]:
    """Safe lines as a fenced code block."""
    longest = max((len(run) for line in lines for run in _TICKS.findall(line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [fence + "text", *lines, fence]
