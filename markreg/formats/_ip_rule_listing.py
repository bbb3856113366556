"""Policy routing rules, as `ip_rule` knows them: selectors, marks and what they lead to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING, cast

from markreg.bits import BitsError, format_value_mask, full, parse_value_mask, parse_word
from markreg.formats._selector_asks import asks
from markreg.formats.ip_rule import COLOUR, NAMES
from markreg.model import SKB_MARK, Opaque, Place, Problem, Reading, Rule, Scope, Use
from markreg.resources import grammar
from markreg.source import Source
from markreg.transfer import Predicate

if TYPE_CHECKING:
    from lark import Lark, Token

    from markreg.flow import Guard

_RULE = re.compile(r"[ \t]*([0-9]{1,10}):[ \t]+(.*)")
_LIKE = re.compile(r"(?:not )?from \S")
_JSON_MARK = re.compile(r'"fwmark"\s*:\s*(?:"[^"\n]*"|[^\s,}"]+)')
_JSON_MASK = re.compile(r'[ \t]*,[ \t]*"fwmask"[ \t]*:[ \t]*(?:"[^"\n]*"|[^\s,}"]+)')
_ECHO = re.compile(
    r"(?:^|[ \t#$>%])ip((?:[ \t]+-\S+(?:[ \t]+inet6?)?)*)[ \t]+ru(?:le)?(?:[ \t]+(?:l|ls|list|sh|show)\b|[ \t]*$|[ \t]*[|>;])"
)
_SIX = re.compile(r"-6\b|\binet6\b")
_MENTION = re.compile(r"fwmark", re.IGNORECASE)
_ADDRESS = re.compile(r"(?<!\S)(from|to)([ \t]+)(\S+)")
_ALL = {"all", "any", "default", "0/0", "0.0.0.0/0", "::/0"}
_HOLE = "\0"
_LONGEST = 2000
_BY_MASTER = "[l3mdev-table]"
_DEVICES = ("iif", "dev", "oif")
_IPV4_ALONE = ((32767, "lookup default"), (32767, "lookup 253"))
# -N prints types as numbers: include/uapi/linux/rtnetlink.h, whose values fib_rules.h shares.
_ACTIONS = {"6": "blackhole", "7": "unreachable", "8": "prohibit"}


def read(source: Source, name: str, scope: Scope) -> Reading:
    """Every rule with its selector; those that select by mark have a use."""
    reader = _Reader(source.path, name, scope)
    text = source.text().replace("\0", "\ufffd")
    if name == NAMES[1]:
        reader.json(text)
    else:
        reader.text(text)
    return reader.reading()


@dataclass(frozen=True, slots=True)
class Statement:
    """A rule's meaning. In ``selectors`` every address is a NUL, to be filled in order.

    ``mark`` is value and mask, ``clause`` where in the rule's text they stand; both None where the rule selects by no mark.
    """

    negated: bool
    selectors: tuple[str, ...]
    action: str
    table: str
    mark: tuple[int, int] | None
    clause: slice | None

    def target(self) -> str:
        """What is done, in words: ``lookup 52``."""
        return f"{self.action} {self.table}".strip()

    def canonical(self) -> str:
        """The rule in one spelling, without its addresses."""
        mark = [f"fwmark {format_value_mask(*self.mark, SKB_MARK.width)}"] if self.mark else []
        return " ".join([*(["not"] if self.negated else []), *(s.replace(_HOLE, "*") for s in self.selectors), *mark, self.target()])


class RuleError(ValueError):
    """A text that is no policy routing rule; the message says where."""


@cache
def _parser() -> Lark:
    from lark import Lark

    return Lark(grammar("ip_rule"), parser="lalr", lexer="contextual", propagate_positions=True)


@lru_cache(maxsize=65536)
def statement(shape: str) -> Statement:
    """The meaning of a rule's text after its priority. Raises RuleError."""
    from lark.exceptions import UnexpectedInput

    if len(shape) > _LONGEST:
        raise RuleError("a policy routing rule too long to be one")
    try:
        tree = _parser().parse(shape)
    except UnexpectedInput as error:
        at = getattr(error, "pos_in_stream", None)
        rest = "the end" if at is None or at >= len(shape) else repr(shape[at:].split(None, 1)[0][:40])
        raise RuleError(f"unexpected {rest} in a policy routing rule") from None
    negated, selectors, action, table = False, [], "", ""
    mark, clause = None, None
    for child in tree.children:
        if child is None:
            continue
        if isinstance(child, str):
            negated = negated or child.type == "NOT"
            continue
        piece = child
        words = [w for w in piece.children if w is not None]
        match piece.data:
            case "fwmark":
                if mark or clause:
                    raise RuleError("two marks in one policy routing rule")
                mark, clause = _mark(cast("list[Token]", words)), slice(piece.meta.start_pos, piece.meta.end_pos)
            case "address" if words[1] not in _ALL:
                selectors.append(" ".join(cast("list[Token]", words)))
            case "selector":
                selectors.append(" ".join(cast("list[Token]", words)))
            case "lookup":
                action, table = "lookup", str(words[1])
            case "l3mdev":
                # l3mdev_fib_rule_match: the rule holds only where the flow has an l3mdev master.
                selectors.append("l3mdev")
                action, table = "lookup", _BY_MASTER
            case "goto":
                action, table = "goto", str(words[1])
            case "action":
                action = _ACTIONS.get(str(words[0]), str(words[0]))
    if not action:
        raise RuleError("unexpected the end in a policy routing rule")
    return Statement(negated, tuple(selectors), action, table, mark, clause if mark else None)


