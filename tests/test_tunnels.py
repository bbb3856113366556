"""Which devices keep marks through a tunnel, by their kinds and by their names."""

from __future__ import annotations

import tomllib

import pytest

from markreg.tunnels import keeps, kind_of
from tests.support import ROOT

DATA = tomllib.loads((ROOT / "rules" / "devices.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "kind", ["vxlan", "geneve", "gre", "gretap", "ip6gre", "ipip", "sit", "ip6tnl", "vti", "vti6", "xfrm", "erspan", "bareudp"]
)
def test_what_encapsulates_in_the_kernel_keeps_marks(kind: str) -> None:
    assert keeps(kind)


@pytest.mark.parametrize("kind", ["", "wireguard", "ovpn", "tun", "tap", "veth", "bridge", "internal", "patch", "l2tp", "dummy", "netkit"])
def test_what_makes_new_packets_or_encapsulates_nothing_does_not(kind: str) -> None:
    assert not keeps(kind)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("flannel.1", "vxlan"),
        ("flannel.*", "vxlan"),
        ("flannel-v6.1", "vxlan"),
        ("vxlan.calico", "vxlan"),
        ("vxlan-v6.calico", "vxlan"),
        ("vxlan*", "vxlan"),
        ("vxlan_sys_4789", "vxlan"),
        ("cilium_vxlan", "vxlan"),
        ("genev_sys_6081", "geneve"),
        ("genev_sys_*", "geneve"),
        ("antrea-tun0", "geneve"),
        ("tunl0", "ipip"),
        ("tunl*", "ipip"),
        ("gre*", "gre"),
        ("gre_sys", "gretap"),
        ("gretap0", "gretap"),
        ("sit0", "sit"),
        ("6in4-wan6", "sit"),
        ("ip6tnl0", "ip6tnl"),
        ("ip_vti0", "vti"),
        ("ip6_vti0", "vti6"),
    ],
)
def test_names_that_tunnels_have(name: str, kind: str) -> None:
    assert kind_of(name) == kind


@pytest.mark.parametrize(
    "name",
    [
        "",
        "*",
        "e*",
        "eth0",
        "lo",
        "cali*",
        "cali1",
        "wg0",
        "wg*",
        "tun0",
        "tun*",
        "tailscale0",
        "wt0",
        "docker0",
        "green0",
        "site1",
        "flannel-wg",
        "weave",
    ],
)
def test_other_names_say_nothing(name: str) -> None:
    assert kind_of(name) == ""


def test_every_name_is_of_a_kind_that_keeps_marks_and_has_a_source() -> None:
    for device in DATA["device"]:
        assert keeps(device["kind"])
        assert device["source"]
        for name in device["names"]:
            assert kind_of(name.replace("[0-9]*", "0")) == device["kind"]
