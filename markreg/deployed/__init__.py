"""What manifests deploy: components recognised, their settings resolved, and the bits that they will use there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from markreg.model import Component, Owned, Reading
from markreg.registry.effective import Resolver, Settings, layout_of
from markreg.registry.model import Registry

if TYPE_CHECKING:
    from markreg.deployed.interest import Interest
    from markreg.deployment import Deployed
    from markreg.manifests.documents import Document

_BY = "manifest"


def deploy(readings: Sequence[Reading], registry: Registry, pool: str = "") -> tuple[Deployed, ...]:
    """The components that the manifests among the readings deploy, by name, with what is set in them.

    ``pool``: a node pool of the plan, whose components run beside them.
    """
    documents = [cast("Document", d) for r in readings for d in r.documents]
    found: tuple[Deployed, ...] = ()
    if documents:
        from markreg.deployed.recognise import recognised
        from markreg.deployed.settings import settled

        found = settled(recognised(documents, registry), documents, registry)
    if pool:
        from markreg.deployed.pool import beside

        found = beside(found, registry, pool)
    return found


def interesting(registry: Registry) -> Callable[[Reading], Reading]:
    """What takes out of a reading the documents that no component of the registry is recognised by or set in."""

    interest: Interest | None = None

    def keep(reading: Reading) -> Reading:
        nonlocal interest
        if reading.documents and interest is None:
            from markreg.deployed.interest import Interest

            interest = Interest(registry)
        return interest.keep(reading) if interest else reading

    return keep


def known_of(deployed: Sequence[Deployed]) -> tuple[dict[str, Settings], dict[str, str]]:
    """Settings and releases by component. What a component refuses counts as not known."""
    settings: dict[str, Settings] = {d.name: {s.knob: None if s.refused else s.value for s in d.settings} for d in deployed}
    return settings, {d.name: d.release for d in deployed if d.release}


def resolver(registry: Registry, deployed: Sequence[Deployed]) -> Resolver:
    """Which bits deployed components use; others at their defaults."""
    return Resolver(registry, *known_of(deployed))


def with_deployed(
    components: tuple[Component, ...], owned: tuple[Owned, ...], deployed: Sequence[Deployed], registry: Registry, repository: bool
) -> tuple[tuple[Component, ...], tuple[Owned, ...], Collection[str]]:
    """Components and uses with those that manifests tell, and the components whose uses are all told.

    On a node that was captured, what a component does there goes before what its manifest says it will do.
    """
    if not deployed:
        return components, owned, ()
    from markreg.deployed.uses import uses

    seen = set() if repository else {o.owner for o in owned}
    told = [d for d in deployed if d.name not in seen]
    known: Mapping[str, Component] = {c.name: c for c in components}
    made = list(owned)
    for use in uses(registry, resolver(registry, deployed), told):
        owner = use.target.partition("/")[0]
        made.append(Owned(f"u{len(made) + 1}", use, owner, use.target, _BY))
    new = [_component(d, registry) for d in deployed if d.name not in known]
    named = {d.name: d for d in deployed}
    old = [replace(c, release=c.release or named[c.name].release) if c.name in named else c for c in components]
    return tuple(sorted((*old, *new), key=lambda c: c.name)), tuple(made), {d.name for d in told}


def _component(deployed: Deployed, registry: Registry) -> Component:
    entry = registry.components.get(deployed.name)
    layout = layout_of(entry, deployed.release).name if entry else None
    return Component(deployed.name, deployed.confidence, deployed.evidence, layout, deployed.release)
