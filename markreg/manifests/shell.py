"""Shell text as commands: words with their quotes taken off, operators that end them, here-documents, and variables with one value.

Not a shell: what a variable holds is followed only where the text itself assigns it one literal, everything else stays as written.
Every pass takes linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

_ASSIGNMENT = re.compile(r"(?:export\s+|local\s+|readonly\s+|declare\s+(?:-\w+\s+)?)?([A-Za-z_]\w*)=(.*)", re.DOTALL)
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::?-([^{}$]*))?\}|(\w+))")
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)([\w.-]+)\1")
_OPEN = re.compile(r"\$[\w{(]|`|\ue000|\{\{")
# The program by a variable that is set elsewhere, or by where it is found: "$IPTABLES", ${NFT_BIN:-nft}, $(command -v ip).
_CALLED = re.compile(
    r"\$\{?([a-z0-9_]+?)(?:_?(?:bin|cmd|path|prog|command))?(?::?-[^}]*)?\}?|(?:\$\(|`)\s*(?:which|command\s+-v)\s+([\w./-]+)[^)`]*[)`]",
    re.IGNORECASE,
)
_SHORT = {
    "ipt": "iptables",
    "ipt4": "iptables",
    "iptables4": "iptables",
    "ip6t": "ip6tables",
    "ipt6": "ip6tables",
    "iptables6": "ip6tables",
}
_ENDS = ("\n", ";", "|", "&", "(", ")")
_LONGEST = 1 << 20


@dataclass(slots=True)
class Command:
    """One command: its words, the line (from 0) on which each stands, and the lines that a here-document gives it."""

    words: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    given: list[tuple[int, str]] = field(default_factory=list)


def is_open(word: str) -> bool:
    """Whether a word holds something that only the shell or a template will fill in."""
    return _OPEN.search(word) is not None


def commands(text: str) -> Iterator[Command]:
    """The commands of a text in order."""
    text = text[:_LONGEST]
    values: dict[str, str] = {}
    for command in _Scan(text).commands():
        words = [_filled(word, values) for word in command.words]
        if words and words[0] != command.words[0] and " " in words[0].strip():
            # A variable in the place of the program may hold options too: IPT="iptables -w".
            called = words[0].split()
            words[:1] = called
            command.lines[:1] = command.lines[:1] * len(called)
        while words and (match := _ASSIGNMENT.fullmatch(words[0])):
            name, value = match.groups()
            # One that is assigned anew, or from elsewhere, has no one value.
            values[name] = value if not is_open(value) and values.get(name, value) == value else f"${name}"
            words = words[1:]
        lines = command.lines[len(command.lines) - len(words) :]
        if len(words) > 1 and words[0] in ("export", "local", "readonly", "declare") and (match := _ASSIGNMENT.fullmatch(words[1])):
            values[match[1]] = match[2] if not is_open(match[2]) else f"${match[1]}"
            continue
        if words:
            yield Command(words, lines, [(n, _filled(line, values)) for n, line in command.given])


def _filled(word: str, values: dict[str, str]) -> str:
    """A word with the variables filled in that have one value."""
    if "$" not in word:
        return word

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[3]
        known = values.get(name)
        return known if known is not None else match[0]

    return _VARIABLE.sub(value, word)


class _Scan:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 0
        self.waiting: list[tuple[str, Command]] = []

    def commands(self) -> Iterator[Command]:
        text, size = self.text, len(self.text)
        command = Command()
        done: list[Command] = []
        while self.at < size:
            char = text[self.at]
            if char in " \t\r":
                self.at += 1
            elif text.startswith("\\\n", self.at) or text.startswith("\\\r\n", self.at):
                self.at = text.index("\n", self.at) + 1
                self.line += 1
            elif char == "#":
                end = text.find("\n", self.at)
                self.at = size if end < 0 else end
            elif char in _ENDS:
                self.at += 1
                if command.words:
                    done.append(command)
                if char == "\n":
                    self.line += 1
                    for word, owner in self.waiting:
                        self._heredoc(word, owner)
                    self.waiting.clear()
                    yield from done
                    done.clear()
                command = Command()
            elif text.startswith("<<<", self.at):
                self.at += 3
                while self.at < size and text[self.at] in " \t":
                    self.at += 1
                first = self.line
                command.given += [(first + n, line) for n, line in enumerate(self._word().split("\n"))]
            elif match := _HEREDOC.match(text, self.at):
                # It belongs to the command even if that goes on after it; the text follows this line.
                self.waiting.append((match[2], command))
                self.at = match.end()
            elif char in "<>":
                self.at += 1
                if command.words and command.words[-1].isdigit() and len(command.words[-1]) == 1 and text[self.at - 2] != " ":
                    command.words.pop()
                    command.lines.pop()
                while self.at < size and text[self.at] in "<>&-| ":
                    self.at += 1
                self._word()
            else:
                command.lines.append(self.line)
                command.words.append(self._word())
        yield from done
        if command.words:
            yield command

    def _word(self) -> str:
        text, size = self.text, len(self.text)
        made: list[str] = []
        start = self.at
        while self.at < size:
            char = text[self.at]
            if char in " \t\r\n;|&<>" or (char in "()" and not made):
                break
            if char == "'":
                end = text.find("'", self.at + 1)
                end = size if end < 0 else end
                made.append(text[self.at + 1 : end])
                self.line += text.count("\n", self.at, end)
                self.at = end + 1
            elif char == '"':
                self._double(made)
            elif char == "\\" and self.at + 1 < size:
                if text[self.at + 1] == "\n":
                    self.line += 1
                else:
                    made.append(text[self.at + 1])
                self.at += 2
            elif text.startswith("$(", self.at) or text.startswith("${", self.at):
                made.append(self._nested(")" if text[self.at + 1] == "(" else "}"))
            elif char == "`":
                end = text.find("`", self.at + 1)
                end = size - 1 if end < 0 else end
                made.append(text[self.at : end + 1])
                self.line += text.count("\n", self.at, end)
                self.at = end + 1
            elif char in "()":
                break
            else:
                made.append(char)
                self.at += 1
        if self.at == start:
            self.at += 1
        return "".join(made)

    def _double(self, made: list[str]) -> None:
        text, size = self.text, len(self.text)
        self.at += 1
        while self.at < size and text[self.at] != '"':
            char = text[self.at]
            if char == "\\" and self.at + 1 < size:
                if text[self.at + 1] == "\n":
                    self.line += 1
                else:
                    made.append(text[self.at + 1] if text[self.at + 1] in '"\\$`' else text[self.at : self.at + 2])
                self.at += 2
            elif text.startswith("$(", self.at) or text.startswith("${", self.at):
                made.append(self._nested(")" if text[self.at + 1] == "(" else "}"))
            else:
                self.line += char == "\n"
                made.append(char)
                self.at += 1
        self.at += 1

    def _nested(self, close: str) -> str:
        """``$(…)`` or ``${…}`` as written, to where its brackets close."""
        text, start, depth = self.text, self.at, 0
        opening = "(" if close == ")" else "{"
        end = start + 1
        while end < len(text):
            depth += (text[end] == opening) - (text[end] == close)
            end += 1
            if depth == 0:
                break
        self.line += text.count("\n", start, end)
        self.at = end
        return text[start:end]

    def _heredoc(self, word: str, command: Command) -> None:
        text = self.text
        while self.at < len(text):
            end = text.find("\n", self.at)
            end = len(text) if end < 0 else end
            line = text[self.at : end]
            self.at = min(end + 1, len(text))
            number, self.line = self.line, self.line + 1
            if line.strip() == word:
                return
            command.given.append((number, line))


def program(words: Sequence[str], known: frozenset[str], before: frozenset[str]) -> tuple[int, str]:
    """Where the program stands among a command's words, and its name; -1 for none that is known. ``before``: words that run others."""
    for number, word in enumerate(words[:12]):
        name = word.rpartition("/")[2].lstrip("-@+!:") if number == 0 else word.rpartition("/")[2]
        if match := _CALLED.fullmatch(word) if word[:1] in "$`" else None:
            name = (match[2] or match[1].lower().replace("_", "-")).rpartition("/")[2]
            name = _SHORT.get(name, name)
        if name in known:
            return number, name
        if number == 0 and name not in before:
            break
    return -1, ""
