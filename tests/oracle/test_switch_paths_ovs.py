"""A real ovs-vswitchd says which flows a packet matches; the brute force that the analysis of tables is held against must say the same."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.oracle.ovs_switch import switch
from tests.paths.switch_support import Read
from tests.paths.switching import Walk, case

pytestmark = pytest.mark.oracle

CASES = int(os.environ.get("MARKREG_TABLES", "100"))
_MATCHED = re.compile(r"^ *(\d+)\. .*?priority (\d+)", re.MULTILINE)
_PROTOCOL = {6: "tcp", 17: "udp", 0: "arp"}


def test_brute_force_is_the_switchs_way(tmp_path: Path) -> None:
    walked = passes = again = 0
    with switch(tmp_path) as running:
        running.add_bridge("br0", 3)
        for seed in range(CASES):
            made = case(seed)
            running.load("br0", "")
            running.run("ovs-ofctl", "-O", "OpenFlow15", "del-groups", "br0")
            running.run("ovs-ofctl", "-O", "OpenFlow15", "add-groups", "br0", "-", stdin=made.buckets())
            running.load("br0", made.text())
            for packet in made.packets[:4]:
                address = f"arp_spa=10.0.0.{packet['nw_src']}" if not packet["proto"] else f"nw_src=10.0.0.{packet['nw_src']}"
                text = running.trace("br0", f"in_port={packet['in_port']},{_PROTOCOL[packet['proto']]},{address}")
                told = f"seed {seed}, {packet}\n{made.text()}{made.buckets()}{text}"
                mine = Walk(made).run(packet)
                assert mine.matched == [(int(a), int(b)) for a, b in _MATCHED.findall(text)], told
                theirs = re.split(r"^=+\nrecirc\(.*\n=+\n", text, flags=re.MULTILINE)
                assert len(theirs) == len(mine.ends), told
                for part, end in zip(theirs, mine.ends, strict=True):
                    assert _final(part) == {k: v for k, v in end.items() if v}, told
                walked += 1
                passes += len(mine.ends)
                again += len(mine.matched)
    assert passes > walked and again > 2 * walked


def _final(text: str) -> dict[str, int]:
    start = re.search(r"^Flow: (.*)", text, re.MULTILINE)
    final = re.search(r"^Final flow: (.*)", text, re.MULTILINE)
    assert start and final, text
    said = start[1] if final[1] == "unchanged" else final[1]
    found = re.findall(r"(?<!\w)(pkt_mark|metadata|reg[012])=(0x[0-9a-f]+|\d+)", said)
    return {name: int(value, 0) for name, value in found if int(value, 0)}


PATCHED = {
    "br0": "table=0,actions=set_field:0x1->pkt_mark,set_field:0x1->reg0,set_field:0x1->metadata,output:9\n",
    "br1": "table=0,priority=3,reg0=0x1,actions=drop\ntable=0,priority=2,metadata=0x1,actions=drop\n"
    "table=0,priority=1,pkt_mark=0x1,actions=output:1\n",
}


def test_patch_ports_keep_the_mark_and_nothing_else(tmp_path: Path) -> None:
    with switch(tmp_path) as running:
        for bridge in PATCHED:
            running.add_bridge(bridge, 1)
        for bridge, other in (("br0", "br1"), ("br1", "br0")):
            words = ["add-port", bridge, f"to-{other}", "--", "set", "interface", f"to-{other}", "type=patch", "ofport_request=9"]
            running.vsctl(*words, f"options:peer=to-{bridge}")
        for bridge, flows in PATCHED.items():
            running.load(bridge, flows)
        assert "priority 1" in running.trace("br0", "in_port=1,ip").partition('bridge("br1")')[2]
        dumps = {f"ovs-ofctl_dump-flows_{b}": running.dump(b, "OpenFlow15") for b in PATCHED}
        shown = running.vsctl("show")
    read = Read(dumps, {"ovs-vsctl_show": shown})
    assert read.met("br0", "br1") == {"skb_mark"}
    assert Read(dumps).met("br0", "br1") == set()


ACTION_SET = """table=0,actions=set_field:0x1->reg0,write_actions(set_field:0x2->reg0,group:1),goto_table:1
table=1,actions=set_field:0x4->reg1
table=2,priority=3,reg0=0x1,actions=drop
table=2,priority=2,reg0=0x2,reg1=0x4,actions=drop
"""


def test_the_action_set_runs_at_the_end(tmp_path: Path) -> None:
    """What is written after ``write_actions`` is there when the set is run, and what the set writes comes before its group."""
    with switch(tmp_path) as running:
        running.add_bridge("br0", 2)
        running.run("ovs-ofctl", "-O", "OpenFlow15", "add-groups", "br0", "-", stdin="group_id=1,type=all,bucket=actions=resubmit(,2)\n")
        running.load("br0", ACTION_SET)
        assert re.search(r"2\. reg0=0x2,reg1=0x4, priority 2", running.trace("br0", "in_port=1,ip"))
        groups = running.run("ovs-ofctl", "-O", "OpenFlow15", "dump-groups", "br0")
        read = Read({"ovs-ofctl_dump-flows_br0": running.dump("br0", "OpenFlow15"), "ovs-ofctl_dump-groups_br0": groups})
    (later,) = [u for u in read.uses if u.field == "ovs.reg1" and u.effect is not None]
    assert all(read.zones.reach(later, u) for u in read.uses if u.field == "ovs.reg1" and u.predicate is not None)
