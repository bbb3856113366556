"""Rules of nft in text and in JSON of any layout tell the path analysis the same."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.formats.flow_support import alike, flows, meta, payload
from tests.formats.test_nft_json import MARK, mangle, match

# Statements as nft lists them, text and JSON.
STATEMENTS: list[tuple[str, dict[str, Any]]] = [
    ("ip saddr 10.0.0.1", match(payload("ip", "saddr"), "10.0.0.1")),
    ("ip daddr != 10.0.0.0/8", match(payload("ip", "daddr"), {"prefix": {"addr": "10.0.0.0", "len": 8}}, "!=")),
    ("ip daddr { 10.0.0.1, 10.2.0.1-10.2.0.9 }", match(payload("ip", "daddr"), {"set": ["10.0.0.1", {"range": ["10.2.0.1", "10.2.0.9"]}]})),
    ("ip6 saddr fd00::/8", match(payload("ip6", "saddr"), {"prefix": {"addr": "fd00::", "len": 8}})),
    ("ip saddr @known", match(payload("ip", "saddr"), "@known")),
    ("tcp dport 80", match(payload("tcp", "dport"), 80)),
    ("udp sport 1000-2000", match(payload("udp", "sport"), {"range": [1000, 2000]})),
    ("tcp dport != { 22, 80-90 }", match(payload("tcp", "dport"), {"set": [22, {"range": [80, 90]}]}, "!=")),
    ("th dport 53", match(payload("th", "dport"), 53)),
    ("vxlan ip saddr 10.0.0.1", match({"payload": {"tunnel": "vxlan", "protocol": "ip", "field": "saddr"}}, "10.0.0.1")),
    ('iifname "eth0"', match(meta("iifname"), "eth0")),
    ('oifname { "a", "b" }', match(meta("oifname"), {"set": ["a", "b"]})),
    ("meta l4proto 47", match(meta("l4proto"), 47)),
    ("ip protocol tcp", match(payload("ip", "protocol"), "tcp")),
    ("ct state established,related", match({"ct": {"key": "state"}}, ["established", "related"], "in")),
    ("meta nfproto ipv4", match(meta("nfproto"), "ipv4")),
    ("tcp option maxseg size 5", match({"tcp option": {"name": "maxseg", "field": "size"}}, 5)),
    ("fib saddr . iif oif missing", match({"fib": {"flags": ["saddr", "iif"], "result": "oif"}}, False)),
    ("ct original ip saddr 10.0.0.1", match({"ct": {"key": "ip saddr", "dir": "original"}}, "10.0.0.1")),
    ("meta mark 0x00000005", match(MARK, 5)),
    ("meta mark & 0x0000000f == 0x00000005", match({"&": [MARK, 15]}, 5)),
    ("meta mark set 0x00000006", mangle(MARK, 6)),
    (
        "ip saddr . meta mark { 10.0.0.1 . 0x00000005 }",
        match({"concat": [payload("ip", "saddr"), MARK]}, {"set": [{"concat": ["10.0.0.1", 5]}]}),
    ),
    ("counter packets 0 bytes 0", {"counter": {"packets": 0, "bytes": 0}}),
    ('log prefix "x" group 1', {"log": {"prefix": "x", "group": 1}}),
    ("log", {"log": None}),
    ("log level debug flags tcp sequence,options", {"log": {"level": "debug", "flags": ["tcp sequence", "tcp options"]}}),
    ("log flags all", {"log": {"flags": "all"}}),
    ("limit rate 5/second", {"limit": {"rate": 5, "burst": 5, "per": "second"}}),
    ('xt match "comment"', {"xt": {"type": "match", "name": "comment"}}),
    ("notrack", {"notrack": None}),
    ("flow add @f", {"flow": {"op": "add", "flowtable": "@f"}}),
]
VERDICTS: list[tuple[str, dict[str, Any]]] = [
    ("accept", {"accept": None}),
    ("drop", {"drop": None}),
    ("jump u", {"jump": {"target": "u"}}),
    ("goto u", {"goto": {"target": "u"}}),
    (
        'iifname vmap { "eth0" : jump u, "eth1" : drop }',
        {"vmap": {"key": meta("iifname"), "data": {"set": [["eth0", {"jump": {"target": "u"}}], ["eth1", {"drop": None}]]}}},
    ),
]
RULES = st.tuples(st.lists(st.sampled_from(STATEMENTS), max_size=4), st.sampled_from(VERDICTS))


@given(st.lists(RULES, min_size=1, max_size=4), st.booleans())
def test_text_and_json_of_any_layout_say_the_same(made: list[Any], last_is_alone: bool) -> None:
    rules = [[*statements, verdict] for statements, verdict in made]
    text = "".join(f"\t\t{' '.join(t for t, _ in rule)}\n" for rule in rules)
    place = {"family": "inet", "table": "t"}
    objects: list[dict[str, Any]] = [{"table": {"family": "inet", "name": "t"}}]
    objects += [{"chain": {**place, "name": name}} for name in ("u", "c")]
    objects += [{"rule": {**place, "chain": "c", "expr": [e for _, e in rule]}} for rule in rules]
    if not last_is_alone:
        objects.append({"chain": {**place, "name": "z"}})
    found = list(map(alike, flows(f"table inet t {{\n\tchain u {{\n\t}}\n\tchain c {{\n{text}\t}}\n}}\n")))
    document = {"nftables": [{"metainfo": {}}, *objects]}
    assert len(found) == len(rules)
    for indent in (None, 0, 1, 4):
        assert list(map(alike, flows(json.dumps(document, indent=indent), "nft-json"))) == found, indent
    lines = '{"nftables": [\n' + ",\n".join(map(json.dumps, objects)) + "\n]}\n"
    assert list(map(alike, flows(lines, "nft-json"))) == found
