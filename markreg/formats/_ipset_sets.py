"""The sets of a dump that `ipset` knows, and the marks of their elements."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import TYPE_CHECKING, cast

from markreg.bits import BitsError, full, parse_word
from markreg.formats.ipset import TYPE
from markreg.model import SKB_MARK, MarkSet, Opaque, Problem, Reading, Scope
from markreg.resources import grammar
from markreg.source import Source, decode

if TYPE_CHECKING:
    from lark import Lark, Token

_MOST = 65536
_LONGEST = 500
_FULL = full(SKB_MARK.width)
_CREATE = re.compile(rb"^(?:create|-N|--create)[ \t]++(\S++)[ \t]++(%b)([^\n]*)" % TYPE, re.MULTILINE)
_LISTED = re.compile(rb"^Name: (\S+)\r?\nType: (%b)\r?\n(?:(?!Name:|Members:)[^\n]*\n)*?Header:([^\n]*)" % TYPE, re.MULTILINE)
_MEMBERS = re.compile(rb"^Members:\r?\n((?:(?!Name: )[^\n]+(?:\n|\Z))*)", re.MULTILINE)
_STATEMENT = re.compile(rb"^(?:add|-A|--add|create|-N|--create)[ \t]", re.MULTILINE)
# An element with a mark, or, where a comment stands before it or something is odd, the whole line for a closer look.
_ADD = rb"(?:add|-A|--add)[ \t]++(\S++)[ \t]++"
_MARKED = re.compile(rb"^(?:%b[^\"\n]*[ \t]skbmark[ \t]++(\S++)|([^\n]*skbm[^\n]*))" % _ADD, re.MULTILINE)
_ITEM = re.compile(rb"^(?:()\S++[^\"\n]*[ \t]skbmark[ \t]++(\S++)|([^\n]*skbm[^\n]*))", re.MULTILINE)
_KEYED = re.compile(rb"^%b[^\s,\"]++,(\w++)" % _ADD, re.MULTILINE)
_KEYED_ITEM = re.compile(rb"^()[^\s,\"]++,(\w++)", re.MULTILINE)
_WITH_COMMENT = re.compile(rb"(?:%b)?.*?[ \t]skbmark(?:[ \t]+(\S+))?" % _ADD)
_QUOTED = re.compile(rb'"[^"\n]*"')
_CANONICAL = re.compile(r"0x([0-9a-f]{1,8})(?:/0x([0-9a-f]{1,8}))?")
_INITVAL = re.compile(r"[ \t]*\binitval[ \t]+\S+")
_CUT = re.compile(rb"[ \t](?:skb|skbm|skbma|skbmar|skbmark)[ \t]*\Z")


def read(source: Source, name: str, scope: Scope) -> Reading:
    """The sets with marks, each with the distinct marks of its elements."""
    reader = _Reader(source.path, source.data.replace(b"\0", b"?"))
    reader.run()
    return Reading(
        source.path,
        name,
        scope,
        opaque=reader.not_understood(),
        problems=tuple(reader.problems),
        statements=reader.statements,
        mark_statements=reader.mark_statements,
        sets=tuple(s.made() for s in reader.sets.values() if s.marked),
    )


class SetError(ValueError):
    """Options of a set or an element's mark that were not understood; the message says what."""


@cache
def _parser() -> Lark:
    from lark import Lark

    return Lark(grammar("ipset"), parser="lalr", lexer="contextual")


@lru_cache(maxsize=4096)
def clauses(text: str) -> dict[str, tuple[str, ...]]:
    """Options of a set, or an element's mark, by name with their values. Raises SetError."""
    from lark.exceptions import UnexpectedInput

    if len(text) > _LONGEST:
        raise SetError("options of a set too long to be that")
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        at = getattr(error, "pos_in_stream", None)
        rest = "the end" if at is None or at >= len(text) else repr(text[at:].split(None, 1)[0][:40])
        raise SetError(f"unexpected {rest} in an ipset") from None
    pieces = [child for child in tree.children if not isinstance(child, str)]
    return {str(p.data): tuple(str(w) for w in cast("list[Token | None]", p.children)[1:] if w is not None) for p in pieces}


def mark(clause: str) -> tuple[int, int]:
    """Value and mask of an element's skbmark; without a mask all bits are meant. Raises SetError."""
    if match := _CANONICAL.fullmatch(clause):
        return int(match[1], 16), int(match[2], 16) if match[2] else _FULL
    words = clauses(f"skbmark {clause}").get("skbmark", ())
    try:
        numbers = [parse_word(word, SKB_MARK.width) for word in words if word != "/"]
    except BitsError as error:
        raise SetError(f"skbmark: {error}") from None
    return numbers[0], numbers[1] if len(numbers) > 1 else _FULL


@dataclass(slots=True)
class _Set:
    name: bytes
    type: str = ""
    family: str = "inet"
    markmask: int = 0
    marked: bool = False
    complete: bool = True
    texts: set[bytes] = field(default_factory=set)
    marks: set[tuple[int, int]] = field(default_factory=set)

    def made(self) -> MarkSet:
        return MarkSet(decode(self.name), self.family, self.type, self.markmask, tuple(sorted(self.marks)), self.complete)


