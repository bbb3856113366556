"""Policies and states of IPsec, as `ip_xfrm` knows them, and their marks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Literal, cast

from markreg.bits import BitsError, format_value_mask, full, parse_word
from markreg.formats._selector_asks import asks
from markreg.model import SKB_MARK, Opaque, Place, Problem, Reading, Rule, Scope, Use
from markreg.resources import grammar
from markreg.source import Source
from markreg.transfer import Predicate, masked_set

if TYPE_CHECKING:
    from lark import Lark, Token, Tree

    from markreg.flow import Guard

_LONGEST = 500
_HEADER = re.compile(r"src (\S+) dst (\S+)[ \t]*(.*)")
_POLICY = re.compile(r"(dir|socket) (in|out|fwd)\b(?:.*?\baction (\w+))?(?:.*?\bpriority ([0-9]{1,10})\b)?")
_STATE = re.compile(r"proto (\S+) (?:spi|reqid)\b(?:.*?\bmode (\w+))?")
_SELECTOR = re.compile(r"sel src (\S+) dst (\S+)")
_PART = re.compile(r"(?<!\S)(?:proto|sport|dport) \S+(?! mask)(?!\S)")
_IF_ID = re.compile(r"if_id \w+")
_UID = re.compile(r"[ \t]*\buid [0-9]+[ \t]*$")
_KEYS = re.compile(r"(?:auth|enc|aead|comp|auth-trunc)(?:[ \t]|$)")
_CLAUSE = re.compile(r"(?:mark|output-mark|set-mark)(?:[ \t]|$)")
_MENTION = re.compile(r"(?<![\w-])(?:output-|set-)?mark(?![\w-])")
_START = re.compile(r"(?:m|ma|mar|(?:o|ou|out|outp|outpu|output|output-|output-m|output-ma|output-mar))$")


def read(source: Source, name: str, scope: Scope) -> Reading:
    """Every policy, and the states that have marks."""
    reader = _Reader(source.path, scope)
    reader.run(source.text().replace("\0", "\ufffd"))
    return reader.reading(name)


class MarkError(ValueError):
    """A mark clause that was not understood; the message quotes nothing but numbers."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One mark of a policy or state: what it is for, value and mask as printed, and its text."""

    kind: Literal["mark", "output_mark"]
    value: int
    mask: int
    text: str


@cache
def _parser() -> Lark:
    from lark import Lark

    return Lark(grammar("ip_xfrm"), parser="lalr", lexer="contextual", propagate_positions=True)


@lru_cache(maxsize=65536)
def marks(text: str) -> tuple[Mark, ...]:
    """The marks that a line says. Raises MarkError."""
    from lark.exceptions import UnexpectedInput

    if len(text) > _LONGEST:
        raise MarkError("a mark line too long to be one")
    try:
        tree = _parser().parse(text)
    except UnexpectedInput:
        raise MarkError("not a mark as ip xfrm prints it") from None
    return tuple(_mark(text, cast("Tree[Token]", piece)) for piece in tree.children)


def _mark(text: str, piece: Tree[Token]) -> Mark:
    numbers = [word for word in cast("list[Token | None]", piece.children) if word is not None and word.type == "VALUE"]
    try:
        value = parse_word(numbers[0], SKB_MARK.width)
        # The kernel takes the full mask where a state's output-mark has none (xfrm_smark_init); ip gives one to `mark`.
        mask = parse_word(numbers[1], SKB_MARK.width) if len(numbers) > 1 else full(SKB_MARK.width)
    except BitsError as error:
        raise MarkError(f"mark: {error}") from None
    kind: Literal["mark", "output_mark"] = "output_mark" if piece.data == "output_mark" else "mark"
    return Mark(kind, value, mask, text[piece.meta.start_pos : piece.meta.end_pos])


@dataclass(slots=True)
class _Block:
    """One policy or state with the lines of its marks."""

    line: int
    source: str
    target: str
    rest: str = ""
    kind: Literal["", "policy", "state"] = ""
    action: str = ""
    priority: int = 0
    protocol: str = ""
    inner: tuple[str, str] | None = None
    any_inner: bool = False
    if_id: str = ""
    marks: list[tuple[int, Mark]] = field(default_factory=list)

    def take(self, text: str) -> None:
        """What a line without marks says, as far as it matters."""
        if not self.kind and (policy := _POLICY.match(text)):
            self.kind = "policy"
            prefix = "socket " if policy[1] == "socket" else ""
            self.action = f"{prefix}{policy[2]} {policy[3] or 'allow'}"
            self.priority = int(policy[4] or 0)
        elif not self.kind and (state := _STATE.match(text)):
            self.kind, self.protocol, self.action = "state", state[1], f"state {state[1]}"
        elif self.kind == "state" and (selector := _SELECTOR.match(text)):
            self.inner = (selector[1], selector[2])
        elif self.kind == "state" and text.startswith("replay-window") and "af-unspec" in text.split():
            self.any_inner = True
        elif match := _IF_ID.match(text):
            self.if_id = match[0]

    def family(self, default: str) -> str:
        """The family of the packets it concerns: a tunnel may carry both (flag af-unspec, or a selector of the other family)."""
        ends = (self.source, self.target, *(self.inner or ()))
        known = {"ip6" if ":" in a else "ip" for a in ends if re.match(r"[0-9a-fA-F:.]+(?:/[0-9]+)?$", a) and (":" in a or "." in a)}
        if self.any_inner or len(known) > 1:
            return "inet"
        return known.pop() if known else default

    def title(self) -> str:
        """What reports print for the place."""
        ends = f"{self.source} -> {self.target}"
        return f"xfrm state {ends} {self.protocol}" if self.kind == "state" else f"xfrm policy {self.action.rsplit(' ', 1)[0]} {ends}"

    def selectors(self) -> str:
        """The selector without the mark."""
        return " ".join(filter(None, (f"src {self.source} dst {self.target}", _UID.sub("", self.rest).strip(), self.if_id)))

    def asks(self) -> tuple[Guard, ...]:
        """What a policy asks of packets; the ends of a state are those of its tunnel."""
        if self.kind != "policy" or not self.marks:
            return ()
        return asks((f"src {self.source}", f"dst {self.target}", *_PART.findall(self.rest)))


