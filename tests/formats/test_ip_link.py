"""Devices as ip link and ip addr print them, in every form, and what their settings say of marks."""

from __future__ import annotations

import json
import random
import time

import pytest

from markreg.formats import by_name, detect
from markreg.model import Reading, Scope
from markreg.source import Source

QUEUES = "addrgenmode eui64 numtxqueues 1 numrxqueues 1 gso_max_size 65536 gso_max_segs 65535"


def device(number: int, name: str, kind: str = "", link: str = "ether", slave: str = "", alias: str = "") -> str:
    """A device as ``ip -d link`` prints it."""
    head = f"{number}: {name}: <BROADCAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UNKNOWN mode DEFAULT group default qlen 1000\n"
    head += f"    link/{link} 02:00:00:00:00:0{number} brd ff:ff:ff:ff:ff:ff promiscuity 0 minmtu 0 maxmtu 65535 "
    parts = [part for part in (kind, slave) if part]
    text = head + "".join(f"\n    {part} " for part in parts) + f"{QUEUES} \n"
    return text + (f"    alias {alias}\n" if alias else "")


TEXT = (
    device(1, "lo", link="loopback", alias="fwmark 0x5 gbp mark")
    + device(2, "eth0", slave="bridge_slave state forwarding priority 32")
    + device(3, "vxlan.calico", "vxlan id 4096 local 192.0.2.1 dev eth0 srcport 0 0 dstport 4789 nolearning")
    + device(4, "gre1@NONE", "gre remote 192.0.2.2 local 192.0.2.1 ttl inherit fwmark 0x10", "gre")
    + device(5, "ipt@if3", "veth", slave="bridge_slave state forwarding")
    + device(6, "br0.5@br0", "vlan protocol 802.1Q id 5 <REORDER_HDR>")
    + device(7, "i6@NONE", "ip6tnl ipip6 remote 2001:db8::2 local 2001:db8::1 fwmark inherit", "tunnel6")
    + device(8, "ovs-system", "openvswitch")
)
KINDS = {
    "lo": "",
    "eth0": "",
    "vxlan.calico": "vxlan",
    "gre1": "gre",
    "ipt": "veth",
    "br0.5": "vlan",
    "i6": "ip6tnl",
    "ovs-system": "openvswitch",
}


def link(name: str, kind: str = "", **settings: object) -> dict[str, object]:
    """A device as ``ip -d -j link`` prints it."""
    info = {"linkinfo": {"info_kind": kind, **({"info_data": settings} if settings else {})}} if kind else {}
    return {"ifindex": 1, "ifname": name, "flags": ["UP"], "mtu": 1500, "qdisc": "noqueue", "link_type": "ether", "promiscuity": 0, **info}


LINKS = [
    link("lo"),
    {"ifindex": 3, "link": "eth0", **{k: v for k, v in link("eth0.5", "vlan").items() if k != "ifindex"}},
    link("gre1", "gre", remote="192.0.2.2", fwmark="0x10"),
    link("i6", "ip6tnl", ip6_tnl_f_use_orig_fwmark=True),
]


def read(text: str, name: str = "x", scope: Scope | None = None) -> Reading:
    """A text in the notation that it is found to have."""
    source = Source(name, text.encode())
    found = detect(source)
    assert found
    assert found[1].startswith("ip-link")
    return found[0].read(source, found[1], scope or Scope())


def kinds(reading: Reading) -> dict[str, str]:
    return {d.name: d.kind for d in reading.devices}


def one_line(text: str) -> str:
    """The same with ``-o``."""
    return text.replace("\n    ", "\\    ")


@pytest.mark.parametrize(
    "text", [TEXT, one_line(TEXT), f"$ ip -d link\n{TEXT}", TEXT.replace("\n", "\r\n")], ids=["-d", "-o", "told", "crlf"]
)
def test_devices_have_their_kinds(text: str) -> None:
    reading = read(text, scope=Scope("blue"))
    assert kinds(reading) == KINDS
    assert {d.netns for d in reading.devices} == {"blue"}
    assert reading.opaque == ()
    for found in reading.devices:
        assert f": {found.name}" in text.split("\n")[found.line - 1]


