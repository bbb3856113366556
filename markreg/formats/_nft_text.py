"""nft's own notation: what ``nft list ruleset`` prints and what people write, as far as blocks, commands and lines go.

A ruleset may have a hundred thousand rules of which a few concern marks, so blocks are cut out whole by one expression and searched
for the words that matter. For that the text is first made plain, without moving anything: comments and the content of strings
become blanks of the same length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from markreg.formats import _nft_hooks as hooks
from markreg.formats._nft_ruleset import Rules, Ruleset, Statement
from markreg.formats._nft_sets import NamedSet
from markreg.formats._nft_statement import comment_of, defined, emptied, rewritten, substituted, target_of
from markreg.source import decode

_BLANKED = re.compile(r'"[^"\n]*"|#[^\n]*|\\\r?\n')
_CONTINUED = re.compile(r"\\\r?\n")
_STRING = re.compile('"\0*"')
# Old versions show an extension that they cannot translate in a comment: nftables' src/xt.c.
_XT_COMMENT = re.compile(r"#(\s*xt_\w+)(.*)", re.DOTALL)
_WARNING = re.compile(r"# Warning: table (ip6?|arp|bridge) (\S+) is managed by iptables-nft")
_UNPRINTED = re.compile(r"(?<=\n)\t\t(?=\n)|(?<=\n)\t\t +# handle [0-9]+(?=\n)")


def _balanced(depth: int) -> str:
    return r"[^{}]*+" if not depth else rf"[^{{}}]*+(?:\{{{_balanced(depth - 1)}\}}[^{{}}]*+)*+"


_BODY = re.compile(_balanced(4))
_BLOCK = re.compile(r"[^{};\n]*+(?:\{" + _balanced(4) + r"\}[^{};\n]*+)*+")
_SPACE = re.compile(r"[\s;]*")
_FAMILY = r"(?:(ip6?|inet|arp|bridge|netdev)\s+)?"
_NAME = r"([^\s{};]+)"
_TABLE = re.compile(rf"(?:(?:add|create)\s+)?table\s+{_FAMILY}{_NAME}[ \t]*(\{{?)")
_INNER = re.compile(rf"(chain|set|map|meter)\s+{_NAME}[ \t]*\{{")
_CHAIN = re.compile(rf"(?:(?:add|create)\s+)?chain\s+{_FAMILY}{_NAME}\s+{_NAME}\s*(?:\{{(.*)\}}\s*)?", re.DOTALL)
_RULE = re.compile(
    rf"(?:(add|insert|create|replace)\s+)?(rule\s+)?{_FAMILY}{_NAME}\s+{_NAME}\s+(?:(?:handle|position|index)\s+[0-9]+\s+)?(.+)", re.DOTALL
)
_SET = re.compile(rf"(?:(?:add|create)\s+)?(set|map|element)\s+{_FAMILY}{_NAME}\s+{_NAME}\s*\{{(.*)\}}\s*", re.DOTALL)
_GONE = re.compile(rf"(flush|delete|destroy)\s+(ruleset|table|chain)(?:\s+(ip6?|inet|arp|bridge|netdev))?(?:\s+{_NAME})?(?:\s+{_NAME})?\s*")
_DEFINE = re.compile(r"(?:re)?define\s+([A-Za-z_][\w.-]*)\s*=(.*)", re.DOTALL)
# Commands and lines that say nothing of rules.
_OTHER = re.compile(
    r"(?:include|undefine|list|reset|rename|monitor|export|describe|import|get|flags|comment|policy|type|devices?|counter|quota|limit|ct"
    r"|synproxy|secmark|tunnel|flowtable|flush|delete|destroy|(?:add|create)\s+(?:table|flowtable|counter|quota|limit|ct|synproxy|secmark"
    r"|tunnel))(?![\w.-])"
)
_SETTING = re.compile(r"\n[ \t\r]*(?:type\s+\w+\s+hook|policy|flags|comment|devices?\s*=|(?:re)?define|include)(?![\w.-])")
_ANONYMOUS = re.compile(r"(?<![\w.-])(jump|goto)\s*\{")
_OPEN = re.compile(r"\{[^{}\n]*\n")
_OPEN_SET = re.compile(r"\{[^{}\n]*\n[^{}]*\}")
_LINES = re.compile(r"\n[ \t\r]*[^\s}]")
_STEP = re.compile(r"(jump|goto)\s+([^\s{},;]+)|vmap\s+(@[^\s{},;]+)")
_MENTION = re.compile(r"(?<![\w.@$-])(?:mark|label|queue|xt_\w+|xt\s+(?:target|match|watcher))(?![\w.-])")
_WORDS = ("mark", "label", "queue", "xt ", "xt_")
# What may end a chain; in a verdict map it stands behind a colon. And what takes a packet's connection away.
_VERDICT = re.compile(r"(?<![\w.@$-])(?<!policy\s)(?:accept|drop|return|reject|masquerade|snat|dnat|redirect|queue|vmap|notrack)(?![\w.-])")
_HELP = re.compile(r"(?<![\w.@$-])ct\s+helper\s+set\s")
_OFFLOAD = re.compile(r"(?<![\w.@$-])flow\s+(?:add|offload)\s+@")
_TYPE = re.compile(r"(?<![\w.-])type(?:of)?\s+([^\n;}]*)")
_CHANGING = re.compile(r"(?<![\w.-])flags[^\n;]*(?:dynamic|timeout)")
_ELEMENTS = re.compile(r"(?<![\w.-])elements\s*=\s*")


class Scanner:
    """Reads one text into a ruleset. ``text`` has a character for each byte (Latin-1); lines are decoded when they matter."""

    def __init__(self, data: bytes) -> None:
        self.text = data.decode("latin-1")
        self.code = _BLANKED.sub(_blank, self.text) if any(c in self.text for c in '"#\\') else self.text
        self.ruleset = Ruleset()
        self.values: dict[str, str] = {}
        self._counted = (0, 1)
        self._continued = "\\" in self.text and _CONTINUED.search(self.text) is not None
        self._cut = len(self.text) if self.text.endswith("\n") else self.text.rfind("\n") + 1

    def read(self) -> Ruleset:
        """The whole text."""
        at, code = 0, self.code
        while (at := self._skip(at)) < len(code):
            if match := _TABLE.match(code, at):
                table = self.ruleset.table(match[1], self._decoded(match[2]))
                at = self._table(table, match.end()) if match[3] else match.end()
            elif match := _INNER.match(code, at):
                # A file that is included in a table, as OpenWrt's fw4 does it: which one it does not say.
                at = self._inner(self.ruleset.table("inet", ""), match)
            elif code[at] in "{}":
                at += 1
            else:
                end = self._end(at)
                self._command(at, end)
                at = max(end, at + 1)
        for family, name in _WARNING.findall(self.text):
            if known := self.ruleset.tables.get((family, name)):
                known.warned = True
        if "\n\t\t\n" in self.text or "\t\t # handle" in self.text:
            self._unprinted()
        return self.ruleset

    def _skip(self, at: int) -> int:
        match = _SPACE.match(self.code, at)
        return match.end() if match else at

    def _end(self, at: int) -> int:
        """Where the command or line at ``at`` ends: at a line's end, a semicolon, or what closes the block around it."""
        match = _BLOCK.match(self.code, at)
        end = match.end() if match else at
        if end < len(self.code) and self.code[end] == "{":
            self.ruleset.problems.append((self._line(at), "a block has no end: the ruleset is cut off"))
            return len(self.code)
        return end

    def _line(self, at: int) -> int:
        """The number of the line at ``at``; cheap when asked in ascending order."""
        start, line = self._counted if at >= self._counted[0] else (0, 1)
        line += self.text.count("\n", start, at)
        self._counted = (at, line)
        return line

    def _table(self, table: Rules, at: int) -> int:
        """A table's block, from after its brace to after the one that closes it."""
        code, start = self.code, at
        while (at := self._skip(at)) < len(code):
            if code[at] == "}":
                return at + 1
            if match := _INNER.match(code, at):
                at = self._inner(table, match)
            else:
                end = self._end(at)
                if code.startswith("flags", at):
                    table.dormant |= "dormant" in code[at:end]
                else:
                    self._command(at, end, table)
                at = max(end, at + 1)
        self.ruleset.problems.append((self._line(start), f"table {table.name[:80]} has no end: the ruleset is cut off"))
        return at

    def _inner(self, table: Rules, match: re.Match[str]) -> int:
        """A chain's, set's or map's block, to after the brace that closes it."""
        code, body = self.code, _BODY.match(self.code, match.end())
        end = body.end() if body else len(code)
        if end >= len(code) or code[end] != "}":
            self.ruleset.problems.append((self._line(match.start()), f"{match[1]} {match[2][:80]} has no end: the ruleset is cut off"))
            end = len(code)
        take = self._chain if match[1] == "chain" else self._set
        take(table, self._decoded(match[2]), match.end(), end)
        return end + 1

    def _command(self, at: int, end: int, table: Rules | None = None) -> None:
        """A command or a line between blocks."""
        text = self.code[at:end]
        if match := _DEFINE.match(text):
            self.values[match[1]] = defined(self._restored(at + match.start(2), end), self.values)
        elif match := _GONE.fullmatch(text):
            self._remove(match[1], match[2], match[3] or "", match[4], match[5])
        elif match := _SET.fullmatch(text):
            self._add_set(
                self.ruleset.table(match[2], self._decoded(match[3])),
                match[1],
                self._decoded(match[4]),
                at + match.start(5),
                at + match.end(5),
            )
        elif match := _CHAIN.fullmatch(text):
            owner, name = self.ruleset.table(match[1], self._decoded(match[2])), self._decoded(match[3])
            if match[4] is None:
                owner.declare(name)
            else:
                self._chain(owner, name, at + match.start(4), at + match.end(4))
        elif _OTHER.match(text):
            pass
        elif (match := _RULE.fullmatch(text)) and (match[2] or (match[3] and table is None)):
            owner = self.ruleset.table(match[3], self._decoded(match[4]))
            self._chain(owner, self._decoded(match[5]), at + match.start(6), end, match[1] == "insert")
        elif _MENTION.search(text):
            where = f"{table.family} {table.name}" if table else ""
            self.ruleset.opaque.append((self._line(at), "not a rule", where))

    def _remove(self, verb: str, what: str, family: str, name: str | None, chain: str | None) -> None:
        if what == "ruleset":
            self.ruleset.clear(family)
        elif name and what == "table" and verb != "flush":
            self.ruleset.clear(family or "ip", name)
        elif name and (known := self.ruleset.tables.get((family or "ip", name))) and (what == "table" or chain):
            known.flush(self._decoded(chain) if chain and what == "chain" else None)

    def _add_set(self, table: Rules, kind: str, name: str, start: int, end: int) -> None:
        if kind == "element":
            table.sets.setdefault(name, NamedSet()).bodies.append(substituted(self._restored(start, end), self.values))
        else:
            self._set(table, name, start, end)

    def _set(self, table: Rules, name: str, start: int, end: int) -> None:
        """A set's or map's block; its elements stay text until a rule asks for them."""
        known = table.sets.setdefault(name, NamedSet())
        match = _ELEMENTS.search(self.code, start, end)
        head = self.code[start : match.start() if match else end]
        if match:
            body = _BLOCK.match(self.code, match.end(), end)
            if body and body[0].strip():
                known.bodies.append(substituted(self._restored(match.end(), body.end()).strip(), self.values))
                head += self.code[body.end() : end]
        if kind := _TYPE.search(head):
            known.type = kind[1].strip()
        known.changing |= _CHANGING.search(head) is not None

    def _chain(self, table: Rules, name: str, start: int, end: int, inserted: bool = False) -> None:
        """A chain's block, or rules added to a chain: its hook, its jumps, its rules that mention marks."""
        body = self.code[start:end]
        base = hooks.declared(body)
        if base:
            level = substituted(base[2], self.values)
            if not table.declare(name, base[0], base[1], level, hooks.policy(body)):
                self.ruleset.problems.append((self._line(start), f"chain {name[:80]} has a priority that is not known: {level[:80]}"))
        else:
            table.declare(name, policy=hooks.policy(body))
        ways: list[tuple[int, str, str]] = []
        marks: list[Statement] = []
        joined = self._continued
        if "{" in body and _OPEN.search(body):
            body = self._without_lines(table, name, body, start, ways)
            joined = True
        if ";" in body:
            body = body.replace(";", "\n")
        table.statements += len(_LINES.findall("\n" + body))
        if base or "define" in body or "policy" in body or "comment" in body:
            table.statements -= len(_SETTING.findall("\n" + body))
        if "define" in body:
            self._definitions(body, start)
        if "flow" in body and _OFFLOAD.search(body):
            table.offloads.add(name)
        if "helper" in body and _HELP.search(body):
            table.helps.add(name)
        if kinds := rewritten(body):
            table.rewrites.setdefault(name, set()).update(kinds)
        ends = dict.fromkeys(m.start() for m in _VERDICT.finditer(body))
        found = sorted({*_positions(body, "jump"), *_positions(body, "goto"), *_positions(body, "vmap"), *_mentions(body), *ends})
        lines = self._long(body, start, found) if joined else {}
        done = -1
        for at in found:
            if at in ends:
                table.ends.setdefault(name, []).append(lines.get(at) or self._line(start + at))
            if match := _STEP.match(body, at):
                target = match[3] or substituted(self._decoded(match[2]), self.values)
                ways.append((lines.get(at) or self._line(start + at), match[1] or "", self._decoded(target) if match[3] else target))
            elif at > done and _MENTION.match(body, at):
                first = body.rfind("\n", 0, at) + 1
                done = body.find("\n", at)
                done = len(body) if done < 0 else done
                marks += self._statement(name, body, start, first, done, at, table)
        if inserted:
            table.inserted.update(lines.values() or [self._line(start)])
            table.ways[name] = ways + table.ways.get(name, [])
            table.marks[:0] = marks
        elif ways:
            table.ways.setdefault(name, []).extend(ways)
        if not inserted:
            table.marks += marks

    def _long(self, body: str, start: int, found: list[int]) -> dict[int, int]:
        """The line of each place in a rule that takes several: where its first mark stands, so that all of the rule is one."""
        lines: dict[int, int] = {}
        done, line = -1, 0
        for at in found:
            if at > done:
                first, done = body.rfind("\n", 0, at) + 1, body.find("\n", at)
                done, line = len(body) if done < 0 else done, 0
                if "\n" in self.text[start + first : start + done].strip() and not _ANONYMOUS.search(
                    self.code, start + first, start + done
                ):
                    mark = _MENTION.search(body, at, done)
                    line = self._line(start + at) + self.text.count("\n", start + at, start + (mark.start() if mark else at))
                    self.ruleset.long[line] = start + first, start + done
            if line:
                lines[at] = line
        return lines

    def _without_lines(self, table: Rules, name: str, body: str, start: int, ways: list[tuple[int, str, str]]) -> str:
        """A chain's body without line ends inside braces; chains without a name (``jump { … }``) are read and taken out."""
        pieces: list[str] = []
        at = 0
        while match := _ANONYMOUS.search(body, at):
            inner = _BODY.match(body, match.end())
            end = min(inner.end() + 1 if inner else len(body), len(body))
            line = self._line(start + match.start())
            own = f"{name}@{line}"
            ways.append((line, match[1], own))
            self._chain(table, own, start + match.end(), start + end - 1)
            pieces += (body[at : match.start()], " " * (end - match.start()))
            at = end
        return _OPEN_SET.sub(lambda m: m[0].replace("\n", " ").replace(";", " "), "".join((*pieces, body[at:])))

    def _definitions(self, body: str, start: int) -> None:
        for match in re.finditer(r"(?:^|\n)[ \t\r]*((?:re)?define\s[^\n]*)", body):
            self._command(start + match.start(1), start + match.end(1))

    def _statement(self, chain: str, body: str, start: int, first: int, end: int, at: int, table: Rules) -> Iterator[Statement]:
        """The rule between two line ends of a chain's body."""
        line = self._line(start + at)
        if start + end > self._cut and start + end >= len(self.text):
            self.ruleset.opaque.append((line, "the line is cut off", f"{table.family} {table.name}"))
            return
        text = body[first:end]
        stripped = text.strip()
        if stripped.startswith(("comment ", "define ", "type ", "policy ", "include ", "flags ")):
            return
        code, comment = comment_of(substituted(self._restored(start + first, start + end, text), self.values))
        code = emptied(code).strip()
        here = max(start + first, self.text.rfind("\n", 0, start + at) + 1)
        until = self.text.find("\n", start + at, start + end)
        raw = self._restored(here, until if until >= 0 else start + end).strip()
        yield Statement(chain, line, code, comment, target_of(code), raw)

    def _restored(self, start: int, end: int, code: str | None = None) -> str:
        """The plain text between two places with the content of its strings."""
        code = self.code[start:end] if code is None else code
        if '"' in code:
            code = _STRING.sub(lambda m: self.text[start + m.start() : start + m.end()], code)
        return decode(code.encode("latin-1"))

    def _decoded(self, name: str) -> str:
        return name if name.isascii() else decode(name.encode("latin-1"))

    def _unprinted(self) -> None:
        """Rules that nft could not print leave an empty line (1.0.6 with labels in a set)."""
        if self.text.startswith("table ") and ("#" not in self.text or "# handle" in self.text) and "\n    " not in self.text:
            for match in _UNPRINTED.finditer(self.text):
                self.ruleset.opaque.append((self._line(match.start()), "a rule that nft could not print", ""))


def _blank(match: re.Match[str]) -> str:
    text = match[0]
    if text[0] == '"':
        return f'"{chr(0) * (len(text) - 2)}"'
    if text[0] == "#" and (old := _XT_COMMENT.fullmatch(text)):
        return f" {old[1]}{' ' * len(old[2])}"
    return " " * len(text)


def _positions(text: str, word: str) -> Iterator[int]:
    at = text.find(word)
    while at >= 0:
        if not at or not (text[at - 1].isalnum() or text[at - 1] in "_-.@$"):
            yield at
        at = text.find(word, at + 1)


def _mentions(body: str) -> Iterator[int]:
    for word in _WORDS:
        yield from _positions(body, word)
