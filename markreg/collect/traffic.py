"""Traffic control: the filters of every device whose queues can have some, each under the command that shows it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from markreg.collect.programs import find, run

if TYPE_CHECKING:
    from markreg.collect.tools import Live

NAME = "tc filter show"
_QDISC = re.compile(r"^qdisc (\w+) ([0-9a-f]*): dev (\S+) (root|parent \S+|ingress|clsact)", re.MULTILINE)


def read(node: Live) -> None:
    """Filters and their actions. Where no queue but the kernel's own is, there are none, and nothing is captured."""
    if find("tc") is None:
        # Only where there might be filters is it worth a word: clsact and ingress are modules that somebody had loaded.
        return
    listed = run(("tc", "qdisc", "show"), node.budget)
    if listed.error:
        node.unread("tc qdisc show", listed.error)
        return
    shown = b""
    for words in dict.fromkeys(_commands(listed.data.decode("utf-8", "replace"))):
        output = run(words, node.budget)
        if output.error:
            node.unread(" ".join(words), output.error)
        elif output.data.strip():
            shown += f"# {' '.join(words)}\n".encode() + output.data
    if shown:
        node.add(NAME, "tc", "inet", shown, NAME)


def _commands(queues: str) -> Iterator[tuple[str, ...]]:
    for kind, handle, device, where in _QDISC.findall(queues):
        show = ("tc", "filter", "show", "dev", device)
        if kind in ("ingress", "clsact"):
            yield (*show, "ingress")
            if kind == "clsact":
                yield (*show, "egress")
        elif handle.strip("0"):  # queues that the kernel made have no handle that a filter could name
            yield show if where == "root" else (*show, "parent", f"{handle}:")
