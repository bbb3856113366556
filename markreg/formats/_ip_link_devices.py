"""Devices in the forms that `ip_link` knows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from markreg.bits import BitsError, full, parse_word
from markreg.devices import Device, Sysctl
from markreg.formats._ovs_ports import UNKNOWN
from markreg.model import SKB_MARK, Opaque, Place, Problem, Reading, Scope, Use
from markreg.source import Source
from markreg.transfer import Word
from markreg.tunnels import kind_of

_DEVICE = re.compile(r"\d{1,10}: ([^\s:@]{1,15})(?:@[^\s:]{1,15})?: <")
_LINK = re.compile(r"[ \t]+link/(\S+)")
_KIND = re.compile(r"[ \t]+([a-z][a-z0-9_-]{1,14})(?=\s|$)")
# What may stand below a device instead of its kind: the port's part of a bridge or bond, names, addresses.
_NO_KIND = re.compile(r"\w+_slave|alias|altname|inet6?|valid_lft|vf|prog|link-netns|link-netnsid")
# Where the kind is not said, the type of hardware says it of some: for vti it says ipip or tunnel6, which is as good here.
_TYPES = {"ipip": "ipip", "sit": "sit", "gre": "gre", "gre6": "ip6gre", "tunnel6": "ip6tnl"}
_FWMARK = re.compile(r"(?<!\S)fwmark(?:[ \t]+(\S+))?")
_GROUPS = re.compile(r"(?<!\S)gbp(?!\S)")
_EXTERNAL = re.compile(r"(?<!\S)external(?!\S)")
_CALLS = re.compile(r"(?<!\S)nf_call_(iptables|ip6tables|arptables)[ \t]+(\d)(?!\S)")
_INHERIT = "inherit"
# The kernel's datapath takes what its ports receive (net/openvswitch/vport-netdev.c); of which bridge they are, no listing of devices says.
_MASTER = re.compile(r"(?<!\S)master ovs-system(?!\S)")


def read(source: Source, name: str, scope: Scope) -> Reading:
    """Every device. A capture cut in the middle is a `Problem`."""
    found = _Found(source.path, scope)
    problems: tuple[Problem, ...] = ()
    if source.head(64).lstrip().startswith("["):
        try:
            _in_json(source, found)
        except ValueError as error:
            problems = (Problem(source.path, 1, f"is no list of devices as ip -j prints it: {error}"),)
    else:
        _in_text(source.text(), found)
    opaque = tuple(Opaque(source.path, tuple(lines), reason) for reason, lines in found.opaque.items())
    return Reading(
        source.path,
        name,
        scope,
        tuple(found.uses),
        opaque=opaque,
        problems=problems,
        statements=len(found.devices),
        mark_statements=len(found.uses) + sum(len(o.lines) for o in opaque),
        devices=tuple(found.devices),
        sysctls=tuple(found.sysctls),
    )


@dataclass(slots=True)
class _Found:
    """What has been read so far."""

    path: str
    scope: Scope
    devices: list[Device] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)
    sysctls: list[Sysctl] = field(default_factory=list)
    opaque: dict[str, list[int]] = field(default_factory=dict)

    def device(self, name: str, kind: str, line: int, switched: bool) -> None:
        self.devices.append(Device(self.scope.netns, name, kind, self.path, line, UNKNOWN if switched else ""))

    def strange(self, line: int, reason: str) -> None:
        self.opaque.setdefault(reason, []).append(line)

    def fwmark(self, device: str, kind: str, text: str, line: int, clause: str) -> None:
        """What the lookup of the outer packet's route sees in place of the packet's mark, and nothing else (net/ipv4/ip_tunnel.c
        ip_tunnel_xmit): the packet keeps its own, so the write is one that may do nothing. ``inherit``: the lookup sees the
        packet's own (net/ipv6/ip6_tunnel.c ip6_tnl_xmit)."""
        family = "ip6" if "6" in kind else "ip" if kind else self.scope.family
        width = SKB_MARK.width
        effect = None
        if text != _INHERIT:
            try:
                value = parse_word(text, width)
            except BitsError:
                self.strange(line, "the fwmark of a tunnel is no number of 32 bits")
                return
            if not value:
                return
            effect = Word.const(value, width)
        use = Use(
            SKB_MARK.name,
            "write" if effect else "read",
            full(width),
            Place("route", f"outer route of tunnel {device}", family),
            Scope(self.scope.netns, family),
            self.path,
            (line,),
            clause,
            effect,
            statement=f"{kind or 'tunnel'} dev {device} fwmark {text}",
            possible=effect is not None,
        )
        self.uses.append(use)

    def groups(self, line: int) -> None:
        """drivers/net/vxlan/vxlan_core.c vxlan_parse_gbp_hdr; a device that takes its ids from packets leaves the mark alone."""
        self.strange(line, "VXLAN with group policies (gbp) writes the mark of what it receives")

    def calls(self, program: str, line: int) -> None:
        """One bridge may ask for what bridge-nf-call-iptables asks for all (net/bridge/br_netfilter_hooks.c br_nf_pre_routing)."""
        self.sysctls.append(Sysctl(self.scope.netns, f"net.bridge.bridge-nf-call-{program}", 1, self.path, line))


