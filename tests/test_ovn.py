"""Whose flows are on a bridge of OVN, and of which release: from what they write, by their cookies, by logical stages."""

from __future__ import annotations

import io
import json
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from markreg.attribution.ovn_shapes import STATEFUL, Layout, fitting, layouts, named
from markreg.audit import audit
from markreg.inputs import gather
from markreg.model import Audit, Node, Owned
from markreg.node import build
from markreg.registry.load import load
from markreg.registry.releases import Interval, parse
from markreg.resources import builtin_registry, rules
from tests.support import ROOT, SHARED, markreg, needs_shared

CASES = ROOT / "tests" / "checks" / "cases"
REGISTRY = load(builtin_registry())
REGISTERS = frozenset(f"ovs.reg{n}" for n in range(16)) | {"ovs.metadata"}
FLOWS = "ovs-ofctl_dump-flows_br-int"
GROUPS = "ovs-ofctl_dump-groups_br-int"
ERAS = ("21.12", "23.03", "24.09", "25.03", "26.03")
BOTH = Interval("20.03", None)


def case(name: str) -> dict[str, str]:
    """The files of a case."""
    pieces = (CASES / f"{name}.case").read_text(encoding="utf-8").split("\n== ")[1:]
    return {p.partition("\n")[0]: p.partition("\n")[2] for p in pieces if not p.startswith("expect")}


