"""Why two places never meet although hooks and priorities would let them: guards, verdicts, and writes in between.

Only what a reader of the rules would accept: `-i a` against `! -i a`, an unconditional verdict before the match, an unconditional
write between the two. Anything less plain may hold. It is asked for single pairs, and reads the lines around them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from markreg.bits import full
from markreg.chains import closure
from markreg.model import FIELDS, Owned, Table, Use
from markreg.paths.definitions import uncertain
from markreg.paths.order import Order, Position, positions
from markreg.source import Source

_GUARD = re.compile(r"(?<![^ ])(! )?(-i|-p) ([^ ]+)")
_RULE = re.compile(r"(?:\[\d+:\d+\] )?-A (\S+) ?(.*)")
_COMMENTS = re.compile(r"-m comment --comment (?:\"(?:[^\"\\]|\\.)*\"|\S+) ?")
# Verdicts that end a chain for every packet; a jump to a user chain may come back.
_ENDS = re.compile(r"-j (?:ACCEPT|DROP|RETURN|REJECT|MASQUERADE|[DS]NAT|REDIRECT)\b.*")
_TARGET = re.compile(r"(?<![^ ])(-[jg]) (\S+)")
# Targets after which the next rule is run (net/netfilter/xt_*.c returning XT_CONTINUE).
_GOES_ON = {"MARK", "CONNMARK", "LOG", "NFLOG", "CT", "CLASSIFY", "DSCP", "TOS", "TTL", "HL", "SET", "TCPMSS", "TRACE", "AUDIT", "HMARK"}
_MOST = 400


class Exclusion:
    """Asked about pairs of uses on one node. ``writes`` are all that might stand between them."""

    def __init__(self, order: Order, tables: Iterable[Table], sources: Mapping[str, Source], writes: Sequence[Owned]) -> None:
        self._order = order
        self._sources = sources
        self._tables = {(t.path, t.netns, t.family, t.backend, t.name): t for t in tables}
        self._callers: dict[int, dict[str, list[tuple[str, int]]]] = {}
        certain = (o.use for o in writes if not uncertain(o.use))
        self._plain = [u for u in certain if _without_comments(u.statement) == u.clause]
        self._lines: dict[tuple[str, str, str], list[int]] = {}
        for owned in writes:
            key = (owned.use.path, owned.use.place.table, owned.use.place.chain)
            self._lines.setdefault(key, []).extend(owned.use.lines)
        self._always: dict[int, bool] = {}

    def apart(self, writer: Use, reader: Use, mask: int) -> bool:
        """Whether no packet carries bits of ``mask`` from one statement to the other (packet marks only)."""
        if FIELDS[writer.field].carrier != "packet" or writer.field != reader.field:
            return False
        return _exclusive(writer, reader) or self._cut_off(reader) or self._overwritten(writer, reader, mask)

    def _table(self, use: Use) -> Table | None:
        place = use.place
        return self._tables.get((use.path, use.scope.netns, place.family, place.backend, place.table))

    def _cut_off(self, use: Use) -> bool:
        """Whether an unconditional verdict stands before every line of a statement, in its chain or on all ways to it."""
        table = self._table(use)
        return table is not None and all(self._ended(table, use, use.place.chain, line, 0) for line in use.lines)

    def _ended(self, table: Table, use: Use, chain: str, line: int, depth: int) -> bool:
        if any(_ENDS.fullmatch(_without_comments(rest)) for _, rest in self._before(use.path, chain, line)):
            return True
        callers = self._called_from(table).get(chain, [])
        return depth < 20 and 0 < len(callers) <= _MOST and all(self._ended(table, use, c, n, depth + 1) for c, n in callers)

    def _before(self, path: str, chain: str, line: int) -> Iterator[tuple[int, str]]:
        """The rules of a chain before a line, nearest first, as iptables-save prints them: without other lines in between."""
        source = self._sources.get(path)
        for number in range(line - 1, max(0, line - 1 - _MOST), -1):
            match = _RULE.match(source.line(number)) if source else None
            if not match or match[1] != chain:
                return
            yield number, match[2]

    def _called_from(self, table: Table) -> dict[str, list[tuple[str, int]]]:
        if id(table) not in self._callers:
            callers: dict[str, list[tuple[str, int]]] = {}
            for chain, (lines, targets) in table.steps.items():
                for line, target in zip(lines, targets, strict=True):
                    callers.setdefault(target, []).append((chain, line))
            self._callers[id(table)] = callers
        return self._callers[id(table)]

    def _overwritten(self, writer: Use, reader: Use, mask: int) -> bool:
        """Whether unconditional writes stand between the two on every way, and decide all bits of ``mask`` anew."""
        killers = [k for k in self._plain if k is not writer and k.field == writer.field and not mask & ~_replaced(k)]
        if not killers:
            return False
        table = self._table(reader)
        if table and all(self._dominated(table, writer, reader, killers, reader.place.chain, line, 0) for line in reader.lines):
            return True
        ways = list(self._order.ways(writer, reader))
        certain = [(p, k) for k in killers if k.scope == reader.scope and self._always_run(k) for p in positions(k)]
        return bool(ways) and all(
            any(a.life == p.life and self._after(writer, a, k, p) and self._after(k, p, reader, b) for p, k in certain) for a, b in ways
        )

    def _after(self, first: Use, a: Position, second: Use, b: Position) -> bool:
        """Whether the second place comes after the first, and never before it."""
        if a[1:4] != b[1:4]:
            return a[1:4] < b[1:4]
        return self._order.before(first, second, a.hook) and not self._order.before(second, first, a.hook)

    def _dominated(self, table: Table, writer: Use, reader: Use, killers: list[Use], chain: str, line: int, depth: int) -> bool:
        """Whether a killer in this chain, or on all ways to it, stands before ``line`` with the writer not after it."""
        same = self._table(writer) is table
        here = [n for k in killers if self._table(k) is table and k.place.chain == chain for n in k.lines if n < line]
        start = max(here, default=0)
        if same and self._within(table, writer, chain, start, line):
            return False
        if here:
            return True
        callers = self._called_from(table).get(chain, [])
        known = depth < 20 and 0 < len(callers) <= _MOST and not table.chains[chain].hooks
        return known and all(self._dominated(table, writer, reader, killers, c, n, depth + 1) for c, n in callers)

    def _within(self, table: Table, use: Use, chain: str, start: int, end: int) -> bool:
        """Whether a use may run between two lines of a chain."""
        if use.place.chain == chain and any(start < n < end for n in use.lines):
            return True
        lines, targets = table.steps.get(chain, ((), ()))
        inside = {t for n, t in zip(lines, targets, strict=True) if start < n < end}
        return bool(inside) and use.place.chain in closure(table, inside)

    def _always_run(self, use: Use) -> bool:
        """Whether every packet at its hook runs a statement: nothing before it, in its chain and on one way to it, ends the hook."""
        if id(use) not in self._always:
            table = self._table(use)
            self._always[id(use)] = table is not None and any(self._first(table, use.path, use.place.chain, n, 0) for n in use.lines)
        return self._always[id(use)]

    def _first(self, table: Table, path: str, chain: str, line: int, depth: int) -> bool:
        source = self._sources.get(path)
        here = _RULE.match(source.line(line)) if source else None
        if depth > 20 or here is None or here[1] != chain:
            return False  # another notation: what stands before is not known here
        if any(self._may_end(table, path, rest, depth) for _, rest in self._before(path, chain, line)):
            return False
        if table.chains.get(chain) and table.chains[chain].hooks:
            return True
        for caller, number in self._called_from(table).get(chain, []):
            match = _RULE.match(source.line(number)) if source else None
            plain = match is not None and _without_comments(match[2]) in (f"-j {chain}", f"-g {chain}")
            if plain and self._first(table, path, caller, number, depth + 1):
                return True
        return False

    def _may_end(self, table: Table, path: str, rest: str, depth: int) -> bool:
        """Whether a packet may not come to the rule after this one."""
        target = _TARGET.search(_without_comments(rest))
        if target is None or target[2] in _GOES_ON:
            return False
        if target[1] == "-g" or target[2] not in table.chains or depth > 20:
            return True
        return any(self._may_end(table, path, r, depth + 1) or " -j RETURN" in f" {r}" for r in self._rules(table, path, target[2]))

    def _rules(self, table: Table, path: str, chain: str) -> Iterator[str]:
        """All rules of a chain: those around the ones that are known."""
        known = [*table.steps.get(chain, ((), ()))[0], *self._lines.get((path, table.name, chain), ())]
        source = self._sources.get(path)
        if not known or source is None:
            yield "-j UNKNOWN"
            return
        line = max(known)
        while (match := _RULE.match(source.line(line + 1))) and match[1] == chain:
            line += 1
        yield from (rest for _, rest in self._before(path, chain, line + 1))


def _without_comments(text: str) -> str:
    return _COMMENTS.sub("", text).strip()


def _replaced(use: Use) -> int:
    """Bits whose old value a write does away with."""
    assert use.effect is not None
    own = 0
    for source, bits in use.effect.copies:
        if source.symbol == use.field:
            own |= bits
    return full(use.effect.width) & ~own


def _exclusive(writer: Use, reader: Use) -> bool:
    """Whether the two statements name input devices or protocols of which no packet has both."""
    for negated, option, name in _GUARD.findall(writer.statement):
        for other_negated, other_option, other in _GUARD.findall(reader.statement):
            if option != other_option or (negated and other_negated):
                continue
            a, b = (other, name) if negated else (name, other)
            if negated or other_negated:
                if _covers(b, a):
                    return True
            elif not _covers(a, b) and not _covers(b, a) and "+" not in a[:-1] + b[:-1]:
                return True
    return False


def _covers(pattern: str, name: str) -> bool:
    """Whether every device that ``name`` stands for is one of ``pattern``; a trailing + stands for any ending."""
    if pattern.endswith("+"):
        return name.startswith(pattern[:-1])
    return fnmatchcase(name, pattern) and not name.endswith("+")
