"""All programs of an object."""

from __future__ import annotations

from dataclasses import replace

from markreg.bpf.facts import Facts
from markreg.bpf.image import Program
from markreg.bpf.interpret import Interpreter
from markreg.bpf.memory import Constants
from markreg.bpf.objects import Objects
from markreg.bpf.resolve import facts_of
from markreg.bpf.scan import Scan


def analyse(program: Program, constants: Constants | None = None, scan: Scan | None = None) -> Facts:
    """What a program does to marks. Never raises for what its code is; where a limit is reached, the facts say so and widen.

    A program whose context has no mark and that calls nothing which concerns marks is not run.
    """
    scan = scan or Scan(program.image)
    functions = scan.reached(program.entry)
    accesses = tuple(dict.fromkeys(a for f in functions for a in f.accesses))
    maps = tuple(dict.fromkeys(name for f in functions for name in f.maps))
    context = program.context
    if context.marked or any(f.concerned for f in functions) or "sock" in context.pointers.values():
        machine = Interpreter(program, constants, scan=scan)
        found = facts_of(program, machine.run(), machine.meetings)
    else:
        found = Facts(program)
    return replace(found, accesses=accesses, maps=maps)


def analyse_all(held: Objects, constants: Constants | None = None) -> tuple[Facts, ...]:
    """Every program of an object, in its order."""
    scan = Scan(held.image)
    return tuple(analyse(program, constants, scan) for program in held.programs)
