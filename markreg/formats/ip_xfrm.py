"""IPsec policies and states as ``ip xfrm policy`` and ``ip xfrm state`` print them (also -s, -d, -o).

A policy's or state's ``mark`` is compared with the packet's, a state's ``output-mark`` is written to it. Lines with keys are never
looked at, so nothing of them can reach a report.
"""

from __future__ import annotations

import re

from markreg.model import Reading, Scope
from markreg.source import Source, decode

NAMES = ("ip-xfrm",)

_HEAD = 65536
_NEXT = r"[^\n\\]*[\n\\]\s*"
_DETECT = re.compile(
    rf"^[ \t]*src \S+ dst \S+{_NEXT}(?:security context {_NEXT})?(?:(?:dir|socket) (?:in|out|fwd) |proto \S+ (?:spi|reqid) )",
    re.MULTILINE,
)
_FOREIGN = re.compile(r"^(?:#!|apiVersion:|kind:|```|---[ \t\r]*$)", re.MULTILINE)


def detect(source: Source) -> str | None:
    """By a line of two addresses with a direction or a protocol's SPI after it."""
    head = decode(source.data[:_HEAD]).replace("\r\n", "\n")
    return NAMES[0] if _DETECT.search(head) and not _FOREIGN.search(head) else None


def read(source: Source, name: str, scope: Scope) -> Reading:
    """Every policy, and the states that have marks."""
    from markreg.formats import _ip_xfrm_listing

    return _ip_xfrm_listing.read(source, name, scope)