def _mark(words: list[Token]) -> tuple[int, int] | None:
    try:
        value, mask = parse_value_mask(words[1], SKB_MARK.width)
        if len(words) > 2:
            mask = parse_word(words[3], SKB_MARK.width)
    except BitsError as error:
        raise RuleError(f"fwmark: {error}") from None
    # fib_nl2rule sets the full mask only for a value other than 0: `fwmark 0` selects nothing.
    explicit = "/" in words[1] or len(words) > 2
    return (value, mask) if (value or explicit) and mask else None


def predicate(negated: bool, selectors: tuple[str, ...], value: int, mask: int) -> Predicate:
    """What a rule accepts of the mark: fib_rule_match compares ``(rule.mark ^ m) & mask``, then ``not`` inverts the whole rule.

    Where a ``not`` rule selects by something else too, it can hold for any mark.
    """
    test = Predicate.equals(SKB_MARK.name, value & mask, mask, negated)
    return replace(test, value=value, accepts=((0, mask),) if negated and selectors else test.accepts)


@dataclass(slots=True)
class _Found:
    """A rule before its family is known."""

    line: int
    priority: int
    statement: Statement
    addresses: tuple[str, ...]
    clause: str

    def family(self) -> str:
        """The family that the addresses say; nothing for none."""
        return "" if not self.addresses else "ip6" if any(":" in a for a in self.addresses) else "ip"


@dataclass(slots=True)
class _Listing:
    """The rules of one command's output; ``family`` where the command line says it."""

    family: str = ""
    found: list[_Found] = field(default_factory=list)


