"""BPF object files: what each of their programs does to marks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from markreg.model import CONTROL_BLOCK, Place, Problem, Reading, Scope
from markreg.source import Source

if TYPE_CHECKING:
    from markreg.bpf import Constants

NAMES = ("bpf-object",)
ON_DEMAND = frozenset(f.name for f in CONTROL_BLOCK)


def detect(source: Source) -> str | None:
    """By the ELF header: a 64-bit file of machine BPF."""
    if source.data[:4] != b"\x7fELF":
        return None
    from markreg.bpf.elf import is_bpf

    return NAMES[0] if is_bpf(source.data) else None


def read(source: Source, name: str, scope: Scope, *, fields: frozenset[str] = frozenset(), constants: Constants | None = None) -> Reading:
    """Every program of the object. ``fields``: words of ``cb`` that are read as marks are; ``constants``: what a loader puts into data."""
    from markreg.bpf import BpfError, analyse_all
    from markreg.bpf.objects import read as programs_of
    from markreg.formats._bpf_uses import program_of, touches, uses_of

    empty = Reading(source.path, name, scope)
    try:
        held = programs_of(source.data)
    except BpfError as error:
        return replace(empty, problems=(Problem(source.path, 0, str(error)),))
    found = analyse_all(held, constants)
    file = source.path.rpartition("/")[2]
    places = [
        Place(
            "bpf", f"bpf {f.program.name} ({f.program.section}) in {file}", object=file, program=f.program.name, section=f.program.section
        )
        for f in found
    ]
    concerned = [(f, p) for f, p in zip(found, places, strict=True) if touches(f)]
    return replace(
        empty,
        uses=tuple(use for facts, place in concerned for use in uses_of(facts, place, scope, source.path, fields)),
        statements=len(found),
        mark_statements=len(concerned),
        programs=tuple(program_of(facts, place, source.path) for facts, place in zip(found, places, strict=True)),
    )


@dataclass(slots=True)
class With:
    """This format with values for what a loader puts into data sections."""

    constants: Constants
    NAMES: tuple[str, ...] = NAMES
    ON_DEMAND: frozenset[str] = field(default=ON_DEMAND)

    def detect(self, source: Source) -> str | None:
        """As the module."""
        return detect(source)

    def read(self, source: Source, name: str, scope: Scope, *, fields: frozenset[str] = frozenset()) -> Reading:
        """As the module, with the values."""
        return read(source, name, scope, fields=fields, constants=self.constants)
