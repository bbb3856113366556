"""OpenFlow: what reads and writes which marks, in every way that Open vSwitch prints it, and how the dumps of a bridge belong together."""

from __future__ import annotations

import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from markreg.captures import once
from markreg.formats import by_name, openflow
from markreg.formats import detect as detect_any
from markreg.formats._openflow_dump import bridge_of
from markreg.inputs import Known
from markreg.model import Reading, Scope, Use
from markreg.node import read as read_all
from markreg.source import Source
from tests.support import markreg

CASES: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "cases" / "openflow.toml").read_text(encoding="utf-8"))["case"]
BALANCED = " table=9, priority=1,ip,metadata=0x1 actions=group:1\n table=21, priority=1,ct_mark=0x2/0x2,ip actions=drop\n"
GROUP = """\
OFPST_GROUP_DESC reply (OF1.5) (xid=0x2):
 group_id=1,type=select,bucket=bucket_id:0,weight:100,actions=ct(commit,table=21,zone=NXM_NX_REG13[0..15],exec(set_field:0x2/0x2->ct_mark))
"""
START = " table=0, priority=1,in_port=1 actions=set_field:0x4->reg13,set_field:0x1->metadata,resubmit(,9)\n"


def read(text: str, name: str = "flows.txt", fields: tuple[str, ...] = ()) -> Reading:
    return openflow.read(Source(name, text.encode("utf-8", "surrogateescape")), "openflow", Scope(), fields)


def together(**texts: str) -> list[Reading]:
    """The readings of files that stand beside each other."""
    form = by_name("openflow")
    assert form is not None
    return read_all([Known(Source(name, text.encode()), form, "openflow", Scope()) for name, text in texts.items()])


def shown(use: Use) -> str:
    """A use in one line; a copy by what it is copied from."""
    value = "-" if use.access == "read" else "unknown"
    if use.access == "copy" and use.effect:
        value = ",".join(sorted({s.symbol for s, _ in use.effect.copies if (s.symbol, s.shift) != (use.field, 0)}))
    elif use.value is not None:
        value = f"{use.value:#x}"
    values = "".join(f" {low:#x}-{high:#x}" for low, high in use.values)
    zone = ""
    if use.field in ("ct_mark", "ct_label"):
        zone = " zone " + {None: "?", "": "none"}.get(use.scope.zone, str(use.scope.zone))
    lines = ",".join(map(str, use.lines))
    priority = "-" if use.place.priority is None else use.place.priority
    return f"{lines} {use.place.text} {priority} | {use.field} {use.access} {use.mask:#x} {value}{values}{zone}"


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["name"])
def test_case(case: dict[str, Any]) -> None:
    text = case["text"].removeprefix("\n")
    reading = read(text, fields=tuple(case.get("fields", ())))
    assert [shown(use) for use in reading.uses] == case["uses"]
    assert [reading.statements, reading.mark_statements] == case["statements"]
    assert sorted({n for o in reading.opaque for n in o.lines}) == case.get("opaque", [])
    assert not reading.problems
    found = detect_any(Source("flows.txt", text.encode()))
    assert found is not None and found[1] == "openflow"


def test_the_clause_of_a_use_is_in_its_line() -> None:
    for case in CASES:
        source = Source("f", case["text"].encode())
        for use in read(case["text"]).uses:
            assert use.clause in source.line(use.lines[0]), case["name"]


def test_a_use_knows_its_flows_by_cookie() -> None:
    line = " cookie={}, duration=1s, table=5, n_packets=0, n_bytes=0, priority=1,ip,tp_dst={} actions=set_field:0x1->pkt_mark\n"
    (use,) = read("".join(line.format(c, n) for n, c in enumerate(("0xdeff105", "0x7", "0xdeff105"), 1)), "br-ex.openflow.txt").uses
    assert use.lines == (1, 2, 3)
    assert use.cookies == (0xDEFF105, 7, 0xDEFF105)
    assert (use.place.bridge, use.place.table, use.place.cookie) == ("br-ex", "5", "")
    assert read(line.format("0x2a", 1)).uses[0].place.cookie == "0x2a"