def test_addresses_and_counters_are_no_kinds() -> None:
    head, kind = "    link/ether 02:00:00:00:00:01 brd ff:ff:ff:ff:ff:ff promiscuity 0 ", "1: veth0: <UP> mtu 1500 qdisc noqueue state UP\n"
    counters = "    RX:  bytes packets errors dropped  missed   mcast\n             1     1      0       0       0       0\n"
    address = "    inet 192.0.2.1/24 scope global veth0\n       valid_lft forever\n"
    text = f"{kind}{head}\n    veth {QUEUES}\n    altname fwmark\n{address}{counters}"
    assert kinds(read(text)) == {"veth0": "veth"}
    assert kinds(read(f"{kind}{head}{QUEUES}\n{address}")) == {"veth0": ""}


def test_without_details_the_hardware_or_the_name_tells() -> None:
    heads = "{}: {}: <UP> mtu 1500 qdisc noqueue state UP mode DEFAULT group default qlen 1000\n    link/{} 192.0.2.1 brd 192.0.2.2\n"
    shown = (("flannel.1", "ether"), ("mine@NONE", "ipip"), ("s@NONE", "sit"), ("he@NONE", "tunnel6"), ("eth0", "ether"), ("wg0", "none"))
    text = "".join(heads.format(n, name, kind) for n, (name, kind) in enumerate(shown, 1))
    assert kinds(read(text)) == {"flannel.1": "vxlan", "mine": "ipip", "s": "sit", "he": "ip6tnl", "eth0": "", "wg0": ""}
    # Where details are shown, a name proves nothing.
    assert kinds(read(device(1, "flannel.1", "dummy") + device(2, "tunl0"))) == {"flannel.1": "dummy", "tunl0": ""}


@pytest.mark.parametrize("text", [TEXT, json.dumps(LINKS), json.dumps(LINKS, indent=4), json.dumps([{}, {}, *LINKS])])
def test_only_the_lookup_of_the_outer_route_sees_the_mark_of_a_tunnel(text: str) -> None:
    reading = read(text)
    write, look = reading.uses
    assert (write.access, write.value, write.possible, write.scope.family) == ("write", 0x10, True, "ip")
    assert (write.place.kind, write.place.text, write.statement) == ("route", "outer route of tunnel gre1", "gre dev gre1 fwmark 0x10")
    assert (look.access, look.mask, look.predicate, look.scope.family) == ("read", 0xFFFFFFFF, None, "ip6")
    assert (reading.mark_statements, reading.opaque, reading.problems) == (2, (), ())


def test_devices_in_json_have_lines_of_their_own() -> None:
    for text in (json.dumps(LINKS), json.dumps([link("é"), *LINKS], ensure_ascii=False)):
        source = Source("x", text.encode())
        form = by_name("ip-link-json")
        assert form
        for found in form.read(source, "ip-link-json", Scope()).devices:
            assert f'"ifname": "{found.name}"' in source.line(found.line)
    assert kinds(read(json.dumps(LINKS))) == {"lo": "", "eth0.5": "vlan", "gre1": "gre", "i6": "ip6tnl"}
    # ip -j link without -d says no kinds.
    assert kinds(read(json.dumps([{"ifindex": 1, "ifname": "tunl0", "qdisc": "noqueue", "link_type": "ipip"}]))) == {"tunl0": "ipip"}


@pytest.mark.parametrize(
    ("words", "settings", "told"),
    [
        ("id 7 dstport 4789 gbp", {"id": 7, "gbp": None}, True),
        ("id 7 dstport 4789 gbp", {"id": 7, "gbp": True}, True),
        ("external id 0 gbp", {"external": True, "gbp": True}, False),
        ("external id 0 gbp", {"collect_metadata": True, "gbp": True}, False),
        ("id 7 dstport 4789", {"id": 7}, False),
    ],
)
def test_group_policies_write_marks(words: str, settings: dict[str, object], told: bool) -> None:
    for text in (device(1, "vx0", f"vxlan {words}"), json.dumps([link("vx0", "vxlan", **settings)])):
        reading = read(text)
        assert [o.reason for o in reading.opaque] == ["VXLAN with group policies (gbp) writes the mark of what it receives"] * told


