"""What the inputs show of a node's network devices, and the kernel settings by which a packet goes another way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Device:
    """A network device in ``netns``, or a port of an Open vSwitch bridge (``bridge``, ``?`` where nothing says which; ``netns`` is the
    switch's own).

    ``kind`` as iproute2 and OVS name it: ``vxlan``, ``geneve``, ``gre``, ``ipip``, ``wireguard``, ``bridge``, ``internal`` (a port that is
    a device of the host or of a namespace), empty for plain ones. ``userspace``: a port of a bridge that does not run in the kernel, so
    that no mark goes through it. ``mark``: what the device gives packets that it encapsulates (``egress_pkt_mark``), None if nothing.
    """

    netns: str
    name: str
    kind: str
    path: str
    line: int
    bridge: str = ""
    userspace: bool = False
    mark: int | None = None


@dataclass(frozen=True, slots=True)
class Sysctl:
    """A kernel setting of a namespace: its name with dots (``net.ipv4.fwmark_reflect``) and its number."""

    netns: str
    name: str
    value: int
    path: str
    line: int
