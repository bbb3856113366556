"""OpenFlow of Open vSwitch: ``ovs-ofctl dump-flows`` and ``dump-groups``, ``ovs-appctl bridge/dump-flows``, files for add-flows.

A use is a group of flows that are equal in table, priority, fields, masks and zone. Registers and metadata are fields when asked for
(``ovs.reg0`` …): each is a word of its bridge. The dumps of one bridge belong together (`together`): groups hold half of what a load
balancer writes, and the zone that a match sees is told by the flows that lead there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from markreg.model import PIPELINE, Reading, Scope
from markreg.source import Source

if TYPE_CHECKING:
    from markreg.switching import Flows

NAMES = ("openflow",)

# What is read only when asked for.
ON_DEMAND = frozenset(f.name for f in PIPELINE)
_REPLY = re.compile(r"^[ \t]*(?:NXST|OFPST)_(?:FLOW|GROUP_DESC|GROUP)(?: | reply|\b)", re.MULTILINE)
_FLOW = re.compile(
    r"^[ \t]*(?:add |modify |delete )?(?:cookie=0x[0-9a-fA-F]+|duration=[0-9.]+s"
    r"|(?:table(?:_id)?|priority|idle_timeout|hard_timeout)=[0-9]+"
    r"|(?:in_port|ct_state|ip|ipv6|arp|tcp|udp|dl_type|metadata)(?=[=, ]))[^\n]*[ ,\t]actions?[ \t]*=",
    re.MULTILINE,
)
_GROUP = re.compile(r"^[ \t]*(?:add )?group_id=[0-9]+,[ \t]*type=\w+", re.MULTILINE)
_FOREIGN = re.compile(r"^(?:#!|apiVersion:|kind:|```|---[ \t\r]*$|\*[a-z]+[ \t\r]*$|table \w+ \S+ \{)|[ ,]match=\(", re.MULTILINE)


def detect(source: Source) -> str | None:
    """By the header of a reply, or by a line that is a flow or a group."""
    head = source.head()
    if _FOREIGN.search(head):
        return None
    return NAMES[0] if _REPLY.search(head) or _FLOW.search(head) or _GROUP.search(head) else None


def read(source: Source, name: str, scope: Scope, fields: Collection[str] = (), thorough: bool = False) -> Reading:
    """Every statement of a dump that concerns marks, or one of ``fields`` (``ovs.reg0`` … ``ovs.reg31``, ``ovs.metadata``).

    ``thorough``: every list parsed, every match searched; the result is the same, which a test holds.
    """
    from markreg.formats import _openflow_dump

    return _openflow_dump.read(source, name, scope, fields, thorough)


def flows(source: Source) -> Flows:
    """All flows and groups of a dump as packets meet them, for the path analysis."""
    from markreg.formats import _openflow_flows

    return _openflow_flows.flows(source)


def together(readings: Sequence[Reading]) -> list[Reading]:
    """The readings with the zones that all dumps of a bridge tell, and what is missing of its groups."""
    from markreg.formats import _openflow_dump

    return _openflow_dump.together(readings)
