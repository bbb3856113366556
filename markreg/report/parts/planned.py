"""What ``markreg plan`` prints."""

from __future__ import annotations

import json
from collections.abc import Iterator

from markreg import __version__
from markreg.bits import format_bits, format_mask
from markreg.plan.answer import Refuted, followers
from markreg.plan.search import Problem, Solution, rows_of, solve
from markreg.plan.settings import places, toml
from markreg.plan.variables import Variable
from markreg.registry.overlaps import Overlap
from markreg.report import Options
from markreg.report.parts.snippet import safe
from markreg.report.parts.terminal import paint, wrap
from markreg.report.parts.words import plural

_SCHEMA = "markreg.plan/1"


def text(found: Solution | Refuted, problem: Problem, options: Options) -> str:
    """For people."""
    lines = _solution(found, options) if isinstance(found, Solution) else _refuted(found, problem, options)
    said = [safe(line, options.unicode) for line in lines]
    head = next((n for n, line in enumerate(said) if not line or line.startswith(" ")), len(said))
    style = "bold" if isinstance(found, Solution) else "error"
    return "".join((paint(line, style, options) if n < head else line) + "\n" for n, line in enumerate(said))


def _solution(found: Solution, options: Options) -> Iterator[str]:
    names = ", ".join(found.problem.members)
    turned = plural(len(found.turned), "setting") + " changed" if found.turned else "their settings as they are"
    yield from wrap(f"{names}: can share a node with {turned}", options.width)
    for variable, value in found.turned:
        yield ""
        yield f"{variable.name}: {_value(variable, variable.current)} -> {_value(variable, value)}"
        shown = list(_places(found, variable, value))
        for where, how in shown:
            yield f"  {where}"
            yield f"    {how}"
        if not shown:
            yield "  the registry knows no place where it is written"
    for follower in followers(found):
        yield ""
        if follower.after is None:
            before = format_mask(follower.before)
            yield from wrap(
                f"{follower.component} {follower.knob.name}: {before} lies in the old mask; choose one in the new", options.width
            )
            continue
        moved = f"{format_mask(follower.before)} -> {format_mask(follower.after)}"
        yield f"{follower.component} {follower.knob.name}: {moved}, which goes with it"
        for where, how in places(follower.knob, follower.after, found.resolver().settings(follower.component)):
            yield f"  {where}"
            yield f"    {how}"
    if found.turned:
        yield ""
        yield "in a plan, so that markreg holds nodes and manifests to it:"
        yield f"  settings = {_pinned(found)}"
    yield ""
    yield from _map(found)
    for line in _notes(found):
        yield from wrap(line, options.width, "", "  ")


def _places(found: Solution, variable: Variable, value: int) -> Iterator[tuple[str, str]]:
    yield from places(variable.knob, value, found.resolver().settings(variable.component))


def _value(variable: Variable, value: int) -> str:
    mask = variable.mask(value)
    return f"{value}" if variable.is_bit else f"{format_mask(mask)} (bits {format_bits(mask)})"


def _pinned(found: Solution) -> str:
    by_component: dict[str, list[str]] = {}
    turned = [(v.component, v.knob, value) for v, value in found.turned]
    turned += [(f.component, f.knob, f.after) for f in followers(found) if f.after is not None]
    for component, knob, value in turned:
        by_component.setdefault(component, []).append(f"{knob.name} = {json.dumps(toml(knob, value))}")
    return "{ " + ", ".join(f"{c} = {{ {', '.join(parts)} }}" for c, parts in by_component.items()) + " }"


def _map(found: Solution) -> Iterator[str]:
    """Who then has which bits."""
    held: dict[str, dict[str, int]] = {}
    for row in rows_of(found.problem.members, found.resolver()):
        width = found.problem.registry.fields[row.field].width
        if row.mask != (1 << width) - 1:
            own = held.setdefault(row.field, {})
            own[row.component] = own.get(row.component, 0) | row.mask
    for field, owners in held.items():
        yield f"{field} then:"
        size = max(len(name) for name in owners)
        for name, mask in owners.items():
            yield f"  {name:<{size}}  {format_bits(mask)} ({format_mask(mask)})"


