"""Settings found in manifests: MK306 for those that a component refuses or a plan forbids, MK903 for those that are left open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from markreg.bits import BitsError, format_mask
from markreg.checks import Context
from markreg.deployed import resolver
from markreg.model import Finding, Location
from markreg.registry import numbers
from markreg.registry.model import Knob, NodePool
from markreg.registry.words import Scalar

if TYPE_CHECKING:
    from markreg.deployment import Deployed, Mention, Setting

_OPEN = "render templates first (helm template … | markreg lint -), and name the ConfigMaps that values come from in the same run"


def check(context: Context, earlier: tuple[Finding, ...]) -> Iterator[Finding]:
    """One finding for each setting that is wrong or not known."""
    del earlier
    known = resolver(context.registry, context.node.deployed) if context.node.deployed else None
    for component in context.node.deployed:
        assert known is not None
        set_here = {s.knob: s for s in component.settings}
        told: set[tuple[str, int]] = set()
        for setting in component.settings:
            if setting.refused:
                yield _refused(context, component, setting.at, setting.refused)
            elif setting.value is None:
                message = f"{component.name}: what {setting.knob} is set to is left open here, so its bits are not known"
                yield Finding(
                    "MK903", "note", message, owners=(component.name,), locations=(_at(context, component, setting.at),), help=_OPEN
                )
        for knob, why in known.refused(component.name):
            at = set_here[knob].at if knob in set_here else component.sightings[0]
            if (at.path, at.line) not in told:
                told.add((at.path, at.line))
                yield _refused(context, component, at, why)
        yield from _contradicted(context, component)


def _refused(context: Context, component: Deployed, at: Mention, why: str) -> Finding:
    message = f"{component.name} does not run with this: {why}"
    return Finding("MK306", "error", message, owners=(component.name,), locations=(_at(context, component, at),))


def _contradicted(context: Context, component: Deployed) -> Iterator[Finding]:
    """Settings that are not what the pool's plan, or every plan that has the component, pins."""
    pools = [p for p in context.registry.node_pools.values() if component.name in p.settings and _asked(context, p)]
    for setting in component.settings:
        knob = context.registry.knob(component.name, setting.knob)
        pinned = [(p, p.settings[component.name][setting.knob]) for p in pools if setting.knob in p.settings[component.name]]
        if knob is None or setting.value is None or setting.refused or not pinned or len(pinned) < len(pools):
            continue
        if all(_differs(knob, setting, value) for _, value in pinned):
            pool, value = pinned[0]
            wanted, found = _shown(knob, value), _shown(knob, setting.value)
            message = f"{component.name} {setting.knob} is {found} here; the plan of pool {pool.name} pins {wanted}"
            help_ = f"set it to {wanted}, or change the plan"
            yield Finding("MK306", "error", message, owners=(component.name,), locations=(_at(context, component, setting.at),), help=help_)


def _asked(context: Context, pool: NodePool) -> bool:
    return not context.node.pool or pool.name == context.node.pool


def _differs(knob: Knob, setting: Setting, value: Scalar) -> bool:
    try:
        return setting.value is not None and numbers.knob_value(knob, setting.value) != numbers.knob_value(knob, value)
    except BitsError:
        return True


def _shown(knob: Knob, value: Scalar) -> str:
    try:
        plain = numbers.knob_value(knob, value)
    except BitsError:
        plain = value
    if isinstance(plain, bool):
        return str(plain).lower()
    return format_mask(plain) if isinstance(plain, int) and knob.type in ("mask", "value") else str(plain)


def _at(context: Context, component: Deployed, at: Mention) -> Location:
    source = context.sources.get(at.path)
    text = source.line(at.line) if source else at.text
    return Location("writer", component.name, at.place, at.path, at.line, at.column, at.end_column, text)
