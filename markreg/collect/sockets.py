"""What sockets put on their packets: SO_MARK, which only the kernel's socket diagnosis tells, and only where it is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markreg.collect import kernel
from markreg.collect.programs import find, run

if TYPE_CHECKING:
    from markreg.collect.tools import Live

_KINDS = (("tcp_diag", "-t"), ("udp_diag", "-u"))
_MARK = b" fwmark:0x"


def read(node: Live) -> None:
    """The sockets that have a mark."""
    if find("ss") is None or not kernel.netlink(kernel.NETLINK_SOCK_DIAG) or not kernel.module("inet_diag"):
        return
    for module, option in _KINDS:
        if not kernel.module(module):
            continue
        words = ("ss", "-H", "-n", "-a", "-e", option)
        output = run(words, node.budget, node.budget.entries)
        if output.error:
            node.unread(" ".join(words), output.error)
            continue
        if marked := b"".join(line for line in output.data.splitlines(keepends=True) if _MARK in line):
            node.add(" ".join(words), "ss", "inet", marked, " ".join(words))
        if output.cut:
            node.unread(f"a part of {' '.join(words)}", f"there are more than {node.budget.entries} sockets (--max-entries)")
