"""Dumps of tables, as `iptables` knows them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from markreg.bits import full
from markreg.chains import hooks_of
from markreg.formats._iptables_clauses import Clause, ClauseError, Parsed, parse
from markreg.formats._iptables_frames import PROGRAMS, Section, sections
from markreg.formats._iptables_text import GOES_ON, blank, comment_of, statement_of, target_of
from markreg.model import Chain, Hook, MarkSet, Opaque, Place, Problem, Reading, Scope, Table, Use
from markreg.source import Source, decode
from markreg.transfer import Word, masked_set

# Hooks and priorities of the xtables tables: include/uapi/linux/netfilter_ipv4.h enum nf_ip_hook_priorities.
_MANGLE = -150
_PRIORITIES: dict[str, dict[str, int]] = {
    "raw": {"PREROUTING": -300, "OUTPUT": -300},
    "mangle": dict.fromkeys(("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"), _MANGLE),
    "nat": {"PREROUTING": -100, "INPUT": 100, "OUTPUT": -100, "POSTROUTING": 100},
    "filter": dict.fromkeys(("INPUT", "FORWARD", "OUTPUT"), 0),
    "security": dict.fromkeys(("INPUT", "FORWARD", "OUTPUT"), 50),
}
# netfilter_bridge.h enum nf_br_hook_priorities.
_BRIDGE_PRIORITIES: dict[str, dict[str, int]] = {
    "filter": dict.fromkeys(("INPUT", "FORWARD", "OUTPUT"), -200),
    "nat": {"PREROUTING": -300, "OUTPUT": 100, "POSTROUTING": 300},
    "broute": {"BROUTING": -310},
}
_USER = Chain()
_INDENTED = re.compile(rb"(?:\A|\n)[ \t]+\*\w+[ \t]*\r?\n")
_INDENT = re.compile(rb"\n[ \t]+")
_COUNTERS = r"(?:\[\d+:\d+\] ?)?"
# Chain and target of a rule whose target stands outside quotes, or else the whole rule for a closer look: after the target
# no quote may follow, for a log prefix may hold anything. Atomic, or a long line takes quadratic time.
_RULE = re.compile(rf"\n{_COUNTERS}-A (\S++)(?: (?>(?:[^\n]* )?-[jg] )([^\s\"-][^\s\"]*+)(?=[^\"\n]*\n)| ([^\n]*)|)", re.ASCII)
_FIRST_RULE = re.compile(rf"\n{_COUNTERS}-A ")
_GOTO = re.compile(r" (?:-g|--goto)")
_DECLARATION = re.compile(r"\n:([^ \n]+) ([^ \n]+)")
_LINE = re.compile(rf"{_COUNTERS}(-A|-I|--append|--insert|-N|-P|-X)[ \t]+(\S+)[ \t]*(.*)", re.DOTALL | re.ASCII)
_MENTION = re.compile(
    r"[ \t](?:--[a-z0-9-]*(?:mark|label)|--zone|(?:-m|--match)[ \t]*(?:bpf|(?:conn)?mark|connlabel)(?![^ \t])"
    r"|(?:-j|--jump)[ \t]*(?:\w*(?:MARK|mark)(?![\w-])|(?:NF)?QUEUE))"
)
# What a rule that concerns a mark holds if neither its target nor a word with "mark" says so. Two fixed characters at the
# beginning make the search of a whole dump five times as fast.
_OTHERS = re.compile(r" -(?:-label|-zone|(?:m|-match) *(?:bpf|connlabel))")
_JUMP = re.compile(r" -(?:j|-jump) *(?:\w*MARK|(?:NF)?QUEUE)")
# Targets that go on, without a connection or with one that later packets need no rules for.
_TRACKING = {"CT", "NOTRACK", "FLOWOFFLOAD"}
_TRACKED = re.compile(r"--notrack|NOTRACK|FLOWOFFLOAD|--helper")
_UNTRACKED = re.compile(r"(?<![^ ])--notrack(?![^ ])")
# Targets that change addresses without a connection's doing (net/ipv6/netfilter/ip6t_NPT.c, xtables-addons' xt_RAWNAT.c).
_REWRITES = {"SNPT": "src", "DNPT": "dst", "RAWSNAT": "src", "RAWDNAT": "dst"}
_FEW = 16
_DEVICE = re.compile(r"(?<![^ \t])(-[io])[ \t]+\S+")
_INSTANCE = re.compile(r"[A-Za-z0-9_-]{16,}|[0-9]+")
_CHUNK = 2 << 20
_Key = tuple[str, str, str, int]


def read(source: Source, name: str, scope: Scope, sets: Mapping[str, MarkSet] | None = None, thorough: bool = False) -> Reading:
    """Every statement of a dump that concerns marks, and its chains.

    ``sets``: what ``ipset save`` says of the sets with marks in this namespace. ``thorough``: without the scan, every rule
    through the grammar; the result is the same, which a test holds.
    """
    data = source.data
    if _INDENTED.search(data[:65536]):
        data = _INDENT.sub(b"\n", b"\n" + data)[1:]
    reader = _Reader(source.path, scope, data, sets or {}, thorough)
    name_of_file = re.split(r"\.netns-| \(netns ", source.path.rsplit("/", 1)[-1])[0]  # a namespace may be called anything
    backend = "nft" if "nft" in name_of_file else "legacy"
    for section in sections(data, scope.family, backend, _PRIORITIES):
        reader.section(section)
    return reader.reading(name)


@dataclass(slots=True)
class _Group:
    """Equal statements of one chain."""

    clause: Clause
    statement: str
    comment: str
    target: str
    lines: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Reader:
    """One dump while it is read."""

    path: str
    scope: Scope
    data: bytes
    sets: Mapping[str, MarkSet]
    thorough: bool
    uses: list[Use] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    opaque: dict[str, list[int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    statements: int = 0
    mark_lines: set[int] = field(default_factory=set)
    targets: set[str] = field(default_factory=set)

    def reading(self, name: str) -> Reading:
        families = {t.family for t in self.tables}
        scope = replace(self.scope, family=families.pop()) if len(families) == 1 else self.scope
        opaque = tuple(Opaque(self.path, tuple(lines), reason) for reason, lines in self.opaque.items())
        uses, tables = tuple(self.uses), tuple(self.tables)
        problems, marks = tuple(self.problems), len(self.mark_lines)
        return Reading(self.path, name, scope, uses, tables, (), opaque, problems, self.statements, marks)

    def section(self, section: Section) -> None:
        """One table: its chains, its jumps, its mark statements."""
        if section.problem:
            self.problems.append(Problem(self.path, *section.problem))
        table = Table(section.family, section.backend, section.table, self.path, self.scope.netns, {}, {}, set())
        groups: dict[_Key, _Group] = {}
        inserted: dict[str, list[tuple[int, str]]] = {}
        walked = False
        tracked: set[str] = set()
        for line, text in self._chunks(section):
            if self.thorough or not self._scan(text, line, table):
                walked = True
                self._walk(text, line, table, inserted)
            if not self.targets.isdisjoint(_TRACKING):
                tracked |= _tracking(text, line, table)
            tracked |= {_REWRITES[target] for target in _REWRITES.keys() & self.targets}
            self._marks(text, line, section, table, groups)
        for chain, found in inserted.items():
            lines, targets = table.steps.setdefault(chain, ([], []))
            lines[:0] = [line for line, _ in reversed(found)]
            targets[:0] = [target for _, target in reversed(found)]
        if walked:
            _drop_unknown(table)
        priorities = (_BRIDGE_PRIORITIES if section.family == "bridge" else _PRIORITIES).get(section.table, {})
        for name in priorities.keys() & table.chains.keys():
            kind = "nat" if section.table == "nat" else "route" if (section.table, name) == ("mangle", "OUTPUT") else "filter"
            table.chains[name] = Chain(name, table.chains[name].policy, (Hook(name.lower(), priorities[name]),), kind)
        if table.chains:
            rewrites = tuple(sorted(tracked & set(_REWRITES.values())))
            told = replace(table, offloads="offloads" in tracked, helps="helps" in tracked, rewrites=rewrites)
            self.tables.append(told if tracked else table)
        self._uses(section, table, groups)

    def _chunks(self, section: Section) -> Iterator[tuple[int, str]]:
        """The section in pieces of whole lines, each with a line end before and after, and the number of its first line."""
        at, line = section.start, section.line + 1
        while at < section.end:
            end = self.data.rfind(b"\n", at + 1, at + _CHUNK) if at + _CHUNK < section.end else section.end
            if end < 0:
                end = self.data.find(b"\n", at + 1, section.end)
                end = section.end if end < 0 else end
            text = decode(self.data[max(at, 0) : end])
            text = f"{'' if at >= 0 else chr(10)}{text}\n".replace("\t", " ")
            if "\r" in text:
                text = text.replace("\r\n", "\n")
            yield line, text
            line += text.count("\n") - 1
            at = end

    def _scan(self, text: str, line: int, table: Table) -> bool:
        """Chains and steps by one expression for each kind of line; False where other lines stand between."""
        first = _FIRST_RULE.search(text)
        rules = first.start() if first else len(text) - 1
        declared = _DECLARATION.findall(text, 0, rules + 1)
        found = _RULE.findall(text, rules)
        if len(declared) != text.count("\n", 0, rules) or len(found) != text.count("\n", rules) - 1:
            return False
        chains, steps = table.chains, table.steps
        chains.update(dict.fromkeys([name for name, _ in declared], _USER))
        chains.update((name, Chain(name, policy)) for name, policy in declared if policy[0] != "-")
        if not {chain for chain, _, _ in found} <= chains.keys():
            return False
        last = ""
        for number, (chain, target, rest) in enumerate(found, line + len(declared)):
            if rest:
                target = target_of(rest)[1]
            if target in chains:
                if chain != last:
                    last = chain
                    lines, targets = steps.get(chain) or steps.setdefault(chain, ([], []))
                lines.append(number)
                targets.append(target)
            else:
                self.targets.add(target)
                if target and target not in GOES_ON:
                    table.ends.setdefault(chain, []).append(number)
        if " -g" in text or " --goto" in text:
            for number, entry in _lines_at(text, line, (m.start() for m in _GOTO.finditer(text))):
                rule = _LINE.match(entry)
                if rule and target_of(rule[3])[0] in ("-g", "--goto"):
                    table.gotos.add(number)
        self.statements += len(found)
        return True

    def _walk(self, text: str, line: int, table: Table, inserted: dict[str, list[tuple[int, str]]]) -> None:
        """The same line by line: for dumps with other lines between the rules, and for those that people wrote."""
        for number, entry in enumerate(text.split("\n")[1:-1], line):
            if entry.startswith(":"):
                name, _, policy = entry[1:].partition(" ")
                table.chains[name] = Chain(name, policy.split(" ")[0]) if policy[:1] not in ("", "-") else _USER
            elif match := _LINE.match(entry):
                verb, chain, rest = match.groups()
                if verb == "-P":
                    table.chains[chain] = Chain(chain, rest.split(" ")[0])
                    continue
                table.chains.setdefault(chain, _USER)
                if verb in ("-N", "-X"):
                    continue
                self.statements += 1
                option, target = target_of(rest)
                self.targets.add(target)
                if verb in ("-I", "--insert"):
                    table.inserted.add(number)
                if target and verb in ("-I", "--insert"):
                    inserted.setdefault(chain, []).append((number, target))
                elif target:
                    lines, targets = table.steps.setdefault(chain, ([], []))
                    lines.append(number)
                    targets.append(target)
                if option in ("-g", "--goto"):
                    table.gotos.add(number)
            elif not entry.startswith(("#", "Warning")) and _MENTION.search(blank(f" {entry}")):
                self._not_understood("not a rule", number)

    def _marks(self, text: str, line: int, section: Section, table: Table, groups: dict[_Key, _Group]) -> None:
        """Equal mark statements of each chain together; what cannot be understood goes to ``opaque``."""
        for number, entry in self._candidates(text, line):
            match = _LINE.match(entry)
            if not match or match[1] in ("-N", "-P", "-X"):
                continue
            chain, rest = match[2], match[3]
            statement = statement_of(rest)
            try:
                if number == section.broken:
                    raise ClauseError("the line is cut off")
                parsed = parse(_DEVICE.sub(r"\1 _", statement), section.family == "arp")
                if parsed.odd_target and parsed.target not in table.chains:
                    raise ClauseError(f"unknown target {parsed.target}")
            except ClauseError as error:
                if _MENTION.search(f" {statement}"):
                    self._not_understood(str(error), number)
                continue
            comment = comment_of(rest)
            for index, clause in enumerate(self._resolved(parsed, number)):
                key = (chain, statement, _INSTANCE.sub("*", comment), index)
                if key not in groups:
                    groups[key] = _Group(clause, statement, comment, parsed.target)
                groups[key].lines.append(number)

    def _candidates(self, text: str, line: int) -> Iterator[tuple[int, str]]:
        """The lines that may hold a mark clause, with their numbers."""
        if self.thorough:
            yield from enumerate(text.split("\n")[1:-1], line)
            return
        needles = ["mark", *(f"-set {s.name} " for s in self.sets.values() if s.markmask)]
        found = {m.start() for m in _OTHERS.finditer(text)}
        # A search for MARK would stop at every jump to KUBE-MARK-MASQ: the targets seen in this piece say what to look for.
        targets = [target for target in self.targets if _MENTION.search(f" -j {target}")]
        self.targets.clear()
        if len(targets) <= _FEW:
            needles += [f"{before}{target}" for target in targets for before in (" ", "j")]
        else:
            found.update(m.start() for m in _JUMP.finditer(text))
        yield from _lines_at(text, line, sorted(found.union(*(_finds(text, needle) for needle in needles))))

    def _resolved(self, parsed: Parsed, line: int) -> Iterator[Clause]:
        """A rule's clauses with what ipset knows filled in."""
        for clause in parsed.clauses:
            known = self.sets.get(clause.set_name)
            if not clause.set_name:
                yield clause
            elif clause.access == "read":
                if known and known.markmask:
                    yield replace(clause, mask=known.markmask, possible=False)
            elif known and known.marks and known.complete:
                effect = Word.entry(clause.field, 32)
                for value, mask in known.marks:
                    effect |= masked_set(clause.field, 32, mask, value)
                yield replace(clause, effect=effect, mask=full(32) & ~effect.keeps(clause.field), possible=False)
            else:
                self._not_understood(f"the marks of set {clause.set_name} are not known without ipset save", line)
                yield clause

    def _uses(self, section: Section, table: Table, groups: dict[_Key, _Group]) -> None:
        hooks = hooks_of(table, list(dict.fromkeys(chain for chain, *_ in groups)))
        program = PROGRAMS.get(section.family, "iptables")
        scope = Scope(self.scope.netns, section.family)
        for (chain, *_), group in groups.items():
            clause = group.clause
            text = " ".join(filter(None, (program, section.table, chain)))
            place = Place("netfilter", text, section.family, section.backend, section.table, chain, hooks[chain])
            self.mark_lines.update(group.lines)
            self.uses.append(
                Use(
                    clause.field,
                    clause.access,
                    clause.mask,
                    place,
                    scope,
                    self.path,
                    tuple(group.lines),
                    clause.text,
                    clause.effect,
                    clause.predicate,
                    clause.values,
                    group.statement,
                    group.comment,
                    group.target,
                    possible=clause.possible,
                    set_name=clause.set_name,
                )
            )

    def _not_understood(self, reason: str, line: int) -> None:
        self.opaque.setdefault(reason, []).append(line)
        self.mark_lines.add(line)


