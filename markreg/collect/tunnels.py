"""Devices and tunnels: the kind of each device, the marks of tunnels, WireGuard's mark, never its keys."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from markreg.collect.programs import find, run

if TYPE_CHECKING:
    from markreg.collect.tools import Live

_LINKS = ("ip", "-d", "-j", "link", "show")
# What is kept of a device: its kind, and what of its settings concerns marks. The rest is addresses, and long.
_DEVICE = ("ifindex", "ifname", "link_type")
_KINDS = ("info_kind", "info_slave_kind")
_SETTINGS = (
    "fwmark",
    "ip6_tnl_f_use_orig_fwmark",
    "gbp",
    "external",
    "collect_metadata",
    "nf_call_iptables",
    "nf_call_ip6tables",
    "nf_call_arptables",
)


def read(node: Live) -> None:
    """WireGuard only where there is such a device: to ask for it by name would load it."""
    listed = run(_LINKS, node.budget)
    if listed.error:
        node.unread("ip link", listed.error)
        return
    try:
        links = [link for link in json.loads(listed.data or b"[]") if isinstance(link, dict) and link.get("ifname")]
    except (ValueError, RecursionError):
        node.unread("ip link", "it printed no JSON; iproute2 is too old")
        return
    if links:
        text = "[" + ",\n".join(json.dumps(_kept(link)) for link in links) + "]\n"
        node.add("ip -d -j link", "ip-link-json", "inet", text.encode(), " ".join(_LINKS))
    if any(_info(link).get("info_kind") == "wireguard" for link in links):
        if find("wg") is None:
            node.unread("WireGuard", "wg is not installed, and only it says the mark of a tunnel")
        else:
            node.capture("wg show all fwmark", "wg", "inet", ("wg", "show", "all", "fwmark"))


def _kept(link: dict[str, object]) -> dict[str, object]:
    """A device as ``ip -d -j link`` prints it, without what nobody asks for."""
    said = _info(link)
    info = {key: said[key] for key in _KINDS if key in said}
    data = said.get("info_data")
    if isinstance(data, dict) and (settings := {key: data[key] for key in _SETTINGS if key in data}):
        info["info_data"] = settings
    return {**{key: link[key] for key in _DEVICE if key in link}, "linkinfo": info}


def _info(link: dict[str, object]) -> dict[str, object]:
    info = link.get("linkinfo")
    return info if isinstance(info, dict) else {}
