"""All programs of an object."""

from __future__ import annotations

from dataclasses import replace

from markreg.bpf.assume import with_assumptions
from markreg.bpf.facts import Facts
from markreg.bpf.image import Program
from markreg.bpf.interpret import Interpreter
from markreg.bpf.memory import Constants
from markreg.bpf.objects import Objects
from markreg.bpf.resolve import facts_of
from markreg.bpf.scan import Scan

# Real programs are visited up to five times over, for the subprograms that they share.
_LEAST, _TIMES = 20_000, 50
_LEAST_ALL, _TIMES_ALL = 200_000, 30


def analyse(
    program: Program,
    constants: Constants | None = None,
    scan: Scan | None = None,
    most: int | None = None,
    symbolic: frozenset[tuple[str, int]] = frozenset(),
) -> Facts:
    """What a program does to marks. Never raises for what its code is; where a limit is reached, the facts say so and widen.

    A program whose context has no mark and that calls nothing which concerns marks is not run. ``most``: instructions to visit, if
    fewer than what the size of the program allows. ``symbolic``: words of maps, by name and offset, that are followed as marks are.
    """
    scan = scan or Scan(program.image)
    functions = scan.reached(program.entry)
    accesses = tuple(dict.fromkeys(a for f in functions for a in f.accesses))
    maps = tuple(dict.fromkeys(name for f in functions for name in f.maps))
    context = program.context
    if context.marked or any(f.concerned or f.skipped for f in functions) or "sock" in context.pointers.values():
        allowed = 0 if any(f.skipped for f in functions) else _LEAST + _TIMES * sum(f.size for f in functions)
        machine = Interpreter(program, constants, symbolic, most=allowed if most is None else min(most, allowed), scan=scan)
        found = facts_of(program, machine.run(), machine.meetings)
    else:
        found = Facts(program)
    return replace(found, accesses=accesses, maps=maps)


def analyse_all(held: Objects, constants: Constants | None = None) -> tuple[Facts, ...]:
    """Every program of an object, in its order."""
    scan = Scan(held.image)
    left = _LEAST_ALL + _TIMES_ALL * len(held.image.code)
    found = []
    for program in held.programs:
        found.append(analyse(program, constants, scan, left))
        left -= found[-1].visits
    return with_assumptions(found, lambda facts, cells: analyse(facts.program, constants, scan, left, cells))