@pytest.mark.parametrize("mark", ["0x1ffffffff", "many", ""])
def test_a_mark_that_is_no_number_is_not_understood(mark: str) -> None:
    for text in (device(1, "g", f"gre remote any fwmark {mark}"), json.dumps([link("g", "gre", fwmark=mark)])):
        reading = read(text)
        assert (reading.uses, len(reading.opaque), reading.mark_statements) == ((), 1, 1)


def test_what_a_port_of_a_switch_receives_meets_no_rules_here() -> None:
    text = device(1, "genev_sys_6081", "geneve external id 0", slave="openvswitch_slave").replace(
        "qdisc noqueue", "qdisc noqueue master ovs-system"
    )
    listed = {**link("genev_sys_6081", "geneve"), "linkinfo": {"info_kind": "geneve", "info_slave_kind": "openvswitch"}}
    brief = {"ifindex": 1, "ifname": "genev_sys_6081", "qdisc": "noqueue", "master": "ovs-system"}
    for shown in (text, json.dumps([listed]), json.dumps([brief])):
        assert [(d.kind, d.bridge) for d in read(shown).devices] == [("geneve", "?")]
    assert {d.bridge for d in read(TEXT).devices} == {""}


def test_a_bridge_may_ask_for_rules_by_itself() -> None:
    on = "bridge forward_delay 1500 nf_call_iptables 1 nf_call_ip6tables 0 nf_call_arptables 0"
    for text in (device(1, "br0", on), json.dumps([link("br0", "bridge", nf_call_iptables=1, nf_call_ip6tables=0)])):
        assert [(s.name, s.value) for s in read(text).sysctls] == [("net.bridge.bridge-nf-call-iptables", 1)]


@pytest.mark.parametrize(
    "text",
    [
        f"# Generated by iptables-save v1.8.9\n*filter\nCOMMIT\n{TEXT}",
        f"{TEXT}*mangle\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n",
        f"{TEXT}table inet x {{\n}}\n",
        "0:\tfrom all lookup local\n",
        "1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever\n",
        "6: ve0@ve1: <BROADCAST,UP> mtu 1500 master br0 state forwarding priority 32 cost 2 \n",
        '[{"ifindex":6,"ifname":"ve0","flags":["UP"],"mtu":1500,"master":"br0","state":"forwarding"}]',
        '[{"ifname":"tunl0","mode":"ip/ip","remote":"any","local":"any"}]',
        '[{"priority":0,"src":"all","table":"local"}]',
        "qdisc noqueue 0: dev lo root refcnt 2\n",
        "# ip link\n",
    ],
)
def test_what_others_print_is_left_to_them(text: str) -> None:
    found = detect(Source("x", text.encode()))
    assert found is None or not found[1].startswith("ip-link")


def test_a_capture_that_was_cut_is_told() -> None:
    text = json.dumps(LINKS)
    form = by_name("ip-link-json")
    assert form
    for end in range(1, len(text), 7):
        reading = form.read(Source("x", text[:end].encode()), "ip-link-json", Scope())
        assert reading.problems
        assert not set(kinds(reading)) - {"lo", "eth0.5", "gre1", "i6"}


def test_anything_is_read_without_a_fault_and_in_time() -> None:
    words = [
        *" \n\\:<>[]{},",
        "1: eth0: <UP> mtu 1 qdisc x\n",
        "    link/ether ",
        " promiscuity ",
        "    gre ",
        "fwmark ",
        '"ifname": "a"',
        '"ifindex": 1',
    ]
    words += [
        "\0",
        "\udcff",
        "@",
        "    vxlan gbp ",
        '"linkinfo": ',
        '"info_data": ',
        "[" * 50,
        '{"ifindex": 1, "ifname": "x", "qdisc": "y"}',
    ]
    chance = random.Random(8)
    texts = ["".join(chance.choice(words) for _ in range(60)) for _ in range(300)]
    texts += ["[" * 100000, '[{"ifindex":1,"ifname":"a","linkinfo":' * 20000, "1: " * 50000, TEXT * 2000, "# \n" * 50000, "\n" * 300000]
    start = time.monotonic()
    for text in texts:
        source = Source("x", text.encode("utf-8", "surrogateescape"))
        for name in ("ip-link", "ip-link-json"):
            form = by_name(name)
            assert form
            form.detect(source)
            form.read(source, name, Scope())
    assert time.monotonic() - start < 15
