"""What the tests of nft share: rules inside a table that has sets, and what a use does."""

from __future__ import annotations

import json
from typing import Any

from markreg.formats import nft
from markreg.model import Reading, Scope, Use
from markreg.source import Source

TABLE = """\
table inet t {
	set some {
		type mark
		flags interval
		elements = { 0x00000001, 0x00000003-0x00000005 }
	}
	set changing { type mark; flags dynamic; elements = { 1 }; }
	set empty { type mark; }
	set seen { type ipv4_addr . mark; flags dynamic; }
	map marks {
		type ipv4_addr : mark
		elements = { 10.0.0.1 : 0x00000005,
			10.0.0.2 : 0x00000007 }
	}
	map learned { type ipv4_addr : mark; flags dynamic,timeout; elements = { 10.0.0.1 : 0x5 }; }
	map verdicts { type mark : verdict; elements = { 1 : accept, 2 : drop }; }
	chain c {
		type filter hook input priority filter; policy accept;
"""


def read(text: str | bytes, form: str = "nft", scope: Scope | None = None) -> Reading:
    """A ruleset; every use must be findable where it says it stands."""
    source = Source("ruleset", text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text)
    reading = nft.read(source, form, scope or Scope())
    for use in reading.uses:
        for line in use.lines:
            assert use.clause, use
            assert use.clause in source.line(line) or packed(use.clause) in packed(source.statement(line)), (use.clause, source.line(line))
    return reading


def packed(text: str) -> str:
    """A text without spaces: of a rule in JSON over many lines, a clause is one expression."""
    return "".join(text.split())


def rules(*texts: str) -> Reading:
    """Rules in a chain of a table with sets."""
    return read(TABLE + "".join(f"\t\t{text}\n" for text in texts) + "\t}\n}\n")


def as_json(*objects: dict[str, Any], indent: int | None = None) -> Reading:
    """Objects as ``nft -j`` lists them."""
    return read(json.dumps({"nftables": [{"metainfo": {"version": "1.0.6"}}, *objects]}, indent=indent), "nft-json")


def json_rules(*expressions: list[Any]) -> Reading:
    """Rules by their expressions."""
    place = {"family": "inet", "table": "t", "chain": "c"}
    made = [{"rule": {**place, "handle": n, "expr": e}} for n, e in enumerate(expressions, 2)]
    return as_json({"table": {"family": "inet", "name": "t"}}, {"chain": {"family": "inet", "table": "t", "name": "c", "handle": 1}}, *made)


def function(use: Use) -> tuple[object, ...]:
    """What a use does, apart from where it stands."""
    accepts = use.predicate and (use.predicate.mask, use.predicate.accepts)
    return (use.field, use.access, use.mask, use.effect, accepts, use.values, use.possible)


def functions(reading: Reading) -> list[tuple[object, ...]]:
    """The functions of all uses, one for each rule."""
    return [function(use) for use in reading.uses for _ in use.lines]
