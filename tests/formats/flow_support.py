"""What the tests of flows share: every rule of a document with what the path analysis is told of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from markreg.flow import Flow
from markreg.formats import iptables, nft
from markreg.model import Reading, Scope
from markreg.source import Source


def flows(text: str, form: str = "nft") -> list[Flow | None]:
    """The flow of every rule with a mark, a jump or a verdict, chain by chain, as the graph asks for it."""
    source = Source("text", text.encode())
    reading = (nft if form.startswith("nft") else iptables).read(source, form, Scope())
    known = clauses(reading)
    reader = (nft if form.startswith("nft") else iptables).flow
    found: list[Flow | None] = []
    for table in reading.tables:
        for chain in table.chains:
            marked = {n for use in reading.uses for n in use.lines if (use.place.table, use.place.chain) == (table.name, chain)}
            lines = {*table.ends.get(chain, ()), *table.steps.get(chain, ((),))[0], *marked}
            found += [reader(source.statement(n), tuple(known.get(n, ()))) for n in sorted(lines)]
    return found


def clauses(reading: Reading) -> dict[int, list[str]]:
    """For each line what its uses say in full."""
    known: dict[int, list[str]] = {}
    for use in reading.uses:
        for line in use.lines:
            if (use.predicate is not None or use.effect is not None) and use.clause not in known.setdefault(line, []):
                known[line].append(use.clause)
    return known


def alike(flow: Flow | None) -> Flow | None:
    """A flow without the words of what is not followed, which text and JSON spell in their own ways."""
    if flow is None:
        return None
    choices = tuple(replace(c, others="something" if c.others else "") for c in flow.choices)
    return replace(flow, others="something" if flow.others else "", choices=choices)


def shown(flow: Flow | None) -> str:
    """The narrow conditions of a flow, and ``+`` if it asks something else."""
    if flow is None:
        return "none"
    said = [f"{'! ' if g.negated else ''}{g.kind} {','.join(g.values)}" for g in flow.narrow]
    return "; ".join(said + ["+"] * flow.loose)


def payload(protocol: str, name: str) -> dict[str, Any]:
    """An expression of nft in JSON."""
    return {"payload": {"protocol": protocol, "field": name}}


def meta(key: str) -> dict[str, Any]:
    """An expression of nft in JSON."""
    return {"meta": {"key": key}}
