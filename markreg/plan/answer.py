"""What ``markreg plan`` finds, put together for reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from markreg.bits import format_bits, parse_bits
from markreg.plan.search import LIMIT, Impossible, Problem, Solution, smallest, solve
from markreg.plan.variables import variables
from markreg.registry import numbers
from markreg.registry.effective import Effective
from markreg.registry.model import ComponentEntry, Conflict, Knob, Pool, Registry, Reservation
from markreg.registry.overlaps import Overlap, explained


@dataclass(frozen=True, slots=True)
class Refuted:
    """Members that cannot share a node, and none of them can be left out. ``why``: one sentence a reason. ``known``: conflicts of the
    registry that are about it."""

    members: tuple[str, ...]
    why: tuple[str, ...]
    known: tuple[Conflict, ...]


def answer(problem: Problem, limit: int = LIMIT) -> Solution | Refuted:
    """The least change, or the smallest set that has none, with the reasons. Raises GaveUpError."""
    found = solve(problem, limit)
    if isinstance(found, Solution):
        return found
    some, proof = smallest(problem, limit) or (problem.members, found)
    return _refuted(problem.of(some), proof)


def _refuted(problem: Problem, proof: Impossible) -> Refuted:
    why = [*proof.refused]
    pairs: dict[tuple[str, str], list[Overlap]] = {}
    for item in proof.overlaps:
        pairs.setdefault((item.a.path, item.b.path), []).append(item)
    for items in pairs.values():
        first = items[0]
        why.append(f"{_has(problem, first.a)}, and {_has(problem, first.b)}: both have {_bits(first.a, first.mask)}")
    why += proof.knobs
    for member in problem.members:
        why += _insists(problem, member)
    resolver = problem.resolver()
    known = [explained(problem.registry, o.a.path, o.b.path, resolver) for o in proof.overlaps]
    seen: dict[str, Conflict] = {c.mechanism: c for c in known if c}
    return Refuted(problem.members, tuple(dict.fromkeys(why)), tuple(seen.values()))


def _bits(row: Effective, mask: int) -> str:
    return f"{row.field} {format_bits(mask)}"


def _has(problem: Problem, row: Effective) -> str:
    """``calico/bpf-flags has skb_mark 20-28, which no setting moves``."""
    r = row.reservation
    knob = r.bits_from.knob if r.bits_from else next((p.from_ for p in _pools(problem, row) for d in p.draw if d.name == r.name), None)
    if knob is None:
        moved = ", which no setting moves"
    elif knob in problem.pinned.get(row.component, frozenset()):
        moved = f", where {knob} is pinned"
    else:
        moved = f" by {knob}"
    given = " and ".join(f"{k} = {' or '.join(str(v).lower() or 'unset' for v in vs)}" for k, vs in r.when.items())
    return f"{row.path} has {_bits(row, row.mask)}{f' with {given}' if given else ''}{moved}"


def _pools(problem: Problem, row: Effective) -> Sequence[Pool]:
    entry = problem.registry.components.get(row.component)
    return entry.pool if entry else ()


def _insists(problem: Problem, member: str) -> list[str]:
    """What a component's own limits add: Felix refuses BPF mode with a mask that lacks 0x1ff00000."""
    settings = problem.resolver().settings(member)
    rules = problem.registry.rules.get(member)
    found = []
    for knob in rules.knob if rules else ():
        for limit in knob.limits:
            if limit.must_cover and limit.when and numbers.holds(limit.when, settings):
                given = " and ".join(f"{k} = {str(v[0]).lower()}" for k, v in limit.when.items())
                found.append(f"{member} with {given} insists on {limit.must_cover} in {knob.name}")
    return found


def with_fixed(registry: Registry, fixed: Mapping[str, tuple[str, str]]) -> Registry:
    """The registry with users of bits that it does not know: by name a field and bits. Raises BitsError."""
    entries = dict(registry.components)
    for name, (field, bits) in fixed.items():
        parse_bits(bits, registry.fields[field].width)
        row = Reservation("bits", field=field, bits=bits, source=("--fixed",))
        entries[name] = ComponentEntry(name, reservation=(row,))
    return replace(registry, components=entries)


def knob_of(problem: Problem, component: str) -> list[str]:
    """The knobs that move bits of a component which are in force: those that ``--fixed COMPONENT=BITS`` pins."""
    return [v.knob.name for v in variables(problem.resolver(), component, ())]


@dataclass(frozen=True, slots=True)
class Follower:
    """A knob whose value lies in a mask that is turned, and has to go with it. ``after`` None: nothing says where to."""

    component: str
    knob: Knob
    before: int
    after: int | None


def followers(found: Solution) -> tuple[Follower, ...]:
    """Masks inside masks that are turned: pbr's uplink_mark is a step inside its fw_mask."""
    result = []
    for variable, value in found.turned:
        rules = found.problem.registry.rules.get(variable.component)
        settings = found.problem.resolver().settings(variable.component)
        moving = {v.knob.name for v, _ in found.turned if v.component == variable.component}
        for knob in rules.knob if rules and variable.knob.type == "mask" else ():
            old = settings.get(knob.name)
            if (
                knob.type != "mask"
                or knob.name in moving
                or not isinstance(old, int)
                or not old & variable.current
                or old & ~variable.current
            ):
                continue
            after = None
            if old == variable.current:
                after = value
            elif value.bit_count() == variable.current.bit_count():
                after = numbers.deposit(numbers.extract(old, variable.current), value)
            if old & ~value or after != old:
                result.append(Follower(variable.component, knob, old, after))
    return tuple(result)
