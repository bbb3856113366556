"""Tunnels: WireGuard's mark, never its keys, and the marks of the kernel's other tunnels."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from markreg.collect.programs import find, run

if TYPE_CHECKING:
    from markreg.collect.tools import Live

_LINKS = ("ip", "-d", "-j", "link", "show")


def read(node: Live) -> None:
    """Only where there are such devices: to ask for WireGuard by name would load it."""
    listed = run(_LINKS, node.budget)
    if listed.error:
        node.unread("ip link", listed.error)
        return
    try:
        links = [link for link in json.loads(listed.data or b"[]") if isinstance(link, dict)]
    except (ValueError, RecursionError):
        node.unread("ip link", "it printed no JSON; iproute2 is too old")
        return
    kinds = {str(link.get("linkinfo", {}).get("info_kind")) for link in links}
    if "wireguard" in kinds:
        if find("wg") is None:
            node.unread("WireGuard", "wg is not installed, and only it says the mark of a tunnel")
        else:
            node.capture("wg show all fwmark", "wg", "inet", ("wg", "show", "all", "fwmark"))
    marked = [
        {"ifname": link.get("ifname"), "linkinfo": link["linkinfo"]}
        for link in links
        if _mark(link.get("linkinfo", {}).get("info_data", {})) not in ("", "0", "0x0")
    ]
    if marked:
        node.add("ip -d -j link", "ip-link", "inet", json.dumps(marked, indent=1).encode() + b"\n", " ".join(_LINKS))


def _mark(data: object) -> str:
    return str(data.get("fwmark", "")) if isinstance(data, dict) else ""
