"""``nft -j``: the same meaning as the text, by whole objects, in any layout."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markreg.formats import nft
from markreg.model import Hook, Scope
from markreg.source import Source
from tests.formats.nft_support import as_json, functions, json_rules, read, rules

MARK: dict[str, Any] = {"meta": {"key": "mark"}}
CT: dict[str, Any] = {"ct": {"key": "mark"}}
LABEL: dict[str, Any] = {"ct": {"key": "label"}}


def mangle(key: dict[str, Any], value: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"mangle": {"key": key, "value": value}}


def match(left: Any, right: Any, op: str = "==") -> dict[str, Any]:  # noqa: ANN401
    return {"match": {"op": op, "left": left, "right": right}}


SADDR = {"payload": {"protocol": "ip", "field": "saddr"}}

PAIRS: list[tuple[str, list[Any]]] = [
    ("meta mark set 0x10", [mangle(MARK, 16)]),
    ("meta mark set meta mark & 0xffffff10 | 0x10", [mangle(MARK, {"|": [{"&": [MARK, 0xFFFFFF10]}, 16]})]),
    ("meta mark set (meta mark | 0x10) & 0xff", [mangle(MARK, {"&": [{"|": [MARK, 16]}, 255]})]),
    ("meta mark set meta mark | 1 | 2", [mangle(MARK, {"|": [MARK, 1, 2]})]),
    ("meta mark set meta mark & 0xffffff00 | ct mark & 0xff", [mangle(MARK, {"|": [{"&": [MARK, 0xFFFFFF00]}, {"&": [CT, 255]}]})]),
    ("ct mark set (meta mark | 0x10) << 8", [mangle(CT, {"<<": [{"|": [MARK, 16]}, 8]})]),
    ("ct mark set meta mark", [mangle(CT, MARK)]),
    ("meta mark set socket mark", [mangle(MARK, {"socket": {"key": "mark"}})]),
    ("meta mark set ip dscp << 2 | 0x10", [mangle(MARK, {"|": [{"<<": [{"payload": {"protocol": "ip", "field": "dscp"}}, 2]}, 16]})]),
    ("meta mark set @nh,8,8", [mangle(MARK, {"payload": {"base": "nh", "offset": 8, "len": 8}})]),
    ("meta mark set ip saddr map { 10.0.0.1 : 5 }", [mangle(MARK, {"map": {"key": SADDR, "data": {"set": [["10.0.0.1", 5]]}}})]),
    ("meta mark set numgen inc mod 8 offset 16", [mangle(MARK, {"numgen": {"mode": "inc", "mod": 8, "offset": 16}})]),
    (
        "meta mark set jhash ip saddr . meta mark mod 8 seed 0xdeadbeef",
        [mangle(MARK, {"jhash": {"mod": 8, "seed": 0xDEADBEEF, "expr": {"concat": [SADDR, MARK]}}})],
    ),
    ("meta mark set symhash mod 2", [mangle(MARK, {"symhash": {"mod": 2}})]),
    ("ct label set 5", [mangle(LABEL, 5)]),
    ("ct label set 1 | 3", [mangle(LABEL, {"|": [1, 3]})]),
    ("ct label 5", [match(LABEL, 5, "in")]),
    ("ct label == 5", [match(LABEL, 5)]),
    ("ct label != 5", [match(LABEL, 5, "!=")]),
    ("ct label 1,3", [match(LABEL, [1, 3], "in")]),
    ("ct label 1 / 1,3", [match({"&": [LABEL, [1, 3]]}, 1)]),
    ("meta mark 0x10", [match(MARK, 16)]),
    ("meta mark & 0xff != 0x10", [match({"&": [MARK, 255]}, 16, "!=")]),
    ("meta mark 1-10", [match(MARK, {"range": [1, 10]})]),
    ("meta mark & 0xff 1-10", [match({"&": [MARK, 255]}, {"range": [1, 10]})]),
    ("meta mark != 1-10", [match(MARK, {"range": [1, 10]}, "!=")]),
    ("meta mark < 5", [match(MARK, 5, "<")]),
    ("meta mark 0x01000000/8", [match(MARK, {"prefix": {"addr": 0x1000000, "len": 8}})]),
    (
        "meta mark { 1, 3-5, 0x100/24 }",
        [match(MARK, {"set": [1, {"range": [3, 5]}, {"prefix": {"addr": 256, "len": 24}}]})],
    ),
    ("meta mark { 1 }", [match(MARK, {"set": [{"elem": {"val": 1, "timeout": 60, "comment": "x"}}]})]),
    ("ip saddr . meta mark { 10.0.0.1 . 5 }", [match({"concat": [SADDR, MARK]}, {"set": [{"concat": ["10.0.0.1", 5]}]})]),
    (
        "meta mark vmap { 1 : accept, 2 : jump d }",
        [{"vmap": {"key": MARK, "data": {"set": [[1, {"accept": None}], [2, {"jump": {"target": "d"}}]]}}}],
    ),
    ("fib saddr . mark . iif oif missing", [match({"fib": {"flags": ["saddr", "mark", "iif"], "result": "oif"}}, False)]),
    ("dnat to ct mark map { 0x14 : 10.0.0.1 }", [{"dnat": {"addr": {"map": {"key": CT, "data": {"set": [[20, "10.0.0.1"]]}}}}}]),
    ("update @seen { ip saddr . meta mark }", [{"set": {"op": "update", "elem": {"concat": [SADDR, MARK]}, "set": "@seen"}}]),
    ("add @m { ip saddr : meta mark }", [{"map": {"op": "add", "elem": SADDR, "data": MARK, "map": "@m"}}]),
    ("ct zone set meta mark", [mangle({"ct": {"key": "zone"}}, MARK)]),
    ("queue num 0-3 bypass", [{"queue": {"num": {"range": [0, 3]}, "flags": "bypass"}}]),
    ("queue", [{"queue": None}]),
    ("queue to jhash meta mark mod 4", [{"queue": {"num": {"jhash": {"mod": 4, "expr": MARK}}}}]),
    ("xt target NFQUEUE", [{"xt": {"type": "target", "name": "NFQUEUE"}}]),
    ('log prefix "meta mark set 5" group 5', [{"log": {"prefix": "meta mark set 5", "group": 5}}]),
    ("ct event set new,label", [mangle({"ct": {"key": "event"}}, ["new", "label"])]),
    ("socket mark 5", [match({"socket": {"key": "mark"}}, 5)]),
    ('iifname "mark" accept', [match({"meta": {"key": "iifname"}}, "mark"), {"accept": None}]),
    ("limit rate 10/minute burst 5 packets meta mark 1", [{"limit": {"rate": 10, "burst": 5, "per": "minute"}}, match(MARK, 1)]),
    ("tproxy to :1080 meta mark set 1", [{"tproxy": {"port": 1080}}, mangle(MARK, 1)]),
    (
        "tcp option maxseg size set 1400 meta mark set 1",
        [mangle({"tcp option": {"name": "maxseg", "field": "size"}}, 1400), mangle(MARK, 1)],
    ),
]


@pytest.mark.parametrize(("text", "expressions"), PAIRS, ids=[text for text, _ in PAIRS])
def test_json_is_what_the_text_is(text: str, expressions: list[Any]) -> None:
    listed, other = rules(text), json_rules(expressions)
    assert functions(other) == functions(listed)
    assert not other.opaque
    assert other.mark_statements == listed.mark_statements


@pytest.mark.parametrize(
    "expressions",
    [
        [{"xt": {"type": "target", "name": "MARK"}}],
        [{"xt": {"type": "match", "name": "connmark"}}],
        [{"xt": None}],
        [{"xt": {"type": "target", "name": "SET"}}],
        [mangle(MARK, {"nonsense": 1})],
        [mangle(MARK, "foo")],
        [match(MARK, {"prefix": {"addr": 1, "len": 99}})],
        [{"mangle": {"key": MARK}}],
        [mangle(MARK, {"&": [MARK]})],
        [mangle(MARK, 1 << 32)],
        [{"a": 1, "b": MARK}],
    ],
)
def test_what_is_not_understood_says_so(expressions: list[Any]) -> None:
    reading = json_rules(expressions)
    assert not reading.uses
    assert [len(o.lines) for o in reading.opaque] == [1]


def test_a_rule_without_expressions_is_one_that_nft_could_not_print() -> None:
    reading = as_json({"rule": {"family": "ip", "table": "t", "chain": "c", "handle": 4}})
    assert [o.reason for o in reading.opaque] == ["a rule that nft could not print"]


RULESET: list[dict[str, Any]] = [
    {"table": {"family": "ip", "name": "a", "handle": 1}},
    {"table": {"family": "inet", "name": "sleeps", "handle": 2, "flags": ["dormant"]}},
    {
        "map": {
            "family": "ip",
            "name": "ways",
            "table": "a",
            "type": "mark",
            "map": "verdict",
            "elem": [[1, {"goto": {"target": "e"}}], [2, {"drop": None}]],
        }
    },
    {"set": {"family": "ip", "name": "marks", "table": "a", "type": "mark", "elem": [1, {"range": [4, 6]}]}},
    {
        "map": {
            "family": "ip",
            "name": "values",
            "table": "a",
            "type": ["ipv4_addr", "mark"],
            "map": "mark",
            "elem": [[{"concat": ["10.0.0.1", 3]}, 7]],
        }
    },
    {"set": {"family": "ip", "name": "live", "table": "a", "type": "mark", "flags": ["dynamic"], "elem": [1]}},
    {"chain": {"family": "ip", "table": "a", "name": "c", "type": "filter", "hook": "prerouting", "prio": -140, "policy": "drop"}},
    {"chain": {"family": "ip", "table": "a", "name": "d"}},
    {"chain": {"family": "ip", "table": "a", "name": "e"}},
    {"chain": {"family": "inet", "table": "sleeps", "name": "c", "type": "filter", "hook": "input", "prio": 0, "policy": "accept"}},
    {
        "rule": {
            "family": "ip",
            "table": "a",
            "chain": "c",
            "handle": 9,
            "comment": "my mark",
            "expr": [match(MARK, 1), {"jump": {"target": "d"}}],
        }
    },
    {
        "rule": {
            "family": "ip",
            "table": "a",
            "chain": "c",
            "expr": [{"counter": {"packets": 1, "bytes": 2}}, {"vmap": {"key": MARK, "data": "@ways"}}],
        }
    },
    {"rule": {"family": "ip", "table": "a", "chain": "d", "expr": [match(MARK, "@marks"), {"accept": None}]}},
    {"rule": {"family": "ip", "table": "a", "chain": "d", "expr": [match(MARK, "@live")]}},
    {
        "rule": {
            "family": "ip",
            "table": "a",
            "chain": "d",
            "expr": [mangle(MARK, {"map": {"key": {"concat": [SADDR, CT]}, "data": "@values"}})],
        }
    },
    {"rule": {"family": "inet", "table": "sleeps", "chain": "c", "expr": [mangle(MARK, 1)]}},
]
AS_TEXT = """\
table ip a {
	map ways { type mark : verdict; elements = { 1 : goto e, 2 : drop }; }
	set marks { type mark; flags interval; elements = { 1, 4-6 }; }
	map values { type ipv4_addr . mark : mark; elements = { 10.0.0.1 . 3 : 7 }; }
	set live { type mark; flags dynamic; elements = { 1 }; }
	chain c {
		type filter hook prerouting priority mangle + 10; policy drop;
		meta mark 0x00000001 jump d comment "my mark"
		counter packets 1 bytes 2 meta mark vmap @ways
	}
	chain d {
		meta mark @marks accept
		meta mark @live
		meta mark set ip saddr . ct mark map @values
	}
	chain e {
	}
}
table inet sleeps {
	flags dormant
	chain c {
		type filter hook input priority filter; policy accept;
		meta mark set 0x00000001
	}
}
"""


@pytest.mark.parametrize("indent", [None, 2])
def test_a_ruleset(indent: int | None) -> None:
    reading, text = as_json(*RULESET, indent=indent), read(AS_TEXT)
    assert functions(reading) == functions(text)
    for one, other in zip(reading.uses, text.uses, strict=True):
        assert (one.place, one.scope, one.comment, one.target, one.statement) == (
            other.place,
            other.scope,
            other.comment,
            other.target,
            other.statement,
        )
    for mine, its in zip(reading.tables, text.tables, strict=True):
        assert mine.chains == its.chains
        assert {c: t for c, (_, t) in mine.steps.items()} == {c: t for c, (_, t) in its.steps.items()}
    assert reading.uses[0].place.hooks == (Hook("prerouting", -140),)
    assert (reading.statements, reading.mark_statements, reading.opaque) == (text.statements, text.mark_statements, ())


def test_lines_of_a_document_with_lines() -> None:
    reading = as_json(
        *RULESET[:1],
        RULESET[6],
        {"rule": {"family": "ip", "table": "a", "chain": "c", "expr": [{"accept": None}, mangle(MARK, 7)]}},
        indent=1,
    )
    (use,) = reading.uses
    text = json.dumps({"nftables": [{"metainfo": {"version": "1.0.6"}}, *RULESET[:1], RULESET[6]]}, indent=1)
    assert use.lines[0] > text.count("\n")
    assert use.clause == '{"mangle": {"key": {"meta": {"key": "mark"}}, "value": 7}}'


def test_a_statement_is_found_in_one_line() -> None:
    (use,) = json_rules([{"counter": None}, mangle(MARK, 7), {"accept": None}]).uses
    assert use.clause == '{"mangle": {"key": {"meta": {"key": "mark"}}, "value": 7}}'


def test_commands() -> None:
    place = {"family": "ip", "table": "a", "chain": "c"}
    made: list[dict[str, Any]] = [
        {"flush": {"ruleset": None}},
        {"add": {"table": {"family": "ip", "name": "a"}}},
        {"add": {"chain": {"family": "ip", "table": "a", "name": "c", "type": "filter", "hook": "input", "prio": 5}}},
        {"add": {"rule": {**place, "expr": [mangle(MARK, 2)]}}},
        {"insert": {"rule": {**place, "expr": [mangle(MARK, 1)]}}},
    ]
    assert [(u.value, u.place.hooks) for u in as_json(*made).uses] == [(1, (Hook("input", 5),)), (2, (Hook("input", 5),))]
    assert not as_json(*made, {"flush": {"chain": {"family": "ip", "table": "a", "name": "c"}}}).uses
    assert not as_json(*made, {"delete": {"table": {"family": "ip", "name": "a"}}}).tables


def test_a_document_that_is_cut_off() -> None:
    text = json.dumps({"nftables": RULESET})
    for end in range(len(text) - 3, 30, -97):
        reading = nft.read(Source("x", text[:end].encode()), "nft-json", Scope())
        assert [p.message for p in reading.problems] == ["the JSON is cut off"]
    whole = nft.read(Source("x", text.encode()), "nft-json", Scope())
    cut = nft.read(Source("x", text[:-8].encode()), "nft-json", Scope())
    assert not whole.problems
    assert len(cut.uses) == len(whole.uses) - 1
    assert len(cut.opaque) == 1


values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from(["mark", "ct", "meta", "@s", "key"])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["meta", "ct", "key", "mark", "&", "map", "set", "match", "left", "right", "op", "mangle", "value", "expr", "xt"]
            ),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=12,
)


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["rule", "chain", "set", "map", "table", "add", "element", "flush"]), values, max_size=2),
        max_size=4,
    )
)
def test_any_document_is_read(objects: list[Any]) -> None:
    data = json.dumps({"nftables": objects}).encode()
    nft.read(Source("x", data), "nft-json", Scope())


@given(values)
def test_any_rule_is_read(expression: Any) -> None:  # noqa: ANN401
    json_rules([expression, match(MARK, 1)])


@pytest.mark.parametrize(
    "text",
    [
        '{"nftables": ' + "[" * 20000,
        '{"nftables": [' + '{"rule": {"expr": [' + '{"&": [' * 5000 + "1" + "]}" * 5000 + "]}}]}",
        '{"nftables": ['
        + '{"rule": {"expr": [{"mangle": {"key": {"meta": {"key": "mark"}}, "value": '
        + '{"&": [1, ' * 400
        + "1"
        + "]}" * 400
        + "}}]}}]}",
        '{"nftables": [' + "," * 20000,
        '{"nftables": [' + '"' * 20001,
        '{"nftables": [1, null, [], "x", {}, {"rule": 5}, {"rule": null}, {"chain": []}]}',
    ],
)
def test_hostile_documents(text: str) -> None:
    start = time.perf_counter()
    reading = nft.read(Source("x", text.encode()), "nft-json", Scope())
    assert time.perf_counter() - start < 2
    assert not reading.uses


def test_detected() -> None:
    assert nft.detect(Source("x", b' {"nftables": [{"metainfo": {}}]}')) == "nft-json"
    assert nft.detect(Source("x", b'{\n  "nftables": [\n    {')) == "nft-json"
    assert nft.detect(Source("x", b'{"nftables": {}}')) is None
