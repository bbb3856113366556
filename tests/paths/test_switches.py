"""Tables of Open vSwitch: what a packet carries from flow to flow, against packets that are walked one by one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.paths.switch_support import Read
from tests.paths.switching import Walk, case
from tests.paths.test_controls import found, loud

CASES = int(os.environ.get("MARKREG_TABLES", "300"))


@pytest.mark.parametrize("rich", [False, True])
def test_whatever_a_packet_carries_into_a_flow_is_said(rich: bool) -> None:
    """And of the pairs on one bridge that no packet shows most are excluded, where tables alone tell."""
    met = carried = said = possible = 0
    for seed in range(CASES // 2):
        made = case(seed + 100_000 * rich, rich)
        read = Read.of(made)
        seen = set()
        for packet in made.packets:
            seen |= Walk(made).run(packet).met
        for one in sorted(seen, key=repr):
            missing = read.missing(one)
            assert not missing, f"seed {seed}: {missing:#x} of {one}\n{made.text()}{made.buckets()}"
            met += 1
        readers = [u for u in read.uses if u.effect is None and u.predicate is not None]
        writers = [u for u in read.uses if u.effect is not None]
        shown = {(m.writer.line, m.writer.group, m.line, m.name) for m in seen if m.acts is None}
        for reader in readers:
            for writer in writers:
                if writer.field == reader.field and writer.mask & reader.mask:
                    possible += 1
                    said += bool(read.zones.reach(writer, reader) & reader.mask)
                    name = reader.field.replace("skb_mark", "pkt_mark").removeprefix("ovs.")
                    lines = [(w, writer.place.table == "", r, name) for w in writer.lines for r in reader.lines]
                    carried += any(s in shown for s in lines)
    print(f"{met} meetings; {possible} pairs, {said} said, {carried} shown by packets")
    assert met > 3 * CASES


# A flow that writes 1 and one that looks for it: whether a packet goes from one to the other.
MARK, ASK = "set_field:0x1->pkt_mark", "pkt_mark=0x1"
PAIRS = {
    "the next table": (f"table=0,actions={MARK},resubmit(,1)", f"table=1,{ASK},actions=drop"),
    "what follows a call": (f"table=0,actions=resubmit(,1),{MARK},resubmit(,2)", f"table=2,{ASK},actions=drop"),
    "back from a call": (f"table=0,actions=resubmit(,1),resubmit(,2)\ntable=1,actions={MARK}", f"table=2,{ASK},actions=drop"),
    "back from a goto": (
        f"table=0,actions=resubmit(,1),resubmit(,3)\ntable=1,actions=goto_table:2\ntable=2,actions={MARK}",
        f"table=3,{ASK},actions=",
    ),
    "in a clone": (f"table=0,actions=clone({MARK},resubmit(,1))", f"table=1,{ASK},actions=drop"),
    "after conntrack": (f"table=0,ip,actions={MARK},ct(table=1)", f"table=1,ct_state=+trk,{ASK},actions=drop"),
    "around a flow that misses": (
        f"table=0,actions={MARK},resubmit(,1),resubmit(,2)\ntable=1,ip,actions=set_field:0->pkt_mark",
        f"table=2,{ASK},actions=",
    ),
    "one port": (f"table=0,in_port=1,actions={MARK},resubmit(,1)", f"table=1,in_port=1,{ASK},actions=drop"),
    "any port in between": (f"table=0,in_port=1,actions={MARK},resubmit(2,1)", f"table=1,in_port=2,{ASK},actions=drop"),
    "a register that changes": (f"table=0,reg1=0,actions={MARK},set_field:2->reg1,resubmit(,1)", f"table=1,reg1=2,{ASK},actions=drop"),
    "addresses that nat changes": (
        f"table=0,ip,nw_src=10.0.0.1,actions={MARK},ct(commit,nat(src=10.0.0.2),table=1)",
        f"table=1,ip,nw_src=10.0.0.2,{ASK},actions=drop",
    ),
    "a network": (f"table=0,ip,nw_src=10.0.0.0/8,actions={MARK},resubmit(,1)", f"table=1,ip,nw_src=10.1.0.0/16,{ASK},actions=drop"),
    "below a flow that goes away": (
        f"table=0,actions={MARK},resubmit(,1)\ntable=1,idle_timeout=9,priority=9,actions=",
        f"table=1,priority=8,{ASK},actions=",
    ),
    "a learned flow": (
        "table=0,actions=learn(table=1,load:1->NXM_NX_PKT_MARK[]),resubmit(,1),resubmit(,2)",
        f"table=2,{ASK},actions=drop",
    ),
    "a group that nobody shows": (f"table=0,actions={MARK},group:7", f"table=3,{ASK},actions=drop"),
}
APART = {
    "an earlier table": (f"table=0,actions=resubmit(,1)\ntable=1,actions={MARK}", f"table=0,priority=9,{ASK},actions=drop"),
    "what went before": (f"table=0,actions=resubmit(,1),{MARK}", f"table=1,{ASK},actions=drop"),
    "a table that none leads to": (f"table=0,actions={MARK},resubmit(,1)", f"table=2,{ASK},actions=drop"),
    "beside a clone": (f"table=0,actions=clone({MARK}),resubmit(,1)", f"table=1,{ASK},actions=drop"),
    "only tracked packets": (f"table=0,ip,actions={MARK},resubmit(,1),ct(table=1)", f"table=2,ct_state=+trk,{ASK},actions=drop"),
    "untracked after conntrack": (f"table=0,ip,actions={MARK},ct(table=1)", f"table=1,ct_state=-trk,{ASK},actions=drop"),
    "overwritten": (
        f"table=0,actions={MARK},resubmit(,1)\ntable=1,actions=set_field:0->pkt_mark,resubmit(,2)",
        f"table=2,{ASK},actions=drop",
    ),
    "every flow overwrites": (
        f"table=0,actions={MARK},resubmit(,1),resubmit(,2)\ntable=1,priority=1,ip,actions=set_field:0->pkt_mark\n"
        "table=1,priority=0,actions=set_field:2->pkt_mark",
        f"table=2,{ASK},actions=drop",
    ),
    "two ports": (f"table=0,in_port=1,actions={MARK},resubmit(,1)", f"table=1,in_port=2,{ASK},actions=drop"),
    "ports with names": (f'table=0,in_port="eth0",actions={MARK},resubmit(,1)', f'table=1,in_port="eth1",{ASK},actions=drop'),
    "the callers' ports": (
        f"table=0,in_port=1,actions=resubmit(,1)\ntable=0,in_port=2,actions=resubmit(,2)\ntable=1,actions={MARK},resubmit(,2)",
        f"table=2,in_port=2,{ASK},actions=drop",
    ),
    "two protocols": (f"table=0,tcp,actions={MARK},resubmit(,1)", f"table=1,udp,{ASK},actions=drop"),
    "two families": (f"table=0,ip,actions={MARK},resubmit(,1)", f"table=1,tcp6,{ASK},actions=drop"),
    "two networks": (f"table=0,ip,nw_src=10.0.0.0/8,actions={MARK},resubmit(,1)", f"table=1,ip,nw_src=11.0.0.0/8,{ASK},actions=drop"),
    "two vlans": (f"table=0,dl_vlan=5,actions={MARK},resubmit(,1)", f"table=1,dl_vlan=6,{ASK},actions=drop"),
    "two tunnels": (f"table=0,tun_id=0x5,actions={MARK},resubmit(,1)", f"table=1,tun_id=0x6,{ASK},actions=drop"),
    "a register that was set": (f"table=0,actions={MARK},set_field:2->reg1,resubmit(,1)", f"table=1,reg1=3,{ASK},actions=drop"),
    "metadata": (f"table=0,metadata=0,actions={MARK},write_metadata:0x5,goto_table:1", f"table=1,metadata=0x6,{ASK},actions=drop"),
    "the reader hidden": (f"table=0,actions={MARK},resubmit(,1)\ntable=1,priority=9,ip,actions=", f"table=1,priority=8,tcp,{ASK},actions="),
    "the writer hidden": (
        f"table=0,priority=5,actions=resubmit(,1)\ntable=0,priority=4,ip,actions={MARK},resubmit(,1)",
        f"table=1,{ASK},actions=drop",
    ),
}


def _reach(flows: tuple[str, str]) -> bool:
    read = Read({"ovs-ofctl_dump-flows_br0": "\n".join(flows) + "\n"})
    (reader,) = [u for u in read.uses if u.effect is None and u.field == "skb_mark" and u.value == 1]
    return any(read.zones.reach(u, reader) for u in read.uses if u.effect is not None and u.field == "skb_mark" and u.value == 1)


@pytest.mark.parametrize("name", PAIRS)
def test_a_mark_that_is_met(name: str) -> None:
    assert _reach(PAIRS[name])


@pytest.mark.parametrize("name", APART)
def test_a_mark_that_is_not_met(name: str) -> None:
    assert not _reach(APART[name])


CONNECTIONS = {
    "a later packet": ("ip", "ip", True),
    "the reply": ("ip,nw_src=10.0.0.1,in_port=1", "ip,nw_src=10.0.0.2,in_port=2", True),
    "two protocols": ("tcp", "udp", False),
    "an error about it": ("tcp", "icmp", True),
    "two families": ("ip", "ipv6", False),
}


@pytest.mark.parametrize("name", CONNECTIONS)
def test_a_connection_is_met_by_its_later_packets(name: str) -> None:
    writer, reader, meets = CONNECTIONS[name]
    flows = f"table=0,priority=2,{writer},ct_state=-trk,actions=ct(commit,zone=5,exec(set_field:0x1->ct_mark))\n"
    read = Read({"ovs-ofctl_dump-flows_br0": flows + f"table=0,priority=1,{reader},ct_zone=5,ct_mark=0x1,actions=drop\n"})
    (written,) = [u for u in read.uses if u.effect is not None]
    (asked,) = [u for u in read.uses if u.predicate is not None]
    assert bool(read.zones.reach(written, asked)) is meets


def test_bits_are_told_apart() -> None:
    flows = "table=0,actions=set_field:0xff/0xff->pkt_mark,resubmit(,1)\ntable=1,actions=set_field:0/0xf->pkt_mark,resubmit(,2)\n"
    read = Read({"ovs-ofctl_dump-flows_br0": flows + "table=2,pkt_mark=0x11/0x11,actions=drop\n"})
    (asked,) = [u for u in read.uses if u.predicate is not None]
    assert [read.zones.reach(u, asked) for u in read.uses if u.value == 0xFF] == [0xF0]


def test_the_shortest_way_is_told() -> None:
    flows = f"table=0,actions={MARK},resubmit(,5),resubmit(,1)\ntable=5,actions=resubmit(,6)\ntable=6,actions=resubmit(,1)\n"
    read = Read({"ovs-ofctl_dump-flows_br0": flows + f"table=1,actions=resubmit(,9)\ntable=9,{ASK},actions=drop\n"})
    (asked,) = [u for u in read.uses if u.predicate is not None]
    (written,) = [u for u in read.uses if u.effect is not None]
    assert read.zones.way(written, asked) == ("table 0 to table 1", "table 1 to table 9")


def test_what_is_not_there_in_full_excuses_nothing() -> None:
    """A dump without table 0, and one of a table alone beside another."""
    apart = f"table=1,actions={MARK}\ntable=2,{ASK},actions=drop\n"
    parts = {
        "ovs-ofctl_dump-flows_br0.txt": f"table=0,actions={MARK},resubmit(,1)\n",
        "ovs-ofctl_dump-flows_br0": f"table=2,{ASK},actions=drop\n",
    }
    for dumps in ({"ovs-ofctl_dump-flows_br0": apart}, parts):
        read = Read(dumps)
        (asked,) = [u for u in read.uses if u.predicate is not None]
        (written,) = [u for u in read.uses if u.effect is not None]
        assert read.zones.reach(written, asked) == -1


def test_a_large_dump_is_read_with_less() -> None:
    """What is kept of 30,000 flows still tells ports, protocols and metadata apart; addresses are left out."""
    many = "".join(f"table=4,priority={n % 9},tcp,nw_src=10.0.{n >> 8}.{n & 255},actions=set_field:{n}->reg3\n" for n in range(30_000))
    two = f"table=0,in_port=1,actions={MARK},set_field:{{}}->metadata,resubmit(,1)\ntable=1,metadata=5,{ASK},actions=drop\n"
    assert _reach((two.format(5), many))
    assert not _reach((two.format(6), many))
    apart = f"table=0,ip,nw_src=10.0.0.1,actions={MARK},resubmit(,1)\ntable=1,ip,nw_src=10.0.0.2,{ASK},actions=drop\n"
    assert _reach((apart, many))
    assert not _reach((apart, ""))


NODE = """OFPST_FLOW reply (OF1.5) (xid=0x2):
 cookie=0x1030000000064, duration=1.1s, table=0, n_packets=0, n_bytes=0, priority=0 actions=resubmit(,5)
 cookie=0x1030000000064, duration=1.1s, table=5, n_packets=0, n_bytes=0, priority=0 actions=resubmit(,10)
 cookie=0x1030000000064, duration=1.1s, table=10, n_packets=0, n_bytes=0, priority=200,ip actions=set_field:0x1/0xff->pkt_mark,resubmit(,20)
 cookie=0x1030000000064, duration=1.1s, table=20, n_packets=0, n_bytes=0, priority=0 actions=resubmit(,30)
 cookie=0x5eedf00d, duration=1.1s, table={table}, n_packets=0, n_bytes=0, priority=9,pkt_mark=0x1/0xff actions=drop
"""


def test_a_finding_tells_the_tables_on_the_way(tmp_path: Path) -> None:
    write = {t: found(tmp_path / str(t), {"ovs-ofctl_dump-flows_br-int": NODE.format(table=t)}) for t in (5, 30)}
    assert not loud(write[5])
    (finding,) = [f for f in write[30] if f.code == "MK101"]
    assert finding.severity == "warning"  # Antrea is known by its cookies alone
    steps = [(s["step"], s["place"]) for s in finding.path]
    hops = [("hop", "table 10 to table 20"), ("hop", "table 20 to table 30")]
    assert steps == [("write", "br-int table 10"), *hops, ("read", "br-int table 30")]
