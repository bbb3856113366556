"""Open vSwitch and OVN of this node: bridges, their flows and groups, the datapaths' flows and connections, zones, databases.

Through their own programs and the sockets in their run folders only, and nothing that changes them: no command waits for a switch, none
starts one. They are of the whole machine, not of a network namespace, so they are read once.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from markreg.collect import kernel, ovsdb
from markreg.collect.programs import find, run
from markreg.formats._ovsdb_values import of_json

if TYPE_CHECKING:
    from markreg.collect.tools import Live

_SWITCH_FOLDERS = ("OVS_RUNDIR", "/run/openvswitch", "/var/run/openvswitch")
_OVN_FOLDERS = ("OVN_RUNDIR", "/run/ovn", "/var/run/ovn")
_SWITCH_TABLES = ("Interface", "Port", "Open_vSwitch", "Flow_Sample_Collector_Set", "IPFIX")
_NORTHBOUND = ("ACL", "Sample", "Sample_Collector", "Sampling_App", "NB_Global", "Logical_Router_Policy", "QoS")
_SOUTHBOUND = ("Datapath_Binding", "Port_Binding", "Multicast_Group", "Load_Balancer")
# 1.0 prints write_actions as "drop"; a bridge that speaks no 1.5 is asked in the highest version that it has.
_NEWEST, _ANY = "OpenFlow15", ",".join(f"OpenFlow1{minor}" for minor in range(6))
# A name that is to be a word of a command: no path, no option.
_NAME = re.compile(r"(?!-)[\w.@:+-]{1,120}")
_TIMEOUT = 30


def read(node: Live) -> None:
    """Everything that is there; silent where there is no switch."""
    folder = _folder(_SWITCH_FOLDERS, "db.sock")
    if folder:
        _switch(node, folder)
    ovn = _folder(_OVN_FOLDERS, "*")
    if ovn:
        _controller(node, ovn)
        _databases(node, ovn)


def _folder(places: tuple[str, ...], wanted: str) -> Path | None:
    """The run folder that has a socket of this name: where the variable says, else where packages put it."""
    said = os.environ.get(places[0])
    for place in (said,) if said else places[1:]:
        try:
            if place and any(p.is_socket() for p in Path(place).glob(wanted)):
                return Path(place)
        except OSError:
            continue
    return None


def _control(folder: Path, program: str) -> Path | None:
    """The control socket of a running daemon, which has its process's number in its name."""
    try:
        found = sorted(folder.glob(f"{program}.*.ctl"))
    except OSError:
        return None
    alive = [p for p in found if Path(f"/proc/{p.name.split('.')[-2]}").exists()]
    return next(reversed(alive or found), None)


def _switch(node: Live, folder: Path) -> None:
    client = ("ovs-vsctl", f"--db=unix:{folder}/db.sock", f"--timeout={_TIMEOUT}", "--no-syslog")
    if find(client[0]) is None:
        node.unread("Open vSwitch", f"{folder}/db.sock is there, and {client[0]} is not installed")
        return
    bridges = ovsdb.table(node, client, "Bridge")
    for name in _SWITCH_TABLES:
        ovsdb.table(node, client, name)
    columns, rows = bridges or ([], [])
    for row in rows:
        for called in of_json(row[columns.index("name")]) if "name" in columns else ():
            if _NAME.fullmatch(called):
                _bridge(node, folder, called)
            else:
                node.unread(f"bridge {called!r}", "its name is no word of a command")
    control = _control(folder, "ovs-vswitchd")
    if control:
        _datapaths(node, control)
    elif rows:
        node.unread("ovs-appctl dpctl/dump-flows", f"no ovs-vswitchd listens in {folder}")


def _bridge(node: Live, folder: Path, name: str) -> None:
    """Flows and groups of a bridge."""
    socket = f"unix:{folder}/{name}.mgmt"
    for what in ("dump-flows", "dump-groups"):
        shown = f"ovs-ofctl {what} {name}"
        output = run(("ovs-ofctl", f"--timeout={_TIMEOUT}", "-O", _NEWEST, what, socket), node.budget)
        if "negotiation failed" in output.said:
            output = run(("ovs-ofctl", f"--timeout={_TIMEOUT}", "-O", _ANY, what, socket), node.budget)
        if output.error:
            node.unread(shown, output.error)
        else:
            node.add(shown, "openflow", "inet", output.data, f"ovs-ofctl -O {_NEWEST} {what} {name}")


def _datapaths(node: Live, control: Path) -> None:
    """Flows and connections of each datapath."""
    ask = ("ovs-appctl", f"--timeout={_TIMEOUT}", "-t", str(control))
    listed = run((*ask, "dpctl/dump-dps"), node.budget)
    if listed.error:
        node.unread("ovs-appctl dpctl/dump-flows", listed.error)
        return
    for name in dict.fromkeys(listed.data.decode("utf-8", "replace").split()):
        if not _NAME.fullmatch(name):
            node.unread(f"datapath {name!r}", "its name is no word of a command")
            continue
        _capture(node, (*ask, "dpctl/dump-flows"), name, "odp")
        # Connections of the kernel's datapath are asked of ctnetlink, which would load it.
        if not name.startswith("system@") or (kernel.netlink(kernel.NETLINK_NETFILTER) and kernel.module("nf_conntrack_netlink")):
            _capture(node, (*ask, "dpctl/dump-conntrack"), name, "dpctl-conntrack")


def _capture(node: Live, words: tuple[str, ...], datapath: str, notation: str) -> None:
    shown = f"ovs-appctl {words[-1]} {datapath}"
    output = run((*words, datapath), node.budget, node.budget.entries)
    data = output.data
    if notation == "dpctl-conntrack":
        data = b"".join(line for line in data.splitlines(keepends=True) if b"mark=" in line or b"labels=" in line)
    if output.error:
        node.unread(shown, output.error)
    elif data.strip():
        node.add(shown, notation, "inet", data, shown)
    if output.cut:
        node.unread(f"a part of {shown}", f"it has more than {node.budget.entries} lines (--max-entries)")


def _controller(node: Live, folder: Path) -> None:
    """The zones of ovn-controller."""
    control = _control(folder, "ovn-controller")
    if control is None:
        return
    shown = "ovn-appctl ct-zone-list"
    output = run(("ovn-appctl", f"--timeout={_TIMEOUT}", "-t", str(control), "ct-zone-list"), node.budget)
    if output.error:
        node.unread(shown, output.error)
    elif output.data.strip():
        node.add(shown, "ct-zones", "inet", output.data, "ovn-appctl -t ovn-controller ct-zone-list")


def _databases(node: Live, folder: Path) -> None:
    """OVN's databases, where they are on this node: those of other nodes would be asked over the network."""
    for program, socket, tables in (("ovn-nbctl", "ovnnb_db.sock", _NORTHBOUND), ("ovn-sbctl", "ovnsb_db.sock", _SOUTHBOUND)):
        if not (folder / socket).is_socket():
            continue
        if find(program) is None:
            node.unread(f"{program} list", f"{folder}/{socket} is there, and {program} is not installed")
            continue
        client = (program, f"--db=unix:{folder}/{socket}", f"--timeout={_TIMEOUT}", "--no-leader-only")
        if program == "ovn-sbctl":
            output = run((*client, "--uuid", "lflow-list"), node.budget)
            if output.error:
                node.unread("ovn-sbctl lflow-list", output.error)
            elif output.data.strip():
                node.add("ovn-sbctl lflow-list", "lflow", "inet", output.data, "ovn-sbctl --uuid lflow-list")
        for name in tables:
            ovsdb.table(node, client, name)
