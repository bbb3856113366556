"""``nft -j``: objects one by one, so that a large ruleset is never whole in memory. Rules that mention marks become text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from markreg.formats._nft_render import Json, RenderError, elements_text, statement_text
from markreg.formats._nft_ruleset import Rules, Ruleset, Statement
from markreg.formats._nft_sets import NamedSet
from markreg.formats._nft_statement import common, plain, rewritten, target_of
from markreg.source import Source

_START = re.compile(r'\s*\{\s*"nftables"\s*:\s*\[')
_LINE_END = re.compile(rb"\n")
_SPACE = re.compile(r"[\s,]*")
_MENTION = re.compile(r'"(?:mark|label|queue|xt)"|"@(?:ll|nh|th)')
_EXPR = re.compile(r'"expr"\s*:\s*\[')
_COMMANDS = {"add", "create", "insert", "replace"}
_ENDS = {"accept", "drop", "return", "reject", "masquerade", "snat", "dnat", "redirect", "queue", "vmap", "notrack"}
_DECODER = json.JSONDecoder()
# What an expression of the wrong shape raises.
_UNKNOWN = (RenderError, RecursionError, AttributeError, TypeError, LookupError, ValueError)


def ruleset_of(source: Source) -> Ruleset:
    """The ruleset of a whole document; never raises on content.

    nft prints it in one line. The source is cut so that each object has a line: order and identity of rules are those of lines. Where
    rules take several lines, each is known by one of them, and the source is told how far it goes.
    """
    ruleset, text = Ruleset(), source.text()
    match = _START.match(text)
    if not match:
        ruleset.problems.append((1, "is no JSON of nft"))
        return ruleset
    starts, cut = [0], False
    characters = place = 0
    for start, end, value in _objects(text, match.end()):
        between = text[characters:start].encode("utf-8", "surrogateescape")
        starts += [place + m.end() for m in _LINE_END.finditer(between)]
        characters, place = start, place + len(between)
        if characters != len(match[0]) and b"\n" not in between:
            starts.append(place)
            cut = True
        if isinstance(value, dict):
            reader = _Reader(ruleset, text, start, end, len(starts))
            reader.entry(value)
            if reader.known and text.find("\n", start, end) >= 0:
                ruleset.long[reader.known] = (place, place + len(text[start:end].encode("utf-8", "surrogateescape")))
        elif isinstance(value, Exception):
            _broken(ruleset, text, start, len(starts), value)
    if cut:
        source.cut(starts)
    return ruleset


def _objects(text: str, at: int) -> Iterator[tuple[int, int, Json]]:
    """Every entry of the list, with where it stands; last the error that ends it, if one does."""
    while True:
        space = _SPACE.match(text, at)
        start = space.end() if space else at
        if text.startswith("]", start):
            return
        try:
            value, at = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            yield start, len(text), error
            return
        yield start, at, value


def _broken(ruleset: Ruleset, text: str, start: int, line: int, error: Exception) -> None:
    """Notes where the document ends to be JSON, and whether marks may stand in the rest."""
    last = getattr(error, "pos", 0) + len("false")
    cut = last >= len(text.rstrip()) or "Unterminated" in str(error)
    ruleset.problems.append((line, "the JSON is cut off" if cut else f"no JSON: {error}"))
    if _MENTION.search(text, start):
        ruleset.opaque.append((line, "the JSON cannot be read from here", ""))


class _Reader:
    """One entry of the list."""

    def __init__(self, ruleset: Ruleset, text: str, start: int, end: int, line: int) -> None:
        self.ruleset = ruleset
        self.text = text
        self.start = start
        self.end = end
        self.line = line
        # The line by which a rule is known that may change a packet's way or marks.
        self.known = 0

    def entry(self, value: dict[str, Json]) -> None:
        """An object, or a command that holds one."""
        kind, inner = next(iter(value.items()), ("", None))
        verb = ""
        if kind in _COMMANDS | {"flush", "delete", "destroy"} and isinstance(inner, dict):
            verb = kind
            kind, inner = next(iter(inner.items()), ("", None))
            if verb not in _COMMANDS:
                self._remove(verb, kind, inner if isinstance(inner, dict) else {})
                return
        if not isinstance(inner, dict):
            return
        make = {"table": self._table, "chain": self._chain, "set": self._set, "map": self._set, "element": self._element}.get(kind)
        if kind == "rule":
            self._rule(inner, verb == "insert")
        elif make:
            make(inner)

    def _of(self, inner: dict[str, Json]) -> Rules:
        return self.ruleset.table(str(inner.get("family", "ip")), str(inner.get("table", "")))

    def _remove(self, verb: str, kind: str, inner: dict[str, Json]) -> None:
        family, name = str(inner.get("family") or ""), inner.get("name")
        if kind == "ruleset":
            self.ruleset.clear(family)
        elif kind == "table" and verb != "flush":
            self.ruleset.clear(family or "ip", str(name))
        elif kind == "table":
            self.ruleset.table(family, str(name)).flush()
        elif kind == "chain":
            self._of(inner).flush(str(name))

    def _table(self, inner: dict[str, Json]) -> None:
        table = self.ruleset.table(str(inner.get("family", "ip")), str(inner.get("name", "")))
        table.dormant |= "dormant" in _listed(inner.get("flags"))

    def _chain(self, inner: dict[str, Json]) -> None:
        name, hook = str(inner.get("name", "")), inner.get("hook")
        level = inner.get("prio", 0)
        if not self._of(inner).declare(
            name, str(inner.get("type", "filter")) if hook else "", str(hook or ""), str(level), str(inner.get("policy", ""))
        ):
            self.ruleset.problems.append((self.line, f"chain {name[:80]} has a priority that is not known: {str(level)[:80]}"))

    def _set(self, inner: dict[str, Json]) -> None:
        known = self._of(inner).sets.setdefault(str(inner.get("name", "")), NamedSet())
        kind = inner.get("type")
        known.type = " . ".join(str(k) for k in kind) if isinstance(kind, list) else str(kind)
        if inner.get("map"):
            known.type += f" : {inner['map']}"
        known.changing = bool({"dynamic", "timeout"} & set(_listed(inner.get("flags"))))
        self._elements(known, inner)

    def _element(self, inner: dict[str, Json]) -> None:
        self._elements(self._of(inner).sets.setdefault(str(inner.get("name", "")), NamedSet()), inner)

    def _elements(self, known: NamedSet, inner: dict[str, Json]) -> None:
        """Elements as text, where a rule may ask for them: marks and verdicts. Elements of a command do not tell their type."""
        found = inner.get("elem")
        if not found or not re.search("mark|label|verdict|dict|None", known.type or "None"):
            return
        try:
            known.bodies.append(elements_text(found if isinstance(found, list) else [found]))
        except _UNKNOWN:
            known.changing = True

    def _rule(self, inner: dict[str, Json], inserted: bool) -> None:
        table, chain = self._of(inner), str(inner.get("chain", ""))
        table.declare(chain)
        table.statements += 1
        expressions = inner.get("expr")
        if not isinstance(expressions, list):
            self.ruleset.opaque.append((self.line, "a rule that nft could not print", f"{table.family} {table.name}"))
            return
        found: list[Statement] = []
        if _MENTION.search(self.text, self.start, self.end):
            found = self._statement(table, chain, inner, expressions)
        line = found[0].line if found else self.line
        ways = [(line, verb, target) for e in expressions if isinstance(e, dict) for verb, target in _ways(e)]
        kinds = {kind for e in expressions if isinstance(e, dict) for kind in e}
        if kinds & _ENDS:
            table.ends.setdefault(chain, []).append(line)
        if "flow" in kinds:
            table.offloads.add(chain)
        if "ct helper" in kinds:
            table.helps.add(chain)
        if "mangle" in kinds and (changed := {kind for e in expressions for kind in _rewritten(e)}):
            table.rewrites.setdefault(chain, set()).update(changed)
        if inserted:
            table.inserted.add(line)
            table.ways[chain] = ways + table.ways.get(chain, [])
        elif ways:
            table.ways.setdefault(chain, []).extend(ways)
        if found or ways or kinds & _ENDS:
            self.known = line
        at = 0 if inserted else len(table.marks)
        table.marks[at:at] = found

    def _statement(self, table: Rules, chain: str, inner: dict[str, Json], expressions: list[Json]) -> list[Statement]:
        parts: list[tuple[int, str, int]] = []
        code = ""
        line = at = 0
        try:
            for (start, end), expression in zip(self._spans(len(expressions)), expressions, strict=True):
                text = common(statement_text(expression))
                if not text:
                    continue
                if code:
                    code, at = code + " ", at + 1
                here = self.line + self.text.count("\n", self.start, start)
                written = self.text[start:end]
                if not line and _MENTION.search(written):
                    line = here
                # Of what takes several lines, none says what it is.
                parts.append((at, json.dumps(expression) if "\n" in written else written, here))
                code, at = code + text, at + len(plain(text))
        except _UNKNOWN as error:
            self.ruleset.opaque.append((self.line, f"an expression that is not known: {error}"[:200], f"{table.family} {table.name}"))
            return []
        return [Statement(chain, line or self.line, code, str(inner.get("comment") or ""), target_of(code), "", tuple(parts))]

    def _spans(self, count: int) -> list[tuple[int, int]]:
        """Where each expression of the rule stands."""
        match = _EXPR.search(self.text, self.start, self.end)
        spans: list[tuple[int, int]] = []
        at = match.end() if match else self.start
        for _ in range(count):
            space = _SPACE.match(self.text, at)
            start = space.end() if space else at
            try:
                _, at = _DECODER.raw_decode(self.text, start)
            except ValueError:
                return [(self.start, self.end)] * count
            spans.append((start, at))
        return spans


def _listed(value: Json) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list) else str(value).split(",") if value else []


def _rewritten(expression: Json) -> set[str]:
    """What of addresses and ports an expression changes."""
    try:
        return rewritten(statement_text(expression)) if "mangle" in expression else set()
    except _UNKNOWN:
        return set()


def _ways(expression: dict[str, Json]) -> Iterator[tuple[str, str]]:
    """The jumps of an expression; ``@name`` for those of a named verdict map."""
    for kind, inner in expression.items():
        if kind in ("jump", "goto") and isinstance(inner, dict):
            yield kind, str(inner.get("target", ""))
        elif kind == "vmap" and isinstance(inner, dict):
            data = inner.get("data")
            if isinstance(data, str):
                yield "", data
            elif isinstance(data, dict) and isinstance(pairs := data.get("set"), list):
                for pair in pairs:
                    if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], dict):
                        yield from _ways(pair[1])
