"""A TOML text as a tree that keeps every comment: what `fmt` rearranges and prints.

The text has been parsed before, so this reader follows its tokens and judges nothing. A comment belongs to the key or header that
follows it; one that follows a key without a blank line, and has one after it, belongs to the table it closes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

WIDTH = 140
_STRING = re.compile(r'"""(?:[^\\]|\\.)*?"""+|\'\'\'.*?\'\'\'+|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'', re.DOTALL)
_KEY = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|[A-Za-z0-9_-]+')
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SPACE = re.compile(r"[ \t]*")
_SCALAR = re.compile(r"[^,\]}\n#]+")
_COMMENT = re.compile(r"#[^\n]*")
_PLAIN = re.compile(r"'([^'\\\"\n\x00-\x1f]*)'")


@dataclass(slots=True)
class Scalar:
    """A string, number, date or truth value as written."""

    text: str


@dataclass(slots=True)
class Item:
    """An element of an array with the comments before it and the one behind it; ``value`` None: only comments."""

    above: list[str]
    value: Value | None
    behind: str = ""


@dataclass(slots=True)
class Array:
    """An array; ``spread``: it was written over several lines, and stays so."""

    items: list[Item]
    spread: bool = False

    def plain(self) -> bool:
        """Whether it holds no comment."""
        return not any(i.above or i.behind for i in self.items)


@dataclass(slots=True)
class Inline:
    """An inline table; ``comments``: it holds some, which not every TOML allows."""

    pairs: list[tuple[str, Value]]
    comments: list[str]


Value = Scalar | Array | Inline


@dataclass(slots=True)
class Entry:
    """A key with its value; ``above``: comment lines before it, an empty text for a blank line."""

    above: list[str]
    key: str
    value: Value
    behind: str = ""

    def name(self) -> str:
        """The first part of the key."""
        return next(keys(self.key), "")


@dataclass(slots=True)
class Block:
    """A table with a header: ``path`` from the block around it, ``many`` for one of an array. ``footer``: comments that close it.

    ``last``: of the blocks inside, by path, the one that a header further down means.
    """

    above: list[str] = field(default_factory=list)
    path: tuple[str, ...] = ()
    many: bool = False
    behind: str = ""
    entries: list[Entry] = field(default_factory=list)
    footer: list[str] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    last: dict[tuple[str, ...], Block] = field(default_factory=dict)

    def value(self, name: str) -> Value | None:
        """The value of a key."""
        return next((e.value for e in self.entries if e.key == name), None)


@dataclass(slots=True)
class Document:
    """A file: the comment that heads it, its tables, the comments that end it."""

    head: list[str]
    root: Block
    tail: list[str]


def keys(text: str) -> Iterator[str]:
    """The parts of a dotted key, without quotes."""
    for match in _KEY.finditer(text):
        yield match[0][1:-1] if match[0][0] in "\"'" else match[0]


def parse(text: str) -> Document:
    """A text that is known to be TOML as a tree."""
    return _Reader(text.removeprefix("\ufeff").replace("\r\n", "\n")).document()


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def document(self) -> Document:
        root = Block()
        here = root
        head: list[str] = []
        first = True
        while True:
            trivia = self._trivia()
            if self.at >= len(self.text):
                if here.entries and trivia and trivia[0]:
                    cut = trivia.index("") if "" in trivia else len(trivia)
                    here.footer, trivia = trivia[:cut], trivia[cut:]
                return Document(head, root, trivia)
            if first and "" in trivia:
                cut = len(trivia) - trivia[::-1].index("")
                head, trivia = trivia[:cut], trivia[cut:]
            first = False
            if self.text[self.at] == "[":
                if (here.entries or here is not root) and trivia and trivia[0] and "" in trivia:
                    cut = trivia.index("")
                    here.footer, trivia = trivia[:cut], trivia[cut:]
                here = self._header(root, trivia)
            else:
                key = self._until_equals()
                entry = Entry(trivia, key, self._value())
                entry.behind = self._rest()
                here.entries.append(entry)

    def _trivia(self) -> list[str]:
        """The comments and blank lines before the next key or header; runs of blank lines are one."""
        found: list[str] = []
        while self.at < len(self.text):
            self.at = _end(_SPACE, self.text, self.at)
            if self.text.startswith("\n", self.at):
                if not found or found[-1]:
                    found.append("")
                self.at += 1
            elif comment := _COMMENT.match(self.text, self.at):
                found.append(comment[0].rstrip())
                self.at = comment.end() + 1
            else:
                break
        return found

    def _header(self, root: Block, above: list[str]) -> Block:
        many = self.text.startswith("[[", self.at)
        self.at += 2 if many else 1
        parts: list[str] = []
        while match := _KEY.match(self.text, _end(_SPACE, self.text, self.at)):
            parts.append(next(keys(match[0])))
            self.at = _end(_SPACE, self.text, match.end())
            if self.text.startswith(".", self.at):
                self.at += 1
        self.at += 2 if many else 1
        parent, path = _parent(root, tuple(parts))
        block = Block(above, path, many, self._rest())
        parent.blocks.append(block)
        parent.last[path] = block
        return block

    def _until_equals(self) -> str:
        parts: list[str] = []
        while match := _KEY.match(self.text, _end(_SPACE, self.text, self.at)):
            parts.append(_key(match[0]))
            self.at = _end(_SPACE, self.text, match.end())
            if not self.text.startswith(".", self.at):
                break
            self.at += 1
        self.at += 1
        return ".".join(parts)

    def _rest(self) -> str:
        """The comment behind a header or value, and the end of its line."""
        self.at = _end(_SPACE, self.text, self.at)
        comment = _COMMENT.match(self.text, self.at)
        if comment:
            self.at = comment.end()
        self.at = min(self.at + 1, len(self.text))
        return comment[0].rstrip() if comment else ""

    def _value(self) -> Value:
        self.at = _end(_SPACE, self.text, self.at)
        opening = self.text[self.at : self.at + 1]
        if opening == "[":
            return self._array()
        if opening == "{":
            return self._inline()
        match = _STRING.match(self.text, self.at) or _SCALAR.match(self.text, self.at)
        if match is None:
            self.at += 1
            return Scalar("")
        self.at = match.end()
        text = match[0].strip()
        plain = _PLAIN.fullmatch(text)
        return Scalar(f'"{plain[1]}"' if plain else text)

    def _array(self) -> Array:
        self.at += 1
        items: list[Item] = []
        items_end = self.at
        above: list[str] = []
        comma, spread = True, False
        while self.at < len(self.text):
            self.at = _end(_SPACE, self.text, self.at)
            char = self.text[self.at : self.at + 1]
            if char == "]":
                self.at += 1
                break
            if char == "\n":
                self.at += 1
            elif char == ",":
                self.at += 1
                comma = True
            elif char == "#":
                comment = _COMMENT.match(self.text, self.at)
                assert comment
                same_line = items and "\n" not in self.text[items_end : self.at]
                if same_line and not above:
                    items[-1].behind = comment[0].rstrip()
                else:
                    above.append(comment[0].rstrip())
                self.at = comment.end()
            elif comma:
                spread |= "\n" in self.text[items_end : self.at]
                items.append(Item(above, self._value()))
                items_end = self.at
                above, comma = [], False
            else:
                self.at += 1
        if above:
            items.append(Item(above, None))
        return Array(items, spread)

    def _inline(self) -> Inline:
        self.at += 1
        pairs: list[tuple[str, Value]] = []
        comments: list[str] = []
        while self.at < len(self.text):
            self.at = _end(_SPACE, self.text, self.at)
            char = self.text[self.at : self.at + 1]
            if char == "}":
                self.at += 1
                break
            if char in (",", "\n"):
                self.at += 1
            elif char == "#":
                comment = _COMMENT.match(self.text, self.at)
                assert comment
                comments.append(comment[0].rstrip())
                self.at = comment.end()
            else:
                start = self.at
                key = self._until_equals()
                pairs.append((key, self._value()))
                self.at = max(self.at, start + 1)
        return Inline(pairs, comments)


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _key(text: str) -> str:
    """A part of a key, without quotes where it needs none."""
    inner = text[1:-1] if text[0] in "\"'" else text
    if _BARE.fullmatch(inner):
        return inner
    return f'"{inner}"' if text[0] == "'" and "\\" not in inner and '"' not in inner else text


def _parent(root: Block, parts: tuple[str, ...]) -> tuple[Block, tuple[str, ...]]:
    """The block that a header stands in, and the way from there."""
    here = root
    while inner := next((here.last[parts[:n]] for n in range(len(parts) - 1, 0, -1) if parts[:n] in here.last), None):
        here, parts = inner, parts[len(inner.path) :]
    return here, parts


def one_line(value: Value) -> str:
    """A value on one line."""
    if isinstance(value, Scalar):
        return value.text
    if isinstance(value, Inline):
        return "{ " + ", ".join(f"{k} = {one_line(v)}" for k, v in value.pairs) + " }" if value.pairs else "{}"
    return "[" + ", ".join(one_line(i.value) for i in value.items if i.value is not None) + "]"


def _commented(value: Value) -> bool:
    if isinstance(value, Array):
        return not value.plain() or any(i.value is not None and _commented(i.value) for i in value.items)
    return isinstance(value, Inline) and (bool(value.comments) or any(_commented(v) for _, v in value.pairs))


def _printed(prefix: str, value: Value, indent: str = "") -> list[str]:
    """The lines of ``prefix`` and a value: one where it fits, else an element of the array a line."""
    if not isinstance(value, Array) or not value.items:
        return [prefix + one_line(value)]
    if not (value.spread or _commented(value)) and len(prefix) + len(one_line(value)) <= WIDTH:
        return [prefix + one_line(value)]
    lines = [f"{prefix}["]
    inner = indent + "  "
    for item in value.items:
        lines += [inner + comment for comment in item.above]
        if item.value is not None:
            own = _printed(inner, item.value, inner)
            own[-1] += "," + (f" {item.behind}" if item.behind else "")
            lines += own
    return [*lines, f"{indent}]"]


def render(document: Document) -> str:
    """The tree as text: one key a line, one blank line between tables."""
    groups: list[list[str]] = []
    head = _trimmed(document.head)
    if head:
        groups.append(head)
    _block(document.root, (), groups)
    tail = _trimmed(document.tail)
    if tail:
        groups.append(tail)
    return "\n".join("".join(line + "\n" for line in group) for group in groups if group)


def _block(block: Block, around: tuple[str, ...], groups: list[list[str]]) -> None:
    path = (*around, *block.path)
    lines: list[str] = []
    if block.path:
        lines = _trimmed(block.above, keep_last=True)
        name = ".".join(part if _BARE.fullmatch(part) else _quoted(part) for part in path)
        header = f"[[{name}]]" if block.many else f"[{name}]"
        lines.append(header + (f" {block.behind}" if block.behind else ""))
    for number, entry in enumerate(block.entries):
        lines += entry.above if number else _trimmed(entry.above, keep_last=True)
        own = _printed(f"{entry.key} = ", entry.value)
        own[-1] += f" {entry.behind}" if entry.behind else ""
        lines += own
    lines += block.footer
    groups.append(lines)
    for inner in block.blocks:
        _block(inner, path, groups)


def _quoted(part: str) -> str:
    return f"'{part}'" if "\\" in part or '"' in part else f'"{part}"'


def _trimmed(lines: list[str], keep_last: bool = False) -> list[str]:
    """Without blank lines at the ends; with ``keep_last`` one that parts a comment from what follows stays."""
    start = next((n for n, line in enumerate(lines) if line), len(lines))
    end = len(lines)
    while end > start and not lines[end - 1] and not keep_last:
        end -= 1
    return lines[start:end]
