"""The words and kinds of value that registry files use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

Scalar = bool | int | str
# A string or a list of strings.
Texts = Annotated[tuple[str, ...], "one or many"]
# The same where an alternative is a glob, a range of numbers, or a value/mask.
Globs = Annotated[tuple[str, ...], "one or many", "glob"]
Ranges = Annotated[tuple[int | str, ...], "one or many", "range"]
Marks = Annotated[tuple[int | str, ...], "one or many", "mark"]
When = Mapping[str, Annotated[tuple[Scalar, ...], "one or many"]]

Purpose = Literal[
    "network-policy",
    "transparent-encryption",
    "virtual-ip",
    "ip-masquerade",
    "multi-homing",
    "application-identity",
    "service-proxy",
    "sampling",
    "qos",
    "vpn-routing",
    "other",
]
Via = Literal["netfilter", "routing", "xfrm", "tc", "ovs", "bpf", "socket", "nfqueue"]
Kind = Literal[
    "iptables", "nft", "ip-rule", "xfrm", "openflow", "lflow", "bpf", "tc", "socket", "manifest", "cni-conf"
]  # what a signature looks at; a format's name holds one of them
Dimension = Literal["netns", "family", "bridge", "ct-zone"]
Status = Literal["proposed", "active", "deprecated", "retired"]
