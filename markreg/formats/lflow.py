"""OVN's logical flows: ``ovn-sbctl lflow-list`` and ``dump-flows`` (also --uuid, --ovs), and as ovn-detrace and documents quote them.

A logical flow is what OpenFlow carries out later: where the flows of its bridge are given too, those hold (`captures`).
"""

from __future__ import annotations

import re

from markreg.model import Reading, Scope
from markreg.source import Source

NAMES = ("lflow",)

HEADER = re.compile(
    r'^[ \t]*Datapath: +(?:"([^"\n]*)"(?: aka "([^"\n]*)")? )?\(?([0-9a-f-]{36})?\)? +Pipeline: +(ingress|egress)', re.MULTILINE
)
FLOW = re.compile(
    r"(?:uuid=0x(?P<uuid>[0-9a-f]{1,8}), ?)?table= ?(?:\d+|\?\?) ?\( *(?P<stage>\w+) *\), priority= *(?P<priority>\d+) *, *match=\("
)
_START = re.compile(rf"^[^\n]{{0,80}}?{FLOW.pattern}", re.MULTILINE)


def detect(source: Source) -> str | None:
    """By the header of a datapath, or a flow with its stage."""
    head = source.head()
    return NAMES[0] if HEADER.search(head) or _START.search(head) else None


def read(source: Source, name: str, scope: Scope) -> Reading:
    """What every logical flow does with marks; those with a UUID as rows of Logical_Flow, by which OpenFlow cookies are known."""
    from markreg.formats import _lflow_listing

    return _lflow_listing.read(source, name, scope)
