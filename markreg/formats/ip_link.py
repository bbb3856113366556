"""Network devices: what ``ip link`` and ``ip addr`` print, as text (also -d, -s, -o) and as JSON (-j, -p).

A device is no statement about marks, but says where packets come back. Two are: a tunnel's ``fwmark``, by which alone the route of
the outer packet is looked up, and VXLAN with group policies, which writes the mark of what it receives.
"""

from __future__ import annotations

import re

from markreg.model import Reading, Scope
from markreg.source import Source

NAMES = ("ip-link", "ip-link-json")

_HEADER = r"\d{1,10}: [^\s:]{1,15}(?:@[^\s:]{1,15})?: <[A-Z0-9_,-]*> mtu \d+ (?:xdp\w*(?:/\S+)? )?qdisc "
_FIRST = re.compile(rf"\s*(?:[#$][^\n]*\n\s*)*{_HEADER}")
# Any line that is not a device's: what is a part of a larger report is not taken for all of it.
_FOREIGN = re.compile(r"^(?![ \t#$\r]|\d{1,10}: |$)", re.MULTILINE)
_JSON = re.compile(
    r'\s*\[\s*(?:\{\s*\}\s*,\s*)*\{\s*"ifindex"\s*:\s*\d{1,10}\s*,\s*(?:"link(?:_index)?"\s*:\s*[^,{}\[\]]*,\s*)?"ifname"\s*:'
)
# bridge(8) begins its JSON alike and has no queues.
_JSON_OURS = re.compile(r'"(?:qdisc|linkinfo|addr_info|link_type)"\s*:')
_HEAD = 65536


def detect(source: Source) -> str | None:
    """Text by a device in the first line and nothing but devices below, JSON by the keys of the first device."""
    head = source.head(_HEAD)
    if _JSON.match(head):
        return NAMES[1] if _JSON_OURS.search(head) else None
    # The last line of the head may have been cut anywhere.
    whole = head if len(source.data) <= _HEAD else head.rpartition("\n")[0]
    return NAMES[0] if _FIRST.match(head) and not _FOREIGN.search(whole) else None


def read(source: Source, name: str, scope: Scope) -> Reading:
    """Every device with its kind."""
    from markreg.formats import _ip_link_devices

    return _ip_link_devices.read(source, name, scope)