@dataclass(slots=True)
class _Reader:
    path: str
    format: str
    scope: Scope
    listings: list[_Listing] = field(default_factory=lambda: [_Listing()])
    opaque: dict[str, list[int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    statements: int = 0
    mark_statements: int = 0

    def text(self, text: str) -> None:
        lines = COLOUR.sub("", text).split("\n")
        cut = len(lines) if lines[-1].strip() else 0
        strange = 0
        for number, line in enumerate(lines, 1):
            line = line.rstrip("\r")
            if rule := _RULE.fullmatch(line):
                self._rule(number, int(rule[1]), rule[2], "", cut=number == cut, sure=bool(_LIKE.match(rule[2])))
            elif echo := _ECHO.search(line):
                self.listings.append(_Listing("ip6" if _SIX.search(echo[1]) else "ip"))
            elif _MENTION.search(line):
                self._refuse(number, "mentions fwmark and is no policy routing rule", cut=number == cut)
            elif line.strip() and not strange:
                strange = number
        if strange and not self.statements:
            self.problems.append(Problem(self.path, strange, "no policy routing rule as ip rule prints it"))

    def json(self, text: str) -> None:
        decoder, at, line, counted = json.JSONDecoder(), 0, 1, 0
        seen: dict[str, int] = {}
        start = re.compile(r"[\s,\[\]]*")
        while (at := cast("re.Match[str]", start.match(text, at)).end()) < len(text):
            line += text.count("\n", counted, at)
            counted = at
            try:
                value, end = decoder.raw_decode(text, at)
            except (ValueError, RecursionError):
                self.problems.append(Problem(self.path, line, "truncated, or no JSON"))
                for match in _JSON_MARK.finditer(text, at):
                    line += text.count("\n", counted, match.start())
                    counted = match.start()
                    self._refuse(line, "stands in broken JSON", cut=False)
                return
            if isinstance(value, dict) and value:
                where, clause = _verbatim(text, at, end, line, seen)
                priority = value.get("priority")
                self._rule(where, priority if isinstance(priority, int) else 0, " ".join(_words(value)), clause, cut=False, sure=True)
            at = end
        if not self.statements and text.strip(" \t\r\n[]{},"):
            self.problems.append(Problem(self.path, 1, "no policy routing rule as ip -j rule prints it"))

    def _rule(self, line: int, priority: int, text: str, clause: str, cut: bool, sure: bool) -> None:
        addresses: list[str] = []

        def hole(match: re.Match[str]) -> str:
            if match[3] in _ALL:
                return f"{match[1]}{match[2]}all"
            addresses.append(match[3])
            return f"{match[1]}{match[2]}{_HOLE}"

        shape = _ADDRESS.sub(hole, text)
        try:
            meaning = statement(shape)
        except RuleError as error:
            if _MENTION.search(text) or (cut and sure):
                self._refuse(line, str(error), cut)
            else:
                self.statements += sure
            return
        self.statements += 1
        self.mark_statements += "fwmark" in text.split()
        if meaning.clause and not clause:
            clause = shape[meaning.clause]
        listing = self.listings[-1]
        if listing.found and listing.found[-1].priority > priority:
            listing = _Listing()
            self.listings.append(listing)
        listing.found.append(_Found(line, priority, meaning, tuple(addresses), clause))

    def _refuse(self, line: int, reason: str, cut: bool) -> None:
        self.statements += 1
        self.mark_statements += 1
        if cut:
            self.problems.append(Problem(self.path, line, f"truncated: {reason}"))
        else:
            self.opaque.setdefault(reason, []).append(line)

    def reading(self) -> Reading:
        rules = tuple(rule for listing in self.listings for rule in self._rules(listing))
        families = {rule.scope.family for rule in rules}
        scope = replace(self.scope, family=families.pop()) if len(families) == 1 else self.scope
        uses = tuple(rule.use for rule in rules if rule.use)
        opaque = tuple(Opaque(self.path, tuple(lines), reason) for reason, lines in self.opaque.items())
        return Reading(
            self.path,
            self.format,
            scope,
            uses=uses,
            rules=rules,
            opaque=opaque,
            problems=tuple(self.problems),
            statements=self.statements,
            mark_statements=self.mark_statements,
        )

    def _rules(self, listing: _Listing) -> Iterator[Rule]:
        known = {family for found in listing.found if (family := found.family())}
        # Only IPv4 has a table `default` (net/ipv4/fib_rules.c fib_default_rules_init, net/ipv6/fib6_rules.c fib6_rules_net_init).
        assumed = "ip" if not known and any((f.priority, f.statement.canonical()) in _IPV4_ALONE for f in listing.found) else ""
        common = listing.family or (known.pop() if len(known) == 1 else assumed)
        # Where there are VRFs, a rule's device stands for its ports, too (net/l3mdev/l3mdev.c l3mdev_update_flow).
        masters = any(found.statement.table == _BY_MASTER for found in listing.found)
        for found in listing.found:
            family = self.scope.family if self.scope.family != "inet" else common or found.family() or "inet"
            yield self._made(found, replace(self.scope, family=family), masters)

    def _made(self, found: _Found, scope: Scope, masters: bool) -> Rule:
        meaning = found.statement
        addresses = iter(found.addresses)
        selectors = [s if _HOLE not in s else s.replace(_HOLE, next(addresses, "")) for s in meaning.selectors]
        use: Use | None = None
        asked: tuple[Guard, ...] = ()
        if meaning.mark:
            value, mask = meaning.mark
            asked = () if meaning.negated else asks(s for s in selectors if not masters or s == "iif lo" or s.split()[0] not in _DEVICES)
            command = "ip -6 rule" if scope.family == "ip6" else "ip rule"
            use = Use(
                SKB_MARK.name,
                "read",
                mask & full(SKB_MARK.width),
                Place("rule", f"{command} {found.priority}", scope.family, table=meaning.table, priority=found.priority),
                scope,
                self.path,
                (found.line,),
                found.clause,
                predicate=predicate(meaning.negated, meaning.selectors, value, mask),
                statement=meaning.canonical(),
                target=meaning.target(),
            )
        said = " ".join((["not"] if meaning.negated else []) + selectors)
        return Rule("rule", scope, self.path, found.line, found.priority, meaning.action, meaning.table, said, use, asked)


def _verbatim(text: str, at: int, end: int, line: int, seen: dict[str, int]) -> tuple[int, str]:
    """Line and text of the mark of a JSON rule; where the same text stood in that line before, with what precedes it."""
    match = _JSON_MARK.search(text, at, end)
    if not match:
        return line, ""
    line += text.count("\n", at, match.start())
    mask = _JSON_MASK.match(text, match.end(), end)
    clause = text[match.start() : mask.end() if mask else match.end()]
    forms = {match[0], clause}
    if seen.get(clause) == line:
        start = max(at, text.rfind("\n", at, match.start()) + 1)
        clause = text[start : match.start()] + clause
    seen.update(dict.fromkeys(forms, line))
    return line, clause


def _words(rule: dict[str, object]) -> Iterator[str]:
    """A JSON rule in the words of the text form (print_rule in iproute2's ip/iprule.c prints both)."""
    for key, value in rule.items():
        said = str(value)
        match key:
            case "priority" | "srclen" | "dstlen" | "fwmask" | "uid_end" | "sport_end" | "dport_end" | "flow_to":
                continue
            case "src" | "dst":
                length = rule.get(f"{key}len")
                yield ("from " if key == "src" else "to ") + (said if length is None else f"{said}/{length}")
            case "fwmark":
                yield f"fwmark {said}" + (f"/{rule['fwmask']}" if "fwmask" in rule else "")
            case "uid_start" | "sport_start" | "dport_start":
                stem = key.removesuffix("_start")
                yield f"{'uidrange' if stem == 'uid' else stem} {said}-{rule.get(stem + '_end')}"
            case "flow_from":
                yield f"realms {said}/{rule.get('flow_to')}"
            case "iif_detached" | "oif_detached":
                yield "[detached]"
            case "table":
                yield f"lookup {said}"
            case "action":
                yield said
            case "protocol" | "nat_gateway":
                yield f"{'proto' if key == 'protocol' else 'map-to'} {said}"
            case "unresolved":
                yield "[unresolved]"
            case "suppress_prefixlen":
                yield f"suppress_prefixlength {said}"
            case _:
                yield key if value is None else f"{key} {said}"