def write(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def read(folder: Path, files: dict[str, str], fields: frozenset[str] = frozenset()) -> Node:
    return build(gather([str(write(folder, files))], io.BytesIO()), REGISTRY, fields)


def audited(path: Path, fields: frozenset[str] = frozenset()) -> Audit:
    return audit(gather([str(path)], io.BytesIO()), REGISTRY, fields)


def loud(done: Audit) -> list[str]:
    return [f"{f.code} {f.message}" for f in done.findings if f.severity != "note" and not f.code.startswith("MK90")]


def owners(node: Node) -> Counter[str]:
    """Statements by owner."""
    return Counter(o.owner for o in node.uses for _ in o.use.lines)


@pytest.mark.parametrize("era", ERAS)
def test_the_release_shows_in_the_flows(era: str, tmp_path: Path) -> None:
    node = read(tmp_path / "node", case(f"silent-ovn-{era}"))
    (ovn,) = node.components
    assert (ovn.name, ovn.confidence, ovn.release) == ("ovn", "high", None)
    assert owners(node).keys() == {"ovn"}
    assert ovn.layout is not None
    since, _, until = ovn.layout.removesuffix(" and newer").partition(" to before ")
    assert parse(era) in Interval(since, until or None)


@pytest.mark.parametrize("era", ERAS)
def test_registers_of_a_healthy_ovn_are_silent(era: str, tmp_path: Path) -> None:
    done = audited(write(tmp_path / "node", case(f"silent-ovn-{era}")), REGISTERS)
    assert not done.findings
    assert {o.use.field for o in done.node.uses} >= {"ovs.reg0", "ovs.reg11", "ovs.reg13", "ovs.metadata"}


def commit(table: int, label: str, cookie: int = 0x51A7B2C3) -> str:
    executed = f"set_field:0/0x1->ct_mark,move:NXM_NX_{label}->NXM_NX_CT_LABEL[96..127]"
    return (
        f" cookie={cookie:#x}, table={table}, priority=100,ip,reg0=0x2002/0x2002,metadata=0x1 "
        f"actions=ct(commit,zone=NXM_NX_REG13[0..15],exec({executed})),resubmit(,{table + 1})\n"
    )


@pytest.mark.parametrize("layout", layouts(), ids=lambda x: x.first)
def test_every_layout_is_told_by_its_two_tables(layout: Layout, tmp_path: Path) -> None:
    tables = [layout.stages[stage] for stage in STATEFUL]
    node = read(tmp_path / "node", {FLOWS: "".join(commit(t, "XXREG0[0..31]") for t in tables)})
    (ovn,) = node.components
    found = fitting(tables)
    assert layout in found
    assert f"commit as in OVN {named(found)}" in ovn.evidence[0]
    assert ovn.layout is not None
    since, _, until = ovn.layout.removesuffix(" and newer").removeprefix("before ").partition(" to before ")
    if not ovn.layout.startswith("before "):
        assert parse(found[-1].last) in Interval(since, until or None)


def test_two_layouts_have_one_pair_of_tables_only_where_releases_are_near() -> None:
    for layout in layouts():
        same = fitting([layout.stages[stage] for stage in STATEFUL])
        assert {x.stages["ls_in_stateful"] for x in same} == {layout.stages["ls_in_stateful"]}
        assert parse(same[-1].last)[0] - parse(same[0].first)[0] <= 1


@needs_shared
def test_the_layouts_are_those_of_the_facts() -> None:
    facts = tomllib.loads((SHARED / "facts" / "ovs-registers.toml").read_text(encoding="utf-8"))["ovn_layout"]
    data = tomllib.loads((rules("ovn") / "layouts.toml").read_text(encoding="utf-8"))["layout"]
    for fact in facts:
        if not fact["first"].startswith("v"):
            continue
        (found,) = [x for x in layouts() if x.has(parse(fact["first"].removeprefix("v")))]
        starts = {"in": fact["ingress"], "out": fact["egress"]}
        for stage, table in found.stages.items():
            assert table == starts[stage.split("_")[1]] + fact["stages"][stage], (fact["first"], stage)
        (entry,) = [x for x in data if x["first"] == found.first]
        assert (entry["egress"], entry["save_inport"]) == (fact["egress"], fact["physical"]["save_inport"])


LFLOWS = """Datapath: "sw0" (5b8e4c7e-3f7a-4d0e-9f54-0d6f6d6e7a11)  Pipeline: ingress
uuid=0x51a7b2c3, table=18(ls_in_stateful     ), priority=100  , match=(reg0[1] == 1), action=(ct_commit { ct_mark.blocked = 0; }; next;)
uuid=0x51a7b2c4, table=8 (ls_in_acl_eval     ), priority=65532, match=(ct.est && ct_mark.blocked == 1), action=(drop;)
"""


def test_a_southbound_dump_knows_every_cookie(tmp_path: Path) -> None:
    # The last two look exactly like the first, and one is of somebody else.
    flows = commit(26, "XXREG0[0..31]") + commit(26, "XXREG0[0..31]", 0x51A7B2C4) + commit(26, "XXREG0[0..31]", 0x0BADF00D)
    node = read(tmp_path / "node", {FLOWS: flows, "ovn-sbctl_lflow-list": LFLOWS})
    flows_of = [o for o in node.uses if o.use.place.kind == "openflow"]
    stranger = "unattributed:br-int/cookie 0xbadf00d"
    assert {(o.owner, o.use.lines) for o in flows_of} == {("ovn", (1, 2)), (stranger, (3,))}
    assert {o.attributed_by for o in flows_of if o.owner == "ovn"} == {"its cookie is a row of the Southbound database"}
    assert owners(read(tmp_path / "alone", {FLOWS: flows})).keys() == {"ovn"}


@pytest.mark.parametrize(
    ("cookie", "foreign"),
    [("0x51a7b2c9", False), ("0x0", True), ("0xbad", True), ("0x8a1b2c3d4e5f6071", True)],
)
def test_some_cookies_are_no_rows_of_any_database(cookie: str, foreign: bool, tmp_path: Path) -> None:
    flows = commit(26, "XXREG0[0..31]") + commit(49, "XXREG0[0..31]").replace("0x51a7b2c3", cookie)
    found = owners(read(tmp_path / "node", {FLOWS: flows}))
    assert (f"unattributed:br-int/cookie {cookie}" in found) == foreign


def test_without_any_cookie_nothing_is_made_of_it(tmp_path: Path) -> None:
    flows = (commit(26, "XXREG0[0..31]") + commit(49, "XXREG0[0..31]")).replace(" cookie=0x51a7b2c3,", "")
    assert owners(read(tmp_path / "node", {FLOWS: flows})).keys() == {"ovn"}


@pytest.mark.parametrize(
    "flow",
    [
        "table=26, priority=3000,ip actions=ct(commit,zone=NXM_NX_REG13[0..15],exec(set_field:0x1/0x1->ct_mark)),resubmit(,27)",
        "table=46, priority=3000,ip actions=ct(commit,zone=NXM_NX_REG13[0..15],exec(set_field:0x1/0x1->ct_mark)),resubmit(,47)",
        "table=26, priority=100,ip actions=ct(commit,zone=NXM_NX_REG13[0..15],exec(set_field:0x3/0x7->ct_mark)),resubmit(,27)",
        "table=26, priority=100,ip actions=ct(commit,zone=NXM_NX_REG11[0..15],exec(set_field:0/0x1->ct_mark)),resubmit(,27)",
        "table=26, priority=100,ip actions=ct(commit,zone=NXM_NX_REG13[0..15],exec(set_field:0x10000/0xff0000->ct_mark)),resubmit(,27)",
        "table=12, priority=100,ip actions=ct(commit,zone=NXM_NX_REG13[0..15],exec(set_field:0/0x1->ct_mark)),resubmit(,13)",
        "table=12, priority=100,ip actions=set_field:0x4000/0x4000->pkt_mark,resubmit(,13)",
    ],
    ids=["priority", "goes on", "bits", "zone", "release", "table", "packet mark"],
)
def test_what_ovn_does_not_write_is_somebody_elses(flow: str, tmp_path: Path) -> None:
    files = case("silent-ovn-23.03")
    files[FLOWS] += f" cookie=0x5eedf00d, {flow}\n"
    node = read(tmp_path / "node", files)
    assert owners(node)["unattributed:br-int/cookie 0x5eedf00d"] == 1
    assert owners(read(tmp_path / "other", case("silent-ovn-23.03")))["ovn"] == owners(node)["ovn"]


def test_a_flow_has_one_author(tmp_path: Path) -> None:
    # Its ct_mark is written as OVN writes it; its label is not.
    executed = "set_field:0/0x1->ct_mark,set_field:0x5/0xff->ct_label"
    flow = f" cookie=0x5eedf00d, table=26, priority=100,ip actions=ct(commit,zone=NXM_NX_REG13[0..15],exec({executed})),resubmit(,27)\n"
    files = case("silent-ovn-23.03")
    files[FLOWS] += flow
    line = files[FLOWS].count("\n")
    mine: list[Owned] = [o for o in read(tmp_path / "node", files).uses if o.use.path.endswith(FLOWS) and line in o.use.lines]
    assert {o.owner for o in mine} == {"unattributed:br-int/cookie 0x5eedf00d"}
    assert {(o.use.field, o.use.lines) for o in mine} == {("ct_mark", (line,)), ("ct_label", (line,))}


def test_many_strangers_are_not_taken_apart(tmp_path: Path) -> None:
    files = case("silent-ovn-23.03")
    action = "actions=ct(commit,zone=NXM_NX_REG13[0..15],exec(set_field:0x80/0x80->ct_mark)),resubmit(,27)"
    files[FLOWS] += "".join(f" cookie={0x5EED0000 + n:#x}, table=26, priority=100,ip,tp_dst={n} {action}\n" for n in range(50))
    strangers = [o for o in read(tmp_path / "node", files).uses if o.owner.startswith("unattributed:")]
    assert sum(len(o.use.lines) for o in strangers) == 50
    assert len(strangers) < 10


@pytest.mark.parametrize(
    ("stages", "said"),
    [(("ls_in_acl",), "23.03.3"), (("ls_in_acl_eval", "ls_in_stateful"), "24.03.9")],
)
def test_logical_stages_tell_the_release(stages: tuple[str, ...], said: str, tmp_path: Path) -> None:
    lines = ['Datapath: "sw0" (5b8e4c7e-3f7a-4d0e-9f54-0d6f6d6e7a11)  Pipeline: ingress']
    for stage in stages:
        action = "ct_commit { ct_mark.blocked = 0; }; next;"
        lines.append(f"  table=8 ({stage:<19}), priority=100  , match=(ip), action=({action})")
    (ovn,) = read(tmp_path / "node", {"lflow.txt": "\n".join(lines) + "\n"}).components
    assert any("logical stages as in OVN 2" in text and text.endswith(said) for text in ovn.evidence)


@pytest.mark.parametrize("name", ["ovn", "ovn-kubernetes", "antrea", "kube-ovn", "neutron"])
def test_the_examples_of_signatures_hold(name: str, tmp_path: Path) -> None:
    for number, table in enumerate(REGISTRY.rules[name].recognise):
        if "openflow" not in table.in_:
            continue
        bridge = str(next(iter(table.bridge), "br-int")).replace("*", "0")
        for mine, lines in ((True, table.example), (False, table.not_)):
            for line in lines:
                node = read(tmp_path / f"{number}{mine}{hash(line)}", {f"ovs-ofctl_dump-flows_{bridge}": line + "\n"})
                assert all((o.owner == name) == mine for o in node.uses), line


def test_commands_take_registers_by_their_short_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {k: v for k, v in case("silent-antrea").items() if k == FLOWS})
    shown = markreg(f"markreg map {FLOWS} --fields reg4", tmp_path, monkeypatch)
    assert "ovs.reg4 in netns host" in shown
    assert "  antrea     ........ WW......" in shown
    assert "free in ovs.reg0" in markreg(f"markreg map {FLOWS} --free reg0", tmp_path, monkeypatch)
    said = markreg("markreg decode reg4 0x800000", tmp_path, monkeypatch)
    assert "antrea/TrafficControlAction (0x800000/0xc00000) redirect" in said
    assert "ovn/label" in markreg("markreg decode ct_label 0x2a000000000000000000000000", tmp_path, monkeypatch)