def _notes(found: Solution) -> Iterator[str]:
    for variable, _ in found.turned:
        if variable.knob.note:
            yield f"note: {variable.name}: {variable.knob.note}"
        if variable.weight:
            yield f"note: {variable.component} shared bits with others here by agreement; they still look at the old ones"
    for (a, b), items in _pairs(found.remaining).items():
        conflict = next((o.conflict for o in items if o.conflict), None)
        why = f": {conflict.mechanism}" if conflict else ""
        way = f". Way out: {conflict.way_out}" if conflict and conflict.way_out else ""
        yield f"note: {a} and {b} still meet in {items[0].a.field}, because one uses the whole field{why}{way}"


def _pairs(remaining: tuple[Overlap, ...]) -> dict[tuple[str, str], list[Overlap]]:
    pairs: dict[tuple[str, str], list[Overlap]] = {}
    for item in remaining:
        pairs.setdefault((item.a.component, item.b.component), []).append(item)
    return pairs


def _refuted(found: Refuted, problem: Problem, options: Options) -> Iterator[str]:
    names = ", ".join(found.members)
    head = f"{names} cannot share a node" if len(found.members) > 1 else f"{names} cannot run with these settings"
    if len(found.members) < len(problem.members):
        head += f" (of {', '.join(problem.members)}; the others can)" if _others_can(found, problem) else ""
    yield from wrap(head, options.width)
    for reason in found.why:
        yield from wrap(reason, options.width, "  - ", "    ")
    for conflict in found.known:
        yield from wrap(f"known: {conflict.mechanism}", options.width, "  ", "    ")
        if conflict.way_out:
            yield from wrap(f"way out: {conflict.way_out}", options.width, "  ", "    ")


def _others_can(found: Refuted, problem: Problem) -> bool:
    rest = [m for m in problem.members if m not in found.members]
    return isinstance(solve(problem.of(rest)), Solution)


def document(found: Solution | Refuted, problem: Problem) -> str:
    """The schema ``markreg.plan/1``."""
    head = {"schema": _SCHEMA, "version": __version__, "components": list(problem.members), "possible": isinstance(found, Solution)}
    body = _solved(found) if isinstance(found, Solution) else _unsolved(found)
    return json.dumps({**head, **body}, indent=2) + "\n"


def _solved(found: Solution) -> dict[str, object]:
    resolver = found.resolver()
    return {
        "settings": [
            {
                "component": v.component,
                "knob": v.knob.name,
                "before": toml(v.knob, v.current),
                "after": toml(v.knob, value),
                "mask": format_mask(v.mask(value)),
                "places": [{"where": where, "text": how} for where, how in _places(found, v, value)],
            }
            for v, value in found.turned
        ],
        "follow": [
            {
                "component": f.component,
                "knob": f.knob.name,
                "before": toml(f.knob, f.before),
                "after": None if f.after is None else toml(f.knob, f.after),
                "places": [{"where": w, "text": t} for w, t in places(f.knob, f.after or 0, resolver.settings(f.component)) if f.after],
            }
            for f in followers(found)
        ],
        "reservations": [
            {"reservation": row.path, "field": row.field, "mask": format_mask(row.mask)} for row in rows_of(found.problem.members, resolver)
        ],
        "remaining": [
            {"reservations": [o.a.path, o.b.path], "field": o.a.field, "mask": format_mask(o.mask), "known": _known(o)}
            for o in found.remaining
        ],
    }


def _known(item: Overlap) -> dict[str, str] | None:
    return {"mechanism": item.conflict.mechanism, "way_out": item.conflict.way_out} if item.conflict else None


def _unsolved(found: Refuted) -> dict[str, object]:
    return {
        "cannot_share": list(found.members),
        "why": list(found.why),
        "known": [{"mechanism": c.mechanism, "way_out": c.way_out} for c in found.known],
    }