def _finds(text: str, needle: str) -> Iterator[int]:
    at = text.find(needle)
    while at >= 0:
        yield at
        at = text.find(needle, at + 1)


def _lines_at(text: str, line: int, positions: Iterable[int]) -> Iterator[tuple[int, str]]:
    """Numbers and texts of the lines at ascending ``positions``, each once; ``line`` is the number of the first in ``text``."""
    end, number = 0, line - 1
    for at in positions:
        if at < end:
            continue
        start = text.rfind("\n", 0, at + 1) + 1
        number += text.count("\n", end, start)
        end = text.find("\n", start)
        yield number, text[start:end]


def _tracking(text: str, line: int, table: Table) -> set[str]:
    """Notes the rules that take a packet's connection away; which of ``offloads`` and ``helps`` there is."""
    found: set[str] = set()
    for number, entry in _lines_at(text, line, (m.start() for m in _TRACKED.finditer(text))):
        match = _LINE.match(entry)
        target = target_of(match[3])[1] if match else ""
        if match and target not in table.chains:
            if target == "FLOWOFFLOAD" or (target == "CT" and "--helper" in match[3]):
                found.add("helps" if target == "CT" else "offloads")
            if target == "NOTRACK" or (target == "CT" and _UNTRACKED.search(blank(match[3]))):
                table.ends.setdefault(match[2], []).append(number)
    return found


def _drop_unknown(table: Table) -> None:
    """Takes out the steps that lead to no chain: targets, seen before all chains were known."""
    for chain, (lines, targets) in table.steps.items():
        if not table.chains.keys() >= set(targets):
            ends = {n for n, t in zip(lines, targets, strict=True) if t not in table.chains and t not in GOES_ON}
            if ends:
                table.ends[chain] = sorted({*table.ends.get(chain, ()), *ends})
            known = [(n, t) for n, t in zip(lines, targets, strict=True) if t in table.chains]
            lines[:], targets[:] = [n for n, _ in known], [t for _, t in known]
    for chain in [c for c, (lines, _) in table.steps.items() if not lines]:
        del table.steps[chain]