def test_a_finding_names_the_sub_field(tmp_path: Path) -> None:
    done = audited(write(tmp_path / "node", case("ovn-another-agent")))
    (found,) = [f for f in done.findings if f.code == "MK101"]
    assert "(ct_mark.blocked)" in found.message
    assert [x.role for x in found.locations][:2] == ["writer", "reader"]


HEALTHY = ("9506hqwy-*ovn_*", "9506hqwy-*ovs_*", "made_t1_br-int_*", "antrea-*", "ovn-kubernetes-*", "openstack-neutron_*", "made_t1_l*")


@needs_shared
def test_captures_of_healthy_nodes_are_silent() -> None:
    paths = [p for folder in ("ovs-flows", "ovn-lflow") for glob in HEALTHY for p in sorted((SHARED / "corpus" / folder).glob(glob))]
    assert len(paths) > 50
    present: Counter[str] = Counter()
    for path in paths:
        try:
            done = audited(path)
        except ValueError:
            continue
        assert not loud(done), path.name
        present.update(c.name for c in done.node.components)
    assert present["ovn"] > 15
    assert present["neutron"] >= 2
    assert present["antrea"] >= 1


@pytest.mark.parametrize("name", ["antrea", "neutron", "ovn-kubernetes"])
def test_registers_of_others_are_silent_and_have_their_names(name: str, tmp_path: Path) -> None:
    done = audited(write(tmp_path / "node", case(f"silent-{name}")), REGISTERS)
    assert not loud(done)
    named = {o.reservation for o in done.node.uses if o.use.field.startswith("ovs.") and o.owner == name}
    expected = {
        "antrea": {"antrea/TrafficControlAction", "antrea/TrafficControlTargetOFPort", "antrea/PktDestination"},
        "neutron": {"neutron/reg_port", "neutron/reg_net"},
        "ovn-kubernetes": set[str](),
    }
    assert expected[name] <= named


