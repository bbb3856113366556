"""What rules of nft say of devices, addresses, ports, connections and flowtables; text and JSON in any layout say the same."""

from __future__ import annotations

import json
import time

import pytest

from markreg.flow import NARROW, Flow, Guard, Outcome
from markreg.formats import nft
from markreg.model import Scope, Table
from markreg.source import Source
from tests.formats.flow_support import flows, meta, payload, shown

UNTOLD = (
    "ip saddr @known",
    "ip saddr != @known",
    "ip saddr $lan",
    "ip saddr { $lan, 10.0.0.1 }",
    "ip saddr localhost",
    "ip saddr & 255.0.0.255 == 10.0.0.1",
    "ip saddr > 10.0.0.1",
    "ip saddr fd00::1",
    "ip saddr 10.0.0.0/255.0.0.0",
    "ip saddr 10.0.0.9-10.0.0.1",
    "ip saddr { 10.0.0.1 timeout 5s }",
    "tcp dport http",
    "tcp dport { 80, https }",
    "tcp dport 0x50",
    "tcp dport < 1024",
    "tcp dport & 1 == 1",
    "tcp dport 80-65536",
    "ct original ip saddr 10.0.0.1",
    "ct reply saddr 10.0.0.1",
    "ipsec in ip saddr 10.0.0.1",
    "vxlan ip saddr 10.0.0.1",
    "gretap tcp dport 80",
    "arp saddr ip 10.0.0.1",
    "fib saddr . iif oif missing",
    "ip6 nexthdr != tcp",
    "ip saddr . tcp dport != { 10.0.0.1 . 80 }",
    "ip saddr . tcp dport @known",
    "ip saddr . tcp dport map { 10.0.0.1 . 80 : 5 }",
    "ip saddr . tcp dport { 10.0.0.1 }",
    "tcp dport . ip saddr & 255.0.0.0 { 80 . 10.0.0.0 }",
    "meta l4proto { 6-17 }",
    "ct state new | established",
    "meta mark set iif",
    "meta mark set ip protocol map { tcp : 1 }",
    "update @seen { ip saddr }",
    "limit rate 5/second",
)
TOLD = {
    "ip saddr 10.0.0.1": "src 10.0.0.1",
    "ip saddr 10.1.2.3/16": "src 10.1.0.0/16",
    "ip daddr != 10.0.0.0/8": "! dst 10.0.0.0/8",
    "ip daddr ne 10.0.0.0/8": "! dst 10.0.0.0/8",
    "ip saddr == 10.0.0.1": "src 10.0.0.1",
    "ip saddr { 10.0.0.1, 10.1.0.0/16,10.2.0.1-10.2.0.9 }": "src 10.0.0.1,10.1.0.0/16,10.2.0.1-10.2.0.9",
    "ip6 saddr FD00:0::1 ip6 daddr fd00::/8": "src fd00::1; dst fd00::/8",
    "ip6 daddr != { fd00::1, fd01::/16 }": "! dst fd00::1,fd01::/16",
    "tcp dport 80": "dport 80",
    "udp sport != { 53, 1000-2000 }": "! sport 53,1000-2000",
    "meta l4proto { tcp, udp } th dport 53": "dport 53",
    "ip protocol gre": "",
    'iifname "eth*" ct state new,established': "",
    "ip saddr 10.0.0.1 limit rate 5/second": "src 10.0.0.1; +",
    "ip saddr 10.0.0.1 tcp flags syn": "src 10.0.0.1; +",
    "udp dport 4789 vxlan tcp dport 80": "dport 4789; +",
    'ip saddr 10.0.0.1 counter packets 1 bytes 2 comment "ip daddr 10.0.0.2"': "src 10.0.0.1",
    "meta mark set 1 ip saddr 10.0.0.1": "src 10.0.0.1; +",
    "ip saddr . tcp dport { 10.0.0.1 . 80, 10.0.0.2 . 81 }": "src 10.0.0.1,10.0.0.2; dport 80,81; +",
    "ip saddr . meta mark { 10.0.0.1 . 5 }": "src 10.0.0.1; +",
    "tcp dport . ip saddr == { 80 . $lan }": "dport 80; +",
}


