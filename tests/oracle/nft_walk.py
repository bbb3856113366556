"""What a loopback packet meets on its way, by what markreg read of an nft listing: its chains, hooks, predicates and functions.

A map or a counter leaves several values possible, so the walk follows all of them; where nothing is open there is one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from markreg.formats._nft_sets import interval
from markreg.model import Reading, Table, Use
from markreg.source import Source

CONNTRACK = -200  # NF_IP_PRI_CONNTRACK
_HOOKS = ("output", "postrouting", "prerouting", "input")
_VERDICT = re.compile(r"(?:(jump|goto) (\S+)|(accept|return))(?: comment \"[^\"]*\")?$")
_VMAP = re.compile(r"vmap (?:\{([^{}]*)\}|@(\S+))")
Function = tuple[object, ...]


class State(NamedTuple):
    """A packet's mark, and its connection's mark and label; ``tracked``: it has met its connection."""

    mark: int
    connection: int
    label: int
    tracked: bool

    def symbols(self) -> dict[str, int]:
        return {"skb_mark": self.mark, "ct_mark": self.connection, "ct_label": self.label}

    def put(self, field: str, value: int) -> State:
        changed: dict[str, Any] = {{"skb_mark": "mark", "ct_mark": "connection", "ct_label": "label"}[field]: value}
        return self._replace(**changed)


def function(use: Use) -> Function:
    """What a use does, apart from where it stands."""
    accepts = use.predicate and (use.predicate.mask, use.predicate.accepts)
    return (use.field, use.access, use.mask, use.effect, accepts, use.values, use.possible)


def functions(reading: Reading) -> dict[tuple[str, str, str], list[Function]]:
    """The functions of each chain in the order of its rules."""
    found: dict[tuple[str, str, str], list[tuple[int, int, Function]]] = {}
    for number, use in enumerate(reading.uses):
        place = use.place
        key = (place.family, place.table, place.chain)
        found.setdefault(key, []).extend((line, number, function(use)) for line in use.lines)
    return {key: [f for *_, f in sorted(uses, key=lambda u: u[:2])] for key, uses in found.items()}


class Walk:
    """The way through the rule set of one listing."""

    def __init__(self, source: Source, reading: Reading, met: Counter[str]) -> None:
        self.met = met
        self.tables = {(t.family, t.name): t for t in reading.tables}
        self.uses: dict[int, list[Use]] = {}
        for use in reading.uses:
            for line in use.lines:
                self.uses.setdefault(line, []).append(use)
        self.rules: dict[tuple[str, str, str], list[tuple[int, str]]] = {}
        self.maps: dict[tuple[str, str], str] = {}
        family = name = chain = named = ""
        for number, text in enumerate(source.text().splitlines(), 1):
            words = text.split()
            if text.startswith("table "):
                family, name = words[1:3]
            elif text.startswith("\tchain "):
                chain = words[1]
                self.rules[family, name, chain] = []
            elif text.startswith(("\tmap ", "\tset ")):
                named, chain = words[1], ""
            elif "elements = {" in text:
                self.maps[f"{family} {name}", named] = text.partition("{")[2]
            elif named and not chain and text.startswith("\t\t "):
                self.maps[f"{family} {name}", named] += text
            elif chain and text.startswith("\t\t") and not text.startswith("\t\ttype "):
                self.rules[family, name, chain].append((number, text.strip()))

    def send(self, start: State) -> set[State]:
        """What may become of a packet."""
        states = {start}
        for hook in _HOOKS:
            bases = [
                (h.priority, key, chain)
                for key, table in self.tables.items()
                for chain, c in table.chains.items()
                for h in c.hooks
                if h.hook == hook
            ]
            for level, key, chain in sorted(bases):
                tracked = hook != "output" or level > CONNTRACK
                states = {s._replace(tracked=s.tracked or tracked) for s in states}
                states = {after for s in states for after, _ in self._chain(self.tables[key], chain, s)}
        return states

    def _chain(self, table: Table, chain: str, state: State) -> set[tuple[State, bool]]:
        """Every end of a chain: the state, and whether the packet left the base chain."""
        going, ended = {state}, set[tuple[State, bool]]()
        for number, text in self.rules[table.family, table.name, chain]:
            after: set[State] = set()
            for each in going:
                for result, verdict in self._rule(number, text, each, table):
                    kind, _, name = verdict.partition(" ")
                    if kind == "accept":
                        ended.add((result, True))
                    elif kind == "return":
                        ended.add((result, False))
                    elif kind in ("jump", "goto"):
                        self.met[kind] += 1
                        for below, left in self._chain(table, name, result):
                            if left or kind == "goto":
                                ended.add((below, left))
                            else:
                                after.add(below)
                    else:
                        after.add(result)
            going = after
        return ended | {(s, False) for s in going}

    def _rule(self, number: int, text: str, state: State, table: Table) -> Iterator[tuple[State, str]]:
        """Every outcome of a rule: the state and the verdict, empty where the next rule follows."""
        if "ct state new" in text or "ct state established" in text:
            # Whether the packet is the first is not said by what markreg read.
            yield state, ""
            if "established" in text:
                return
        states = [state]
        for use in self.uses.get(number, []):
            # Also a connection's mark of which no bit is left has to be read.
            connected = "ct mark" in use.clause.partition(" set ")[2]
            last, states = states, []
            for each in last:
                for after, goes_on in self._use(use, each, connected):
                    if goes_on:
                        states.append(after)
                    else:
                        yield after, ""
        for each in states:
            yield each, self._verdict(text, number, each, table)

    def _use(self, use: Use, state: State, connected: bool) -> Iterator[tuple[State, bool]]:
        """What a clause leaves, and whether the rule goes on."""
        symbols = state.symbols()
        if use.effect is None:
            holds = (use.field == "skb_mark" or state.tracked) and (use.predicate is None or use.predicate.holds(symbols[use.field]))
            self.met[f"{use.field} {'holds' if holds else 'fails'}"] += use.predicate is not None
            yield state, holds
            if holds and " . " in use.clause and use.predicate:
                yield state, False
            return
        # Without a connection its mark cannot be read, which ends the rule; what is written to it goes nowhere.
        if connected and not state.tracked:
            yield state, False
            return
        if not state.tracked and use.field != "skb_mark":
            yield state, True
            return
        self.met[f"{use.access} {use.field}"] += 1
        value = use.effect.value(symbols)
        values = [value] if value is not None else [v for low, high in use.values for v in range(low, high + 1)]
        assert values, use
        assert all(use.effect.allows(v, symbols) for v in values)
        for v in values:
            yield state.put(use.field, v), True

    def _verdict(self, text: str, number: int, state: State, table: Table) -> str:
        vmap = _VMAP.search(text)
        if not vmap:
            match = _VERDICT.search(text)
            return "" if not match else f"{match[1]} {match[2]}" if match[1] else match[3]
        elements = vmap[1] if vmap[1] is not None else self.maps[f"{table.family} {table.name}", vmap[2]]
        use = next(u for u in reversed(self.uses[number]) if "vmap" in u.clause)
        assert use.predicate
        value = state.symbols()[use.field] & use.predicate.mask
        for element in elements.strip(" }").split(","):
            key, _, verdict = element.partition(" : ")
            low, high = interval(key.strip())
            if low <= value <= high:
                return verdict.strip().replace("continue", "")
        raise AssertionError(f"{value:#x} is not in {text}")
