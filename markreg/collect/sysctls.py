"""The switches that let marks do more than they do by themselves, of this namespace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markreg.collect.tools import Live

NAME = "sysctl"
_ROOT = Path("/proc/sys")
_NAMES = (
    "net/ipv4/fwmark_reflect",
    "net/ipv6/fwmark_reflect",
    "net/ipv4/tcp_fwmark_accept",
    "net/ipv4/conf/*/src_valid_mark",
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
)


def read(node: Live) -> None:
    """Those that are on: all are off by themselves but the bridge's, which are there only where br_netfilter is."""
    on = [f"{name} = {value}" for name, value in _values() if value != "0"]
    if on:
        node.add(NAME, "sysctl", "inet", "\n".join((*on, "")).encode(), "sysctl -a")


def _values() -> Iterator[tuple[str, str]]:
    for pattern in _NAMES:
        for file in sorted(_ROOT.glob(pattern)):
            try:
                # sysctl(8) writes a dot inside a device's name as a slash.
                name = "/".join(file.relative_to(_ROOT).parts).translate(str.maketrans("./", "/."))
                yield name, file.read_text(encoding="ascii").strip()
            except OSError:
                continue
