"""The least change of settings with which components can share a node: branch and bound over what reservations give up.

Where two reservations meet, one of them has to keep off a bit. Every branch forbids a bit to one side, and every knob then takes the
nearest value that keeps to what is forbidden to it. The sum of these is a lower bound of every solution below a branch, and
branches are taken up in its order: the first one without a conflict is the least change, and where none is left there is no solution.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, combinations, count, islice, product

from markreg.bits import full, parse_bits
from markreg.plan.variables import NOTHING, Choice, Cost, Variable, added, variables
from markreg.registry.agreements import named
from markreg.registry.effective import Effective, Resolver
from markreg.registry.model import Registry
from markreg.registry.overlaps import Overlap, overlap
from markreg.registry.words import Scalar

LIMIT = 20_000
_SETS = 2000


class GaveUpError(Exception):
    """The search was stopped: nothing is known."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Components that are to share a node, at settings (defaults for the others) in releases (None: the newest layout).

    ``pinned``: knobs that must not be turned, by component.
    """

    registry: Registry
    members: tuple[str, ...]
    settings: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict)
    releases: Mapping[str, str] = field(default_factory=dict)
    pinned: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def of(self, members: Iterable[str]) -> Problem:
        """The same for some of the members."""
        return replace(self, members=tuple(members))

    def resolver(self, turned: Mapping[tuple[str, str], int] | None = None) -> Resolver:
        """What is in force with some knobs turned."""
        settings = {c: dict(s) for c, s in self.settings.items()}
        for (component, knob), value in (turned or {}).items():
            settings.setdefault(component, {})[knob] = value
        return Resolver(self.registry, settings, dict(self.releases))


@dataclass(frozen=True, slots=True)
class Solution:
    """Settings to change, dearest knobs last: none if all is well. ``remaining``: overlaps only because a side uses a whole field."""

    problem: Problem
    turned: tuple[tuple[Variable, int], ...]
    cost: Cost
    remaining: tuple[Overlap, ...]

    def resolver(self) -> Resolver:
        """What is in force afterwards."""
        return self.problem.resolver({(v.component, v.knob.name): value for v, value in self.turned})


@dataclass(frozen=True, slots=True)
class Impossible:
    """There is no solution, and these are the ends of all branches: overlaps of what no setting moves, knobs without a value left."""

    overlaps: tuple[Overlap, ...]
    knobs: tuple[str, ...]
    refused: tuple[str, ...]


def conflicts(registry: Registry, pairs: Iterable[tuple[Effective, Effective]], resolver: Resolver) -> Iterator[Overlap]:
    """What nothing excuses, except what a project does to itself and the registry explains."""
    for a, b in pairs:
        found = overlap(registry, a, b, resolver)
        if found and not (found.conflict and a.component == b.component):
            yield found


def rows_of(members: Iterable[str], resolver: Resolver) -> list[Effective]:
    """The rows in force of some components."""
    return [row for member in members for row in resolver.in_force(member)]


@dataclass(frozen=True, slots=True)
class _Branch:
    forbidden: Mapping[str, int]
    values: tuple[Choice, ...]

    @property
    def cost(self) -> Cost:
        total = NOTHING
        for choice in self.values:
            total = added(total, choice.cost)
        return total


def solve(problem: Problem, limit: int = LIMIT) -> Solution | Impossible:
    """The least change, or why there is none. Raises GaveUpError after ``limit`` branches."""
    return _Search(problem).run(limit)


class _Search:
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        base = problem.resolver()
        found = [v for m in problem.members for v in variables(base, m, problem.pinned.get(m, frozenset()))]
        moving = {path for v in found for path in v.paths}
        self.variables = [_placed(v, problem, base, moving) for v in found]
        self.by_path = {path: number for number, v in enumerate(self.variables) for path in v.paths}
        # What no knob moves is compared with itself once.
        self.still = [m for m in problem.members if m not in {v.component for v in found}]
        self.still_rows = rows_of(self.still, base)
        self.always = list(conflicts(problem.registry, combinations(self.still_rows, 2), base))
        self.numbers = count()
        self.queue: list[tuple[Cost, int, _Branch]] = []
        self.seen: set[tuple[object, ...]] = set()
        self.overlaps: dict[tuple[str, str], Overlap] = {}
        self.knobs: dict[str, None] = {}

    def run(self, limit: int) -> Solution | Impossible:
        start = [v.nearest({}) for v in self.variables]
        failed = [v.why_none({}) for v, choice in zip(self.variables, start, strict=True) if choice is None]
        refused = tuple(failed) or self._refused(tuple(c for c in start if c))
        if refused:
            return Impossible((), (), refused)
        self._push(_Branch({}, tuple(c for c in start if c)))
        for _ in range(limit):
            if not self.queue:
                return Impossible(tuple(self.overlaps.values()), tuple(self.knobs), ())
            _, _, branch = heapq.heappop(self.queue)
            found = self._conflicts(branch)
            worst = self._worst(found)
            if worst is None:
                return self._solution(branch, found)
            self._split(branch, worst)
        raise GaveUpError

    def _refused(self, values: tuple[Choice, ...]) -> tuple[str, ...]:
        resolver = self._resolver(_Branch({}, values))
        return tuple(f"{m} {why}" for m in self.problem.members for why in resolver.faults(m))

    def _resolver(self, branch: _Branch) -> Resolver:
        return self.problem.resolver({(v.component, v.knob.name): c.value for v, c in zip(self.variables, branch.values, strict=True)})

    def _conflicts(self, branch: _Branch) -> list[Overlap]:
        resolver = self._resolver(branch)
        moving = rows_of((m for m in self.problem.members if m not in self.still), resolver)
        pairs = chain(combinations(moving, 2), product(self.still_rows, moving))
        return [*self.always, *conflicts(self.problem.registry, pairs, resolver)]

    def _worst(self, found: Iterable[Overlap]) -> Overlap | None:
        """The overlap to branch at: one that leaves the fewest ways out."""
        errors = [o for o in found if o.severity == "error"]
        return min(errors, key=lambda o: (o.a.path in self.by_path) + (o.b.path in self.by_path), default=None)

    def _split(self, branch: _Branch, at: Overlap) -> None:
        """The branches below one: either side keeps off the bits in which two reservations meet."""
        if not any(row.path in self.by_path for row in (at.a, at.b)):
            self.overlaps.setdefault((at.a.path, at.b.path), at)
            return
        resolver = self._resolver(branch)
        lowest = at.mask & -at.mask
        for number, (row, other) in enumerate(((at.a, at.b), (at.b, at.a))):
            mine = self.by_path.get(row.path)
            if mine is None:
                continue
            # What nothing moves is there in every branch: all its bits at once.
            bits = lowest if other.path in self.by_path else self._fixed_bits(other, at.mask)
            # Of the first side all that would meet the other alike: where one of them has the bit, it is the second side's branch.
            rows = [row] if number and at.a.path in self.by_path else self._alike(self.variables[mine], row, other, lowest, resolver)
            forbidden = {**branch.forbidden, **{r.path: branch.forbidden.get(r.path, 0) | bits for r in rows}}
            choice = self.variables[mine].nearest(forbidden)
            if choice is None:
                self.knobs.setdefault(self.variables[mine].why_none(forbidden))
                self.overlaps.setdefault((at.a.path, at.b.path), at)
                continue
            self._push(_Branch(forbidden, (*branch.values[:mine], choice, *branch.values[mine + 1 :])))

    def _alike(self, variable: Variable, row: Effective, other: Effective, bit: int, resolver: Resolver) -> list[Effective]:
        """The reservations of a knob that would meet another in a bit if they had it."""
        found = [row]
        for mate in resolver.in_force(variable.component):
            if mate.path in variable.paths and mate.path != row.path:
                item = overlap(self.problem.registry, replace(mate, mask=bit), other, resolver)
                if item and item.severity == "error" and not (item.conflict and mate.component == other.component):
                    found.append(mate)
        return found

    def _fixed_bits(self, other: Effective, common: int) -> int:
        """The bits that a reservation which does not move keeps others off; of one that uses a whole field only those that met."""
        width = self.problem.registry.fields[other.field].width
        agreed = any(named(other.path, a.owners) for a in self.problem.registry.agreements)
        return common if other.mask == full(width) or agreed else other.mask

    def _push(self, branch: _Branch) -> None:
        key = tuple(v.left(branch.forbidden) for v in self.variables)
        if key not in self.seen:
            self.seen.add(key)
            heapq.heappush(self.queue, (branch.cost, next(self.numbers), branch))

    def _solution(self, branch: _Branch, found: list[Overlap]) -> Solution:
        turned = tuple((v, c.value) for v, c in zip(self.variables, branch.values, strict=True) if c.value != v.current)
        return Solution(self.problem, turned, branch.cost, tuple(o for o in found if o.severity != "error"))


def _placed(variable: Variable, problem: Problem, resolver: Resolver, moving: set[str]) -> Variable:
    """A variable with what the others here have, and the agreements with them that end when it is turned."""
    registry = problem.registry
    others = [row for m in problem.members if m != variable.component for row in resolver.in_force(m)]
    own = [row for row in resolver.in_force(variable.component) if row.path in variable.paths]
    fields = {row.field for row in own}
    foreign = 0
    for row in others:
        if row.path not in moving and row.field in fields and row.mask != full(registry.fields[row.field].width):
            foreign |= row.mask
    weight = 0
    for agreement in registry.agreements:
        if agreement.field in fields:
            bits = parse_bits(agreement.bits, registry.fields[agreement.field].width)
            sides = [
                any(row.field == agreement.field and row.mask & bits and named(row.path, agreement.owners) for row in rows)
                for rows in (own, others)
            ]
            weight += all(sides)
    return replace(variable, weight=weight, foreign=foreign)


def smallest(problem: Problem, limit: int = LIMIT) -> tuple[tuple[str, ...], Impossible] | None:
    """The smallest set of members that cannot share a node, with the proof; None if all of them can. Raises GaveUpError.

    Of very many members it may be one that only has nobody to spare.
    """
    whole = solve(problem, limit)
    if isinstance(whole, Solution):
        return None
    core, proof = problem.members, whole
    # Two that overlap whatever is turned are found at once.
    pairs = (tuple(m for m in problem.members if m in (o.a.component, o.b.component)) for o in whole.overlaps)
    for rest in chain(pairs, (tuple(m for m in core if m != member) for member in problem.members)):
        if len(rest) < len(core) and rest and isinstance(answer := solve(problem.of(rest), limit), Impossible):
            core, proof = rest, answer
    sets = (some for size in range(1, len(core)) for some in combinations(problem.members, size))
    for some in islice(sets, _SETS):
        answer = solve(problem.of(some), limit)
        if isinstance(answer, Impossible):
            return some, answer
    return core, proof
