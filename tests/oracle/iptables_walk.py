"""What a loopback packet meets on its way, by what markreg read: its chains, steps, hooks, predicates and functions.

Where the kernel attaches connections, and to which packets it shows the nat table, is all that this knows of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from markreg.formats._iptables_clauses import Clause, parse
from markreg.formats._iptables_text import statement_of
from markreg.model import Reading, Table, Use
from markreg.source import Source

CONNTRACK = -200  # NF_IP_PRI_CONNTRACK
_MOVE = re.compile(r"-j CONNMARK --(save|restore)-mark --nfmask (\S+) --ctmask (\S+)(?: --(left|right)-shift-mark (\d+))?")
Function = tuple[object, ...]


@dataclass(slots=True)
class Connection:
    """A conntrack entry. ``translated``: nat has seen its first packet and will see no other."""

    mark: int = 0
    label: int = 0
    translated: bool = False


@dataclass(slots=True)
class Packet:
    """A packet under way; ``entry`` is what it belongs to once conntrack has seen it."""

    mark: int
    connection: Connection
    entry: Connection | None = None
    untracked: bool = False


@dataclass(slots=True)
class Line:
    """A rule."""

    number: int
    text: str
    clauses: tuple[Clause, ...]
    target: str


def function(part: Clause | Use) -> Function:
    """What a clause or a use does, apart from where it stands."""
    accepts = part.predicate and (part.predicate.mask, part.predicate.accepts)
    return (part.field, part.access, part.mask, part.effect, accepts, part.values, part.possible, part.set_name)


def rules(text: str) -> Iterator[tuple[str, str, int, str]]:
    """Table, chain, line number and the rest of every rule of a dump."""
    table = ""
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith("-A "):
            chain, _, rest = line[3:].partition(" ")
            yield table, chain, number, rest


def moved(clause: Clause, state: dict[str, int]) -> int:
    """What a save or restore leaves where its own mask does not cover what it takes: xt_connmark.c connmark_tg_shift.

    Such bits are the exclusive or of two fields, which a Word does not express; it must leave open these bits and no others.
    """
    found = _MOVE.fullmatch(clause.text)
    assert found and clause.effect, clause.text
    nfmask, ctmask, shift = int(found[2], 16), int(found[3], 16), int(found[5] or 0)
    mark, entry = state["skb_mark"], state["ct_mark"]
    own, source, taken = (entry & ~ctmask, mark, nfmask) if found[1] == "save" else (mark & ~nfmask, entry, ctmask)
    both = ~ctmask if found[1] == "save" else ~nfmask

    def shifted(bits: int) -> int:
        return (bits << shift if found and found[4] == "left" else bits >> shift) & 0xFFFFFFFF

    assert clause.effect.other == shifted(taken) & both, clause.text
    return own ^ shifted(source & taken)


@dataclass(slots=True)
class Walk:
    """The way of packets through one dump. ``met`` counts what they did, to tell a test that nothing happened in."""

    source: Source
    reading: Reading
    chains: dict[tuple[str, str], list[Line]] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    jumps: dict[int, str] = field(default_factory=dict)
    way: list[tuple[str, int, str, str]] = field(default_factory=list)
    met: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        for table, chain, number, rest in rules(self.source.text()):
            parsed = parse(statement_of(rest))
            self.chains.setdefault((table, chain), []).append(Line(number, rest, parsed.clauses, parsed.target))
        for read in self.reading.tables:
            self.tables[read.name] = read
            for lines, targets in read.steps.values():
                self.jumps.update(zip(lines, targets, strict=True))
            for name, chain_ in read.chains.items():
                self.way += [(hook.hook, hook.priority, read.name, name) for hook in chain_.hooks]
        self.way.sort(key=lambda place: place[1])

    def disagreement(self) -> str:
        """Lines whose uses are not what the line's own clauses say, or do not stand where they are said to; empty if none."""
        said: dict[int, list[Function]] = {}
        for use in self.reading.uses:
            for number in use.lines:
                start, end = self.source.locate(number, use.clause)
                if self.source.line(number)[start - 1 : end - 1] != use.clause:
                    return f"line {number} does not hold {use.clause}"
                said.setdefault(number, []).append((*function(use), use.clause, use.target))
        for lines in self.chains.values():
            for line in lines:
                own = [(*function(c), c.text, line.target) for c in line.clauses]
                if sorted(said.pop(line.number, []), key=repr) != sorted(own, key=repr):
                    return f"line {line.number} has other uses than clauses"
        return f"lines {sorted(said)} hold no rule" if said else ""

    def send(self, packet: Packet) -> None:
        """Out through OUTPUT and POSTROUTING, and in again; the loopback device keeps mark and connection."""
        for hook in ("output", "postrouting", "prerouting", "input"):
            for place, priority, table, chain in self.way:
                if place != hook:
                    continue
                if hook == "output" and priority > CONNTRACK and not packet.untracked:
                    packet.entry = packet.connection
                # nf_nat_core.c: both directions of translation are settled on the way out.
                if table == "nat" and (packet.entry is None or packet.entry.translated or hook in ("prerouting", "input")):
                    continue
                self._chain(packet, table, chain)
            if hook == "postrouting" and packet.entry:
                packet.entry.translated = True

    def _chain(self, packet: Packet, table: str, chain: str) -> bool:
        """Whether the packet is accepted in here, which ends the table."""
        for line in self.chains.get((table, chain), ()):
            if not self._rule(packet, line, table):
                continue
            if line.number in self.jumps:
                goto = line.number in self.tables[table].gotos
                self.met["goto" if goto else "jump"] += 1
                accepted = self._chain(packet, table, self.jumps[line.number])
                if accepted or goto:
                    return accepted
            elif line.target in ("ACCEPT", "RETURN"):
                return line.target == "ACCEPT"
        return False

    def _rule(self, packet: Packet, line: Line, table: str) -> bool:
        """Runs the matches and the target of a rule; whether it matched."""
        for clause in line.clauses:
            if clause.access == "read":
                if not self._holds(packet, clause):
                    return False
            elif not self._write(packet, clause, table):
                return False
        # xt_CT.c: a packet that has been seen keeps what it has.
        if line.target == "CT" and packet.entry is None:
            packet.untracked = True
            self.met["untracked"] += 1
        return True

    def _holds(self, packet: Packet, clause: Clause) -> bool:
        if clause.predicate is None:
            return True
        entry = packet.entry
        if clause.field == "skb_mark":
            holds = clause.predicate.holds(packet.mark)
        elif clause.field == "ct_mark":
            holds = entry is not None and clause.predicate.holds(entry.mark)
        else:  # connlabel_mt: without labels the answer is the negation
            holds = clause.predicate.holds(entry.label) if entry else clause.predicate.negated
        self.met[f"{clause.field} {'holds' if holds else 'fails'}"] += 1
        return holds

    def _write(self, packet: Packet, clause: Clause, table: str) -> bool:
        """Whether the rule goes on: a label that cannot be set does not match."""
        entry, effect = packet.entry, clause.effect
        assert effect
        if entry is None and (clause.text.startswith("-j CONNMARK") or clause.field == "ct_label"):
            self.met["no connection"] += 1
            return clause.field != "ct_label"
        state = {"skb_mark": packet.mark}
        if entry:
            state |= {"ct_mark": entry.mark, "ct_label": entry.label}
        value = effect.value(state)
        if value is None:
            value = moved(clause, state)
            assert effect.allows(value, state), clause.text
            self.met["exclusive or of two fields"] += 1
        self.met[f"{clause.access} {clause.field} in {table}"] += 1
        if clause.field == "skb_mark":
            packet.mark = value
        elif entry and clause.field == "ct_mark":
            entry.mark = value
        elif entry:
            entry.label = value
        return True
