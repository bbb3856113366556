"""Bit rulers: a word as 32 columns, most significant bit first, in groups of eight."""

from __future__ import annotations

from collections.abc import Callable

WORD = 32
GROUP = 8
WIDTH = WORD + WORD // GROUP - 1
EMPTY = "."


def header(low: int) -> str:
    """The bit numbers over the word that begins at bit ``low``: of each group the highest and the lowest."""
    groups = range(low + WORD - GROUP, low - 1, -GROUP)
    return " ".join(f"{bit + GROUP - 1}{bit:>{GROUP - len(str(bit + GROUP - 1))}}" for bit in groups)


def row(low: int, symbol: Callable[[int], str]) -> str:
    """One symbol a bit of the word that begins at bit ``low``; ``symbol`` is asked with the mask of one bit."""
    signs = [symbol(1 << bit) for bit in range(low + WORD - 1, low - 1, -1)]
    return " ".join("".join(signs[at : at + GROUP]) for at in range(0, WORD, GROUP))


def words(mask: int, width: int) -> list[int]:
    """The first bits of the words of a field that hold a bit of ``mask``, the most significant first."""
    top = (max(width, mask.bit_length()) - 1) // WORD * WORD
    return [low for low in range(top, -1, -WORD) if mask >> low & (1 << WORD) - 1]
