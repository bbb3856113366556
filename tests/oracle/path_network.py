"""A router in a network namespace, with a client, a server and two hosts on a bridge around it, and the packets that go through it.

Every packet of one run has a length of its own, so that counters of bytes tell one packet from another, and nothing else is sent: no
IPv6, no ARP. A packet counts when its receiver has it, so that every hook on its way has seen it.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import random
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tests.oracle.iptables_kernel import forget_connections
from tests.oracle.path_nodes import PROTOCOL

_LIBC = ctypes.CDLL(None, use_errno=True)
_NEWNET = 0x40000000
_PORT, _FROM, _CLOSED, _TFTP, _MAPPED = 5001, 6001, 5999, 69, 5003
# Distinct lengths, in no order that sums could agree in by chance.
_LENGTHS = tuple(random.Random("lengths").sample(range(8, 1300), 1200))


def run(*words: str, text: str = "") -> str:
    """A command; what it prints."""
    done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}\n{text}"
    return done.stdout


class Flow(NamedTuple):
    """Who sends to whom: namespaces and addresses."""

    source: str
    address: str
    target: str
    to: str


_BASE = (
    Flow("client", "10.1.0.2", "server", "10.2.0.2"),
    Flow("server", "10.2.0.2", "client", "10.1.0.2"),
    Flow("client", "10.1.0.2", "router", "10.1.0.1"),
    Flow("server", "10.2.0.2", "router", "10.2.0.1"),
    Flow("router", "10.1.0.1", "client", "10.1.0.2"),
    Flow("router", "10.2.0.1", "server", "10.2.0.2"),
)
_BRIDGED = (
    Flow("left", "10.3.0.2", "right", "10.3.0.3"),
    Flow("left", "10.5.0.2", "right", "10.4.0.3"),  # routed, and back to the bridge
    Flow("left", "10.3.0.2", "router", "10.3.0.1"),
    Flow("router", "10.3.0.1", "left", "10.3.0.2"),
    Flow("left", "10.3.0.2", "server", "10.2.0.2"),
    Flow("server", "10.2.0.2", "right", "10.3.0.3"),
)
_FLOWS = {
    "loopback": (Flow("router", "127.0.0.2", "router", "127.0.0.3"), Flow("router", "10.1.0.1", "router", "10.2.0.1")),
    "vxlan": (
        Flow("client", "10.1.0.7", "server", "10.9.0.2"),
        Flow("server", "10.9.0.2", "client", "10.1.0.7"),
        Flow("router", "10.9.0.1", "server", "10.9.0.2"),
        Flow("server", "10.9.0.2", "router", "10.9.0.1"),
        Flow("server", "10.9.0.3", "client", "10.9.0.7"),  # out of the tunnel, and back into it
    ),
    "bridge": _BRIDGED,
    "bridge-nf": _BRIDGED,
}


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data + b'x') // 2}H", data + bytes(len(data) % 2)))
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


class Network:
    """This namespace is the router; the others hang on it."""

    def __init__(self) -> None:
        self.here = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.spaces: dict[str, int] = {"router": self.here}
        self._lengths = itertools.cycle(_LENGTHS)
        self._quiet()
        for name, device, address, router in (("client", "in0", "10.1.0.2", "10.1.0.1"), ("server", "out0", "10.2.0.2", "10.2.0.1")):
            self._host(name, device, address, router, f"{router}/24")
        run("ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        run("ip", "address", "add", "10.3.0.1/24", "dev", "br0")
        run("ip", "link", "set", "br0", "up")
        for name, device, address in (("left", "p0", "10.3.0.2"), ("right", "p1", "10.3.0.3")):
            self._host(name, device, address, "10.3.0.1", bridge="br0")
        self._know("left", "far", "10.3.0.3", "right", "far")
        self._know("right", "far", "10.3.0.2", "left", "far")
        for name, at, own, far in (("left", "10.3.0.2", "10.5.0.2", "10.4.0.3"), ("right", "10.3.0.3", "10.4.0.3", "10.5.0.2")):
            with self.inside(name):
                run("ip", "address", "add", f"{own}/32", "dev", "far")
                run("ip", "route", "add", far, "via", "10.3.0.1")
            run("ip", "route", "add", own, "via", at)
        with self.inside("client"):
            run("ip", "address", "add", "10.1.0.7/32", "dev", "far")
        run("ip", "route", "add", "10.1.0.7/32", "via", "10.1.0.2")
        self._tunnel()
        for path in ("ip_forward=1", "conf/all/rp_filter=0", "conf/all/send_redirects=0"):
            name, _, value = path.partition("=")
            Path(f"/proc/sys/net/ipv4/{name}").write_text(value)
        for device in ("in0", "out0", "br0", "vx0", "lo"):
            Path(f"/proc/sys/net/ipv4/conf/{device}/rp_filter").write_text("0")
            Path(f"/proc/sys/net/ipv4/conf/{device}/send_redirects").write_text("0")
        # Packets that a policy routing rule selects leave by the same device and are told by their realm.
        for net, device in (("10.1.0.0/24", "in0"), ("10.2.0.0/24", "out0"), ("10.3.0.0/24", "br0"), ("10.9.0.0/24", "vx0")):
            run("ip", "route", "add", net, "dev", device, "table", "99", "realm", "9")
        run("ip", "route", "add", "10.1.0.7/32", "via", "10.1.0.2", "dev", "in0", "table", "99", "realm", "9")

    def _quiet(self) -> None:
        """A new namespace that says nothing by itself."""
        for name in ("all", "default"):
            Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
        for name, value in (("icmp_ratelimit", "0"), ("icmp_msgs_per_sec", "1000000"), ("icmp_msgs_burst", "1000000")):
            with suppress(OSError):  # older kernels have these for the whole machine
                Path(f"/proc/sys/net/ipv4/{name}").write_text(value)
        run("ip", "link", "set", "lo", "up")

    def _host(self, name: str, device: str, address: str, router: str, own: str = "", bridge: str = "") -> None:
        assert _LIBC.unshare(_NEWNET) == 0
        self.spaces[name] = os.open("/proc/self/ns/net", os.O_RDONLY)
        self._quiet()
        self.enter("router")
        run("ip", "link", "add", device, "type", "veth", "peer", "name", "far", "netns", f"/proc/{os.getpid()}/fd/{self.spaces[name]}")
        if own:
            run("ip", "address", "add", own, "dev", device)
        if bridge:
            run("ip", "link", "set", device, "master", bridge)
        run("ip", "link", "set", device, "up")
        with self.inside(name):
            run("ip", "address", "add", f"{address}/24", "dev", "far")
            run("ip", "link", "set", "far", "up")
            run("ip", "route", "add", "default", "via", router)
        self._know(name, "far", router, "router", bridge or device)
        self._know("router", bridge or device, address, name, "far")

    def _tunnel(self) -> None:
        """A VXLAN between the router and the two others. It has one source port, so that what comes back belongs to the connection."""
        ends = {"router": ("10.2.0.2", "10.9.0.1"), "server": ("10.2.0.1", "10.9.0.2"), "client": ("10.1.0.1", "10.9.0.7")}
        for name, (remote, inner) in ends.items():
            with self.inside(name):
                run("ip", "link", "add", "vx0", "type", "vxlan", *f"id 9 dstport 4789 remote {remote} srcport 4789 4790".split())
                run("ip", "address", "add", f"{inner}/24", "dev", "vx0")
                run("ip", "link", "set", "vx0", "up")
        for name, other in (("router", "server"), ("router", "client"), ("server", "router"), ("client", "router")):
            self._know(name, "vx0", ends[other][1], other, "vx0")
        run("bridge", "fdb", "replace", self._address("client", "vx0"), "dev", "vx0", "dst", "10.1.0.2")
        self._know("router", "vx0", "10.9.0.3", "server", "vx0")
        for name, far, via in (
            ("server", "10.1.0.7", "10.9.0.1"),
            ("server", "10.9.0.7", "10.9.0.1"),
            ("client", "10.9.0.3", "10.9.0.1"),
            ("client", "10.9.0.2", "10.1.0.1"),
        ):
            with self.inside(name):
                run("ip", "route", "add", f"{far}/32", "via", via)
        with self.inside("server"):
            run("ip", "address", "add", "10.9.0.3/32", "dev", "vx0")

    def _know(self, name: str, device: str, address: str, other: str, of: str) -> None:
        """Tells a namespace the hardware address of a neighbour, which it would ask for."""
        mac = self._address(other, of)
        with self.inside(name):
            run("ip", "neigh", "replace", address, "lladdr", mac, "dev", device, "nud", "permanent")

    def _address(self, name: str, device: str) -> str:
        with self.inside(name):
            return run("ip", "-br", "link", "show", "dev", device).split()[2]

    def enter(self, name: str) -> None:
        """Moves this thread into a namespace."""
        assert _LIBC.setns(self.spaces[name], _NEWNET) == 0, os.strerror(ctypes.get_errno())

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """For the time of a block in another namespace."""
        self.enter(name)
        try:
            yield
        finally:
            self.enter("router")

    def talk(self, kinds: frozenset[str]) -> None:
        """All packets of these kinds of nodes, connection by connection."""
        self._lengths = itertools.cycle(_LENGTHS)
        flows = [*_BASE, *(f for kind in sorted(kinds & _FLOWS.keys()) for f in _FLOWS[kind])]
        for flow in flows:
            for counts in ((1, 2), (2, 1)):
                self._connection(flow, counts, socket.SOCK_DGRAM)
                self._connection(flow, counts, socket.SOCK_RAW)
            if "related" in kinds:
                self.refused(flow)
                self.expected(flow)
                self._echo(flow)
        if "nat" in kinds:
            self._mapped()

    def _connection(self, flow: Flow, counts: tuple[int, int], kind: socket.SocketKind) -> None:
        """Packets there, an answer, the same once more, a last one. Until an answer comes, every packet is of state NEW."""
        with ExitStack() as stack:
            receiver = stack.enter_context(self.socket(flow.target, kind, (flow.to, _PORT)))
            sender = stack.enter_context(self.socket(flow.source, kind, (flow.address, _FROM)))
            sender.connect((flow.to, _PORT))
            for count in (*counts, 0):
                if not count and flow in _FLOWS["vxlan"]:
                    self._forget_tunnel()
                back = (flow.address, 0)
                for _ in range(count or 1):
                    sender.send(self._data())
                    back = receiver.recvfrom(2000)[1]
                if count:
                    receiver.sendto(self._data(), back)
                    sender.recv(2000)
        forget_connections()

    def _forget_tunnel(self) -> None:
        """A tunnel's connection begins anew, while one inside it goes on."""
        listed = Path("/proc/self/net/nf_conntrack").read_text()
        if "dport=4789" in listed:
            run("conntrack", "-D", "-p", "udp", "--dport", "4789")

    def refused(self, flow: Flow) -> None:
        """Packets to a port where nobody listens: errors come back, which are related."""
        with self.socket(flow.source, socket.SOCK_DGRAM, (flow.address, _FROM)) as sender:
            sender.connect((flow.to, _CLOSED))
            for _ in range(2):
                sender.send(self._data())
                try:
                    sender.recv(2000)
                except ConnectionRefusedError:
                    continue
                raise AssertionError("something answered")
        forget_connections()

    def expected(self, flow: Flow) -> None:
        """A read request of TFTP, and its answer from another port: a connection that conntrack expects."""
        with ExitStack() as stack:
            receiver = stack.enter_context(self.socket(flow.target, socket.SOCK_DGRAM, (flow.to, _TFTP)))
            sender = stack.enter_context(self.socket(flow.source, socket.SOCK_DGRAM, (flow.address, _FROM)))
            sender.sendto(b"\0\1" + self._data(), (flow.to, _TFTP))
            back = receiver.recvfrom(2000)[1]
            answerer = stack.enter_context(self.socket(flow.target, socket.SOCK_DGRAM, (flow.to, _PORT)))
            for _ in range(2):
                answerer.sendto(self._data(), back)
                there = sender.recvfrom(2000)[1]
                sender.sendto(self._data(), there)
                answerer.recv(2000)
        forget_connections()

    def _echo(self, flow: Flow) -> None:
        """Requests that the target's kernel answers: new packets of the protocol that errors have."""
        with self.socket(flow.source, socket.SOCK_RAW, (flow.address, 0), socket.IPPROTO_ICMP) as sender:
            for number in range(3):
                data = struct.pack("!HH", 7, number) + self._data()
                sender.sendto(struct.pack("!BBH", 8, 0, _checksum(b"\x08\0\0\0" + data)) + data, (flow.to, 0))
                while sender.recv(2000)[20] != 0:
                    pass  # on loopback the request comes, too
        forget_connections()

    def _mapped(self) -> None:
        """A connection to the router that goes on to the server."""
        with ExitStack() as stack:
            receiver = stack.enter_context(self.socket("server", socket.SOCK_DGRAM, ("10.2.0.2", _PORT)))
            sender = stack.enter_context(self.socket("client", socket.SOCK_DGRAM, ("10.1.0.2", _FROM)))
            sender.connect(("10.1.0.1", _MAPPED))
            for _ in range(2):
                sender.send(self._data())
                back = receiver.recvfrom(2000)[1]
            for _ in range(2):
                receiver.sendto(self._data(), back)
                sender.recv(2000)
                sender.send(self._data())
                receiver.recv(2000)
        forget_connections()

    def _data(self) -> bytes:
        return bytes(next(self._lengths))

    def socket(self, name: str, kind: socket.SocketKind, at: tuple[str, int], protocol: int = PROTOCOL) -> socket.socket:
        """A socket in a namespace, bound to an address."""
        with self.inside(name):
            made = socket.socket(socket.AF_INET, kind, protocol if kind == socket.SOCK_RAW else 0)
        made.settimeout(10)
        made.bind(at)
        return made
