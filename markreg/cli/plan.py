"""markreg plan: settings at which components can share a node."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from markreg.cli import _common as common

if TYPE_CHECKING:
    from markreg.plan.search import Problem
    from markreg.registry.model import Registry
    from markreg.registry.words import Scalar

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(plan)


def plan(
    components: Annotated[list[str] | None, typer.Argument(metavar="COMPONENT...", help="What is to share a node.")] = None,
    fixed: Annotated[
        list[str] | None,
        typer.Option(
            "--fixed",
            envvar="MARKREG_FIXED",
            metavar="NAME=BITS",
            help="Bits that stay: of a component, or of anybody (NAME=ct_mark:8-11).",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", envvar="MARKREG_SET", metavar="COMPONENT.KNOB=VALUE", help="A setting that stays as it is given."),
    ] = None,
    release: Annotated[
        list[str] | None,
        typer.Option("--release", envvar="MARKREG_RELEASE", metavar="COMPONENT=RELEASE", help="A release, else the newest layout."),
    ] = None,
    node_pool: Annotated[
        str | None,
        typer.Option(
            "--node-pool", envvar="MARKREG_NODE_POOL", metavar="NAME", help="With what the plan says runs on the nodes of this pool."
        ),
    ] = None,
    registry: common.RegistryOption = None,
    form: common.TwoFormatsOption = "text",
    output: common.OutputOption = None,
    color: common.ColorOption = "auto",
) -> None:
    """Which settings to change, as little as possible, so that components can share a node; or why they cannot (exit 1)."""
    from markreg.plan.answer import answer
    from markreg.plan.search import GaveUpError, Solution
    from markreg.report.parts import planned

    common.check_words(form, ("json", "text"), color)
    problem = _problem(common.load_registry(registry), components or [], fixed or [], set_ or [], release or [], node_pool)
    try:
        found = answer(problem)
    except GaveUpError:
        common.say("no answer: the search was stopped; fewer components, or some of their settings given with --set, make it shorter")
        raise typer.Exit(1) from None
    text = planned.document(found, problem) if form == "json" else planned.text(found, problem, common.options(output, color))
    common.emit(text, output)
    raise typer.Exit(int(not isinstance(found, Solution)))


def _problem(known: Registry, names: list[str], fixed: list[str], given: list[str], releases: list[str], node_pool: str | None) -> Problem:
    from markreg.plan.search import Problem

    settings: dict[str, dict[str, Scalar]] = {}
    pinned: dict[str, set[str]] = {}
    versions: dict[str, str] = {}
    members = dict.fromkeys(names)
    if node_pool is not None:
        pool = known.node_pools.get(node_pool)
        if pool is None:
            common.fail(f"--node-pool: the registry has no pool {node_pool!r}{_near(node_pool, known.node_pools)}")
        members = dict.fromkeys([c.partition("/")[0] for c in pool.components] + names)
        settings = {c: dict(s) for c, s in pool.settings.items()}
        pinned = {c: set(s) for c, s in pool.settings.items()}
        versions = dict(pool.releases)
    for word in releases:
        component, equals, version = word.partition("=")
        _must(bool(equals) and component in known.components, f"--release {word!r}: COMPONENT=RELEASE with a component of the registry")
        versions[component] = version
    for word in given:
        component, knob, value = _setting(known, word)
        settings.setdefault(component, {})[knob] = value
        pinned.setdefault(component, set()).add(knob)
    for name in members:
        if name not in known.components:
            common.fail(f"no component {name!r} has reservations here{_near(name, known.components)}")
    problem = Problem(known, tuple(members), settings, versions, {c: frozenset(k) for c, k in pinned.items()})
    problem = _fixed(problem, fixed)
    _must(bool(problem.members), "name the components that are to share a node")
    return problem


def _fixed(problem: Problem, words: list[str]) -> Problem:
    """--fixed: a component's knob at a value, or bits of somebody that the registry does not know."""
    from dataclasses import replace

    from markreg.bits import BitsError, parse_bits
    from markreg.plan.answer import knob_of, with_fixed

    for word in words:
        name, equals, place = word.partition("=")
        field, colon, bits = place.partition(":")
        field, bits = (field, bits) if colon else ("skb_mark", place)
        known = problem.registry
        _must(bool(equals and _NAME.fullmatch(name) and bits.strip()), f"--fixed {word!r}: NAME=BITS or NAME=FIELD:BITS")
        _must(field in known.fields, f"--fixed {word!r}: no field is called {field!r}{_near(field, known.fields)}")
        try:
            mask = parse_bits(bits, known.fields[field].width)
            if name not in known.components:
                problem = replace(problem, registry=with_fixed(known, {name: (field, bits)}))
        except BitsError as error:
            common.fail(f"--fixed {word!r}: {error}")
        members = tuple(dict.fromkeys((*problem.members, name)))
        if name in known.components:
            knobs = [k for k in (known.knob(name, n) for n in knob_of(problem, name)) if k]
            _must(bool(knobs), f"--fixed {word!r}: no setting moves the bits of {name}")
            values: dict[str, Scalar] = {}
            for knob in knobs:
                _must(knob.type != "bit" or mask.bit_count() == 1, f"--fixed {word!r}: {knob.name} of {name} is one bit")
                values[knob.name] = mask.bit_length() - 1 if knob.type == "bit" else hex(mask)
            settings = {**problem.settings, name: {**problem.settings.get(name, {}), **values}}
            pinned = {**problem.pinned, name: problem.pinned.get(name, frozenset()) | values.keys()}
            problem = replace(problem, settings=settings, pinned=pinned)
        problem = replace(problem, members=members)
    return problem


def _setting(known: Registry, word: str) -> tuple[str, str, Scalar]:
    from markreg.bits import BitsError
    from markreg.registry.numbers import knob_value

    path, equals, value = word.partition("=")
    component, dot, name = path.partition(".")
    _must(bool(equals and dot), f"--set {word!r}: COMPONENT.KNOB=VALUE")
    rules = known.rules.get(component)
    if rules is None:
        common.fail(f"--set {word!r}: no component {component!r}{_near(component, known.rules)}")
    knob = known.knob(component, name)
    if knob is None:
        common.fail(f"--set {word!r}: {component} has no setting {name!r}{_near(name, [k.name for k in rules.knob])}")
    try:
        return component, name, knob_value(knob, value)
    except BitsError as error:
        common.fail(f"--set {word!r}: {error}")


def _must(holds: bool, message: str) -> None:
    if not holds:
        common.fail(message)


def _near(word: str, known: Iterable[str]) -> str:
    from markreg.registry.errors import did_you_mean

    return did_you_mean(word, known)
