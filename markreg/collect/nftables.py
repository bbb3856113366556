"""Which nftables tables there are. ``nft list tables`` would dump every rule to say so."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

from markreg.collect.kernel import NETLINK_NETFILTER
from markreg.collect.limits import Budget

# include/uapi/linux/netlink.h, netfilter/nfnetlink.h, netfilter/nf_tables.h
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_REQUEST_DUMP = 0x301
_INTERRUPTED = 0x10
_ERROR, _DONE = 2, 3
_GETTABLE = 10 << 8 | 1
_NEWTABLE = 10 << 8
_NAME = 1
# enum nfproto in netfilter.h
_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
_BUFFER = 1 << 16


class _InterruptedError(Exception):
    """The tables changed while they were listed."""


def tables(budget: Budget) -> tuple[tuple[str, str], ...]:
    """Family and name of every table of this namespace. Raises OSError."""
    try:
        return tuple(_dump(budget))
    except _InterruptedError:
        pass
    try:
        return tuple(_dump(budget))
    except _InterruptedError:
        raise OSError(0, "the tables changed while they were read, twice") from None


def _dump(budget: Budget) -> Iterator[tuple[str, str]]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as asked:
        asked.settimeout(max(budget.left, 0.001))
        asked.send(_HEADER.pack(_HEADER.size + 4, _GETTABLE, _REQUEST_DUMP, 1, 0) + bytes(4))
        while True:
            data = asked.recv(_BUFFER)
            at = 0
            while at + _HEADER.size <= len(data):
                size, kind, flags, _, _ = _HEADER.unpack_from(data, at)
                body = data[at + _HEADER.size : at + size]
                if kind in (_ERROR, _DONE):
                    code = -struct.unpack_from("=i", body)[0] if len(body) >= 4 else 0
                    if code:
                        raise OSError(code, os.strerror(code))
                    return
                if flags & _INTERRUPTED:
                    raise _InterruptedError
                if kind == _NEWTABLE:
                    yield _FAMILIES.get(body[0], str(body[0])), _name(body[4:])
                at += max(size + 3 & ~3, _HEADER.size)


def _name(attributes: bytes) -> str:
    at = 0
    while at + _ATTRIBUTE.size <= len(attributes):
        size, kind = _ATTRIBUTE.unpack_from(attributes, at)
        if kind == _NAME:
            return attributes[at + _ATTRIBUTE.size : at + size].rstrip(b"\0").decode("utf-8", "replace")
        at += max(size + 3 & ~3, _ATTRIBUTE.size)
    return ""