@pytest.mark.parametrize("written", UNTOLD)
def test_what_is_not_told(written: str) -> None:
    flow = nft.flow(f"{written} accept")
    assert flow
    assert (flow.narrow, flow.loose) == ((), True)
    assert not [g for g in flow.guards if g.kind in ("iif", "oif", "state") or g.values == ("map",)]


@pytest.mark.parametrize("written", TOLD)
def test_addresses_and_ports(written: str) -> None:
    flow = nft.flow(f"{written} accept")
    assert shown(flow) == TOLD[written]
    assert flow
    assert bool(flow.others) == bool(TOLD[written])
    assert flow.outcomes == (Outcome("accept"),)


def test_the_headers_that_a_rule_needs() -> None:
    told = {
        "tcp dport 80 ip saddr 10.0.0.1": [Guard("proto", ("tcp",)), Guard("family", ("ip",))],
        "udp dport 4789 vxlan ip6 saddr fd00::1 vxlan tcp dport 80": [Guard("proto", ("udp",))],
        "tcp option maxseg missing": [],
        "meta protocol != ip": [Guard("family", ("ip",), True)],
        "meta protocol != ip tcp dport 80": [Guard("family", ("ip",), True), Guard("proto", ("tcp",))],
    }
    for written, guards in told.items():
        flow = nft.flow(f"{written} drop")
        assert flow
        assert list(flow.guards) == guards, written


@pytest.mark.parametrize(
    ("written", "told"),
    {
        "ip saddr . icmp type { 10.0.0.1 . echo-request }": ["proto icmp", "family ip"],
        "icmpv6 type { nd-router-advert, nd-neighbor-solicit }": ["proto icmpv6", "family ip6"],
        "igmp type membership-query": ["proto igmp", "family ip"],
        "esp spi 5": ["proto esp"],
        "ah sequence 5": ["proto ah"],
        "comp cpi 5": ["proto comp"],
        "udplite csumcov 5 udplite dport 5": ["proto udplite"],
        "dccp type request": ["proto dccp"],
        "arp operation request": ["family arp"],
        "ether type ip6": ["family ip6"],
        "ether type { ip, arp }": ["family ip,arp"],
        "meta protocol { ip, ip6 }": ["family ip,ip6"],
        "ether type != ip": [],
        "ether type { ip, 8021q }": [],
        "vlan type ip": [],
        "vxlan icmp type echo-request": [],
        "reject with icmp type host-unreachable": [],
        "jump icmp": [],
        "meta l4proto . th dport { tcp . 53, udp . 53 }": ["proto tcp,udp"],
        'iifname . ip saddr { "eth0" . 10.0.0.1, "wg*" . 10.0.0.2 }': ["iif eth0,wg*", "family ip"],
        "ct state . tcp dport { new . 80, established . 80 }": ["state new,established", "proto tcp"],
        "meta mark set 1 iifname eth0 tcp dport 80": [],
        "iifname eth0 meta mark set 1 oifname eth1 tcp dport 80": ["iif eth0"],
    }.items(),
)
def test_what_a_rule_asks_for(written: str, told: list[str]) -> None:
    flow = nft.flow(written, ("meta mark set 1",))
    assert flow
    assert [f"{g.kind} {','.join(g.values)}" for g in flow.guards if not g.negated] == told


def branches(flow: Flow | None) -> list[str]:
    """The choices of a flow: conditions, and where the packet goes."""
    assert flow
    return [
        ", ".join(f"{'! ' if g.negated else ''}{g.kind} {','.join(g.values)}" for g in (*c.guards, *c.narrow))
        + "".join(f": {o.verb} {o.target}".rstrip() for o in c.outcomes)
        + (" ?" if c.stays or c.loose else "")
        for c in flow.choices
    ]


