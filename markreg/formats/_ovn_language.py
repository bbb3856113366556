"""OVN's language: what action lists and match expressions do with marks (lib/actions.c, lib/expr.c; facts: semantics of OVN's language).

A `Deed` is one read or write of a field; where it stands is for who frames the text. Zones and places are not known here.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

from markreg.bits import BitsError, full, parse_int
from markreg.model import FIELDS
from markreg.resources import grammar, rules
from markreg.transfer import Predicate, Word, masked_set

if TYPE_CHECKING:
    from lark import Lark, Token, Tree

MENTION = re.compile(r"(?<![\w.])(?:pkt\.mark|ct_mark|ct_label)\b|(?<![\w.])ct_lb(?:_mark)?[ \t]*\(")
_MARKS = r"(?<![\w.])(?:pkt\.mark|ct_mark|ct_label)(?![\w])"
_NAMED = rf"{_MARKS}(?:\.\w{{1,40}})?+(?:\[[\d.]{{1,9}}\])?+"
_SIGN = r"[ ]*(?:[=!<>]=|[<>=])[ ]*"
_CONSTANT = r"(?:\{[^{}]*+\}|[\w.:/]++(?:\[[\d.]++\])?)"
# What stays of a text: marks with what they are compared with or become. Other strings, addresses and numbers say nothing of marks,
# and are what makes texts differ.
_PLAIN = re.compile(
    rf"(?P<mark>{_NAMED}{_SIGN}{_CONSTANT}|(?<![\w.:/]){_CONSTANT}(?={_SIGN}{_MARKS})|{_NAMED})"
    r'|(?P<string>"(?:[^"\\]|\\.)*")'
    r"|(?P<number>(?<![\w.])(?:[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){2,}[\w.:/]*|[0-9][\w.:/]*))"
)
_SLOT = re.compile(rf"({_NAMED}[ ]*=[ ]*)([0-9][\w:/]*)(?=[ ]*[;,)])")
_RANGE = re.compile(r"(\d{1,3})(?:\.\.(\d{1,3}))?")
_LONGEST = 1 << 20
_DEEPEST = 200
_NEGATED = re.compile(r"(?:!\s*){20}")
_CLOSES = {")": "(", "}": "{", "]": "["}
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[(){}\[\]]|/\*.*?\*/', re.DOTALL)


class LanguageError(ValueError):
    """A text that names a mark and was not understood; the message says why."""


class Part(NamedTuple):
    """Bits ``low`` to ``high`` of a field."""

    field: str
    low: int
    high: int

    @property
    def mask(self) -> int:
        """The bits in place."""
        return full(self.high - self.low + 1) << self.low


@dataclass(frozen=True, slots=True)
class Deed:
    """A read (with its predicate, None where the bits steer something that is no comparison) or a write (with its effect)."""

    access: Literal["read", "write", "copy"]
    field: str
    mask: int
    clause: str
    effect: Word | None = None
    predicate: Predicate | None = None


@cache
def _symbols() -> tuple[dict[str, Part], dict[str, dict[str, str]]]:
    data = tomllib.loads((rules("ovn") / "symbols.toml").read_text(encoding="utf-8"))
    return {name: _place(text) for name, text in data["symbols"].items()}, data["load_balancing"]


def symbols() -> dict[str, Part]:
    """The names of marks and their parts."""
    return _symbols()[0]


def _place(text: str) -> Part:
    name, _, bits = text.partition("[")
    match = cast("re.Match[str]", _RANGE.fullmatch(bits.rstrip("]")))
    return Part(name, int(match[1]), int(match[2] or match[1]))


@cache
def _parser() -> Lark:
    from lark import Lark

    return Lark(grammar("ovn"), parser="lalr", lexer="contextual", start=["actions", "match"], propagate_positions=True)


def _parsed(text: str, start: str) -> Tree[Token]:
    from lark.exceptions import UnexpectedInput

    if len(text) > _LONGEST or _depth(text) > _DEEPEST or _NEGATED.search(text):
        raise LanguageError("longer or more nested than markreg reads")
    try:
        return _parser().parse(text, start=start)
    except UnexpectedInput as error:
        raise LanguageError(f"{'actions' if start == 'actions' else 'a match'} of another form than OVN prints") from error


def _depth(text: str) -> int:
    depth = deepest = 0
    for token in _TOKENS.findall(text):
        depth += 1 if token in ("(", "{", "[") else -1 if token in _CLOSES else 0
        deepest = max(deepest, depth)
    return deepest


def _plain(text: str) -> str:
    """A text without the constants that have nothing to do with marks."""
    return _PLAIN.sub(lambda m: m[0] if m["mark"] else '""' if m["string"] else "0", text)


@dataclass(frozen=True, slots=True)
class _Slot:
    """A write of a constant, by the place of the constant in the text."""

    part: Part
    clause: str


@lru_cache(maxsize=4096)
def actions(text: str) -> tuple[Deed, ...]:
    """What an action list reads and writes of marks. Raises LanguageError."""
    if not MENTION.search(text):
        return ()
    plain = _plain(text)
    numbers = [match[2] for match in _SLOT.finditer(plain)]
    shape = _shape(_SLOT.sub(r"\g<1>0", plain))
    if len(numbers) != sum(isinstance(item, _Slot) for item in shape):
        shape = tuple(_items(plain))
        numbers = [item.clause.rpartition("=")[2].strip() for item in shape if isinstance(item, _Slot)]
    following = iter(numbers)
    return tuple(item if isinstance(item, Deed) else _filled(item, next(following)) for item in shape)


@lru_cache(maxsize=4096)
def _shape(text: str) -> tuple[Deed | _Slot, ...]:
    """What action lists do that differ in nothing but the constants that they write to marks."""
    return tuple(_items(text))


def _items(text: str) -> Iterator[Deed | _Slot]:
    ended = text.rstrip()
    tree = _parsed(text if ended.endswith((";", "}", "*/")) or not ended else f"{text};", "actions")
    yield from _statements(tree.children, text)


def _filled(slot: _Slot, number: str) -> Deed:
    value, mask = _number(number, slot.part)
    part = slot.part
    effect = masked_set(part.field, FIELDS[part.field].width, mask << part.low, (value & mask) << part.low)
    before, sign, _ = slot.clause.rpartition("=")
    space = " " if before.endswith(" ") else ""
    return Deed("write", part.field, mask << part.low, f"{before}{sign}{space}{number}", effect)


def match(text: str) -> tuple[Deed, ...]:
    """What a match expression tests of marks. Raises LanguageError."""
    return _match(_plain(text)) if MENTION.search(text) else ()


@lru_cache(maxsize=4096)
def _match(text: str) -> tuple[Deed, ...]:
    return tuple(_tests(_parsed(text, "match"), text, False))


def _trees(nodes: list[Token | Tree[Token]]) -> Iterator[Tree[Token]]:
    return (node for node in nodes if not isinstance(node, str))


def _said(node: Tree[Token], text: str) -> str:
    return text[node.meta.start_pos : node.meta.end_pos].rstrip("; ")


def _words(node: Token | Tree[Token]) -> Iterator[str]:
    """All tokens below a node, in order."""
    if isinstance(node, str):
        yield node
        return
    for child in node.children:
        if child is not None:
            yield from _words(child)


def _part(node: Token | Tree[Token]) -> Part | None:
    """The part of a mark that an lvalue names, None for anything else. Raises LanguageError for bits that are not there."""
    words = list(_words(node))
    named = symbols().get(words[0]) if words else None
    if named is None:
        if words and words[0].partition(".")[0] in ("ct_mark", "ct_label"):
            raise LanguageError(f"{words[0][:60]} is a part of a mark that this markreg does not know")
        return None
    bits = [w for w in words[1:] if w not in "[]"]
    if not bits:
        return named
    said = _RANGE.fullmatch(bits[0])
    low, high = (int(said[1]), int(said[2] or said[1])) if said and len(bits) == 1 else (1, 0)
    if low > high or named.low + high > named.high:
        raise LanguageError(f"{words[0]}[{bits[0][:20]}] is outside the field")
    return Part(named.field, named.low + low, named.low + high)


def _statements(nodes: list[Token | Tree[Token]], text: str) -> Iterator[Deed | _Slot]:
    for node in _trees(nodes):
        if node.data == "assign":
            yield from _assigned(node, text)
        elif node.data in ("exchange", "decrement"):
            if any(_part(side) for side in _trees(node.children)):
                raise LanguageError(f"{_said(node, text)[:60]}: a mark is not changed so")
        elif node.data == "call":
            yield from _called(node, text)


def _called(node: Tree[Token], text: str) -> Iterator[Deed | _Slot]:
    name = str(node.children[0])
    said = next((n for n in _trees(node.children) if n.data == "arguments"), None)
    block = next((n for n in _trees(node.children) if n.data == "block"), None)
    if block is not None:
        yield from _statements(block.children, text)
    if said is None:
        return
    if name in _symbols()[1]:
        yield from _balanced(name, said)
        return
    words = list(_words(said))
    for number, word in enumerate(words):
        if word.partition(".")[0] not in ("ct_mark", "ct_label", "pkt"):
            continue
        if (part := symbols().get(word)) is None:
            if word.startswith("pkt."):
                continue
            raise LanguageError(f"{word[:60]} is a part of a mark that this markreg does not know")
        following = words[number + 1 : number + 3]
        if name in ("ct_commit", "ct_commit_v1") and following[:1] == ["="] and len(following) > 1:
            yield _Slot(part, f"{word}={following[1]}")
        else:
            yield Deed("read", part.field, part.mask, str(word))


def _balanced(name: str, said: Tree[Token]) -> Iterator[Deed]:
    """The bits that load balancing sets beside choosing a backend."""
    sets = _symbols()[1][name]
    words = set(_words(said))
    for option, symbol in sets.items():
        if option in words or (option == "backends" and words):
            part = symbols()[symbol]
            effect = masked_set(part.field, FIELDS[part.field].width, part.mask, part.mask)
            yield Deed("write", part.field, part.mask, name, effect)


def _assigned(node: Tree[Token], text: str) -> Iterator[Deed | _Slot]:
    target, right = _part(node.children[0]), node.children[1:]
    words = [word for item in right for word in _words(item)]
    clause = _said(node, text)
    source = _source(words)
    if target is None:
        if source:
            yield Deed("read", source.field, source.mask, clause)
        elif any(MENTION.match(word) for word in words):
            raise LanguageError(f"{clause[:60]}: a mark where OVN takes none")
        return
    if source:
        yield from _copied(target, source, clause)
    elif len(words) == 1 and words[0][:1].isdigit():
        yield _Slot(target, clause)
    elif any(word in symbols() for word in words):
        raise LanguageError(f"{clause[:60]}: a mark where OVN takes none")
    else:
        kept = Word.entry(target.field, FIELDS[target.field].width)
        yield Deed("write", target.field, target.mask, clause, Word.unknown(kept.width).masked_into(kept, target.mask))


def _source(words: list[str]) -> Part | None:
    """The part of a mark that is all of a right side."""
    from lark import Token, Tree

    if not words or words[0] not in symbols() or len(words) > 2 or (len(words) == 2 and not _RANGE.fullmatch(words[1])):
        return None
    return _part(Tree("lvalue", [Token("WORD", word) for word in words]))


def _copied(target: Part, source: Part, clause: str) -> Iterator[Deed]:
    kept = Word.entry(target.field, FIELDS[target.field].width)
    taken = Word.entry(source.field, FIELDS[source.field].width).only(source.mask).shifted(-source.low).resized(kept.width)
    width = min(target.high - target.low, source.high - source.low) + 1
    fresh = target.mask & ~(full(width) << target.low)
    moved = taken.only(full(width)).shifted(target.low).only(full(width) << target.low) | Word(kept.width, zero=fresh)
    yield Deed("read", source.field, full(width) << source.low, clause)
    yield Deed("copy", target.field, target.mask, clause, moved | kept.only(~target.mask))


def _number(text: str, part: Part) -> tuple[int, int]:
    """``value`` or ``value/mask`` of a part, whose bit 0 is the part's lowest. Raises LanguageError."""
    whole = full(part.high - part.low + 1)
    value, slash, mask = text.partition("/")
    try:
        both = _integer(value), _integer(mask) if slash else whole
    except BitsError as error:
        raise LanguageError(f"{text[:60]} is no number") from error
    if max(both) > whole:
        raise LanguageError(f"{text[:60]} does not fit into {part.high - part.low + 1} bits")
    return both


