"""From a ruleset of nft to a reading: the rules that concern marks as uses, equal ones of a chain together."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from markreg.chains import hooks_of
from markreg.formats._iptables_clauses import Clause, ClauseError
from markreg.formats._nft_clauses import Parsed, parse
from markreg.formats._nft_compat import WHY, managed, untrusted
from markreg.formats._nft_ruleset import Rules, Ruleset, Statement
from markreg.formats._nft_statement import common, plain
from markreg.model import FIELDS, Opaque, Place, Problem, Reading, Scope, Table, Use

_INSTANCE = re.compile(r"[A-Za-z0-9_-]{16,}|[0-9]+")
_ZONE = re.compile(r"(?<![\w.-])ct\s+zone\s+(?:==\s*)?([0-9]+)(?![\w.-])")
_Key = tuple[str, str, str, int]


@dataclass(slots=True)
class _Group:
    """Equal statements of one chain."""

    clause: Clause
    statement: Statement
    code: str
    lines: list[int] = field(default_factory=list)


def reading(ruleset: Ruleset, path: str, name: str, scope: Scope) -> Reading:
    """What a ruleset says of marks."""
    return _Builder(path, scope).build(ruleset, name)


class _Builder:
    def __init__(self, path: str, scope: Scope) -> None:
        self.path = path
        self.scope = scope
        self.uses: list[Use] = []
        self.tables: list[Table] = []
        self.opaque: dict[tuple[str, str], list[int]] = {}
        self.marks = 0

    def build(self, ruleset: Ruleset, name: str) -> Reading:
        for line, reason, table in ruleset.opaque:
            self._not_understood(reason, table, line)
            self.marks += 1
        for rules in ruleset.tables.values():
            self._table(rules)
        families = {_scoped(t.family) for t in self.tables}
        scope = replace(self.scope, family=families.pop() if len(families) == 1 else "inet")
        opaque = tuple(Opaque(self.path, tuple(dict.fromkeys(lines)), why, table) for (why, table), lines in self.opaque.items())
        problems = tuple(Problem(self.path, line, message) for line, message in ruleset.problems)
        statements = ruleset.removed + sum(r.statements for r in ruleset.tables.values())
        return Reading(self.path, name, scope, tuple(self.uses), tuple(self.tables), (), opaque, problems, statements, self.marks)

    def _table(self, rules: Rules) -> None:
        compat = rules.warned or managed(rules.family, rules.name, rules.chains)
        chains = rules.chains
        if rules.dormant:
            chains = {name: replace(chain, hooks=()) if chain.hooks else chain for name, chain in chains.items()}
        steps, gotos = rules.steps()
        backend = "nft" if compat else "native"
        table = Table(rules.family, backend, rules.name, self.path, self.scope.netns, chains, steps, gotos, rules.ends, rules.inserted)
        rewrites = tuple(sorted(set().union(*rules.rewrites.values())))
        table = replace(table, offloads=bool(rules.offloads), helps=bool(rules.helps), rewrites=rewrites)
        if chains or rules.marks:
            self.tables.append(table)
        groups: dict[_Key, _Group] = {}
        known: dict[str, Parsed | str] = {}
        where = f"{rules.family} {rules.name}"
        for statement in rules.marks:
            code = common(statement.code)
            if code not in known:
                try:
                    known[code] = parse(plain(code), rules.sets)
                except ClauseError as error:
                    known[code] = str(error)
            parsed = known[code]
            if isinstance(parsed, str):
                self._not_understood(parsed, where, statement.line)
                self.marks += 1
                continue
            for reason in parsed.opaque:
                self._not_understood(reason, where, statement.line)
            self.marks += bool(parsed.clauses or parsed.opaque or _concerns(code))
            lost = {at for at, clause in parsed.clauses if untrusted(clause)} if compat else ()
            if lost:
                self._not_understood(WHY, where, statement.line)
            for index, (at, clause) in enumerate(parsed.clauses):
                if at in lost:
                    continue
                key = (statement.chain, code, _INSTANCE.sub("*", statement.comment), index)
                if key not in groups:
                    groups[key] = _Group(replace(clause, text=_written(statement, at, clause.text)), statement, code)
                groups[key].lines.append(statement.line)
        self._uses(table, groups)

    def _uses(self, table: Table, groups: dict[_Key, _Group]) -> None:
        hooks = hooks_of(table, list(dict.fromkeys(chain for chain, *_ in groups)))
        for (chain, *_), group in groups.items():
            clause = group.clause
            zone = _ZONE.search(group.code) if FIELDS[clause.field].carrier == "connection" else None
            text = " ".join(filter(None, ("nft", table.family, table.name, chain)))
            self.uses.append(
                Use(
                    clause.field,
                    clause.access,
                    clause.mask,
                    Place("netfilter", text, table.family, table.backend, table.name, chain, hooks[chain]),
                    Scope(self.scope.netns, _scoped(table.family), zone[1] if zone else None),
                    self.path,
                    tuple(dict.fromkeys(group.lines)),
                    clause.text,
                    clause.effect,
                    clause.predicate,
                    clause.values,
                    group.code,
                    group.statement.comment,
                    group.statement.target,
                    possible=clause.possible,
                )
            )

    def _not_understood(self, reason: str, table: str, line: int) -> None:
        self.opaque.setdefault((reason, table), []).append(line)


_CONCERNS = re.compile(r"(?:meta|ct|socket)\s+(?:mark|label)(?![\w.-])|(?<![\w.@$-])mark(?![\w.-])\s*(?:set|[0-9@{!=<>&|^])")


def _concerns(code: str) -> bool:
    """Whether a rule without clauses is about a mark all the same: a socket's, which is no field."""
    return _CONCERNS.search(code) is not None


def _written(statement: Statement, at: int, clause: str) -> str:
    """A clause as its line has it: where variables or line ends stand in between, as much of the rule as is on the line."""
    if statement.parts:
        return next((text for start, text, _ in reversed(statement.parts) if start <= at), "")
    if clause in statement.raw:
        return clause
    spaced = re.search(r"\s+".join(map(re.escape, clause.split())), statement.raw)
    return spaced[0] if spaced else statement.raw


def _scoped(family: str) -> str:
    return "inet" if family == "netdev" else family
