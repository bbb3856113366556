"""The text of action lists: parted where parentheses and quotes let it, and cut into its *shape* and its constants.

A shape is the text with every constant cut out: a dump of 100,000 flows has some dozens, and each is parsed once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Literal

from markreg.resources import grammar

if TYPE_CHECKING:
    from lark import Lark, Token, Tree

PLACE = "\ue000"
_Start = Literal["action", "argument", "spec"]

_BREAK = re.compile(r'[()]|"[^"]*"?|[,\s]+')


class ShapeError(ValueError):
    """A statement that is none of those the grammar knows, or whose numbers do not fit; the message says why."""


@cache
def _parser() -> Lark:
    from lark import Lark

    return Lark(grammar("openflow"), parser="lalr", lexer="contextual", start=["action", "argument", "spec"])


@cache
def constants() -> re.Pattern[str]:
    """What is cut out of an action list, as one group."""
    return re.compile(f"({_parser().get_terminal('CONST').pattern.to_regexp()})")


def cut(text: str) -> tuple[str, tuple[str, ...]]:
    """The shape of an action list and its constants."""
    pieces = constants().split(text.replace(PLACE, "?"))
    return PLACE.join(pieces[::2]), tuple(pieces[1::2])


@lru_cache(maxsize=16384)
def leaf(text: str, start: _Start) -> Tree[Token]:
    """One statement by the grammar. Raises ShapeError."""
    from lark.exceptions import UnexpectedInput

    try:
        return _parser().parse(text, start=start)
    except UnexpectedInput:
        raise ShapeError("is in no form that is known") from None


def split(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where the statements of a list stand: parted by commas and white space outside parentheses and quotes."""
    depth, begin = 0, start
    for found in _BREAK.finditer(text, start, end):
        mark = found[0][0]
        if mark == "(":
            depth += 1
        elif mark == ")":
            depth = max(0, depth - 1)
        elif mark != '"' and not depth:
            if found.start() > begin:
                yield begin, found.start()
            begin = found.end()
    if begin < end:
        yield begin, end
