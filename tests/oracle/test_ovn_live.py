"""A real OVN is healthy until another agent's flow writes its bits: what northd and ovn-controller make, and what markreg makes of it.

The topology has stateful ACLs with and without labels, drop and reject ACLs, load balancers on switches and on a gateway router (skip_snat,
forced SNAT), SNAT and floating addresses, symmetric ECMP replies, policies and marks: every flow of OVN 23.03 that concerns marks.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from markreg.audit import audit
from markreg.inputs import gather
from markreg.model import Audit
from markreg.registry.load import load
from markreg.resources import builtin_registry
from tests.oracle.ovn_node import OvnNode
from tests.support import ROOT

pytestmark = pytest.mark.oracle

TOPOLOGY = (Path(__file__).parent / "ovn_topology.txt").read_text(encoding="utf-8")
PORTS = ("sw0-p1", "sw0-p2", "sw1-p1")
# Without its collectors on the chassis ovn-controller makes no flow that samples.
COLLECTOR = """--id=@br get Bridge br-int -- --id=@ipfix create IPFIX targets="127.0.0.1:4739"
    -- create Flow_Sample_Collector_Set id=1 bridge=@br ipfix=@ipfix"""
STRANGER = "cookie=0x5eedf00d,table={table},priority={priority},ip,metadata={key} actions={actions}"
MARKED = "ct(commit,zone=NXM_NX_REG13[0..15],exec(set_field:0x1/0x1->ct_mark))"


@pytest.fixture(scope="module")
def node() -> Iterator[OvnNode]:
    with tempfile.TemporaryDirectory(prefix="markreg-ovn-") as folder, OvnNode(Path(folder)) as running:
        running.nbctl(TOPOLOGY)
        running.vsctl(*COLLECTOR.split())
        for port in PORTS:
            running.vsctl("add-port", "br-int", port, "--", "set", "interface", port, "type=dummy", f"external_ids:iface-id={port}")
        running.run("ovn-nbctl", "--wait=hv", "sync")
        yield running


def captured(node: OvnNode, folder: Path, southbound: bool = True, fields: frozenset[str] = frozenset(), version: int = 15) -> Audit:
    """What markreg finds in the node's flows, groups, databases and zones, as files."""
    folder.mkdir()
    for bridge in ("br-int", "br-ex"):
        for what in ("dump-flows", "dump-groups"):
            (folder / f"ovs-ofctl_{what}_{bridge}").write_text(node.ofctl(bridge, what, version=version), encoding="utf-8")
    if southbound:
        (folder / "ovn-sbctl_lflow-list").write_text(node.run("ovn-sbctl", "--uuid", "lflow-list"), encoding="utf-8")
    for table in ("ACL", "Logical_Router_Policy", "Load_Balancer"):
        (folder / f"ovn-nbctl_list_{table}").write_text(node.run("ovn-nbctl", "list", table), encoding="utf-8")
    (folder / "ovn-appctl_ct-zone-list").write_text(node.zones(), encoding="utf-8")
    return audit(gather([str(folder)], io.BytesIO()), load(builtin_registry()), fields)


@pytest.mark.parametrize("southbound", [True, False], ids=["with a Southbound dump", "by shapes alone"])
def test_a_healthy_node_is_silent(node: OvnNode, tmp_path: Path, southbound: bool) -> None:
    done = captured(node, tmp_path / "node", southbound)
    assert not done.findings, done.findings[0]
    assert done.complete
    flows = [o for o in done.node.uses if o.use.place.kind == "openflow"]
    assert sum(len(o.use.lines) for o in flows) > 100
    assert {o.owner for o in flows} == {"ovn"}
    (ovn,) = done.node.components
    assert ovn.name == "ovn"
    assert "sample(" in (tmp_path / "node" / "ovs-ofctl_dump-flows_br-int").read_text(encoding="utf-8")
    assert "commit as in OVN" in ovn.evidence[0]


@pytest.mark.parametrize("version", [10, 13, 14])
def test_former_versions_of_openflow_say_the_same(node: OvnNode, tmp_path: Path, version: int) -> None:
    done = captured(node, tmp_path / "node", southbound=False, version=version)
    assert not [f for f in done.findings if f.code != "MK903"]
    newest = captured(node, tmp_path / "newest", southbound=False)
    said, meant = (
        {(o.use.place.text, o.use.place.priority, o.use.field, o.use.mask, o.use.value, o.reservation) for o in a.node.uses}
        for a in (done, newest)
    )
    assert said == meant


def test_registers_are_silent_too(node: OvnNode, tmp_path: Path) -> None:
    registers = frozenset(f"ovs.reg{n}" for n in range(16)) | {"ovs.metadata"}
    done = captured(node, tmp_path / "node", fields=registers)
    assert not [f for f in done.findings if f.severity != "note"]
    named = {o.reservation for o in done.node.uses}
    assert {"ovn/regbit_conntrack_commit", "ovn/flags.allow_loopback", "ovn/ct_zone", "ovn/inport", "ovn/next_hop_ipv4"} <= named


