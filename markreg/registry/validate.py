"""What the types of a registry file do not say: names that must exist, bits that must fit, rows that must exclude each other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

from markreg import resources
from markreg.bits import BitsError, parse_bits, parse_int
from markreg.registry import numbers, releases
from markreg.registry.errors import Flaw, did_you_mean
from markreg.registry.model import Interface, Knob, Origin, Recognise, Registry, RegistryFile, Rules
from markreg.registry.patterns import pattern
from markreg.registry.scopes import is_scope
from markreg.registry.signatures import test_keys
from markreg.registry.validate_component import ComponentCheck, check_times, flaw

VERSION = 1
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NAME = re.compile(r"[^\s/:]+")
_CODE = re.compile(r"MK[0-9]{3}")


def check_file(file: RegistryFile) -> None:
    """What one file must hold by itself. Raises Flaw."""
    if file.version != VERSION:
        raise flaw(file.origin, ("version",), f"version {file.version} is not known; this markreg reads version {VERSION}")
    for what, entries in (("component", file.component), ("field", file.field), ("scope", file.scope), ("node pool", file.node_pool)):
        _unique(what, entries)
    for entry in file.component:
        if not _SLUG.fullmatch(entry.name):
            raise flaw(entry.origin, ("name",), f"{entry.name!r} is no component name (letters, digits, '.', '_', '-')")
        _unique("pool", entry.pool)
        _unique("knob", entry.knob)
        _check_knobs(entry.knob)
        _check_patterns((*entry.recognise, *entry.interface))
        for row in entry.reservation:
            if not _NAME.fullmatch(row.name):
                raise flaw(row.origin, ("name",), f"{row.name!r} is no reservation name (no blanks, '/' or ':')")
            check_times(row.origin, (), row)
    for field in file.field:
        if not 1 <= field.width <= 1024:
            raise flaw(field.origin, ("width",), f"a field of {field.width} bits: the width must be 1 to 1024")


def check_rules(rules: Rules) -> None:
    """What one component file must hold by itself. Raises Flaw."""
    if not _SLUG.fullmatch(rules.component):
        raise flaw(rules.origin, ("component",), f"{rules.component!r} is no component name (letters, digits, '.', '_', '-')")
    _unique("knob", rules.knob)
    _check_knobs(rules.knob)
    _check_patterns((*rules.recognise, *rules.interface))


def _check_patterns(tables: Iterable[Recognise | Interface]) -> None:
    for table in tables:
        keys = test_keys(cast(Any, type(table)))
        if not any(getattr(table, attribute) for attribute, _, _ in keys):
            raise Flaw(table.origin.path, table.origin.keys, "[[recognise]] asks for nothing: give it a key to match", value=False)
        for attribute, key, marker in keys:
            for value in getattr(table, attribute):
                try:
                    pattern(value, marker)
                except BitsError as error:
                    raise flaw(table.origin, (key,), str(error)) from None


def _unique(what: str, entries: Iterable[Any]) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.name in seen:
            raise flaw(entry.origin, ("name",), f"{what} {entry.name!r} is there twice")
        seen.add(entry.name)


def _check_knobs(knobs: tuple[Knob, ...]) -> None:
    named = {k.name: k for k in knobs}
    for knob in knobs:
        asked = [("read", n, (*place.when,)) for n, place in enumerate(knob.read)]
        asked += [("refuses", n, (*refusal.when, *refusal.given)) for n, refusal in enumerate(knob.refuses)]
        for key, number, names in asked:
            for name in names:
                if name not in named:
                    raise flaw(knob.origin, (key, number), f"no knob {name!r}{did_you_mean(name, named)}")
        for number, place in enumerate(knob.read):
            for value in (*place.values.values(), *((place.absent,) if place.absent is not None else ())):
                try:
                    numbers.knob_value(knob, value)
                except BitsError as error:
                    raise flaw(knob.origin, ("read", number), str(error)) from None
        if knob.default is not None:
            try:
                numbers.knob_value(knob, knob.default)
            except BitsError as error:
                raise flaw(knob.origin, ("default",), str(error)) from None
        for number, limit in enumerate(knob.limits):
            for key in ("range", "must_cover"):
                text = getattr(limit, key)
                try:
                    if text is not None:
                        numbers.parse_ranges(text) if key == "range" else parse_int(text)
                except BitsError as error:
                    raise flaw(knob.origin, ("limits", number, key), str(error)) from None


def check_registry(registry: Registry, merged: RegistryFile) -> None:
    """Everything that refers to something else. Raises Flaw."""
    _unique("node pool", merged.node_pool)
    _check_scopes(registry)
    for entry in registry.components.values():
        ComponentCheck(registry, entry).check()
    for rules in registry.rules.values():
        _check_signatures(registry, rules)
    _check_lists(registry)


def _check_scopes(registry: Registry) -> None:
    for scope in registry.scopes.values():
        for key in ("within", "may_equal", "disjoint_from"):
            for number, name in enumerate(getattr(scope, key)):
                if not is_scope(registry, name):
                    raise flaw(scope.origin, (key, number), f"no scope {name!r}{did_you_mean(name, registry.scopes)}")


def _check_signatures(registry: Registry, rules: Rules) -> None:
    entry = registry.components.get(rules.component)
    names = {r.name for r in entry.reservation} if entry else set()
    ships = str(resources.builtin_registry()) in registry.files
    tables: list[Recognise | Interface] = [*rules.recognise, *rules.interface]
    for table in tables:
        key, name = ("reservation", table.reservation) if isinstance(table, Recognise) else ("does", table.does)
        # Signatures that ship stay in force beside a registry of somebody's own, which may divide the bits in another way.
        judged = table.origin.path in registry.files or ships
        if name is not None and name not in names and judged:
            raise flaw(table.origin, (key,), f"no reservation {name!r} in {rules.component}{did_you_mean(name, names)}")
        if isinstance(table, Recognise):
            for number, other in enumerate(table.shared_with):
                _known(registry, table.origin, ("shared_with", number), other)


def _known(registry: Registry, origin: Origin, keys: tuple[str | int, ...], owner: str) -> None:
    """An owner must be a component or a path of the registry; a place that nobody is known for may be named too."""
    if owner.startswith("unattributed:"):
        return
    component, slash, _ = owner.partition("/")
    if slash and component in registry.components:
        if not registry.rows(owner):
            names = [f"{component}/{r.name}" for r in registry.components[component].reservation]
            raise flaw(origin, keys, f"no reservation {owner!r}{did_you_mean(owner, names)}")
    elif not registry.known(component):
        raise flaw(origin, keys, f"no component {component!r}{did_you_mean(component, {*registry.components, *registry.rules})}")


def _check_lists(registry: Registry) -> None:
    for agreement in registry.agreements:
        for number, owner in enumerate(agreement.owners):
            _known(registry, agreement.origin, ("owners", number), owner)
        _field_bits(registry, agreement.origin, agreement.field, agreement.bits)
        for owner in agreement.allows:
            if owner not in agreement.owners:
                message = f"{owner!r} is none of the owners{did_you_mean(owner, agreement.owners)}"
                raise flaw(agreement.origin, ("allows", owner), message, value=False)
    for conflict in registry.conflicts:
        for number, owner in enumerate(conflict.between):
            _known(registry, conflict.origin, ("between", number), owner)
        _spans(registry, conflict.origin, conflict.releases)
    for accepted in registry.accepted:
        if not _CODE.fullmatch(accepted.code):
            raise flaw(accepted.origin, ("code",), f"{accepted.code!r} is no code such as MK202")
        if not accepted.reason.strip():
            raise flaw(accepted.origin, ("reason",), "an accepted finding needs a reason")
        for number, owner in enumerate(accepted.owners):
            _known(registry, accepted.origin, ("owners", number), owner)
        if accepted.field is not None and accepted.field not in registry.fields:
            raise flaw(accepted.origin, ("field",), f"no field {accepted.field!r}{did_you_mean(accepted.field, registry.fields)}")
        if accepted.bits is not None:
            if accepted.field is None:
                raise flaw(accepted.origin, ("bits",), "bits of which field? an accepted entry with bits needs its field")
            _field_bits(registry, accepted.origin, accepted.field, accepted.bits)
    for pool in registry.node_pools.values():
        for number, name in enumerate(pool.components):
            _known(registry, pool.origin, ("components", number), name)
        for key in ("releases", "settings"):
            for name in getattr(pool, key):
                if name not in pool.components:
                    message = f"{name!r} is none of the pool's components{did_you_mean(name, pool.components)}"
                    raise flaw(pool.origin, (key, name), message, value=False)
        for name, release in pool.releases.items():
            if releases.lenient(release) is None:
                raise flaw(pool.origin, ("releases", name), f"{release!r} is no release (such as 3.30.2)")
        _check_settings(registry, pool.origin, pool.settings)


def _check_settings(registry: Registry, origin: Origin, settings: Mapping[str, Mapping[str, Any]]) -> None:
    for component, values in settings.items():
        rules = registry.rules.get(component)
        known = {k.name: k for k in rules.knob} if rules else {}
        for name, value in values.items():
            if name not in known:
                message = f"no knob {name!r} in {component}{did_you_mean(name, known)}"
                raise flaw(origin, ("settings", component, name), message, value=False)
            try:
                numbers.knob_value(known[name], value)
            except BitsError as error:
                raise flaw(origin, ("settings", component, name), str(error)) from None


def _field_bits(registry: Registry, origin: Origin, field: str, bits: str) -> None:
    if field not in registry.fields:
        raise flaw(origin, ("field",), f"no field {field!r}{did_you_mean(field, registry.fields)}")
    try:
        parse_bits(bits, registry.fields[field].width)
    except BitsError as error:
        raise flaw(origin, ("bits",), str(error)) from None


def _spans(registry: Registry, origin: Origin, spans: Mapping[str, str]) -> None:
    for component, text in spans.items():
        _known(registry, origin, ("releases", component), component)
        try:
            releases.span(text)
        except releases.ReleaseError as error:
            raise flaw(origin, ("releases", component), str(error)) from None
