"""Switches captured in several notations: OpenFlow holds before megaflows, logical flows and northbound rows, which repeat it."""

from __future__ import annotations

import pytest

from markreg.archives.layouts import place
from markreg.captures import once
from markreg.formats import by_name, scope_of
from markreg.formats._openflow_dump import bridge_of
from markreg.formats._ovsdb_tables import name_in
from markreg.model import Reading, Use
from markreg.source import Source

_HEAD = "OFPST_FLOW reply (OF1.5) (xid=0x2):\n cookie=0x1, duration=1s, table=8, n_packets=0, n_bytes=0, idle_age=1, "
FLOWS = _HEAD + "priority=1,metadata=0x1,ip{} actions={}\n"
COMMIT = "ct(commit,zone=NXM_NX_REG13[0..15],exec(load:0x1->NXM_NX_CT_MARK[0]))"
OTHER = FLOWS.format(",pkt_mark=0x1/0x1", "set_field:0x10/0x10->pkt_mark,output:1")
MEGAFLOWS = "ct_mark(0/0x1),in_port(1), packets:0, bytes:0, used:never, actions:set(skb_mark(0x10/0x10)),ct(commit,zone=5,mark=0x1/0x1),2\n"
LFLOWS = (
    'Datapath: "sw0" (54684f8e-7f8c-4327-b39c-01536630beb8)  Pipeline: ingress\n'
    "  table=8 (ls_in_acl          ), priority=100  , match=(ct.est), action=(ct_commit { ct_mark.blocked = 1; };)\n"
)
POLICY = """_uuid               : 00000001-0000-4000-8000-000000000001
action              : reroute
match               : "ct_mark.blocked == 1"
nexthop             : []
options             : {pkt_mark="7"}
priority            : 10
"""
SOUTHBOUND = """_uuid               : 00000002-0000-4000-8000-000000000002
actions             : "ct_commit { ct_mark.blocked = 1; };"
external_ids        : {stage-name=ls_in_acl}
match               : "1"
pipeline            : ingress
priority            : 100
table_id            : 8
"""
FILES = {
    "ovn": ("ovs-ofctl_dump-flows_br-int", "openflow", FLOWS.format("", COMMIT)),
    "other": ("ovs-ofctl_dump-flows_br1", "openflow", OTHER),
    "odp": ("dpctl_dump-flows", "odp", MEGAFLOWS),
    "lflow": ("lflow-list", "lflow", LFLOWS),
    "nb": ("nb", "ovsdb", POLICY),
    "sb": ("sb", "ovsdb", SOUTHBOUND),
    "elsewhere": ("ovs-ofctl_dump-flows_br-int.netns-blue.txt", "openflow", FLOWS.format("", COMMIT)),
}


def reading(which: str) -> Reading:
    name, notation, text = FILES[which]
    form = by_name(notation)
    assert form
    return form.read(Source(name, text.encode()), notation, scope_of(name))


def short(use: Use) -> str:
    return f"{use.field} {use.access}"


def kept(*which: str) -> dict[str, list[str]]:
    """What each capture has left, beside the OpenFlow, which loses nothing here."""
    readings = once([reading(w) for w in which])
    return {w: [short(u) for u in r.uses] for w, r in zip(which, readings, strict=True) if r.format != "openflow"}


MARK, PACKET, READ = "ct_mark write", "skb_mark write", "ct_mark read"


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        (("odp",), {"odp": [READ, PACKET, MARK]}),
        (("odp", "ovn"), {"odp": [PACKET]}),  # who writes the packet's mark was not captured
        (("odp", "other"), {"odp": [MARK]}),
        (("odp", "ovn", "other"), {"odp": []}),
        (("odp", "elsewhere"), {"odp": [READ, PACKET, MARK]}),
        (("lflow",), {"lflow": [MARK]}),
        (("lflow", "other"), {"lflow": [MARK]}),
        (("lflow", "ovn"), {"lflow": []}),
        (("lflow", "sb"), {"lflow": [MARK], "sb": []}),
        (("sb", "ovn"), {"sb": []}),
        (("nb",), {"nb": [READ, PACKET]}),
        (("nb", "lflow"), {"nb": [], "lflow": [MARK]}),
        (("nb", "ovn"), {"nb": []}),
    ],
)
def test_openflow_says_it_once(which: tuple[str, ...], expected: dict[str, list[str]]) -> None:
    assert kept(*which) == expected


def test_rows_and_zones_stay() -> None:
    (row,) = once([reading("nb"), reading("ovn")])[0].rows
    assert row.table == "Logical_Router_Policy"


@pytest.mark.parametrize(
    ("name", "notation", "said"),
    [
        ("openvswitch/ovs-ofctl_-O_OpenFlow15_dump-flows_br-int", "openflow", "br-int"),
        ("openvswitch/ovs-ofctl_dump-groups_br-ex", "openflow", "br-ex"),
        ("openvswitch/ovs-appctl_dpctl.dump-flows_-m_system_ovs-system", "odp", ""),
        ("openvswitch/node1.ovs-appctl_dpctl.dump-conntrack_-m_system_ovs-system", "dpctl-conntrack", ""),
        ("openvswitch/ovs-vsctl_-t_5_list_bridge", "ovsdb", ""),
        ("openvswitch/ovs-vsctl_-t_5_show", "ovs-vsctl-show", ""),
        ("ovn_central/ovn-nbctl_--no-leader-only_list_ACL", "ovsdb", ""),
        ("ovn_central/ovn-sbctl_--no-leader-only_lflow-list", "lflow", ""),
        ("openvswitch/ovsdb-client_-f_list_dump", "ovsdb", ""),
        ("ovn_host/ovn-appctl_-t_ovn-controller_ct-zone-list", "ct-zones", ""),
    ],
)
def test_a_sosreport_says_what_its_files_are(name: str, notation: str, said: str) -> None:
    assert place(f"sosreport-node1/sos_commands/{name}")
    if notation == "openflow":
        assert bridge_of(name) == said
    if notation == "ovsdb":
        assert name_in(name) in ("Bridge", "ACL", "")


def test_the_database_of_a_node_in_a_must_gather_has_a_place() -> None:
    placed = place("must-gather.local.1/quay-io-sha256-0/network_logs/ovnk_database_store/node1_nbdb")
    assert placed
    assert placed.node.endswith("node1")
