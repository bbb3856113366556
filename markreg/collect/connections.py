"""What connections carry now: the entries of conntrack, where the kernel tracks some."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from markreg.collect import kernel
from markreg.collect.programs import find, run

if TYPE_CHECKING:
    from markreg.collect.limits import Budget
    from markreg.collect.tools import Live

_ENTRIES = Path("/proc/net/nf_conntrack")
_COUNT = Path("/proc/sys/net/netfilter/nf_conntrack_count")
_MARKED = (b" mark=", b" labels=")


def read(node: Live) -> None:
    """The entries that have a mark. Neither way loads anything: the file is there, or the module is."""
    if not _COUNT.exists() or not _tracked():
        return
    if _ENTRIES.exists():
        try:
            data, cut = _file(node.budget)
        except OSError as error:
            node.unread("conntrack", f"{_ENTRIES}: {error.strerror}")
            return
        _add(node, str(_ENTRIES), data, f"cat {_ENTRIES}", cut)
    elif find("conntrack") and kernel.netlink(kernel.NETLINK_NETFILTER) and kernel.module("nf_conntrack_netlink"):
        for family, option in (("ip", "ipv4"), ("ip6", "ipv6")):
            words = ("conntrack", "-L", "-f", option)
            output = run(words, node.budget, node.budget.entries)
            if output.error:
                node.unread(" ".join(words), output.error)
            else:
                _add(node, " ".join(words), output.data, " ".join(words), output.cut, family)
    else:
        node.unread("conntrack", f"neither {_ENTRIES} nor conntrack with nf_conntrack_netlink is here")


def _tracked() -> bool:
    """Whether there is any entry; where that cannot be read, there may be."""
    try:
        return _COUNT.read_text(encoding="ascii").strip() != "0"
    except OSError:
        return True


def _file(budget: Budget) -> tuple[bytes, bool]:
    lines: list[bytes] = []
    size = 0
    with _ENTRIES.open("rb") as file:
        for line in file:
            if len(lines) >= budget.entries or size > budget.bytes or not budget.left:
                return b"".join(lines), True
            lines.append(line)
            size += len(line)
    budget.bytes -= size
    return b"".join(lines), False


def _add(node: Live, name: str, data: bytes, command: str, cut: bool, family: str = "inet") -> None:
    marked = b"".join(
        line
        for line in data.splitlines(keepends=True)
        if any(word in line for word in _MARKED) and (b" mark=0 " not in line + b" " or b" labels=" in line)
    )
    if marked:
        node.add(name, "conntrack", family, marked, command)
    if cut:
        node.unread(f"a part of {name}", f"there are more than {node.budget.entries} connections (--max-entries)")