def test_antrea_and_neutron_are_told_apart_by_more_than_their_cookies(tmp_path: Path) -> None:
    # After three hundred restarts of the agent Antrea's cookies are as large as Neutron's random one.
    flows = case("silent-antrea")[FLOWS].replace("cookie=0x10", "cookie=0x12c0")
    assert owners(read(tmp_path / "antrea", {FLOWS: flows})).keys() == {"antrea"}
    assert owners(read(tmp_path / "neutron", {FLOWS: case("silent-neutron")[FLOWS]})).keys() == {"neutron"}


def test_a_stranger_that_writes_labels_does_not_hide_the_release(tmp_path: Path) -> None:
    files = case("silent-ovn-23.03")
    files[FLOWS] += commit(20, "XXREG0[0..31]", 0x5EEDF00D)
    node = read(tmp_path / "node", files)
    assert "tables 26 and 49 commit as in OVN" in node.components[0].evidence[0]
    assert owners(node)["unattributed:br-int/cookie 0x5eedf00d"] == 2


def test_a_plan_that_reserves_registers_has_them_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = """version = 1
extends = "builtin"
[[component]]
name = "mirroring"
[[component.reservation]]
name = "seen"
field = "ovs.reg6"
bits = "0"
scope = ["br-int"]
source = "docs"
"""
    stranger = " cookie=0x5eedf00d, table=12, priority=50,ip actions=set_field:0x1/0x1->reg6,resubmit(,13)\n"
    files = case("silent-ovn-23.03")
    files[FLOWS] += stranger
    write(tmp_path, {**files, "plan.toml": plan})
    command = f"markreg audit {FLOWS} {GROUPS} --registry plan.toml --select MK101,MK102,MK103,MK106"
    assert "ovs.reg6" in markreg(command, tmp_path, monkeypatch)
    assert "ovs.reg" not in markreg(f"markreg audit {FLOWS} {GROUPS}", tmp_path, monkeypatch)


