"""Captures without the addresses and names of a node, each replaced by one other throughout an archive.

Replaced: IPv4 and IPv6 addresses other than those that mean the same everywhere (0.0.0.0, 127.0.0.0/8, ::, ::1 and masks), MAC
addresses, the host's name, names of network namespaces, and names of devices. A device's name stays where a component is known by
it (cali*, wt0), where it is a pattern (cali+), and where it says nothing (eth0, lo). Marks, masks, priorities, chains, sets, tables and
comments stay: they say who wrote a rule.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import replace

from markreg.collect.anonymize_switch import NOTATIONS, Names
from markreg.collect.captured import Capture, Failure

_IPV4 = re.compile(rb"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\d)")
_IPV6 = re.compile(rb"(?<![\w:.])(?=[0-9a-fA-F:]*:[0-9a-fA-F:]*:)[0-9a-fA-F:]{2,39}(?:\.\d+){0,3}(?![\w:])")
_MAC = re.compile(rb"(?<![\w:])(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}(?![\w:])")
_DEVICE = re.compile(
    rb"(?:(?<=\s-i )|(?<=\s-o )|(?<=\bdev )|(?<=\biif )|(?<=\boif )|(?<=\biifname )|(?<=\boifname )|(?<=\biifname \")|(?<=\boifname \")"
    rb"|(?<=\"ifname\": \")|(?<=\"device\":\")|(?<=--physdev-in )|(?<=--physdev-out ))([\w.@-]+)(?=[\s\"/]|$)",
    re.MULTILINE,
)
_SETTING = re.compile(rb"(?<=\.conf\.)([^\s.]+)(?=\.)")
_WIREGUARD = re.compile(rb"^(\S+)(?=\t)", re.MULTILINE)
_NOTHING = re.compile(r"lo|all|default|(?:eth|ens|eno|wlan|bond|docker|dummy|veth|br|tun|tap|wg)\d{1,3}|\d+")
_STAYS = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("0.0.0.0/32"), ipaddress.ip_network("::/127"))


class Anonymizer:
    """One mapping for one archive. ``host``: the node's name. ``known`` says whether a component is known by a device's name."""

    def __init__(self, host: str, known: Callable[[str], bool]) -> None:
        self._host = re.compile(rb"(?<![\w.-])" + re.escape(host.encode("utf-8", "surrogateescape")) + rb"(?![\w-])") if host else None
        self._known = known
        self._names = Names(self.device)
        self._seen: dict[tuple[str, bytes], bytes] = {}

    def capture(self, one: Capture) -> Capture:
        """A capture without names and addresses."""
        data = self.text(one.data)
        if one.notation == "wg":
            data = _WIREGUARD.sub(lambda m: self._device(m[1]), data)
        if one.notation == "sysctl":
            # sysctl(8) writes a dot inside a device's name as a slash.
            data = _SETTING.sub(lambda m: self._device(m[1].replace(b"/", b".")).replace(b".", b"/"), data)
        if one.notation in NOTATIONS:
            data = self._names.without(one.notation, data)
        netns = self.namespace(one.netns)
        return replace(one, data=data, netns=netns, name=self._named(one.name, one.netns), command=self._line(one.command))

    def failure(self, one: Failure) -> Failure:
        """A failure without them."""
        return Failure(self._line(self._netns_in(one.name)), self._line(one.why))

    def namespace(self, name: str) -> str:
        """What a namespace is called here."""
        return name if name == "host" else self._other("netns", name.encode(), lambda n: b"netns%d" % n).decode()

    def device(self, name: str) -> str:
        """What a device is called here."""
        return self._device(name.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")

    def text(self, data: bytes) -> bytes:
        """Any text without them."""
        data = _MAC.sub(lambda m: self._other("mac", m[0].lower(), lambda n: b"02:00:00:%02x:%02x:%02x" % _bytes(n)), data)
        data = _IPV4.sub(lambda m: self._address(m[0]), data)
        data = _IPV6.sub(lambda m: self._address(m[0]), data)
        data = _DEVICE.sub(lambda m: self._device(m[1]), data)
        return self._host.sub(b"node", data) if self._host else data

    def _line(self, text: str) -> str:
        return self.text(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")

    def _named(self, name: str, netns: str) -> str:
        return self._line(name.replace(f"(netns {netns})", f"(netns {self.namespace(netns)})"))

    def _netns_in(self, name: str) -> str:
        return re.sub(r"(?<=\bnetns )([^)]+)", lambda m: self.namespace(m[1]), name)

    def _address(self, said: bytes) -> bytes:
        try:
            address = ipaddress.ip_address(said.decode())
        except ValueError:
            return said
        number = int(address)
        width = address.max_prefixlen
        # A mask is ones, then zeros.
        if any(address in net for net in _STAYS if net.version == address.version) or _is_mask(number, width):
            return said
        if width == 32:
            return self._other("ipv4", address.packed, lambda n: b"198.%d.%d.%d" % (18 + n // 65536 % 2, n // 256 % 256, n % 256))
        return self._other("ipv6", address.packed, lambda n: b"2001:db8::%x" % n)

    def _device(self, name: bytes) -> bytes:
        base, at, peer = name.partition(b"@")
        text = base.decode("utf-8", "replace")
        stays = name.endswith((b"+", b"*")) or _NOTHING.fullmatch(text) or self._known(text)
        other = base if stays else self._other("device", base, lambda n: b"if%d" % n)
        return other + (at + self._device(peer) if at else b"")

    def _other(self, kind: str, said: bytes, make: Callable[[int], bytes]) -> bytes:
        key = (kind, said)
        if key not in self._seen:
            self._seen[key] = make(1 + sum(k == kind for k, _ in self._seen))
        return self._seen[key]


def _bytes(number: int) -> tuple[int, int, int]:
    return number >> 16 & 255, number >> 8 & 255, number & 255


def _is_mask(number: int, width: int) -> bool:
    ones = (1 << width) - 1
    inverted = number ^ ones
    return bool(number >> (width - 1)) and inverted & (inverted + 1) == 0
