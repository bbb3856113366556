"""The switches by which marks do more than they do by themselves, and bridged packets meet rules, of this namespace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from markreg.collect import kernel

if TYPE_CHECKING:
    from markreg.collect.tools import Live

NAME = "sysctl"
_ROOT = Path("/proc/sys")
_ALWAYS = ("net/ipv4/fwmark_reflect", "net/ipv6/fwmark_reflect", "net/ipv4/tcp_fwmark_accept", "net/ipv4/conf/all/src_valid_mark")
# A node has many devices, and for most of them it is off.
_IF_ON = "net/ipv4/conf/*/src_valid_mark"
_BRIDGES = ("net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables", "net/bridge/bridge-nf-call-arptables")
_MODULE = "br_netfilter"


def read(node: Live) -> None:
    """What is on and what is off."""
    said = dict(_values())
    if said:
        node.add(NAME, "sysctl", "inet", "".join(f"{name} = {value}\n" for name, value in said.items()).encode(), "sysctl -a")


def _values() -> Iterator[tuple[str, str]]:
    for name in _ALWAYS:
        if (value := _value(name)) is not None:
            yield _shown(name), value
    for file in sorted(_ROOT.glob(_IF_ON)):
        name = str(file.relative_to(_ROOT))
        if (value := _value(name)) not in (None, "0"):
            yield _shown(name), str(value)
    for name in _BRIDGES:
        # Without this module nothing takes bridged packets to the hooks of IP (net/bridge/br_netfilter_hooks.c), which is what 0 says.
        # That the file is missing proves nothing alone: before Linux 5.3 only the first namespace had it, and it was for all.
        value = _value(name)
        if value is not None or not kernel.module(_MODULE):
            yield _shown(name), value or "0"


def _value(name: str) -> str | None:
    try:
        return (_ROOT / name).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None


def _shown(name: str) -> str:
    """As sysctl(8) writes it, with a dot inside a device's name as a slash."""
    return name.translate(str.maketrans("./", "/."))