def test_many_values_are_one_use() -> None:
    line = "table=0,priority=1,tcp,tp_dst={n},pkt_mark={n:#x}/0xff,actions=set_field:{v:#x}/0xffff->pkt_mark\n"
    uses = read("".join(line.format(n=n, v=0x100 + n) for n in range(1, 101))).uses
    assert [use.access for use in uses] == ["read", "write"]
    test, write = uses
    assert test.predicate and test.predicate.accepts == ((1, 100),) and test.predicate.value is None
    assert write.effect and (write.mask, write.values) == (0xFFFF, ((0x101, 0x164),))
    assert write.effect.allows(0xABCD0142, {"skb_mark": 0xABCD0000})
    assert not write.effect.allows(0xABCE0142, {"skb_mark": 0xABCD0000})
    assert not write.effect.allows(0x8101, {"skb_mark": 0})
    assert len(test.lines) == len(write.lines) == 100


def test_many_values_beside_one_of_metadata() -> None:
    line = "table=0,priority=1,tcp,tp_dst={n},actions=set_field:{n:#x}->reg0,set_field:{n:#x}/0xf->pkt_mark,set_field:0x7->metadata\n"
    uses = read("".join(line.format(n=n) for n in range(1, 13)), fields=("ovs.reg0", "ovs.metadata")).uses
    values = {use.field: (use.value, use.values, len(use.lines)) for use in uses}
    assert values == {"ovs.metadata": (7, (), 12), "ovs.reg0": (None, ((1, 12),), 12), "skb_mark": (None, ((1, 12),), 12)}


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2)])
def test_a_bad_number_among_good_ones_is_said(order: tuple[int, ...]) -> None:
    values = ("0x1", "0x1ff", "0x2")
    reading = read("".join(f"table=0,priority=1,ip,tp_dst={n},actions=load:{values[n]}->NXM_NX_PKT_MARK[0..7]\n" for n in order))
    assert [(u.value, u.lines) for u in reading.uses] == [(1, (order.index(0) + 1,)), (2, (3,))]
    assert [o.lines for o in reading.opaque] == [(order.index(1) + 1,)]


def test_the_prints_of_all_versions_say_the_same() -> None:
    match = " cookie=0x0, table=0, priority=1,ip actions="
    prints = [
        "load:0x1->NXM_NX_PKT_MARK[0],load:0x1->NXM_NX_PKT_MARK[8],ct(commit,exec(load:0xaa->NXM_NX_CT_MARK[],"
        "load:0x5->NXM_NX_CT_LABEL[0..63],load:0->NXM_NX_CT_LABEL[64..127]))",
        "set_field:0x101/0x101->pkt_mark,ct(commit,exec(set_field:0xaa->ct_mark,set_field:0x5->ct_label))",
    ]
    first, second = ([shown(u) for u in read(match + actions).uses] for actions in prints)
    assert first == second and len(first) == 3


@pytest.mark.parametrize(
    ("name", "bridge"),
    [
        ("ovs-ofctl_dump-flows_br-int", "br-int"),
        ("ovs-ofctl_-O_OpenFlow15_dump-flows_br-int.txt", "br-int"),
        ("sos_commands/openvswitch/ovs-ofctl_-O_OpenFlow13_dump-flows_br-data", "br-data"),
        ("sos_commands/openvswitch/ovs-appctl_bridge.dump-flows_--offload-stats_br-tun", "br-tun"),
        ("ovs-ofctl_dump-groups_br_ex.netns-blue.txt", "br_ex"),
        ("ovs-ofctl -O OpenFlow15 dump-flows br-int", "br-int"),
        ("br-int.openflow.txt", "br-int"),
        ("ovs-ofctl.br-int.txt", "br-int"),
        ("made_dump-flows_OpenFlow15.txt", ""),
        ("flows.txt", ""),
    ],
)
def test_the_bridge_is_in_the_name(name: str, bridge: str) -> None:
    assert bridge_of(name) == bridge


