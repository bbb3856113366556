"""The registered uses of deployed components, at their settings: they stand for the rules that the components will program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markreg.attribution.presumed import codes_of, effect_of
from markreg.bits import full
from markreg.deployment import Deployed, Mention
from markreg.model import CT_LABEL, CT_MARK, HOST, SKB_MARK, Access, Hook, Place, Scope, Use
from markreg.registry.effective import Effective, Resolver
from markreg.registry.model import Registry
from markreg.registry.numbers import joined
from markreg.registry.scopes import scope
from markreg.transfer import Predicate

_FIELDS = {f.name for f in (SKB_MARK, CT_MARK, CT_LABEL)}
_FAMILIES = {"ipv4": "ip", "ipv6": "ip6"}
_MANGLE = -150
_ALL_HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
# Where a use may be that the registry places no closer, by how it is made: for writes, for reads.
_ANYWHERE: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "netfilter": (_ALL_HOOKS, _ALL_HOOKS),
    "routing": (("route",), ("route",)),
    "xfrm": (("xfrm-in", "xfrm-out"), ("xfrm-in", "xfrm-fwd", "xfrm-out")),
    "tc": (("tc-ingress", "tc-egress"), ("tc-ingress", "tc-egress")),
    "bpf": (("tc-ingress", "socket"), ("route", "tc-egress")),
    "socket": (("socket",), ()),
    "nfqueue": (_ALL_HOOKS, _ALL_HOOKS),
    "ovs": (("tc-ingress",), ("tc-ingress",)),
}


def uses(registry: Registry, resolver: Resolver, deployed: Sequence[Deployed]) -> Iterator[Use]:
    """A use for every way in which a row in force touches its bits; ``target`` is the row's path."""
    for component in deployed:
        for row in resolver.in_force(component.name):
            if row.certain and row.field in _FIELDS:
                yield from _of_row(registry, row, component)


def _of_row(registry: Registry, row: Effective, component: Deployed) -> Iterator[Use]:
    spaces = [scope(registry, name) for name in row.scope]
    pods = [s.name for s in spaces if s.dimension == "netns"]
    families = {_FAMILIES[s.name] for s in spaces if s.name in _FAMILIES}
    netns = component.netns if "host" in pods or not pods else pods[0] if component.netns == HOST else component.netns
    where = Scope(netns, families.pop() if len(families) == 1 else "inet")
    at = decided_at(registry, component, row)
    width = registry.fields[row.field].width
    codes = codes_of(row)
    accesses: list[Access] = []
    if row.reservation.changes:
        accesses.append("write")
    if row.reservation.reads:
        accesses.append("read")
    for access in accesses:
        whole = row.reservation.writes == "whole" and access == "write"
        mask = full(width) if whole else row.mask
        predicate = None
        if access == "read" and codes:
            predicate = Predicate(row.field, mask, joined((c, c) for c in codes), codes[0] if len(codes) == 1 else None)
        yield Use(
            field=row.field,
            access=access,
            mask=mask,
            place=Place("manifest", f"{at.place} ({row.path})", where.family, hooks=_hooks(row, access), object=at.place, section=at.key),
            scope=where,
            path=at.path,
            lines=(at.line,),
            clause=at.text,
            effect=effect_of(row.field, width, mask, row.mask, codes) if access == "write" else None,
            predicate=predicate,
            statement=row.path,
            target=row.path,
            basis="manifest",
        )


def _hooks(row: Effective, access: Access) -> tuple[Hook, ...]:
    """Where packets meet the use: as registered (``raw/prerouting``, ``tc/ingress``), else anywhere."""
    said = row.reservation.write_at if access == "write" else row.reservation.read_at
    if said:
        names = [f"tc-{n.partition('/')[2]}" if n.startswith("tc/") else n.rpartition("/")[2] for n in said]
    else:
        names = [n for via in row.reservation.via for n in _ANYWHERE[via][access == "read"]]
    return tuple(Hook(name, _MANGLE if name in _ALL_HOOKS else 0) for name in dict.fromkeys(names))


def decided_at(registry: Registry, component: Deployed, row: Effective) -> Mention:
    """The line that decides a row's bits: that of the setting it follows, else where the component is recognised."""
    entry = registry.components[component.name]
    knobs = [row.reservation.bits_from.knob] if row.reservation.bits_from else []
    knobs += [row.reservation.value_from] if row.reservation.value_from else []
    knobs += [p.from_ for p in entry.pool for d in p.draw if d.name == row.reservation.name]
    knobs += row.reservation.when
    for knob in knobs:
        for setting in component.settings:
            if setting.knob == knob:
                return setting.at
    return component.sightings[0]
