"""Ports of Open vSwitch bridges, as devices, from rows of its database."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from markreg.devices import Device
from markreg.rows import Row

_KEY = "egress_pkt_mark"
_DIGITS = re.compile(r"[ \t]*([+-]?[0-9]{1,19})")
_KERNEL = ("", "system")
# Where a port is one of a switch and nothing says of which bridge.
UNKNOWN = "?"


def egress_mark(text: str) -> int:
    """The mark that a tunnel's ``egress_pkt_mark`` says: OVS reads decimal digits up to the first other character, so that 0x10 is 0,
    and keeps 32 bits (lib/netdev-vport.c set_tunnel_config)."""
    found = _DIGITS.match(text)
    return int(found[1]) & 0xFFFFFFFF if found else 0


def ports(rows: Iterable[Row], netns: str) -> Iterator[Device]:
    """A device for each row of Interface. Its bridge is in its column ``bridge``, else found by rows of Bridge and Port; a bridge whose
    ``datapath_type`` is none of the kernel's runs in user space."""
    rows = {(r.table, r.uuid or str(n)): r for n, r in enumerate(rows) if r.table in ("Bridge", "Port", "Interface")}.values()
    bridges = {r.text("name"): r.text("datapath_type") not in _KERNEL for r in rows if r.table == "Bridge"}
    of_port = {port: r.text("name") for r in rows if r.table == "Bridge" for port in r.values("ports")}
    of_interface = {i: of_port[r.uuid] for r in rows if r.table == "Port" and r.uuid in of_port for i in r.values("interfaces")}
    for row in rows:
        name = row.text("name")
        if row.table != "Interface" or not name:
            continue
        # A bridge's own port has its name (vswitchd/bridge.c iface_get_type).
        kind = "internal" if name in bridges else row.text("type")
        bridge = row.text("bridge") or of_interface.get(row.uuid) or (name if name in bridges else UNKNOWN)
        options = row.pairs("options")
        mark = egress_mark(options[_KEY]) if _KEY in options else None
        yield Device(netns, name, "" if kind == "system" else kind, row.path, row.line, bridge, bridges.get(bridge, False), mark)