def _in_text(text: str, found: _Found) -> None:
    name, kind, line, detailed, kind_next, switched = "", "", 0, False, False, False

    def done() -> None:
        if name:
            found.device(name, kind or ("" if detailed else kind_of(name)), line, switched)

    for number, printed in enumerate(text.split("\n"), 1):
        # -o prints a backslash where lines end.
        for part in printed.rstrip("\r").split("\\"):
            if header := _DEVICE.match(part):
                done()
                name, kind, line, detailed, kind_next = header[1], "", number, False, False
                switched = bool(_MASTER.search(part))
            elif link := _LINK.match(part):
                kind = _TYPES.get(link[1], "")
                detailed = kind_next = " promiscuity " in part
            elif kind_next and (said := _KIND.match(part)):
                kind_next = False
                if not _NO_KIND.fullmatch(said[1]):
                    kind = said[1]
                    _details(part, name, kind, number, found)
            elif "mark" in part and not part.startswith((" ", "\t", "#", "$")):
                found.strange(number, "is no line of ip link")
    done()


def _details(text: str, name: str, kind: str, line: int, found: _Found) -> None:
    """The words behind a kind. What people write (alias) stands in lines of its own."""
    for mark in _FWMARK.finditer(text):
        found.fwmark(name, kind, mark[1] or "", line, mark[0])
    if kind == "vxlan" and _GROUPS.search(text) and not _EXTERNAL.search(text):
        found.groups(line)
    for program, value in _CALLS.findall(text) if kind == "bridge" else ():
        if value != "0":
            found.calls(program, line)


def _in_json(source: Source, found: _Found) -> None:
    """Raises ValueError for what is no list of objects. The source is cut so that each device is a line of its own."""
    text = source.text()
    starts: list[int] = []
    offset = at = 0
    for start, entry in _objects(text):
        name = entry.get("ifname")
        if not isinstance(name, str) or not name:
            continue
        offset, at = offset + (start - at if text.isascii() else len(text[at:start].encode("utf-8", "surrogateescape"))), start
        starts.append(offset)
        info = entry.get("linkinfo")
        info = info if isinstance(info, Mapping) else {}
        kind = _text(info.get("info_kind")) or _TYPES.get(_text(entry.get("link_type")), "")
        detailed = "linkinfo" in entry or "promiscuity" in entry
        line = len(starts)
        switched = entry.get("master") == "ovs-system" or info.get("info_slave_kind") == "openvswitch"
        found.device(name, kind or ("" if detailed else kind_of(name)), line, switched)
        data = info.get("info_data")
        if isinstance(data, Mapping):
            _settings(data, name, kind, line, found)
    source.cut(starts)


def _settings(data: Mapping[str, object], name: str, kind: str, line: int, found: _Found) -> None:
    if (mark := data.get("fwmark")) is not None:
        found.fwmark(name, kind, str(mark) if isinstance(mark, str | int) else "", line, '"fwmark"')
    elif data.get("ip6_tnl_f_use_orig_fwmark"):
        found.fwmark(name, kind, _INHERIT, line, '"ip6_tnl_f_use_orig_fwmark"')
    # iproute2 before 6.4 prints true for a flag that is set, later ones null.
    if kind == "vxlan" and "gbp" in data and data["gbp"] is not False and not data.get("external") and not data.get("collect_metadata"):
        found.groups(line)
    for program in ("iptables", "ip6tables", "arptables") if kind == "bridge" else ():
        if data.get(f"nf_call_{program}"):
            found.calls(program, line)


def _objects(text: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    """The objects of a list, each with where it begins. Raises ValueError."""
    decoder = json.JSONDecoder()
    at = _past(text, 0)
    if not text.startswith("[", at):
        raise ValueError("no list")
    at = _past(text, at + 1)
    while not text.startswith("]", at):
        try:
            entry, end = decoder.raw_decode(text, at)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        if isinstance(entry, dict):
            yield at, entry
        at = _past(text, end)
        if text.startswith(",", at):
            at = _past(text, at + 1)
        elif not text.startswith("]", at):
            raise ValueError("it ends in the middle")


_SPACE = re.compile(r"[ \t\r\n]*+")


def _past(text: str, at: int) -> int:
    """Where the next thing that is no space begins."""
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