@pytest.mark.parametrize(
    ("written", "told"),
    {
        'iifname vmap { "eth0" : jump x, "eth1" : drop, "wg*" : drop }': ["iif eth0: jump x", "iif eth1,wg*: drop"],
        'oifname vmap { "eth0":goto x, * : accept }': ["oif eth0: goto x", "! oif eth0: accept"],
        'iifname vmap { "a" : drop, "b" : accept, * : drop }': ["! iif b: drop", "iif b: accept"],
        "ct state vmap { invalid : drop, established : accept, related : accept, new : continue }": [
            "state established,related: accept",
            "state invalid: drop",
        ],
        "ip saddr vmap { 10.0.0.1 : accept, 10.1.0.0/16 : jump z }": [
            "family ip, src 10.0.0.1: accept",
            "family ip, src 10.1.0.0/16: jump z",
        ],
        "tcp dport vmap { 22 : accept, 80-90 : return }": ["proto tcp, dport 22: accept", "proto tcp, dport 80-90: return"],
        'iifname "eth0" meta l4proto vmap { 6 : accept } counter': ["iif eth0, proto tcp: accept"],
        "meta nfproto vmap { ipv4 : jump a, ipv6 : jump b }": ["family ip: jump a", "family ip6: jump b"],
        "tcp flags syn meta l4proto vmap { tcp : accept }": ["proto tcp, proto tcp: accept ?"],
        "meta mark set 1 iifname vmap { eth0 : jump x }": ["iif eth0: jump x"],
        # Not followed: the keys, what stands behind, or what the map holds.
        "meta mark vmap { 1 : accept }": [],
        "meta mark & 0x3 vmap { 1 : accept }": [],
        "iifname . oifname vmap { eth0 . eth1 : accept }": [],
        "iifname vmap @devices": [],
        "iifname vmap { $lan : accept }": [],
        "iifname vmap { eth0 timeout 5s : accept }": [],
        "icmp type vmap { echo-request : accept }": [],
        "iifname vmap { eth0 : continue, eth1 : drop } tcp dport 80 accept": [],
        "iifname vmap { eth0 : continue } oifname vmap { eth1 : drop }": [],
        "meta mark vmap @marks oifname vmap { eth1 : drop }": [],
    }.items(),
)
def test_verdict_maps(written: str, told: list[str]) -> None:
    flow = nft.flow(written, ("meta mark set 1", "meta mark vmap { 1 : accept }", "meta mark & 0x3 vmap { 1 : accept }"))
    assert branches(flow) == told
    assert flow
    assert flow.stays
    assert {o for c in flow.choices for o in c.outcomes} <= set(flow.outcomes)


def test_verdict_maps_over_several_lines() -> None:
    text = 'iifname vmap {\n\t\t\t"eth0" : jump u, # the first\n\t\t\t"lo" : accept\n\t\t}'
    (flow,) = flows(table(text)[1].text())
    assert branches(flow) == ["iif eth0: jump u", "iif lo: accept"]


def test_verdict_maps_ask_for_no_device_by_themselves() -> None:
    flow = nft.flow('iifname vmap { "eth0" : jump x, "eth1" : drop }')
    assert flow
    assert (flow.guards, flow.outcomes, flow.stays) == ((), (Outcome("jump", "x"), Outcome("drop")), True)


def test_a_mapping_of_one_family_leaves_the_other_alone() -> None:
    flow = nft.flow("meta mark set 1 dnat ip to 10.0.0.1", ("meta mark set 1",))
    assert flow
    assert (flow.guards, flow.outcomes, flow.stays) == ((), (Outcome("nat"),), True)


def test_a_mark_looked_up_with_other_things_is_a_condition() -> None:
    clause = "ip saddr . meta mark { 10.0.0.1 . 5 }"
    flow = nft.flow(f"{clause} meta mark set 6", (clause, "meta mark set 6"))
    assert flow
    assert (flow.others, flow.loose) == (clause, True)


def test_packets_without_a_connection() -> None:
    flow = nft.flow("udp dport 53 counter notrack")
    assert flow
    assert (flow.untracks, flow.outcomes, shown(flow)) == (True, (), "dport 53")
    for other in ("jump notrack", "jump notrack_zone2", "ct state untracked accept", 'accept comment "notrack"', "ip saddr @notrack drop"):
        flow = nft.flow(other)
        assert flow
        assert not flow.untracks, other


def table(*rules: str) -> tuple[Table, Source]:
    body = "".join(f"\t\t{r}\n" for r in rules)
    source = Source("nft", f"define M = 0x5\ntable inet t {{\n\tchain u {{\n\t}}\n\tchain c {{\n{body}\t}}\n}}\n".encode())
    (found,) = nft.read(source, "nft", Scope()).tables
    return found, source


def test_tables_know_such_rules() -> None:
    found, _ = table("udp dport 53 notrack", "counter", "ip protocol tcp flow add @f")
    assert (found.ends, found.offloads) == ({"c": [6]}, True)
    assert table("flow offload @f")[0].offloads
    for other in ("ip6 flowlabel 5 accept", "jump flow", "add @flow { ip saddr }", 'accept comment "flow add @f"'):
        assert not table(other)[0].offloads, other


