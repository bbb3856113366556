"""How a packet comes back to a node's hooks: over loopback, into and out of tunnels and IPsec, as an answer; and what shows that it can.

Which marks survive: net/core/skbuff.c skb_scrub_packet and the tunnels' drivers (a mark stays within one namespace, the connection does
not), net/core/dev.c for lo (both stay). Assumed of every node, these ways gave findings and no gain: they are followed where
the inputs show the device, else only by packets that pass a rule which names it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from markreg.devices import Device, Sysctl
from markreg.flow import Guard
from markreg.model import Rule
from markreg.paths.uses import families_meet
from markreg.tunnels import keeps, kind_of

_LO = "lo"
_OFF = {"loopback", "answered", "encapsulated", "offloaded"}


@dataclass(frozen=True, slots=True)
class Crossing:
    """From the end of the life ``source`` to the start of ``target``: by devices ``out`` and ``into`` (empty: any).

    ``shown``: the inputs show the device; else a rule on the way must name it. ``text`` is what a witness prints.
    """

    source: str
    target: str
    text: str
    out: tuple[str, ...] = ()
    into: tuple[str, ...] = ()
    shown: bool = True


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the inputs show of one namespace. ``tunnels``: devices that encapsulate and keep the mark; ``listed``: all devices were seen.

    ``transforms``: families with IPsec policies. ``loops``: a rule names lo. ``offloads``: a rule fills a flowtable.
    """

    loops: bool = False
    tunnels: tuple[str, ...] = ()
    listed: bool = False
    transforms: tuple[str, ...] = ()
    offloads: bool = False
    sysctls: tuple[Sysctl, ...] = ()

    def lives(self, family: str, every: Iterable[str]) -> set[str]:
        """The lives that packets may have."""
        answers = any(self._set(f"net.{f}.fwmark_reflect") for f in _ROOT[family]) or self._set("net.ipv4.tcp_fwmark_accept")
        on = {"loopback": self.loops, "answered": bool(answers), "encapsulated": bool(self.crossings(family)), "offloaded": self.offloads}
        return {name for name in every if name not in _OFF or on[name]}

    def crossings(self, family: str) -> tuple[Crossing, ...]:
        """The ways from one life to another."""
        found: list[Crossing] = []
        ways = [("tunnel", self.tunnels, self.listed)] if self.tunnels else []
        ways += [("IPsec", (), True)] if any(families_meet(family, f) for f in self.transforms) else []
        for text, devices, shown in ways if family != "arp" else []:
            found += [Crossing(s, "encapsulated", f"into the {text}", devices, (), shown) for s in ("forward", "output", "encapsulated")]
            found += [Crossing("input", t, f"out of the {text}", (), devices, shown) for t in ("forward", "input")]
        return tuple(found)

    def bridged(self, family: str) -> bool | None:
        """Whether bridged packets meet the hooks of their family; None where no input says it."""
        found = [s for s in self.sysctls if s.name == f"net.bridge.bridge-nf-call-{_TOOL[family]}"]
        return bool(found[-1].value) if found else None

    def naming(self, guard: Guard) -> bool:
        """Whether a condition holds for no device but those by which packets come back."""
        known = (_LO, *self.tunnels)
        return guard.kind in ("iif", "oif") and not guard.negated and all(v in known for v in guard.values)

    def _set(self, name: str) -> bool:
        return any(s.value for s in self.sysctls if s.name == name)


NOWHERE = Evidence()
_ROOT = {"ip": ("ipv4",), "ip6": ("ipv6",), "arp": ()}
_TOOL = {"ip": "iptables", "ip6": "ip6tables", "arp": "arptables"}


def evidence(
    netns: str, guards: Iterable[Guard], devices: Iterable[Device], sysctls: Iterable[Sysctl], rules: Iterable[Rule], offloads: bool
) -> Evidence:
    """What is shown of a namespace. ``guards``: all conditions of its rules."""
    named = dict.fromkeys(v for g in guards if g.kind in ("iif", "oif") and not g.negated for v in g.values)
    there = [d for d in devices if d.netns == netns and not d.bridge]
    tunnels = tuple(d.name for d in there if keeps(d.kind))
    return Evidence(
        loops=_LO in named,
        tunnels=tunnels if there else tuple(v for v in named if keeps(kind_of(v))),
        listed=bool(there),
        transforms=tuple(dict.fromkeys(r.scope.family for r in rules if r.kind == "xfrm" and r.scope.netns == netns)),
        offloads=offloads,
        sysctls=tuple(s for s in sysctls if s.netns == netns),
    )