def test_zone_registers_and_what_they_hold() -> None:
    text = (
        " table=0, priority=1,in_port=1 actions=set_field:0x4->reg13,set_field:0x2->reg11,resubmit(,8)\n"
        " table=0, priority=1,in_port=2 actions=load:0x9->NXM_NX_REG13[0..15],load:0x70003->NXM_NX_REG11[],"
        "move:NXM_NX_REG1[]->NXM_NX_REG12[]\n"
        " table=8, priority=1,ip actions=ct(zone=NXM_NX_REG13[0..15]),ct(zone=NXM_NX_REG11[0..15]),ct(zone=NXM_NX_REG12[0..15])\n"
        " table=8, priority=2,ip actions=ct(zone=NXM_NX_REG5[0..15])\n"
    )
    (pipeline,) = read(text).pipelines
    assert pipeline.zones == {"reg13": {4, 9}, "reg11": {2, 3}, "reg12": None, "reg5": None}


def test_hops_are_groups_of_flows() -> None:
    text = "".join(
        f" table=3, priority={n},ip,metadata=0x1,tp_dst={n} actions=set_field:0x2->metadata,resubmit(,4),group:7\n" for n in range(9)
    )
    (pipeline,) = read(text).pipelines
    known = (1, (1 << 64) - 1)
    assert [(h.source, h.kind, h.target, h.metadata, h.sets, h.zone) for h in pipeline.hops] == [
        ("3", "resubmit", "4", known, 2, None),
        ("3", "group", "group 7", known, 2, None),
    ]
    assert (set(pipeline.asks), set(pipeline.groups)) == ({"7"}, set())


def test_ports_that_flows_send_to() -> None:
    text = ' table=1, priority=1,ip actions=output:3,LOCAL\n table=1, priority=2,ip actions=output:"patch-br-int",output:veth1\n'
    assert read(text).pipelines[0].ports == {"1": {"3", "LOCAL", '"patch-br-int"', "veth1"}}


def test_flows_and_groups_of_a_bridge_belong_together() -> None:
    flows, groups = together(**{"ovs-ofctl_dump-flows_br-int": START + BALANCED, "ovs-ofctl_dump-groups_br-int": GROUP})
    assert [shown(u) for u in flows.uses] == ["3 br-int table 21 1 | ct_mark read 0x2 0x2 zone reg13"]
    assert [shown(u) for u in groups.uses] == ["2 br-int groups - | ct_mark write 0x2 0x2 zone reg13"]
    assert not flows.unread


def test_files_that_do_not_tell_their_bridge() -> None:
    through = " table=0, priority=1,ip actions=ct(table=21,zone=9)\n"
    flows, other, groups = together(**{"a.txt": START + BALANCED, "b.txt": through, "c.txt": GROUP})
    assert [shown(u) for u in flows.uses] == ["3 table 21 1 | ct_mark read 0x2 0x2 zone reg13"]
    assert not flows.unread and not other.unread and len(groups.uses) == 1


def test_a_thousand_datapaths_are_soon_told_apart() -> None:
    line = " table={t}, priority=1,ip,metadata={m:#x} actions={a}\n"
    text = "".join(
        f" table=0, priority=1,in_port={m} actions=set_field:{m:#x}->metadata,resubmit(,8)\n"
        + line.format(t=8, m=m, a=f"ct(table=9,zone={m})")
        + "".join(line.format(t=t, m=m, a=f"resubmit(,{t + 1})") for t in range(9, 20))
        + f" table=20, priority=1,ct_mark=0x1,ip,metadata={m:#x} actions=drop\n"
        for m in range(1, 1001)
    )
    start = time.process_time()
    uses = read(text).uses
    assert time.process_time() - start < 10
    assert [u.scope.zone for u in uses] == [str(m) for m in range(1, 1001)]


