"""Open vSwitch live, collected and asked by hand: one switch, one set of findings; no key leaves it and nothing of it changes."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from markreg import node as nodes
from markreg.collect.limits import Budget
from markreg.collect.tools import machine
from markreg.formats import detect, dpctl_conntrack, odp, ovsdb
from markreg.model import Scope
from markreg.rows import Row
from markreg.source import Source
from tests.cli.running import environment
from tests.live.switch import Switch
from tests.support import ROOT

pytestmark = pytest.mark.oracle

KEY = "a-key-of-a-tunnel"
PACKET = (
    "in_port(1),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x0800),"
    "ipv4(src=192.168.0.1,dst=192.168.0.2,proto=17,tos=0,ttl=64,frag=no),udp(src=1,dst=2)"
)
NAMES = [
    "ovs-vsctl list Bridge",
    "ovs-vsctl list Interface",
    "ovs-vsctl list Open_vSwitch",
    "ovs-ofctl dump-flows br0",
    "ovs-ofctl dump-groups br0",
    "ovs-ofctl dump-flows br-old",
    "ovs-ofctl dump-groups br-old",
    "ovs-appctl dpctl/dump-flows dummy@ovs-dummy",
    "ovs-appctl dpctl/dump-conntrack dummy@ovs-dummy",
    "ovn-nbctl list ACL",
    "ovn-nbctl list NB_Global",
    "ovs-vsctl list Port",
]


@pytest.fixture(name="switch", scope="module")
def made() -> Iterator[Switch]:
    with Switch() as switch:
        dummy = ("datapath_type=dummy", "fail_mode=secure")
        switch.vsctl("add-br", "br0", "--", "set", "bridge", "br0", *dummy, "external_ids:ct-zone-sw0p1=5", f"external_ids:secret={KEY}")
        switch.vsctl("add-br", "br-old", "--", "set", "bridge", "br-old", *dummy, "protocols=OpenFlow10,OpenFlow13")
        for port in ("p1", "p2"):
            switch.vsctl("add-port", "br0", port, "--", "set", "interface", port, "type=dummy")
        tunnel = ("type=vxlan", "options:remote_ip=10.0.0.1", "options:egress_pkt_mark=100", f"options:psk={KEY}")
        switch.vsctl("add-port", "br0", "t1", "--", "set", "interface", "t1", *tunnel)
        switch.flow("br0", "table=0,priority=10,in_port=p1,ip,ct_state=-trk actions=ct(table=1,zone=5)")
        commit = "ct(commit,zone=5,exec(set_field:0x2/0x2->ct_mark,set_field:0x2a000000000000000000000000->ct_label))"
        switch.flow(
            "br0", f"table=1,priority=10,ip,ct_state=+trk+new,ct_mark=0/0x1 actions=set_field:0x20/0xf0->pkt_mark,{commit},output:p2"
        )
        switch.nbctl("ls-add", "sw0")
        switch.nbctl("acl-add", "sw0", "to-lport", "1001", "ip4", "allow-related")
        end = time.monotonic() + 20
        while "mark=2" not in switch.appctl("dpctl/dump-conntrack"):
            switch.appctl("netdev-dummy/receive", "p1", PACKET)
            assert time.monotonic() < end
            time.sleep(0.2)
        yield switch


def markreg(switch: Switch, *words: str | Path) -> subprocess.CompletedProcess[str]:
    folder = str(switch.folder)
    env = {**environment(), "OVS_RUNDIR": folder, "OVN_RUNDIR": folder}
    command = [sys.executable, "-m", "markreg", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, env=env, check=False)
    assert "Traceback" not in done.stderr
    return done


def state(switch: Switch) -> list[str]:
    """What a reader could have changed: the rows of the database and the flows."""
    rows = [switch.vsctl("list", table) for table in ("Bridge", "Port", "Controller", "Manager")]
    flows = [
        switch.run("ovs-ofctl", "-O", "OpenFlow13", "--no-stats", "dump-flows", f"unix:{switch.folder}/{b}.mgmt") for b in ("br0", "br-old")
    ]
    return rows + [line for text in flows for line in text.splitlines() if "reply" not in line]


def of_switch(text: str) -> list[dict[str, object]]:
    """The uses of an audit's JSON that a switch or OVN's databases say, without where they stand and how they are numbered."""
    kinds, kept = ("openflow", "datapath", "lflow", "ovsdb"), ("field", "access", "mask", "value", "owner", "scope", "place")
    uses = [u for u in json.loads(text)["uses"] if u["place"]["kind"] in kinds or "ovs tunnel" in u["place"]["text"]]
    found = [{key: use[key] for key in kept} for use in uses]
    return sorted(found, key=lambda use: json.dumps(use, sort_keys=True))


def test_everything_of_a_switch_is_captured(switch: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVS_RUNDIR", str(switch.folder))
    monkeypatch.setenv("OVN_RUNDIR", str(switch.folder))
    before = state(switch)
    node = machine(Budget(30))
    assert state(switch) == before
    assert sorted(c.name for c in node.captures) == sorted(NAMES)
    assert [(f.name, f.why) for f in node.failures] == []
    readings = {k.source.path: k.format.read(k.source, k.name, k.scope) for k in node.gathered.known}
    assert all(not r.problems and not r.opaque for r in readings.values())
    assert [(z.number, z.name) for z in readings["ovs-vsctl list Bridge"].zones] == [(5, "sw0p1")]
    assert [(u.value, u.place.text) for u in readings["ovs-vsctl list Interface"].uses] == [(100, "ovs tunnel t1")]
    assert {(s.field, s.value, s.zone) for s in readings[NAMES[8]].seen} == {("ct_mark", 2, "5"), ("ct_label", 42 << 96, "5")}
    megaflows = {(u.field, u.access, u.mask, u.scope.zone) for u in readings[NAMES[7]].uses}
    assert megaflows >= {("skb_mark", "write", 0xF0, None), ("ct_mark", "write", 2, "5"), ("ct_mark", "read", 1, "5")}
    assert not any(KEY.encode() in c.data for c in node.captures)


def test_ports_of_every_bridge_are_devices(switch: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVS_RUNDIR", str(switch.folder))
    monkeypatch.setenv("OVN_RUNDIR", str(switch.folder))
    shown = Source("show", switch.vsctl("show").encode())
    found = detect(shown)
    assert found
    listed = nodes.read(machine(Budget(30)).gathered.known)
    for devices in ([d for r in listed for d in r.devices], found[0].read(shown, found[1], Scope()).devices):
        assert {(d.name, d.kind, d.bridge, d.userspace, d.mark) for d in devices} == {
            ("br0", "internal", "br0", True, None),
            ("br-old", "internal", "br-old", True, None),
            ("p1", "dummy", "br0", True, None),
            ("p2", "dummy", "br0", True, None),
            ("t1", "vxlan", "br0", True, 100),
        }


def test_every_way_to_list_a_datapath_says_the_same(switch: Switch) -> None:
    said = []
    for options in ((), ("-m",), ("--names",), ("-m", "--names")):
        text = switch.appctl("dpctl/dump-flows", *options)
        reading = odp.read(Source("dump", text.encode()), "odp", Scope())
        assert not reading.problems
        assert not reading.opaque
        said.append({(u.field, u.access, u.mask, u.value, u.scope.zone) for u in reading.uses})
    assert said[0]
    assert all(one == said[0] for one in said), "-m prints what is not looked at as a mask of 0"
    carried = []
    for options in ((), ("-m",), ("-s",), ("-m", "-s")):
        text = switch.appctl("dpctl/dump-conntrack", *options)
        seen = dpctl_conntrack.read(Source("dump", text.encode()), "dpctl-conntrack", Scope()).seen
        carried.append({(s.field, s.value, s.zone) for s in seen})
    assert carried == [{("ct_mark", 2, "5"), ("ct_label", 42 << 96, "5")}] * 4


def test_audited_live_and_from_an_archive_it_is_the_same(switch: Switch, tmp_path: Path) -> None:
    archive = tmp_path / "node.tar.gz"
    done = markreg(switch, "collect", "-o", archive)
    assert done.returncode == 0, done.stderr
    with tarfile.open(archive) as tar:
        names = {Path(entry.name).name for entry in tar.getmembers()}
        held = b"".join(file.read() for entry in tar.getmembers() if (file := tar.extractfile(entry)))
    assert {"ovs-ofctl_dump-flows_br0.txt", "ovs-ofctl_dump-flows_br-old.txt"} <= names, "a file's name says its bridge"
    assert KEY.encode() not in held
    live = markreg(switch, "audit", "--format", "json")
    elsewhere = markreg(switch, "audit", archive, "--format", "json")
    uses = of_switch(live.stdout)
    assert uses == of_switch(elsewhere.stdout)
    assert {u["field"] for u in uses} == {"skb_mark", "ct_mark", "ct_label"}
    assert not any(u["place"]["kind"] == "datapath" for u in uses if isinstance(u["place"], dict)), "OpenFlow says the same"
    assert KEY not in live.stdout + elsewhere.stdout


def test_the_file_of_a_database_has_the_rows_that_its_server_lists(switch: Switch) -> None:
    for port in range(5):
        switch.nbctl("lsp-add", "sw0", f"p{port}")
        switch.nbctl("acl-add", "sw0", "from-lport", str(port), f"udp.dst == {port}", "allow-related")
    switch.nbctl("acl-del", "sw0", "from-lport", "3", "udp.dst == 3")
    (acl,) = switch.nbctl("--bare", "--columns=_uuid", "find", "ACL", "priority=1").split()
    for setting in ("external_ids:a=1", "external_ids:b=2", "external_ids:a=3", "label=77", "options:x=y"):
        switch.nbctl("set", "ACL", acl, setting)
    switch.nbctl("remove", "ACL", acl, "external_ids", "b")
    held = ovsdb.read(Source("nb.db", (switch.folder / "ovnnb_db.sock.db").read_bytes()), "ovsdb", Scope())
    assert not held.problems
    for table in ("ACL", "Logical_Switch"):
        listed = ovsdb.read(Source("list", switch.nbctl("list", table).encode()), "ovsdb", Scope())
        by_file, by_server = ({r.uuid: columns(r) for r in reading.rows if r.table == table} for reading in (held, listed))
        assert by_file.keys() == by_server.keys()
        for uuid, there in by_server.items():
            # What a row was made with by default stands in no record.
            missing = {k: v for k, v in there.items() if by_file[uuid].get(k) != v}
            assert set(missing.values()) <= {frozenset(), frozenset({"0"})}, uuid
    assert [r.pairs("external_ids") for r in held.rows if r.uuid == acl] == [{"a": "3"}]


def columns(row: Row) -> dict[str, frozenset[object]]:
    """Columns whatever the order of their members."""
    return {k: frozenset(v) if isinstance(v, tuple) else frozenset(v.items()) for k, v in row.columns.items()}


def test_what_cannot_be_read_is_said(switch: Switch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVN_RUNDIR", str(tmp_path))
    monkeypatch.setenv("OVS_RUNDIR", str(tmp_path))
    (tmp_path / "db.sock").symlink_to(switch.folder / "db.sock")
    node = machine(Budget(30))
    failed = {f.name for f in node.failures}
    assert failed == {*(n for n in NAMES if n.startswith("ovs-ofctl")), "ovs-appctl dpctl/dump-flows"}
    assert {p.path for p in node.gathered.unread} == failed


def test_where_there_is_no_switch_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVS_RUNDIR", str(tmp_path))
    monkeypatch.setenv("OVN_RUNDIR", str(tmp_path))
    node = machine(Budget(5))
    assert (node.captures, node.failures) == ([], [])
