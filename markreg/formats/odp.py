"""Flows of a datapath: ``ovs-appctl dpctl/dump-flows`` (also -m, --names) and ``ovs-dpctl dump-flows``, of the kernel and of userspace.

The kernel's conntrack action keeps what its mask leaves out: ``v | (c & ~mask)`` (net/openvswitch/conntrack.c ovs_ct_set_mark), as does
``set(skb_mark(…))`` (net/openvswitch/actions.c OVS_SET_MASKED). A megaflow's match has every bit that some table on the way looked at:
where the bridge's OpenFlow is given too, that says who looks (`captures`).
"""

from __future__ import annotations

import re

from markreg.model import Reading, Scope
from markreg.source import Source

NAMES = ("odp",)

KEYS = "recirc_id|in_port|ct_state|ct_zone|ct_mark|ct_label|skb_mark|skb_priority|dp_hash|tunnel|packet_type|eth|eth_type"
_DETECT = re.compile(
    rf"^(?:[^\n(]{{0,60}}[ \t:])?(?:ufid:[0-9a-f-]{{36}}, ?)?(?:{KEYS})\([^\n]*(?: actions:| packets:\d)|^flow-dump from ", re.MULTILINE
)


def detect(source: Source) -> str | None:
    """By a line of keys with actions or counters behind them."""
    return NAMES[0] if _DETECT.search(source.head()) else None


def read(source: Source, name: str, scope: Scope) -> Reading:
    """Every match and action that names a mark."""
    from markreg.formats import _odp_flows

    return _odp_flows.read(source, name, scope)