@dataclass(slots=True)
class _Reader:
    path: str
    scope: Scope
    uses: list[Use] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    opaque: dict[str, list[int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    statements: int = 0
    mark_statements: int = 0

    def run(self, text: str) -> None:
        lines = text.split("\n")
        cut = len(lines) if lines[-1].strip() else 0
        block: _Block | None = None
        strange = 0
        for number, line in enumerate(lines, 1):
            for piece in line.split("\\"):
                part = piece.strip()
                if header := _HEADER.fullmatch(part):
                    self._finish(block)
                    block = _Block(number, header[1], header[2], header[3])
                elif part and not _KEYS.match(part):
                    if block and not _MENTION.search(part):
                        block.take(part)
                    elif _MENTION.search(part):
                        self._mark(block, number, part, cut=number == cut)
                    strange = strange or (0 if block else number)
            if number == cut and block and _START.match(line.split("\\")[-1].strip()):
                self.problems.append(Problem(self.path, number, "truncated"))
        if block and not block.kind and cut:
            self.problems.append(Problem(self.path, cut, "truncated"))
        self._finish(block)
        if strange and not self.statements:
            self.problems.append(Problem(self.path, strange, "no IPsec policy or state as ip xfrm prints it"))

    def _mark(self, block: _Block | None, line: int, text: str, cut: bool) -> None:
        try:
            if not block or not block.kind or not _CLAUSE.match(text):
                raise MarkError("mentions a mark and is no part of an IPsec policy or state")
            block.marks.extend((line, mark) for mark in marks(text))
        except MarkError as error:
            self.mark_statements += 1
            self.statements += block is None
            if cut:
                self.problems.append(Problem(self.path, line, f"truncated: {error}"))
            else:
                self.opaque.setdefault(str(error), []).append(line)

    def _finish(self, block: _Block | None) -> None:
        if not block or not block.kind:
            return
        self.statements += 1
        self.mark_statements += bool(block.marks)
        scope = replace(self.scope, family=block.family(self.scope.family))
        uses = [use for line, mark in block.marks if (use := self._use(block, line, mark, scope))]
        self.uses.extend(uses)
        lookup = next((use for use in uses if use.access == "read"), None)
        self.rules.append(
            Rule("xfrm", scope, self.path, block.line, block.priority, block.action, "", block.selectors(), lookup, block.asks())
        )

    def _use(self, block: _Block, line: int, mark: Mark, scope: Scope) -> Use | None:
        if not mark.mask:
            return None
        priority = block.priority if block.kind == "policy" else None
        place = Place("xfrm", block.title(), scope.family, priority=priority)
        # xfrm_mark_get and xfrm_smark_get: bits outside the mask count neither for the comparison nor for the write.
        value, width = mark.value & mark.mask, SKB_MARK.width
        word = "output-mark" if mark.kind == "output_mark" else "mark"
        said = f"xfrm {block.kind} {block.action.removeprefix('state ')} {word} {format_value_mask(value, mark.mask, width)}"
        use = Use(SKB_MARK.name, "read", mark.mask, place, scope, self.path, (line,), mark.text, statement=said, target=block.action)
        if mark.kind == "output_mark":
            return replace(use, access="write", effect=masked_set(SKB_MARK.name, width, mark.mask, value))
        return replace(use, predicate=Predicate.equals(SKB_MARK.name, value, mark.mask))

    def reading(self, name: str) -> Reading:
        families = {rule.scope.family for rule in self.rules} | {use.scope.family for use in self.uses}
        scope = replace(self.scope, family=families.pop()) if len(families) == 1 else self.scope
        opaque = tuple(Opaque(self.path, tuple(lines), reason) for reason, lines in self.opaque.items())
        return Reading(
            self.path,
            name,
            scope,
            uses=tuple(self.uses),
            rules=tuple(self.rules),
            opaque=opaque,
            problems=tuple(self.problems),
            statements=self.statements,
            mark_statements=self.mark_statements,
        )
