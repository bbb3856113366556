"""Ports of Open vSwitch bridges as devices: from ovs-vsctl show, and from tables that refer to each other."""

from __future__ import annotations

import json

import pytest

from markreg.devices import Device
from markreg.formats import by_name, ovs_vsctl, ovsdb
from markreg.formats._ovs_ports import egress_mark, ports
from markreg.inputs import Known
from markreg.model import Scope
from markreg.node import read
from markreg.source import Source

ROOT_ID = "00000000-0000-4000-8000-00000000000{}"
SHOW = f"""{ROOT_ID.format(0)}
    Bridge br-tun
        Controller "tcp:127.0.0.1:6633"
            is_connected: true
        fail_mode: secure
        Port vxlan-0a000105
            Interface vxlan-0a000105
                type: vxlan
                options: {{egress_pkt_mark="7", in_key=flow, remote_ip="192.0.2.5"}}
        Port gre-1
            Interface gre-1
                type: gre
                options: {{egress_pkt_mark="0", remote_ip="192.0.2.6"}}
        Port patch-int
            Interface patch-int
                type: patch
                options: {{peer=patch-tun}}
        Port br-tun
            Interface br-tun
    Bridge br-dpdk
        datapath_type: netdev
        Port bond0
            Interface dpdk0
                type: dpdk
                options: {{dpdk-devargs="0000:03:00.0"}}
            Interface "eth1"
                type: system
        Port br-dpdk
            Interface br-dpdk
                type: internal
    ovs_version: "3.1.0"
"""
# Name, kind, bridge, whether in user space, mark.
Shown = tuple[str, str, str, bool, int | None]
SHOWN: list[Shown] = [
    ("vxlan-0a000105", "vxlan", "br-tun", False, 7),
    ("gre-1", "gre", "br-tun", False, 0),
    ("patch-int", "patch", "br-tun", False, None),
    ("br-tun", "internal", "br-tun", False, None),
    ("dpdk0", "dpdk", "br-dpdk", True, None),
    ("eth1", "", "br-dpdk", True, None),
    ("br-dpdk", "internal", "br-dpdk", True, None),
]


def short(devices: tuple[Device, ...]) -> list[Shown]:
    return [(d.name, d.kind, d.bridge, d.userspace, d.mark) for d in devices]


def test_ports_of_ovs_vsctl_show() -> None:
    reading = ovs_vsctl.read(Source("x", SHOW.encode()), "ovs-vsctl-show", Scope("blue"))
    assert short(reading.devices) == SHOWN
    assert {d.netns for d in reading.devices} == {"blue"}
    lines = SHOW.split("\n")
    assert all(d.name in lines[d.line - 1] for d in reading.devices)
    assert [u.value for u in reading.uses] == [7]


def known(caption: str, headings: list[str], *rows: list[object], netns: str = "host") -> Known:
    """A table as ``ovs-vsctl --format=json list`` prints it."""
    data = json.dumps({"caption": f"{caption} table", "data": rows, "headings": ["_uuid", *headings]}, separators=(",", ":"))
    return known_as(f"{caption}.{netns}", data.encode(), netns)


def known_as(path: str, data: bytes, netns: str = "host") -> Known:
    form = by_name("ovsdb")
    assert form
    return Known(Source(path, data), form, "ovsdb", Scope(netns))


def uuid(number: int) -> list[object]:
    return ["uuid", ROOT_ID.format(number)]


def references(*numbers: int) -> list[object]:
    return ["set", [uuid(n) for n in numbers]] if len(numbers) != 1 else uuid(numbers[0])


BRIDGES = known(
    "Bridge", ["datapath_type", "name", "ports"], [uuid(1), "", "br0", references(3, 4)], [uuid(2), "netdev", "br1", references(5)]
)
PORTS = known(
    "Port",
    ["interfaces", "name"],
    [uuid(3), references(6, 7), "bond0"],
    [uuid(4), references(8), "br0"],
    [uuid(5), references(9), "gw"],
)
INTERFACES = known(
    "Interface",
    ["name", "options", "type"],
    [uuid(6), "eth0", ["map", []], ""],
    [uuid(7), "geneve1", ["map", [["egress_pkt_mark", "16"]]], "geneve"],
    [uuid(8), "br0", ["map", []], ""],
    [uuid(9), "gw", ["map", []], "internal"],
)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_tables_of_several_files_belong_together(order: tuple[int, ...]) -> None:
    inputs = [(BRIDGES, PORTS, INTERFACES)[n] for n in order]
    devices = tuple(d for r in read(inputs) for d in r.devices)
    assert short(devices) == [
        ("eth0", "", "br0", False, None),
        ("geneve1", "geneve", "br0", False, 16),
        ("br0", "internal", "br0", False, None),
        ("gw", "internal", "br1", True, None),
    ]
    assert {d.path for d in devices} == {"Interface.host"}
    assert [d.line for d in devices] == sorted({d.line for d in devices})


def test_tables_of_other_namespaces_and_tables_that_are_missing() -> None:
    elsewhere = known("Interface", ["name", "options", "type"], [uuid(6), "eth0", ["map", []], ""], netns="blue")
    devices = tuple(d for r in read([BRIDGES, PORTS, elsewhere]) for d in r.devices)
    assert [(d.netns, d.name, d.bridge) for d in devices] == [("blue", "eth0", "?")]
    # Without the table of ports a bridge's own port is known by its name alone.
    alone = tuple(d for r in read([BRIDGES, INTERFACES]) for d in r.devices)
    assert [(d.name, d.kind, d.bridge) for d in alone if d.bridge != "?"] == [("br0", "internal", "br0")]


def test_tables_in_one_file_and_rows_that_are_there_twice() -> None:
    data = b"\n".join(k.source.data for k in (BRIDGES, PORTS, INTERFACES))
    (reading,) = read([known_as("dump", data)])
    assert [d.bridge for d in reading.devices] == ["br0", "br0", "br0", "br1"]
    rows = ovsdb.read(INTERFACES.source, "ovsdb", Scope()).rows
    assert len(list(ports([*rows, *rows], "host"))) == 4


@pytest.mark.parametrize(
    ("text", "mark"),
    [("0", 0), ("100", 100), ("0x10", 0), ("010", 10), ("7/3", 7), ("", 0), ("x", 0), ("-1", 0xFFFFFFFF), ("4294967297", 1)],
)
def test_a_mark_is_decimal(text: str, mark: int) -> None:
    assert egress_mark(text) == mark
