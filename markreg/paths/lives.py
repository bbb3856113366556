"""A packet's way through a network namespace: which hooks, lookups and programs it meets, in which order.

Hooks and priorities are those of include/uapi/linux/netfilter*.h; where the stops stand: net/core/dev.c (tc and netfilter ingress and
egress), net/ipv4/ip_input.c, ip_forward.c, ip_output.c, net/ipv4/netfilter.c ip_route_me_harder, net/bridge/br_netfilter_hooks.c.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType
from typing import NamedTuple

from markreg.model import Hook, Owned
from markreg.paths.crossings import NOWHERE, Crossing, Evidence
from markreg.paths.graph import Block
from markreg.paths.selectors import Selector
from markreg.paths.uses import families_meet

_IN = ("tc-ingress", "ingress", "bridge-prerouting")
_OUT = ("xfrm-out", "postrouting", "bridge-output", "bridge-postrouting", "egress", "tc-egress")
_INWARD = (*_IN, "bridge-input", "prerouting", "route", "xfrm-in", "input")
_OUTWARD = ("route", "output", *_OUT)
# ``lo`` and ``answer`` are no hooks: there the packet turns round.
LIVES: dict[str, tuple[str, ...]] = {
    "forward": (*_IN, "bridge-input", "prerouting", "route", "xfrm-fwd", "forward", *_OUT),
    "input": (*_INWARD, "delivered"),
    "output": ("socket", *_OUTWARD),
    "bridged": (*_IN, "prerouting", "bridge-forward", "forward", "bridge-postrouting", "postrouting", "egress", "tc-egress"),
    # Where bridge-nf-call-iptables is on, prerouting is a part of the bridge's.
    "forwarded from a bridge": (*_IN, "prerouting", "bridge-input", "route", "xfrm-fwd", "forward", *_OUT),
    "delivered from a bridge": (*_IN, "prerouting", "bridge-input", "route", "xfrm-in", "input", "delivered"),
    "offloaded": ("tc-ingress", "ingress", "egress", "tc-egress"),
    # A packet over lo keeps its route.
    "loopback": ("socket", *_OUTWARD, "lo", *(stage for stage in _INWARD if stage != "route"), "delivered"),
    "answered": (*_INWARD, "answer", *_OUTWARD),
    "rejected": (*_IN, "bridge-input", "prerouting", "route", "xfrm-fwd", "forward", "answer", *_OUTWARD),
    "encapsulated": _OUTWARD,
    "switch": ("switch",),
}
# What only packets from a bridge meet.
_BRIDGED = ("bridge-prerouting", "bridge-input")
# What a bridged packet meets only where bridge-nf-call-iptables is on.
_MAYBE = ("prerouting", "forward", "postrouting")
# Where what no rule shows may act: programs on devices, sockets.
_ELSEWHERE: dict[str, dict[str, tuple[str, ...]]] = {
    "bpf": {"write": ("tc-ingress", "socket"), "read": ("route", "tc-egress")},
    "socket": {"write": ("socket",), "read": ("socket",)},
    "rule": {"read": ("route",), "write": ()},
}
_BPF = {("tc", "ingress"): "tc-ingress", ("tc", "egress"): "tc-egress", ("cgroup", "ingress"): "delivered", ("cgroup", "egress"): "egress"}
# Below this priority a packet has no connection yet: nf_conntrack's NF_IP_PRI_CONNTRACK.
_CONNTRACK = -200


@dataclass(frozen=True, slots=True, eq=False)
class Stop:
    """A use that stands in no chain: a routing rule, a program, a socket. ``mapped``: only packets that nat has mapped meet it.
    ``selector``: what else a routing rule asks."""

    owned: Owned
    mapped: bool = False
    selector: Selector | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """One hook or stop of a life. ``groups``: what is met there by ascending priority, what has one priority together.

    ``maybe``: a packet may also pass by. ``turns``: it is no hook, the packet turns round there.
    """

    name: str
    groups: tuple[tuple[Block | Stop, ...], ...]
    maybe: bool = False
    turns: bool = False


@dataclass(frozen=True, slots=True)
class Life:
    """One way of a packet. ``device``: it comes from a device, else from a socket. ``exits``: where its end may lead to."""

    name: str
    stages: tuple[Stage, ...]
    exits: tuple[Crossing, ...] = ()

    @property
    def device(self) -> bool:
        """Whether it comes from a device."""
        return self.name not in ("output", "loopback", "encapsulated")

    @property
    def begins(self) -> bool:
        """Whether packets begin there, not only come from another life."""
        return self.name != "encapsulated"


def connected(block: Block, hook: str, known: bool) -> bool:
    """Whether a packet has a connection in a base chain: after conntrack has looked, which it does at prerouting and output, or where it
    is ``known`` (drivers/net/loopback.c leaves it on the packet)."""
    if known:
        return True
    if hook in ("prerouting", "output"):
        return any(h.hook == hook and h.priority >= _CONNTRACK for h in block.base.hooks)
    return hook != "ingress"


# What nat may have changed before a hook: where a packet goes to (``d``), where it comes from (``s``).
MAPS = {
    **dict.fromkeys(("xfrm-in", "xfrm-fwd", "xfrm-out", "input", "forward", "postrouting", "bridge-forward"), "d"),
    **dict.fromkeys(("delivered", "egress", "tc-egress", "bridge-output", "bridge-postrouting"), "ds"),
}
_MAPPING = {"prerouting": ("d", -100), "output": ("d", -100), "input": ("s", 100), "postrouting": ("s", 100)}


def maps(entry: Block | Stop, hook: str) -> str:
    """What nat may have changed before an entry of a hook that is run after it; NF_IP_PRI_NAT_DST, NF_IP_PRI_NAT_SRC."""
    side, priority = _MAPPING.get(hook, ("", 0))
    later = side and isinstance(entry, Block) and any(h.hook == hook and h.priority >= priority for h in entry.base.hooks)
    return side if later else ""


# Classes of packets: by the state that conntrack gives them, and whether nat asks its chains, which it does once for a connection
# (net/netfilter/nf_nat_core.c nf_nat_inet_fn): before an answer comes, a second packet is new without them.
CLASSES = ("new", "new-again", "related", "related-again", "established")
MAPPED = ("new", "related")
_ANSWERS = ("related", "related-again", "established")


class Course(NamedTuple):
    """Which lives the packets of one connection may have, in which classes; ``later``: those that its first packet has not.
    ``follows``: it goes on from what the first of all courses leaves."""

    classes: Mapping[str, tuple[str, ...]]
    later: tuple[str, ...] = ()
    follows: bool = False


def turned(kind: str, stage: str) -> str:
    """The class of a packet after it turned round: over lo nat has done all its work, an answer is established."""
    return "established" if stage == "answer" else f"{kind}-again" if kind in MAPPED else kind


def courses(ways: Sequence[Life], local: bool) -> list[Course]:
    """The lives, with the classes there, that packets of one connection may have: forwarded both ways, from outside to this node and
    back, from this node and back, over loopback both ways. What a tunnel sends and receives is a connection of its own.

    Where routing rules ask for marks packets may be taken in on their way, and a proxy may speak for the one who sent them
    (IP_TRANSPARENT). Those to this node may go on instead, unless the table ``local`` is asked first (net/ipv4/fib_rules.c): what
    the other tables hold is not known.
    """
    asked = any(
        isinstance(e, Stop) and e.owned.use.place.kind == "rule" for life in ways for stage in life.stages for g in stage.groups for e in g
    )
    taken = ("input", "answered", "delivered from a bridge")
    forwarded = {**dict.fromkeys(("forward", "bridged", "forwarded from a bridge", "rejected"), CLASSES), "offloaded": ("established",)}
    through = Course({**forwarded, **dict.fromkeys(taken if asked else (), CLASSES)}, taken if local else ())
    spoken = dict.fromkeys((*taken, "output"), CLASSES)
    if asked:
        through = through if local else Course({**forwarded, **spoken})
    inward = Course({**dict.fromkeys(taken, CLASSES), "output": _ANSWERS})
    outward = Course({"output": CLASSES, **dict.fromkeys(taken, _ANSWERS)})
    apart = {"loopback": CLASSES}, {"encapsulated": CLASSES, "input": CLASSES}, {"switch": CLASSES[:1]}
    return [through, inward, outward, *([Course(spoken, tuple(spoken), True)] if asked else []), *(Course(classes) for classes in apart)]


def lives(
    family: str,
    blocks: Iterable[Block],
    stops: Iterable[Owned],
    evidence: Evidence = NOWHERE,
    selectors: Mapping[tuple[str, int], Selector] = MappingProxyType({}),
) -> tuple[Life, ...]:
    """The lives of packets of a family (``ip``, ``ip6``, ``arp``) in one namespace, without empty stages. ``selectors``: of routing rules,
    by path and line."""
    met: dict[str, list[tuple[int, Block | Stop]]] = {}
    for block in blocks:
        if block.table.family in ("bridge", "netdev", family) or families_meet(family, block.table.family):
            for hook in block.base.hooks:
                name = f"bridge-{hook.hook}" if block.table.family == "bridge" else hook.hook
                met.setdefault(name, []).append((hook.priority, block))
    lookups: list[Stop] = []
    for owned in stops:
        if owned.use.scope.family in ("bridge", "netdev") or families_meet(family, owned.use.scope.family):
            line = owned.use.lines[0] if owned.use.lines else 0
            stop = Stop(owned, selector=selectors.get((owned.use.path, line)))
            if owned.use.place.kind == "rule":
                lookups.append(stop)
            for hook in hooks(owned):
                met.setdefault(hook.hook, []).append((hook.priority, stop))
    exits, there = evidence.crossings(family), evidence.lives(family, LIVES)
    found = []
    for name, order in LIVES.items():
        if name not in there or ("bridge" in name and not any(k.startswith("bridge-") for k in met)):
            continue
        stages = tuple(
            Stage(at, groups, name == "bridged" and at in _MAYBE and evidence.bridged(family) is None, at in ("lo", "answer"))
            for at in order
            if not (name == "bridged" and at in _MAYBE and evidence.bridged(family) is False)
            if not (name in ("forward", "input") and at in _BRIDGED and evidence.bridged(family))
            if (groups := tuple(_groups(met.get(at, []), lookups if at == "output" else []))) or at in ("lo", "answer")
        )
        if any(not stage.turns for stage in stages):
            found.append(Life(name, stages, tuple(c for c in exits if c.source == name)))
    return tuple(found)


def _groups(entries: list[tuple[int, Block | Stop]], lookups: list[Stop]) -> Iterator[tuple[Block | Stop, ...]]:
    """By priority; after a chain of type route the route is looked up again, and for what a nat chain mapped
    (net/netfilter/nf_nat_proto.c nf_nat_ipv4_local_fn)."""
    for _, group in groupby(sorted(entries, key=lambda e: e[0]), key=lambda e: e[0]):
        members = tuple(entry for _, entry in group)
        yield members
        if lookups and any(isinstance(m, Block) and m.base.kind == "route" for m in members):
            yield tuple(lookups)
        if lookups and any(isinstance(m, Block) and m.base.kind == "nat" for m in members):
            yield tuple(Stop(s.owned, True, s.selector) for s in lookups)


def hooks(owned: Owned) -> tuple[Hook, ...]:
    """Where a use that stands in no chain is met."""
    use, place = owned.use, owned.use.place
    if place.kind == "xfrm":
        return tuple(Hook(h, 0) for h in ("xfrm-in", "xfrm-fwd", "xfrm-out") if h[5:] in place.text.split() or "state" in place.text)
    if place.hooks:
        return place.hooks
    if place.kind == "openflow":
        # Its tables are walked elsewhere (tables.py): here is what a packet brings to them, and then what they send with it.
        return (Hook("switch", 0 if use.effect is None else 1),)
    if place.kind == "bpf" and place.direction:
        kind = "cgroup" if place.attach.startswith("cgroup") else "tc"
        return (Hook(_BPF[kind, place.direction], 0),) if (kind, place.direction) in _BPF else ()
    if place.kind in _ELSEWHERE:
        return tuple(Hook(h, 0) for h in _ELSEWHERE[place.kind]["read" if use.effect is None else "write"])
    return ()
