"""What is read of a flow for its way: heads as any tool prints them, matches clause by clause, lists step by step."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markreg.formats import openflow
from markreg.formats._openflow_asks import bits_asked, head_of
from markreg.source import Source
from markreg.switching import Change, Clause, Copied, Entry, Forget, Go, Leave

HEADS = {
    " cookie=0x1, duration=1.2s, table=3, n_packets=0, n_bytes=0, idle_age=9, priority=7,ip,in_port=1 ": ("3", 7, "ip,in_port=1", True),
    " cookie=0x1, duration=1.2s, table=3, n_packets=0, n_bytes=0, idle_timeout=9, priority=7,ip ": ("3", 7, "ip", False),
    " cookie=0x1, duration=1.2s, table=3, n_packets=0, n_bytes=0, reset_counts ip,in_port=1 ": ("3", 32768, "ip,in_port=1", True),
    " cookie=0x1, duration=1.2s, table=3, n_packets=0, n_bytes=0, priority=0 ": ("3", 0, "", True),
    ' cookie=0x1, table="acl in", n_packets=0, priority=5,in_port="eth 0" ': ("acl in", 5, 'in_port="eth,0"', True),
    "table=1,priority=5,tcp,tp_dst=80,": ("1", 5, "tcp,tp_dst=80", True),
    "add priority=5 table=1 tcp, hard_timeout=3 tp_dst=80 ": ("1", 5, "tcp,tp_dst=80", False),
    "table_id=4, duration=9s, n_packets=1, n_bytes=2, priority=9,udp,": ("4", 9, "udp", True),
    "in_port=1 ": ("0", 32768, "in_port=1", True),
}


@pytest.mark.parametrize("head", HEADS)
def test_a_head_says_where_a_flow_stands_and_what_it_asks(head: str) -> None:
    table, priority, asks, lasts = HEADS[head]
    assert head_of(head) == (table, priority, asks, lasts)


CLAUSES = {
    "tcp6": [("dl_type", 0xFFFF, 0x86DD), ("nw_proto", 0xFF, 6)],
    "arp": [("dl_type", 0xFFFF, 0x0806)],
    "eth_type=0x800": [("dl_type", 0xFFFF, 0x800)],
    "in_port=3": [("in_port", 0xFFFFFFFF, 3)],
    "in_port=65534": [("in_port", 0xFFFFFFFF, 0xFFFFFFFE)],
    "in_port=LOCAL": [("in_port", 0xFFFFFFFF, 0xFFFFFFFE)],
    "nw_src=10.0.0.0/8": [("ip_src", 0xFF000000, 0x0A000000)],
    "nw_dst=10.0.0.1/255.0.0.255": [("ip_dst", 0xFF0000FF, 0x0A000001)],
    "ipv6_src=fd00::/8": [("ipv6_src", 0xFF << 120, 0xFD << 120)],
    "tp_dst=0x50/0xfff0": [("tp_dst", 0xFFF0, 0x50)],
    "tcp_dst=80": [("tp_dst", 0xFFFF, 80)],
    "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00": [("dl_dst", 1 << 40, 1 << 40)],
    "ct_state=+new-est": [("ct_state", 3, 1)],
    "ct_state=new|trk": [("ct_state", 0xFFFF, 33)],
    "xreg0=0x100000002/0xf0000000f": [("ovs.reg1", 0xF, 2), ("ovs.reg0", 0xF, 1)],
    "metadata=0x5": [("ovs.metadata", (1 << 64) - 1, 5)],
    "pkt_mark=0x1/0xf": [("skb_mark", 0xF, 1)],
}
UNKNOWN = (
    "nw_frag=later",
    "ip_dscp=0x3",
    "nw_src=10.0.0",
    "in_port=70000000000000000000000",
    "ct_state=+odd",
    "xreg99=1",
    "dl_src=1",
    "x",
    "reg0=",
)


@pytest.mark.parametrize("text", CLAUSES)
def test_a_clause_asks_bits_of_fields(text: str) -> None:
    name, _, value = text.partition("=")
    assert bits_asked(name, value) == tuple(Clause(*t) for t in CLAUSES[text])


@pytest.mark.parametrize("text", UNKNOWN)
def test_what_is_not_known_of_a_match_is_not_guessed(text: str) -> None:
    name, _, value = text.partition("=")
    found = bits_asked(name, value)
    assert found is None or all(0 <= t.value <= t.mask for t in found)


def entries(*lines: str) -> tuple[Entry, ...]:
    return openflow.flows(Source("flows", "\n".join(lines).encode())).entries


LISTS = {
    "set_field:0x1->pkt_mark": (Change("skb_mark", 0xFFFFFFFF, 1),),
    "resubmit(,5)": (Go("call", "5"),),
    "resubmit:5": (Go("call", "", frozenset({"in_port", "in_port_name"})),),
    "goto_table:5": (Go("call", "5"),),
    "group:5": (Go("copy", "group 5"),),
    "ct(table=5)": (Go("again", "5"),),
    "ct(commit)": (Go("again", ""),),
    "clone(resubmit(,5))": (Copied((Go("call", "5"),)),),
    "output:1": (Leave(),),
    "NORMAL": (Leave(),),
    "FLOOD": (Leave(),),
    "drop": (),
    "dec_ttl,note:00.01": (),
    "mod_vlan_vid:5": (Forget(frozenset({"dl_vlan", "vlan_tci", "vlan_vid"})),),
    "set_field:10.0.0.1->nw_src": (Forget(frozenset({"ip_src"})),),
    "move:NXM_NX_PKT_MARK[0..7]->NXM_NX_REG0[8..15]": (Change("ovs.reg0", 0xFF00),),
    "pop:NXM_NX_PKT_MARK[]": (Change("skb_mark", 0xFFFFFFFF),),
}


@pytest.mark.parametrize("text", LISTS)
def test_a_list_is_steps(text: str) -> None:
    (entry,) = entries(f"table=0,priority=1,ip,actions={text}")
    assert entry.steps == LISTS[text]


def test_an_action_that_nobody_knows_may_do_anything() -> None:
    (entry,) = entries("table=0,actions=frobnicate(1)")
    assert Leave() in entry.steps and any(isinstance(s, Forget) and "in_port" in s.names for s in entry.steps)


def test_buckets_and_learned_flows_are_entries_of_their_own() -> None:
    bucket, other = entries("group_id=7,type=all,bucket=actions=resubmit(,5),set_field:1->reg0,bucket=actions=drop")
    assert (bucket.table, other.steps) == ("group 7", ())
    assert isinstance(bucket.steps[0], Change) and bucket.steps[1:] == (Copied((Go("call", "5"),)),)  # an action set: writes come first
    _, learned = entries("table=0,actions=learn(table=3,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:0x5->NXM_NX_PKT_MARK[])")
    assert (learned.table, learned.learned, learned.steps) == ("3", True, (Change("skb_mark", 0xFFFFFFFF, 5),))


@given(st.text(alphabet='abct_=,()[]:0123456789-> \n"\\xregiploadmk', max_size=200))
@settings(max_examples=300, derandomize=True, deadline=None)
def test_no_text_is_too_odd(text: str) -> None:
    found = openflow.flows(Source("flows", f"table=0,{text}actions={text}\ngroup_id=1,{text}bucket=actions={text}".encode()))
    assert all(found.at(n) is not None for n in range(5))
