"""Where BPF programs are attached in this network namespace: filters and actions of tc, tcx, netkit, and the cgroups of the machine.

tc is asked by netlink (include/uapi/linux/rtnetlink.h, pkt_cls.h, tc_act/tc_bpf.h): neither tc's JSON nor pyroute2 0.9 has the ids
of programs in actions. tcx, netkit and cgroups are asked by bpf(2) PROG_QUERY.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from markreg.collect import bpf_syscall as bpf
from markreg.collect.bpf_programs import Program
from markreg.collect.kernel import mounted
from markreg.collect.limits import Budget

_HEADER, _TC, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BxxxiIII"), struct.Struct("=HH")
_DUMP = 0x301
_INTERRUPTED = 0x10
_ERROR, _DONE = 2, 3
_GETQDISC, _NEWQDISC, _GETTFILTER, _NEWTFILTER = 38, 36, 46, 44
_KIND, _OPTIONS, _CHAIN = 1, 2, 11
_BPF_ID, _ACT_BPF_ID = 11, 9
# Where a classifier keeps its actions.
_ACTIONS = {"bpf": 1, "cgroup": 1, "matchall": 2, "basic": 3, "flower": 3, "fw": 4, "route": 6, "u32": 7, "flow": 9}
_INGRESS, _EGRESS = 0xFFFFFFF2, 0xFFFFFFF3
_CHAIN_STEP = 1 << 16
_BUFFER = 1 << 16
_QUERIES = {"tcx": {46: "ingress", 47: "egress"}, "netkit": {54: "primary", 55: "peer"}}
# enum bpf_attach_type; the types of programs behind each: a cgroup is asked only for what is loaded.
_CGROUPS = {
    "cgroup_skb": {0: "ingress", 1: "egress"},
    "cgroup_sock": {2: "sock_create", 12: "post_bind4", 13: "post_bind6", 34: "sock_release"},
    "sock_ops": {3: "sock_ops"},
    "cgroup_sock_addr": {
        8: "bind4",
        9: "bind6",
        10: "connect4",
        11: "connect6",
        14: "sendmsg4",
        15: "sendmsg6",
        19: "recvmsg4",
        20: "recvmsg6",
        29: "getpeername4",
        30: "getpeername6",
        31: "getsockname4",
        32: "getsockname6",
    },
    "cgroup_sockopt": {21: "getsockopt", 22: "setsockopt"},
}
_MOST = 64
_CGROUPS_READ = 10_000


@dataclass(frozen=True, slots=True)
class Attachment:
    """One place of a program. ``hook``: ``tc``, ``tcx``, ``netkit`` or ``cgroup``; ``direction``: ``ingress``, ``egress``, of a netkit
    ``primary`` or ``peer``, of a cgroup what it is asked for (``connect4`` …), empty where that is not known; ``device``: a device, or a
    cgroup's path.

    ``priority``: of two at one hook, direction and device that with the lower number runs first.
    """

    program: int
    hook: str
    direction: str
    device: str
    priority: int


def devices(budget: Budget) -> Iterator[Attachment]:
    """The programs on the devices of this namespace. Raises OSError."""
    names = dict(socket.if_nameindex())
    for index, parents in _queues(budget).items():
        for parent in parents:
            yield from _filters(index, parent, names.get(index, str(index)), budget)
    for index, name in names.items():
        for hook, directions in _QUERIES.items():
            for attach, direction in directions.items():
                for order, program in enumerate(_query(index, attach)):
                    yield Attachment(program, hook, direction, name, order)


def cgroups(programs: Iterable[Program], budget: Budget) -> Iterator[Attachment]:
    """Where some of these programs are on the cgroups of the machine. Raises OSError."""
    loaded = [p for p in programs if p.type in _CGROUPS]
    if not loaded:
        return
    wanted = {attach: direction for kind in dict.fromkeys(p.type for p in loaded) for attach, direction in _CGROUPS[kind].items()}
    roots = mounted("cgroup2")
    if not roots:
        # Not to be seen from here (ip netns exec hides it), but such a program is loaded to be attached.
        yield from (Attachment(p.id, "cgroup", "", "", 0) for p in loaded)
        return
    for read, (folder, _, _) in enumerate(os.walk(roots[0])):
        if read >= _CGROUPS_READ or not budget.left:
            raise OSError(0, f"there are more cgroups than could be asked ({read})")
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            for attach, direction in wanted.items():
                for order, program in enumerate(_query(handle, attach)):
                    yield Attachment(program, "cgroup", direction, folder.removeprefix(roots[0]) or "/", order)
        finally:
            os.close(handle)


def _query(target: int, attach: int) -> tuple[int, ...]:
    """The programs at one place, in their order; none where a kernel or a device has no such place. Raises OSError."""
    ids = ctypes.create_string_buffer(4 * _MOST)
    try:
        _, said = bpf.call(bpf.PROG_QUERY, struct.pack("=IIIIQI", target, attach, 0, 0, ctypes.addressof(ids), _MOST))
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EOPNOTSUPP):
            return ()
        raise
    count = min(int(struct.unpack_from("=I", said, 24)[0]), _MOST)
    return struct.unpack_from(f"={count}I", ids.raw)


def _queues(budget: Budget) -> dict[int, dict[int, None]]:
    """For every device the parents below which filters may hang."""
    found: dict[int, dict[int, None]] = {}
    for index, handle, _, attributes in _dump(_GETQDISC, _NEWQDISC, 0, 0, budget):
        parents = found.setdefault(index, {})
        kind = _string(attributes.get(_KIND, b""))
        if kind == "clsact":
            parents |= dict.fromkeys((_INGRESS, _EGRESS))
        elif kind == "ingress":
            parents[_INGRESS] = None
        elif handle:
            parents[handle] = None
    return found


def _filters(index: int, parent: int, device: str, budget: Budget) -> Iterator[Attachment]:
    direction = "ingress" if parent == _INGRESS else "egress"
    for _, _, info, attributes in _dump(_GETTFILTER, _NEWTFILTER, index, parent, budget):
        kind, options = _string(attributes.get(_KIND, b"")), _attributes(attributes.get(_OPTIONS, b""))
        priority = _number(attributes.get(_CHAIN, b"")) * _CHAIN_STEP + (info >> 16)
        found = [options[_BPF_ID]] if kind == "bpf" and _BPF_ID in options else []
        found += _in_actions(options.get(_ACTIONS.get(kind, 0), b""))
        for identity in found:
            if program := _number(identity):
                yield Attachment(program, "tc", direction, device, priority)


def _in_actions(actions: bytes) -> Iterator[bytes]:
    for action in _attributes(actions).values():
        inside = _attributes(action)
        if _string(inside.get(_KIND, b"")) == "bpf":
            options = _attributes(inside.get(_OPTIONS, b""))
            if _ACT_BPF_ID in options:
                yield options[_ACT_BPF_ID]


def _dump(command: int, answer: int, index: int, parent: int, budget: Budget) -> Iterator[tuple[int, int, int, dict[int, bytes]]]:
    """Device, handle (of a queue) and info word with the attributes of each message. Raises OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asked:
        asked.settimeout(max(budget.left, 0.001))
        body = _TC.pack(0, index, 0, parent, 0)
        asked.send(_HEADER.pack(_HEADER.size + len(body), command, _DUMP, 1, 0) + body)
        while True:
            data = asked.recv(_BUFFER)
            at = 0
            while at + _HEADER.size <= len(data):
                size, kind, flags, _, _ = _HEADER.unpack_from(data, at)
                inside = data[at + _HEADER.size : at + size]
                if kind in (_ERROR, _DONE):
                    code = -struct.unpack_from("=i", inside)[0] if len(inside) >= 4 else 0
                    if code:
                        raise OSError(code, os.strerror(code))
                    return
                if flags & _INTERRUPTED:
                    raise OSError(0, "it changed while it was read")
                if kind == answer and len(inside) >= _TC.size:
                    _, device, handle, _, info = _TC.unpack_from(inside)
                    yield device, handle, info, _attributes(inside[_TC.size :])
                at += max(size + 3 & ~3, _HEADER.size)


def _attributes(data: bytes) -> dict[int, bytes]:
    """The attributes in some bytes, by their kind."""
    found: dict[int, bytes] = {}
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        found[kind & 0x3FFF] = data[at + _ATTRIBUTE.size : at + size]
        at += max(size + 3 & ~3, _ATTRIBUTE.size)
    return found


def _number(value: bytes) -> int:
    return int(struct.unpack("=I", value)[0]) if len(value) == 4 else 0


def _string(value: bytes) -> str:
    return value.split(b"\0")[0].decode("utf-8", "replace")
