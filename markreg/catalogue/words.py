"""What the pages share: words made safe for Markdown, rows of tables, bits as a ruler."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial, reduce
from operator import or_

from markreg.registry.effective import Effective
from markreg.report.parts import ruler
from markreg.report.parts.marksafe import code

LEGEND = (
    "`W` writes, `R` reads, `B` both; capitals: as shipped, with default settings in the newest layout; small letters: only with other "
    "settings or in older releases; `*` only as part of the whole field"
)


def cell(text: str) -> str:
    """A sentence of the registry in a table's cell. It is our own text: only what would break the table is changed."""
    return " ".join(text.split()).replace("|", "\\|")


def table(titles: Sequence[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """A table, nothing without rows."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [f"| {' | '.join(titles)} |", f"|{' --- |' * len(titles)}", *lines, ""] if lines else []


def codes(words: Iterable[str]) -> str:
    """Words as code spans, for a cell."""
    return ", ".join(code(word, cell=True) for word in words)


def picture(rows: Sequence[tuple[str, Sequence[Effective]]], width: int) -> list[str]:
    """Who has which bits: one line a name for each word of the field, as a code block."""
    mask = reduce(or_, (row.mask for _, own in rows for row in own), 0)
    indent = max((len(name) for name, _ in rows), default=0)
    lines: list[str] = []
    for low in ruler.words(mask, width):
        word = (1 << min(width, ruler.WORD)) - 1 << low
        lines += [""] if lines else []
        lines.append(f"{'':{indent}}  {ruler.header(low)}")
        for name, own in rows:
            if any(row.mask & word for row in own):
                lines.append(f"{name:{indent}}  {ruler.row(low, partial(sign, own, (1 << width) - 1))}".rstrip())
    return ["```text", *lines, "```", ""] if lines else []


def sign(rows: Sequence[Effective], everything: int, bit: int) -> str:
    """What a component does with a bit."""
    own = [row for row in rows if row.mask & bit]
    if not own:
        return ruler.EMPTY
    named = [row for row in own if row.mask != everything]
    if not named:
        return "*"
    live = [row for row in named if row.in_force]
    told = live or named
    reads, writes = any(row.reservation.reads for row in told), any(row.reservation.changes for row in told)
    letter = "B" if reads and writes else "W" if writes else "R"
    return letter if live else letter.lower()
