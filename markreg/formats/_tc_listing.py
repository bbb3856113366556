"""Filters, actions and queues, as `tc` knows them, in text and JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from markreg.formats._tc_clauses import Clause, ClauseError, clauses, kinds
from markreg.formats._tc_json import Stream
from markreg.formats._tc_statements import Holder, Statement, Where
from markreg.formats.tc import COLOUR, NAMES
from markreg.model import SKB_MARK, Hook, Opaque, Place, Problem, Reading, Scope, Use
from markreg.source import Source

_HEADER = re.compile(r"(?:added |replaced |deleted )?(?:filter|qdisc|class|chain) ")
_ORDER = re.compile(r"(?:Deleted action )?action order \d{1,9}:[ \t]*(\S*)")
_LISTING = re.compile(r"(?:Added action|Replaced action|Deleted action|total acts \d+)\b")
_BIND = re.compile(r"\bindex \d+ ref \d+ bind (\d+)")
# Words about marks: of packets, of connections, of an xt target; not those of queues that mark with ECN.
_MENTION = re.compile(r"(?<![\w-])(?:(?:ct_|conn|cp|fw|nf_?|skb_?|x)?mark|ct_label)(?![\w-])|(?<![\w-])ife decode\b", re.IGNORECASE)
_NAMED = re.compile(r"\b(?:dev|device|input dev) \S+")
_STATISTICS = re.compile(r"\s*(?:Action statistics|Sent |backlog |installed |cookie |used_hw_stats|no_percpu)|.*\bCPMARK set \d")
_CT_KEY = re.compile(r"ct_(?:mark|label|zone) ")
_META = re.compile(r"\bmeta\(")
_ALL = 0xFFFFFFFF


def read(source: Source, name: str, scope: Scope) -> Reading:
    """Every classifier, action and queue that concerns marks."""
    reader = _Reader(source.path, scope, Where.of_name(source.path))
    text = COLOUR.sub("", source.text()).replace("\0", "\ufffd")
    if name == NAMES[1]:
        reader.json(text)
    else:
        reader.text(text)
    return reader.reading(name)


@dataclass(slots=True)
class _Open:
    """The filter or action whose lines are being read."""

    holder: Holder
    kind: str = ""
    action: bool = False
    dead: bool = False
    idle: bool = False
    lines: list[tuple[int, str]] = field(default_factory=list)


@dataclass(slots=True)
class _Reader:
    path: str
    scope: Scope
    where: Where
    uses: list[Use] = field(default_factory=list)
    opaque: dict[str, list[int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    statements: int = 0
    mark_statements: int = 0
    marked: set[tuple[str, ...]] = field(default_factory=set)
    unmarked: dict[tuple[str, ...], Holder] = field(default_factory=dict)
    cut: int = 0

    def text(self, text: str) -> None:
        lines = text.split("\n")
        self.cut = len(lines) if lines[-1].strip() and not lines[-1].rstrip().endswith("\\") else 0
        current: _Open | None = None
        holder = Holder("action", 1, dev=self.where.dev, direction=self.where.direction)
        strange = 0
        for number, line in enumerate(lines, 1):
            for piece in line.rstrip("\r").split("\\"):
                part = piece.strip()
                if not part:
                    continue
                if _HEADER.match(part):
                    self._finish(current)
                    current = self._header(part, number)
                    holder = current.holder
                elif order := _ORDER.match(part):
                    self._finish(current)
                    dead = (current is not None and current.dead and holder.what != "action") or part.startswith("Deleted")
                    current = _Open(holder, order[1], action=True, dead=dead, lines=[(number, part[order.end() :])])
                    self.statements += 1
                elif _LISTING.match(part):
                    self._finish(current)
                    current = None
                    holder = Holder("action", number, dev=self.where.dev, direction=self.where.direction)
                elif where := Where.of_command(part):
                    self._finish(current)
                    self.where, current = where, None
                elif current:
                    current.lines.append((number, part))
                elif _MENTION.search(part):
                    self._refuse(number, "mentions a mark and is no part of a filter, action or queue")
                else:
                    strange = strange or number
        self._finish(current)
        self._whole_marks()
        if strange and not self.statements:
            self.problems.append(Problem(self.path, strange, "no filter, action or queue as tc prints it"))

    def _header(self, part: str, number: int) -> _Open:
        self.statements += 1
        dead = part.startswith("deleted ")
        made = Holder.of_header(part.removeprefix("deleted "), number, self.where)
        if made is None:
            return _Open(Holder("class", number), dead=True)
        holder, rest = made
        if holder.kind == "fw" and not dead:
            self.unmarked.setdefault(holder.key(), holder)
        return _Open(holder, holder.kind, dead=dead, lines=[(number, rest)] if rest else [])

    def _finish(self, found: _Open | None) -> None:
        """Reads the marks of a filter or action that is complete."""
        if found is None or found.dead:
            return
        if found.action:
            self._action(found)
            return
        before = self._count()
        flower = Statement(found.kind, found.holder)
        for number, line in found.lines:
            plain = _NAMED.sub("", line)
            if found.kind == "flower" and _CT_KEY.match(line):
                flower.add(line, number)
                continue
            if _META.search(line):
                if _MENTION.search(plain):
                    self._one("ematch", found.holder, number, line)
            elif found.kind == "fw" and number == found.holder.line:
                self._one("fw", found.holder, number, line)
            elif _MENTION.search(plain) and not _STATISTICS.match(line):
                kind = found.kind if found.kind in kinds() else ""
                self._one(kind, found.holder, number, line)
        if flower.lines:
            self._read(flower)
        self.mark_statements += self._count() > before

    def _action(self, found: _Open) -> None:
        first, text = found.lines[0]
        known = found.kind in kinds()
        before = self._count()
        if found.holder.what == "action" and any((bind := _BIND.search(t)) and bind[1] == "0" for _, t in found.lines):
            found.idle = True
        said = [(n, t) for n, t in found.lines if not _STATISTICS.match(t) or "cpmark 0x" in t]
        if known:
            statement = Statement(found.kind, found.holder, idle=found.idle)
            for number, line in said[:2]:
                statement.add(line, number)
            if found.kind == "connmark":
                # The kind alone says it, and what it says is the whole line.
                statement.verbatim[0] = f"{found.kind}{text}".strip()
            self._read(statement)
            said = said[2:]
        for number, line in said:
            if _MENTION.search(_NAMED.sub("", f"{found.kind} {line}" if number == first else line)):
                self._refuse(number, f"action {found.kind[:40]} mentions a mark and is not understood")
        self.mark_statements += self._count() > before

    def _one(self, kind: str, holder: Holder, number: int, line: str) -> None:
        if not kind:
            self._refuse(number, f"{holder.what} {holder.kind[:40]} mentions a mark and is not understood")
            return
        statement = Statement(kind, holder)
        statement.add(line, number)
        self._read(statement)

    def json(self, text: str) -> None:
        stream = Stream(text, self.where)
        marked: set[int] = set()
        for statement in stream.statements():
            before = self._count()
            self._read(statement)
            if self._count() > before:
                marked.add(statement.origin)
        self.mark_statements = len(marked)
        self.statements = stream.count
        for line, key in stream.odd:
            self._refuse(line, f"key {key[:40]} mentions a mark and is not understood")
            self.mark_statements += 1
        for holder in stream.holders:
            if holder.kind == "fw":
                self.unmarked.setdefault(holder.key(), holder)
        self._whole_marks()
        end = text.rstrip()
        if end and not end.endswith("]"):
            self.problems.append(Problem(self.path, text.count("\n", 0, len(end)) + 1, "truncated, or no JSON of tc"))
        elif not self.statements and end.strip(" \t\r\n[]{},"):
            self.problems.append(Problem(self.path, 1, "no filter, action or queue as tc -j prints it"))

    def _whole_marks(self) -> None:
        """A classifier fw without any filter takes the mark itself for the class (cls_fw.c, the old method)."""
        for key, holder in self.unmarked.items():
            if key not in self.marked:
                clause = Clause(SKB_MARK.name, "read", _ALL, 0, 0)
                self.uses.append(self._use(Statement("fw", holder), clause, holder.line, "fw"))
                self.mark_statements += 1

    def _count(self) -> int:
        return len(self.uses) + sum(map(len, self.opaque.values())) + len(self.problems)

    def _read(self, statement: Statement) -> None:
        holder = statement.holder
        try:
            found = clauses(statement.kind, statement.text)
        except ClauseError as error:
            self._refuse(statement.lines[0], str(error))
            return
        if statement.kind == "fw" and found:
            self.marked.add(holder.key())
        if statement.idle:
            return
        for clause in found:
            line, said = statement.place(clause.start, clause.end)
            self.uses.append(self._use(statement, clause, line, said))

    def _use(self, statement: Statement, clause: Clause, line: int, said: str) -> Use:
        holder = statement.holder
        priority = holder.priority()
        title = f"{holder.text()} {statement.kind}" if holder.what == "action" else holder.text()
        place = Place("tc", title, holder.family(), hooks=tuple(Hook(h, priority) for h in holder.hooks()), priority=priority)
        scope = replace(self.scope, family=holder.family(), zone=clause.zone or self.scope.zone)
        canonical = " ".join(filter(None, (statement.kind, holder.device(), said)))
        return Use(
            clause.field,
            clause.access,
            clause.mask,
            place,
            scope,
            self.path,
            (line,),
            said,
            effect=clause.effect,
            predicate=clause.predicate,
            statement=canonical,
            possible=clause.possible,
        )

    def _refuse(self, line: int, reason: str) -> None:
        if line == self.cut:
            self.problems.append(Problem(self.path, line, f"truncated: {reason}"))
        else:
            self.opaque.setdefault(reason, []).append(line)

    def reading(self, name: str) -> Reading:
        return Reading(
            self.path,
            name,
            self.scope,
            uses=tuple(self._ordered()),
            opaque=tuple(Opaque(self.path, tuple(dict.fromkeys(lines)), reason) for reason, lines in self.opaque.items()),
            problems=tuple(self.problems),
            statements=self.statements,
            mark_statements=self.mark_statements,
        )

    def _ordered(self) -> Iterator[Use]:
        return iter(sorted(self.uses, key=lambda use: use.lines))