def test_without_the_groups_a_run_is_incomplete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flows, other = together(**{"ovs-ofctl_dump-flows_br-int": START + BALANCED, "ovs-ofctl_dump-groups_br-ex": GROUP})
    assert [shown(u) for u in flows.uses] == ["3 br-int table 21 1 | ct_mark read 0x2 0x2 zone ?"]
    assert len(flows.unread) == 1 and "group 1" in flows.unread[0].message
    assert not other.unread
    (tmp_path / "ovs-ofctl_dump-flows_br-int").write_text(START + BALANCED)
    printed = markreg("markreg audit ovs-ofctl_dump-flows_br-int", tmp_path, monkeypatch)
    assert "MK903" in printed and "incomplete" in printed


def test_of_two_versions_the_higher_counts() -> None:
    old = "NXST_FLOW reply (xid=0x4):\n cookie=0x0, table=0, priority=1,ip actions=drop\n"
    new = "OFPST_FLOW reply (OF1.5) (xid=0x2):\n cookie=0x0, table=0, priority=1,ip actions=write_actions(set_field:0x1->pkt_mark)\n"
    for order in ((old, new), (new, old)):
        names = ("a/ovs-ofctl_dump-flows_br-int", "b/ovs-ofctl_dump-flows_br-int")
        kept = once(together(**dict(zip(names, order, strict=True))))
        assert [u.value for r in kept for u in r.uses] == [1]
        assert [len(r.pipelines) for r in kept] == [int(text is new) for text in order]


def test_a_bridge_without_groups_keeps_its_flows() -> None:
    files = {"ovs-ofctl_dump-groups_br-int": "OFPST_GROUP_DESC reply (OF1.5) (xid=0x2):\n", "ovs-ofctl_dump-flows_br-int": START + BALANCED}
    kept = once(together(**files))
    assert [[p.kind for p in r.pipelines] for r in kept] == [["groups"], ["flows"]]
    assert [len(r.uses) for r in kept] == [0, 1]


def test_registers_are_asked_for_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "br-int.openflow.txt").write_text(" table=0, priority=1,reg0=0x1/0x3,ip actions=set_field:0x1->reg1\n")
    assert "ovs.reg0" in markreg("markreg audit --fields reg0,metadata br-int.openflow.txt", tmp_path, monkeypatch)
    assert "ovs.reg0" not in markreg("markreg audit br-int.openflow.txt", tmp_path, monkeypatch)
    assert "none of reg0" in markreg("markreg audit --fields reg99 br-int.openflow.txt", tmp_path, monkeypatch)


@pytest.mark.parametrize(
    "text",
    [
        'Datapath: "gw0" (1234)  Pipeline: egress\n  table=4 (lr_out_snat        ), priority=65535, match=(ct_mark == 1), action=(next;)\n',
        "recirc_id(0),in_port(2),skb_mark(0),eth(),eth_type(0x0800), packets:1, bytes:98, used:0.1s, actions:ct(commit,mark=0x1/0x1),3\n",
        "#!/bin/sh\novs-ofctl add-flow br-int table=0,priority=5,actions=set_field:1->pkt_mark\n",
        "*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j MARK --set-xmark 0x1/0x1\nCOMMIT\n",
    ],
)
def test_other_notations_are_not_taken_for_flows(text: str) -> None:
    assert openflow.detect(Source("f", text.encode())) is None


def test_what_is_no_dump_is_a_problem() -> None:
    assert [p.message for p in read("ovs-ofctl: br-int is not a bridge or a socket\n").problems]
    assert [p.message for p in read(" table=0, priority=1,ip actions=drop\n cookie=0x0, duration=1s, tab").problems] == ["truncated"]
    assert not read("OFPST_FLOW reply (OF1.5) (xid=0x2):\n").problems