def _integer(text: str) -> int:
    if re.fullmatch(r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}", text):
        return int(text.replace(":", ""), 16)
    return parse_int(text)


def _tests(node: Tree[Token], text: str, negated: bool) -> Iterator[Deed]:
    if node.data == "comparison":
        yield from _compared(node, text, negated)
    elif node.data == "boolean":
        part = _part(node.children[0])
        if part:
            clause = _said(node, text)
            width = part.high - part.low + 1
            predicate = Predicate.equals(part.field, part.mask, part.mask, negated) if width == 1 else None
            yield Deed("read", part.field, part.mask, clause, predicate=predicate)
    elif node.data == "function":
        if MENTION.search(_said(node, text)):
            raise LanguageError(f"{_said(node, text)[:60]}: a mark where OVN takes none")
    else:
        for child in _trees(node.children):
            yield from _tests(child, text, negated != (node.data == "negated"))


def _compared(node: Tree[Token], text: str, negated: bool) -> Iterator[Deed]:
    clause = _said(node, text)
    children = node.children
    for left, relation, right in zip(children[::2], children[1::2], children[2::2], strict=False):
        sides = [_part(side) if not isinstance(side, str) and side.data == "lvalue" else None for side in (left, right)]
        if not any(sides):
            continue
        part = sides[0] or sides[1]
        assert part is not None
        sign = str(relation) if sides[0] else {"<": ">", ">": "<", "<=": ">=", ">=": "<="}.get(str(relation), str(relation))
        constants = [w for w in _words(right if sides[0] else left) if w not in "{},"]
        if all(sides) or not constants or any(not c[:1].isdigit() for c in constants):
            yield Deed("read", part.field, part.mask, clause)
            continue
        yield from _predicates(part, sign, constants, negated, clause)


def _predicates(part: Part, sign: str, constants: list[str], negated: bool, clause: str) -> Iterator[Deed]:
    numbers = [_number(constant, part) for constant in constants]
    masks = {mask for _, mask in numbers}
    for mask in sorted(masks):
        values = sorted({value & mask for value, m in numbers if m == mask})
        place = mask << part.low
        if sign in ("==", "!="):
            accepts = tuple((value << part.low, value << part.low) for value in values)
        else:
            accepts = _range(sign, values[0], mask, part.low)
        predicate = Predicate(part.field, place, accepts, values[0] << part.low if len(values) == 1 else None)
        if negated != (sign == "!="):
            predicate = predicate.inverse()
        yield Deed("read", part.field, place, clause, predicate=predicate)


def _range(sign: str, value: int, mask: int, low: int) -> tuple[tuple[int, int], ...]:
    start = value + (sign == ">") if sign in (">", ">=") else 0
    end = value - (sign == "<") if sign in ("<", "<=") else mask
    return ((start << low, end << low),) if start <= end else ()
