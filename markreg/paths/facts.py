"""What tier 1 answers: who may have given each bit its value, where a use meets it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from markreg.bits import bit_numbers
from markreg.model import Owned


class Definition(NamedTuple):
    """Who decided a bit's value (``origin``) and who carried it last (``via``)."""

    origin: Owned
    via: Owned | None


class Symbol(NamedTuple):
    """What stood in a slot at a chain's entry, and the copies that moved it since, ``first`` and last (``via``)."""

    slot: int
    via: Owned | None
    first: Owned | None = None


@dataclass(slots=True)
class Facts:
    """What tier 1 found: for each read, and each write before it ran, by slot the definitions that may be there."""

    slots: dict[tuple[str, int], int]
    definitions: list[Definition | Symbol | None]
    met: dict[str, dict[int, int]] = field(default_factory=dict)

    def ones(self, use: Owned, name: str, bit: int) -> int:
        """Who may have made a bit 1, where a use meets it."""
        slot = self.slots.get((name, bit))
        return 0 if slot is None else self.met.get(use.id, {}).get(slot + 1, 0)

    def zeros(self, use: Owned, name: str, bit: int) -> int:
        """Who may have made a bit 0."""
        slot = self.slots.get((name, bit))
        return 0 if slot is None else self.met.get(use.id, {}).get(slot, 0)

    def named(self, found: int) -> Iterator[Definition]:
        """The definitions of a set; what was there at the start is none."""
        for number in bit_numbers(found):
            definition = self.definitions[number]
            if isinstance(definition, Definition):
                yield definition
