"""How a packet comes back to a node's hooks: over loopback, into and out of tunnels and IPsec, as an answer; and what shows that it can.

Which marks survive: net/core/skbuff.c skb_scrub_packet and the tunnels' drivers (a mark stays within one namespace, the connection does
not), net/core/dev.c for lo (both stay). Assumed of every node, these ways gave findings and no gain: they are followed where
the inputs show the device, else only by packets that pass a rule which names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from markreg.devices import Device, Sysctl
from markreg.flow import Guard
from markreg.model import Rule, Table
from markreg.tunnels import keeps, kind_of, protocols

_LO = "lo"


@dataclass(frozen=True, slots=True)
class Crossing:
    """From the end of the life ``source`` to the start of ``target``: by devices ``out`` and ``into`` (empty: any).

    ``asks``: protocols of which the packet must be, ``gives``: those of the one that goes on (empty: any). ``shown``: the inputs show the
    device; else a rule on the way must name it. ``text`` is what a witness prints.
    """

    source: str
    target: str
    text: str
    out: tuple[str, ...] = ()
    into: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()
    shown: bool = True


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the inputs show of one namespace. ``tunnels``: devices that encapsulate and keep the mark, with their kinds;
    ``listed``: all devices were seen.

    ``transforms``: there are IPsec policies or states (which may carry another family). ``loops``: a rule names lo. ``offloads``: a
    rule fills a flowtable; ``helps``: connections are expected, whose first packets nat asks about with marks they inherited.
    ``local``: what is addressed to this node is delivered before any routing rule asks for a mark. ``ports``: those of a switch in the
    kernel that are devices here; ``switched``: the protocols of its tunnels.
    """

    loops: bool = False
    tunnels: tuple[tuple[str, str], ...] = ()
    listed: bool = False
    transforms: bool = False
    offloads: bool = False
    helps: bool = False
    local: bool = True
    ports: tuple[str, ...] = ()
    switched: tuple[tuple[str, ...], ...] = ()
    sysctls: tuple[Sysctl, ...] = ()

    def lives(self, family: str, every: Iterable[str]) -> set[str]:
        """The lives that packets may have."""
        if family == "arp":
            return {"input", "output", "bridged"}
        within = self.bridged(family) is not False
        on = {"loopback": self.loops, "offloaded": self.offloads}
        on |= {"forwarded from a bridge": within, "delivered from a bridge": within}
        reached = {c.target for c in self.crossings(family)}
        on |= {"answered": self.answered(family) is not None, "rejected": self.answered(family) == ()}
        on |= {"encapsulated": "encapsulated" in reached, "switch": "switch" in reached}
        return {name for name in every if on.get(name, True)}

    def crossings(self, family: str) -> tuple[Crossing, ...]:
        """The ways from one life to another."""
        found: list[Crossing] = []
        for name, outer, devices, shown in self._ways() if family != "arp" else ():
            into, out = f"into the {name}", f"out of the {name}"
            found += [Crossing(v, "encapsulated", into, devices, gives=outer, shown=shown) for v in ("forward", "output", "encapsulated")]
            found += [Crossing("input", v, out, into=devices, asks=outer, shown=shown) for v in ("forward", "input")]
        if self.ports:
            found += [Crossing(v, "switch", "by a port of the switch", self.ports) for v in ("forward", "output", "encapsulated")]
            found += [Crossing("switch", v, "by a port of the switch", into=self.ports) for v in ("forward", "input")]
        found += [Crossing("switch", "encapsulated", "into the tunnel", gives=outer) for outer in self.switched]
        return tuple(found)

    def _ways(self) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...], bool]]:
        for outer in dict.fromkeys(protocols(kind) for _, kind in self.tunnels):
            yield "tunnel", outer, tuple(name for name, kind in self.tunnels if protocols(kind) == outer), self.listed
        if self.transforms:
            yield "IPsec tunnel", protocols("xfrm"), (), True

    def bridged(self, family: str) -> bool | None:
        """Whether bridged packets meet the hooks of their family; None where no input says it."""
        found = [s for s in self.sysctls if s.name == f"net.bridge.bridge-nf-call-{_TOOL[family]}"]
        return any(s.value for s in found) if found else None

    def answered(self, family: str) -> tuple[str, ...] | None:
        """The protocols in which an answer gets the mark of what it answers; all for none of them; None if the kernel does not do it."""
        if any(self._set(f"net.{f}.fwmark_reflect") for f in _ROOT[family]):
            return ()
        return ("tcp",) if _ROOT[family] and self._set("net.ipv4.tcp_fwmark_accept") else None

    def naming(self, guard: Guard) -> bool:
        """Whether a condition holds for no device but those by which packets come back."""
        known = (_LO, *(name for name, _ in self.tunnels))
        return guard.kind in ("iif", "oif") and not guard.negated and all(v in known for v in guard.values)

    def _set(self, name: str) -> bool:
        return any(s.value for s in self.sysctls if s.name == name)


NOWHERE = Evidence()
_ROOT = {"ip": ("ipv4",), "ip6": ("ipv6",), "arp": ()}
_TOOL = {"ip": "iptables", "ip6": "ip6tables", "arp": "arptables"}


def evidence(
    netns: str,
    guards: Iterable[Guard],
    devices: Iterable[Device],
    sysctls: Iterable[Sysctl],
    rules: Iterable[Rule],
    tables: Sequence[Table],
) -> Evidence:
    """What is shown of a namespace. ``guards``: all conditions of its rules; ``tables``: its own."""
    named = dict.fromkeys(v for g in guards if g.kind in ("iif", "oif") and not g.negated for v in g.values)
    lookups = [r for r in rules if r.kind == "rule" and r.scope.netns == netns]
    first = min((r.priority for r in lookups if r.use), default=1)
    here = [d for d in devices if d.netns == netns]
    there = [d for d in here if not d.bridge]
    listed = {d.name for d in there}
    switch = [d for d in here if d.bridge and not d.userspace]
    ports = [(d.name, d.bridge) for d in switch if d.kind == "internal"]
    tunnels = [(d.name, d.kind) for d in there] or [(v, kind_of(v)) for v in named]
    return Evidence(
        loops=_LO in named,
        tunnels=tuple((name, kind) for name, kind in tunnels if keeps(kind)),
        listed=bool(there),
        transforms=any(r.kind == "xfrm" and r.scope.netns == netns for r in rules),
        offloads=any(t.offloads for t in tables),
        helps=any(t.helps for t in tables) or any(s.name == "net.netfilter.nf_conntrack_helper" and s.value for s in sysctls),
        local=all(
            any(r.scope.family == f and r.table == "local" and not r.use and not r.selectors and r.priority < first for r in lookups)
            for f in dict.fromkeys(r.scope.family for r in lookups)
        ),
        ports=tuple(p for p, bridge in ports if p in listed or (not listed and (p == bridge or p in named))),
        switched=tuple(dict.fromkeys(protocols(d.kind) for d in switch if keeps(d.kind) and d.mark is None)),
        sysctls=tuple(s for s in sysctls if s.netns == netns),
    )