@pytest.mark.parametrize(
    ("rule", "kinds"),
    {
        "ip daddr set 10.0.0.1": ("dst",),
        "tcp dport 80 tcp dport set 8080 ip saddr  set ip saddr map { 10.0.0.1 : 10.0.0.2 }": ("dport", "src"),
        "th sport set 5": ("sport",),
        "@nh,128,32 set 0x1": ("dport", "dst", "sport", "src"),
        "ip ttl set 5": (),
        "@ll,0,48 set 0x1": (),
        "meta mark set ip saddr map { 10.0.0.1 : 5 }": (),
        'ip daddr 10.0.0.1 accept comment "ip daddr set 5"': (),
        "ip daddr @set accept": (),
    }.items(),
)
def test_tables_know_what_rules_rewrite(rule: str, kinds: tuple[str, ...]) -> None:
    assert table(rule)[0].rewrites == kinds
    text = f"table inet t {{\n\tchain c {{\n\t\t{rule}\n\t}}\n}}\nflush chain inet t c\n"
    (found,) = nft.read(Source("nft", text.encode()), "nft", Scope()).tables
    assert found.rewrites == ()


def test_documents_tell_what_rules_rewrite() -> None:
    raw = {"payload": {"base": "th", "offset": 0, "len": 16}}
    for key, kinds in ((payload("ip", "daddr"), ("dst",)), (raw, tuple(sorted(NARROW))), (meta("mark"), ())):
        expr = [{"mangle": {"key": key, "value": 5}}, {"mangle": {"key": [], "value": []}}, {"mangle": 5}]
        rule = {"rule": {"family": "ip", "table": "t", "chain": "c", "expr": expr}}
        (found,) = nft.read(Source("nft", json.dumps({"nftables": [rule]}).encode()), "nft-json", Scope()).tables
        assert found.rewrites == kinds


def test_what_was_flushed_offloads_nothing() -> None:
    text = "table inet t {\n\tchain c {\n\t\tflow add @f\n\t}\n}\nflush chain inet t c\n"
    (found,) = nft.read(Source("nft", text.encode()), "nft", Scope()).tables
    assert not found.offloads


def test_rules_over_several_lines() -> None:
    _, source = table(
        "ip saddr {\n\t\t\t10.0.0.1, # the first\n\t\t\t10.0.0.2\n\t\t} tcp dport 80 \\\n\t\t\tmeta mark set meta mark | 0x5 accept",
        "ip daddr 10.0.0.1 \\\n\t\t\tnotrack",
        "limit rate 5/second  meta  mark set $M",
        "tcp dport 80  meta  mark  set 7",
    )
    four = flows(source.text())
    assert [shown(f) for f in four] == ["src 10.0.0.1,10.0.0.2; dport 80", "dst 10.0.0.1", "+", "dport 80"]
    assert [f and (f.untracks, f.outcomes, f.others) for f in four] == [
        (False, (Outcome("accept"),), "ip saddr { 10.0.0.1, 10.0.0.2 } tcp dport 80"),
        (True, (), "ip daddr 10.0.0.1"),
        (False, (), "limit rate 5/second"),
        (False, (), "tcp dport 80"),
    ]


@pytest.mark.parametrize(
    "word",
    [
        "log flags a ",
        "flags ",
        "ip saddr ",
        "ip saddr { ",
        "ct state a,",
        "fib a . ",
        "a . ",
        "a ",
        "iifname a vmap ",
        "vmap @a ",
        "!= ",
        "( ",
        '"',
        "jump ",
        "a . b { ",
        "iif a { c . d } ",
        'iif vmap { "a" : drop } ',
        "ip daddr set ",
    ],
)
def test_hostile_rules_take_no_time(word: str) -> None:
    start = time.process_time()
    for rule in (word * 3000, f"log {word * 3000}. vmap @x", f"{word * 3000}\\"):
        nft.flow(rule, ("meta mark $x " * 300,))
        nft.flow(json.dumps({"rule": {"expr": [{"match": {"op": "==", "left": rule, "right": rule}}]}}))
    assert time.process_time() - start < 5