def marked(number: int, cookie: int) -> str:
    """A flow of somebody else, like no other."""
    bits = f"{number * 0x9E3779B1 & 0xFFFFFFFF:#x}/{number * 0x85EBCA6B & 0xFFFFFFFF | 1:#x}"
    return (
        f" cookie={cookie:#x}, table=12, priority={number},ct_mark={bits},ip "
        f"actions=ct(commit,zone=NXM_NX_REG13[0..15],exec(set_field:{bits}->ct_mark)),resubmit(,13)\n"
    )


def test_on_a_bridge_that_nobody_knows_all_flows_are_one_owner(tmp_path: Path) -> None:
    # Many controllers give every flow a cookie of its own, and flows of one table are matched one after the other.
    flows = "".join(marked(n, n << 33) for n in range(1, 40)).replace("NXM_NX_REG13[0..15]", "5")
    done = audited(write(tmp_path / "node", {"ovs-ofctl_dump-flows_br-x": flows}))
    assert owners(done.node).keys() == {"unattributed:br-x"}
    assert not loud(done)


@pytest.mark.parametrize(("count", "strangers"), [(3, 3), (300, 1)])
def test_few_cookies_beside_a_component_are_owners_many_are_one(count: int, strangers: int, tmp_path: Path) -> None:
    files = case("silent-ovn-23.03")
    files[FLOWS] += "".join(marked(n, n << 33) for n in range(1, count + 1))
    done = audited(write(tmp_path / "node", files))
    others = owners(done.node).keys() - {"ovn"}
    assert len(others) == strangers
    assert others == ({"unattributed:br-int"} if strangers == 1 else {f"unattributed:br-int/cookie {n << 33:#x}" for n in range(1, 4)})
    assert any(set(f.owners) == {"ovn", min(others)} for f in done.findings if f.severity == "error")
    assert len(done.findings) < 100


def test_places_and_registers_in_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flow = " cookie=0x7, table=12, priority=50,reg0=0x1/0x1,ct_state=+trk,ct_zone=9,ct_mark=0x1/0x1,ip actions=drop\n"
    write(tmp_path, {"ovs-ofctl_dump-flows_br-a": flow, "ovs-ofctl_dump-flows_br-b": flow + flow.replace("0x7", "0x8")})
    said = json.loads(markreg("markreg audit . --fields reg0 --format json", tmp_path, monkeypatch))
    read_ = next(u for u in said["uses"] if u["field"] == "ct_mark" and u["place"]["bridge"] == "br-a")
    assert read_["scope"]["zone"] == "9"
    expected = {"bridge": "br-a", "table": "12", "priority": 50, "cookie": "0x7", "datapath": "unknown", "zone": "9"}
    assert {k: v for k, v in read_["place"].items() if k not in ("kind", "text", "family")} == expected
    twice = next(u for u in said["uses"] if u["field"] == "ct_mark" and u["place"]["bridge"] == "br-b")
    assert twice["place"]["cookie"] is None and twice["cookies"] == ["0x7", "0x8"]
    assert [m["scope"]["bridge"] for m in said["map"] if m["field"] == "ovs.reg0"] == ["br-a", "br-b"]
