"""Tunnels in the forms that `wireguard` knows, and their marks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, cast

from markreg.bits import BitsError, format_mask, full, parse_word
from markreg.formats.wireguard import DUMPED, NAME
from markreg.model import SKB_MARK, Opaque, Place, Problem, Reading, Scope, Use
from markreg.resources import grammar
from markreg.source import Source
from markreg.transfer import Word

if TYPE_CHECKING:
    from lark import Lark, Token

_INTERFACE = re.compile(rf"interface: ({NAME})")
_SECTION = re.compile(r"\[(\w+)\]")
_LISTED = re.compile(rf"({NAME})\t(off|0x[0-9a-fA-F]+)")
_SETTING = re.compile(r"[ \t]*fwmark[ \t]*[:=]", re.IGNORECASE)
_SECRET = re.compile(rb"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{42,43}=")
_STEM = re.compile(r"[^.]+")


def read(source: Source, name: str, scope: Scope) -> Reading:
    """The mark of every tunnel that has one. Keys are blanked in the source itself, because reports print lines of it."""
    source.data = _SECRET.sub(lambda m: b"*" * len(m[0]), source.data)
    reader = _Reader(source.path, scope, _of_file(source.path))
    lines = source.text().replace("\0", "\ufffd").split("\n")
    for number, line in enumerate(lines, 1):
        reader.line(number, line.rstrip("\r"), cut=number == len(lines))
    return reader.reading(name)


def _of_file(path: str) -> str:
    """The tunnel that a file's name says: ``/etc/wireguard/wg0.conf`` is wg0."""
    name = PurePosixPath(path).name
    stem = _STEM.match(name)
    return stem[0] if stem and name.endswith((".conf", ".conf.txt")) and len(stem[0]) < 16 else ""


@cache
def _parser() -> Lark:
    from lark import Lark

    return Lark(grammar("wireguard"), parser="lalr", propagate_positions=True)


def mark(text: str) -> tuple[int, int, int]:
    """A mark of ``FwMark = 0xca6c`` or ``fwmark: off`` (which is 0), and where the words stand. Raises BitsError."""
    from lark.exceptions import UnexpectedInput

    if len(text) > 300:
        raise BitsError("too long to be a mark")
    try:
        tree = _parser().parse(text)
    except UnexpectedInput:
        raise BitsError("not a mark as wg prints it") from None
    word = cast("list[Token]", tree.children)[1]
    value = 0 if word.type == "OFF" else parse_word(word, SKB_MARK.width)
    return value, tree.meta.start_pos, tree.meta.end_pos


@dataclass(slots=True)
class _Reader:
    path: str
    scope: Scope
    interface: str
    section: str = ""
    uses: list[Use] = field(default_factory=list)
    opaque: list[int] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    statements: int = 0
    mark_statements: int = 0

    def line(self, number: int, line: str, cut: bool) -> None:
        if shown := _INTERFACE.fullmatch(line.strip()):
            self.interface = shown[1]
            self.statements += 1
        elif section := _SECTION.fullmatch(line.strip()):
            self.section = section[1]
            self.statements += section[1].lower() == "interface"
        elif _SETTING.match(line):
            self._said(number, line, cut)
        elif listed := (_LISTED.fullmatch(line) or DUMPED.fullmatch(line)):
            self.interface = listed[1] or self.interface
            self.statements += 1
            self._said(number, f"fwmark: {listed[2]}", cut, clause=listed[2])

    def _said(self, number: int, text: str, cut: bool, clause: str = "") -> None:
        try:
            value, start, end = mark(text)
        except BitsError:
            self.mark_statements += 1
            if cut:
                self.problems.append(Problem(self.path, number, "truncated"))
            else:
                self.opaque.append(number)
            return
        if not value:
            return
        self.mark_statements += 1
        named = f"wireguard {self.interface}".strip()
        device = f" dev {self.interface}" if self.interface else ""
        use = Use(
            SKB_MARK.name,
            "write",
            full(SKB_MARK.width),
            Place("socket", named, self.scope.family),
            self.scope,
            self.path,
            (number,),
            clause or text[start:end],
            effect=Word.const(value, SKB_MARK.width),
            statement=f"wireguard{device} fwmark {format_mask(value)}",
        )
        self.uses.append(use)

    def reading(self, name: str) -> Reading:
        opaque = (Opaque(self.path, tuple(self.opaque), "not a mark as wg prints it"),) if self.opaque else ()
        scope = replace(self.scope)
        statements = max(self.statements, self.mark_statements)
        return Reading(self.path, name, scope, tuple(self.uses), (), (), opaque, tuple(self.problems), statements, self.mark_statements)