@dataclass(slots=True)
class _Reader:
    path: str
    data: bytes
    sets: dict[bytes, _Set] = field(default_factory=dict)
    bad: dict[bytes, str] = field(default_factory=dict)
    opaque: list[tuple[int, str]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    statements: int = 0
    mark_statements: int = 0

    def run(self) -> None:
        data = self.data
        self.statements = sum(1 for _ in _STATEMENT.finditer(data))
        for match in _CREATE.finditer(data):
            self._create(match.start(), match[1], match[2], match[3])
        keyed = _KEYED if any(s.markmask for s in self.sets.values()) else None
        at = 0
        heads = list(_LISTED.finditer(data))
        for number, head in enumerate(heads):
            self._elements(_MARKED, keyed, None, at, head.start())
            at = self._listed(head, heads[number + 1].start() if number + 1 < len(heads) else len(data))
        self._elements(_MARKED, keyed, None, at, len(data))
        if not self.problems and _CUT.search(data, max(0, len(data) - _LONGEST)):
            self._refuse(len(data.rstrip()) - 1, "unexpected the end in an ipset")
        if not self.statements and data.strip():
            self.problems.append(Problem(self.path, 1, "no set as ipset prints it"))

    def _create(self, at: int, name: bytes, kind: bytes, rest: bytes) -> None:
        entry = self.sets.setdefault(name, _Set(name))
        entry.type = decode(kind)
        options = _INITVAL.sub("", decode(rest)).strip()
        parts = entry.type.split(":", 1)[1].split(",")
        entry.family = "ip" if {"ip", "net"} & set(parts) else "inet"
        keyed = "mark" in parts
        if not keyed and "skbinfo" not in options:
            entry.family = "ip6" if "inet6" in options.split() else entry.family
            return
        self.mark_statements += 1
        entry.marked = True
        entry.markmask = _FULL if keyed else 0
        try:
            known = clauses(options)
            if known.get("family", ("",))[0] == "inet6":
                entry.family = "ip6"
            if keyed and "markmask" in known:
                entry.markmask = parse_word(known["markmask"][0], SKB_MARK.width)
        except (SetError, BitsError) as error:
            self._refuse(at, str(error))

    def _listed(self, head: re.Match[bytes], end: int) -> int:
        """One set of a listing, which ends before ``end``; where its elements end."""
        self._create(head.start(), head[1], head[2], head[3])
        self.statements += 1
        members = _MEMBERS.search(self.data, head.end(), end)
        if not members:
            return head.end()
        self.statements += len(members[1].splitlines())
        entry = self.sets[head[1]]
        self._elements(_ITEM, _KEYED_ITEM if entry.markmask else None, entry, members.start(1), members.end(1))
        return members.end(1)

    def _elements(self, marked: re.Pattern[bytes], keyed: re.Pattern[bytes] | None, owner: _Set | None, start: int, end: int) -> None:
        """The marks of elements in a part of the data; ``owner`` is their set where the lines do not name it."""
        if self.data.find(b"skbm", start, end) >= 0:
            for match in marked.finditer(self.data, start, end):
                if match[3] is None:
                    self._element(match.start(), owner or self._named(match[1]), match[2])
                else:
                    self._closer(match.start(), match[3], owner)
        for match in keyed.finditer(self.data, start, end) if keyed else ():
            entry = owner or self.sets.get(match[1])
            if entry and entry.markmask:
                self.mark_statements += 1
                self._key(match.start(), entry, match[2])

    def _closer(self, at: int, line: bytes, owner: _Set | None) -> None:
        """An element whose mark stands behind a comment, or a line that mentions one in another way."""
        bare = _QUOTED.sub(b'""', line)
        if b"skbmark" not in bare:
            return
        match = _WITH_COMMENT.match(bare)
        if match and match[2] and (match[1] or owner):
            self._element(at, owner or self._named(match[1]), match[2])
        else:
            self._refuse(at, "mentions skbmark and is no element of a set")
            self.mark_statements += 1

    def _named(self, name: bytes) -> _Set:
        return self.sets.get(name) or self.sets.setdefault(name, _Set(name))

    def _element(self, at: int, entry: _Set, clause: bytes) -> None:
        self.mark_statements += 1
        if clause in entry.texts:
            return
        entry.marked = True
        if clause in self.bad:
            self._refuse(at, self.bad[clause])
        elif self._room(at, entry):
            try:
                entry.marks.add(mark(decode(clause)))
                entry.texts.add(clause)
            except SetError as error:
                self._refuse(at, str(error))
                if len(self.bad) < _MOST:
                    self.bad[clause] = str(error)

    def _key(self, at: int, entry: _Set, text: bytes) -> None:
        if text in entry.texts:
            return
        if self._room(at, entry):
            try:
                # hash_ipmark4_uadt masks an element's mark before it is stored.
                entry.marks.add((parse_word(decode(text), SKB_MARK.width) & entry.markmask, entry.markmask))
                entry.texts.add(text)
            except BitsError as error:
                self._refuse(at, str(error))

    def _room(self, at: int, entry: _Set) -> bool:
        if len(entry.texts) >= _MOST and entry.complete:
            entry.complete = False
            self._refuse(at, f"more than {_MOST} different marks in the set {decode(entry.name)}")
        return entry.complete

    def _refuse(self, at: int, reason: str) -> None:
        if self.data.find(b"\n", at) < 0:
            self.problems.append(Problem(self.path, self.data.count(b"\n", 0, at) + 1, f"truncated: {reason}"))
        else:
            self.opaque.append((at, reason))

    def not_understood(self) -> tuple[Opaque, ...]:
        """What was not understood, by reason with the lines."""
        lines: dict[str, list[int]] = {}
        for number, reason in self._numbered():
            lines.setdefault(reason, []).append(number)
        return tuple(Opaque(self.path, tuple(numbers), reason) for reason, numbers in lines.items())

    def _numbered(self) -> Iterator[tuple[int, str]]:
        line, counted = 1, 0
        for at, reason in sorted(self.opaque):
            line += self.data.count(b"\n", counted, at)
            counted = at
            yield line, reason