def test_every_sub_field_that_the_topology_uses_is_seen(node: OvnNode, tmp_path: Path) -> None:
    done = captured(node, tmp_path / "node")
    seen = {(o.reservation, o.use.scope.zone) for o in done.node.uses}
    switch = {("ovn/blocked", "reg13"), ("ovn/natted", "reg13"), ("ovn/label", "reg13")}
    router = {(f"ovn/{name}", "reg11") for name in ("natted", "skip_snat", "ecmp_reply_port", "ecmp_reply_eth")}
    assert switch | router <= seen


def switch_key(node: OvnNode) -> tuple[str, str]:
    """Where a label is committed: the table, and the metadata of a switch."""
    flow = next(x for x in node.ofctl("br-int", "dump-flows").splitlines() if "->NXM_NX_CT_LABEL[96..127]" in x)
    words = dict(w.partition("=")[::2] for w in flow.replace(" actions", ",actions").split(","))
    return words[" table"], words["metadata"]


@pytest.mark.parametrize("southbound", [True, False], ids=["with a Southbound dump", "by shapes alone"])
@pytest.mark.parametrize("priority", [99, 3000])
def test_another_agents_flow_is_found(node: OvnNode, tmp_path: Path, southbound: bool, priority: int) -> None:
    table, key = switch_key(node)
    actions = f"{MARKED},resubmit(,{int(table) + 1})"
    node.ofctl("br-int", "add-flow", STRANGER.format(table=table, priority=priority, key=key, actions=actions))
    try:
        done = captured(node, tmp_path / "node", southbound)
    finally:
        node.ofctl("br-int", "del-flows", "cookie=0x5eedf00d/-1")
    loud = [f for f in done.findings if f.severity != "note"]
    assert [(f.code, f.severity, f.field, f.mask) for f in loud] == [("MK101", "error", "ct_mark", 1)]
    assert loud[0].owners == ("unattributed:br-int/cookie 0x5eedf00d", "ovn")
    writer = next(x for x in loud[0].locations if x.role == "writer")
    reader = next(x for x in loud[0].locations if x.role == "reader")
    assert "cookie=0x5eedf00d" in writer.text
    assert "ct_mark=" in reader.text and "cookie=0x5eedf00d" not in reader.text


def test_the_same_bits_in_a_zone_of_its_own_are_no_collision(node: OvnNode, tmp_path: Path) -> None:
    table, key = switch_key(node)
    actions = f"{MARKED.replace('NXM_NX_REG13[0..15]', '60999')},resubmit(,{int(table) + 1})"
    node.ofctl("br-int", "add-flow", STRANGER.format(table=table, priority=3000, key=key, actions=actions))
    try:
        done = captured(node, tmp_path / "node")
    finally:
        node.ofctl("br-int", "del-flows", "cookie=0x5eedf00d/-1")
    assert {f.code for f in done.findings} == {"MK303"}


def test_while_a_chassis_lacks_the_feature_the_label_is_written_again(node: OvnNode, tmp_path: Path) -> None:
    node.run("ovn-sbctl", "chassis-add", "chassis2", "geneve", "127.0.0.2")
    try:
        node.run("ovn-nbctl", "--wait=hv", "sync")
        done = captured(node, tmp_path / "node")
    finally:
        node.run("ovn-sbctl", "chassis-del", "chassis2")
        node.run("ovn-nbctl", "--wait=hv", "sync")
    assert {o.owner for o in done.node.uses} == {"ovn"}
    assert "ovn/blocked_label" in {o.reservation for o in done.node.uses}
    # Groups for session affinity are written with marks even then: a mixture of OVN's own.
    assert {(f.code, f.severity) for f in done.findings} <= {("MK403", "note")}


def live(node: OvnNode) -> dict[str, Any]:
    """``markreg audit`` of the running node, in a network namespace without any rules."""
    words = ["unshare", "-n", sys.executable, "-m", "markreg", "audit", "--format", "json", "--exit-zero"]
    done = subprocess.run(words, env=node.environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_live_node_is_silent_and_then_is_not(node: OvnNode) -> None:
    healthy = live(node)
    assert [f for f in healthy["findings"] if f["severity"] != "note"] == []
    assert "ovn" in [c["name"] for c in healthy["components"]]
    # It looks exactly like a drop ACL of OVN: only the Southbound database knows better.
    acl = next(x for x in node.ofctl("br-int", "dump-flows").splitlines() if "set_field:0x1/0x1->ct_mark" in x and "resubmit" not in x)
    # In the switch of the ACL: one without any would ask for no bit of its connections.
    table, key = (acl.partition(f"{name}=")[2].partition(",")[0] for name in ("table", "metadata"))
    copied = MARKED.replace(",exec", ",nat(src),exec")
    node.ofctl("br-int", "add-flow", STRANGER.format(table=table, priority=2500, key=key, actions=copied))
    try:
        ill = live(node)
    finally:
        node.ofctl("br-int", "del-flows", "cookie=0x5eedf00d/-1")
    loud = [f for f in ill["findings"] if f["severity"] != "note"]
    assert [(f["code"], f["field"], f["mask"]) for f in loud] == [("MK101", "ct_mark", "0x1")]
