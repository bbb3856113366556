"""The first registry file of a cluster, with comments: what was found on its nodes or in its manifests, and what is left to say."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from markreg.bits import format_bits, full
from markreg.plan.observed import Observed
from markreg.registry.effective import layouts
from markreg.registry.model import Registry
from markreg.registry.words import Scalar


@dataclass(frozen=True, slots=True)
class Member:
    """A component that was found: by what, in which release (None: not known), with which settings."""

    name: str
    evidence: str
    release: str | None = None
    layout: str = ""
    settings: Mapping[str, Scalar] = field(default_factory=dict)


def from_observed(observed: Observed) -> Iterator[Member]:
    """The components that audits recognised."""
    for found in observed.components:
        yield Member(found.name, f"recognised with {found.confidence} confidence", found.release or None, found.layout)


def draft(members: Iterable[Member], observed: Observed, registry: Registry, pool: str, origin: str) -> str:
    """The text of a plan. ``origin``: from what it was made."""
    found: dict[str, Member] = {}
    for member in members:
        found[member.name] = _joined(found[member.name], member) if member.name in found else member
    ordered = [found[name] for name in sorted(found)]
    lines = [
        "# Who has which bits of the packet mark, the connection mark and the connection label on our nodes.",
        f"# Written by markreg init from {' '.join(origin.split())}; from here on it is edited and reviewed like any interface:",
        "#",
        "#   markreg registry check                   whether what stands here can live together",
        "#   markreg registry diff --against REV      what a change takes, frees and moves",
        f"#   markreg plan --node-pool {pool:<15} settings at which the components can share a node",
        "#   markreg reserve OWNER NAME --field skb_mark --width 1",
        "",
        "version = 1",
        "",
        "# The list that ships with markreg. What stands here counts before it.",
        'extends = "builtin"',
        "",
        *_pool(ordered, registry, pool),
        *_unclaimed(observed, registry),
    ]
    return "\n".join(lines) + "\n"


def _joined(a: Member, b: Member) -> Member:
    return Member(a.name, a.evidence, a.release or b.release, a.layout or b.layout, {**b.settings, **a.settings})


def _pool(members: list[Member], registry: Registry, pool: str) -> Iterator[str]:
    yield "# Nodes of one make: reservations of components that share a node must not overlap (MK305)."
    if not members:
        yield "# Nothing was recognised; name the components that run on your nodes."
        yield from ("# [[node_pool]]", f'# name = "{pool}"', '# components = ["kube-proxy"]')
        return
    yield from ("[[node_pool]]", f"name = {json.dumps(pool)}", "components = [")
    yield from (f"  {json.dumps(m.name)}, # {' '.join(m.evidence.split())[:100]}" for m in members)
    yield "]"
    releases = [(m, release) for m in members if (release := _release(m, registry)) is not None]
    yield "# Releases decide where bits are; of a component that is not named here the newest layout is taken."
    for member, release in releases:
        if release != member.release:
            yield f"# {member.name}: which release is not known; its bits are those of {member.layout}."
    yield from _table("releases", {m.name: release for m, release in releases}, '{ calico = "3.30.2" }')
    yield "# Settings that nodes and manifests are held to (MK306). A setting that is not pinned may be changed."
    yield from _table("settings", {m.name: dict(m.settings) for m in members if m.settings}, '{ calico = { mark-mask = "0xff000000" } }')


def _release(member: Member, registry: Registry) -> str | None:
    """The release, or where only the layout is known and is not the newest, one that has it."""
    if member.release:
        return member.release
    entry = registry.components.get(member.name)
    known = layouts(entry) if entry else ()
    return next((i.since or "0" for i in known[:-1] if i.name == member.layout), None)


def _table(key: str, values: Mapping[str, object], example: str) -> Iterator[str]:
    yield f"{key} = {_toml(values)}" if values else f"# {key} = {example}"


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + " }"
    return str(value).lower() if isinstance(value, bool) else json.dumps(value)


def _unclaimed(observed: Observed, registry: Registry) -> Iterator[str]:
    """Bits in use that no component explains, as commented reservations."""
    held: dict[tuple[str, str], int] = {}
    for use in observed.uses:
        width = registry.fields[use.field].width if use.field in registry.fields else 0
        if use.owner.startswith("unattributed:") and width and use.mask & full(width) and not use.whole(width):
            held[use.owner, use.field] = held.get((use.owner, use.field), 0) | use.mask & full(width)
    yield ""
    if not held:
        yield "# Bits of your own: markreg reserve finds free ones and writes them here."
        yield from _commented("edge-qos", "skb_mark", "0-3", "docs/edge-qos.md")
        return
    yield "# Bits in use that no known component explains. Name their owner and take the comment signs away."
    for (owner, name), mask in sorted(held.items()):
        yield from ("#", f"# {' '.join(owner.split())}")
        yield from _commented("NAME", name, format_bits(mask), "where it can be looked up")


def _commented(owner: str, name: str, bits: str, source: str) -> Iterator[str]:
    rows = ("[[component]]", f'name = "{owner}"', "", "[[component.reservation]]", 'name = "mark"')
    rest = (f'field = "{name}"', f'bits = "{bits}"', f'source = "{source}"')
    yield from (f"# {line}".rstrip() for line in (*rows, *rest))
