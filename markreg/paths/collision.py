"""What the analysis answers: one owner's marks reach another's match, or undo what another wrote."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from markreg.model import Owned
    from markreg.paths.witness import Step

Proof = Literal["shown", "hidden", "shielded", "presumed", "not followed"]
_SURE: tuple[Proof, ...] = ("shown", "hidden", "shielded", "not followed", "presumed")


@dataclass(slots=True)
class Collision:
    """What one owner does to another's match, or to the bits that it wrote, in the field ``name``.

    ``mask``: the bits that decide. ``writers`` come with the one of the witness first; ``victims`` wrote what was lost. ``proof``:
    ``shown`` by a walk as things are, ``hidden`` now by another fault of the same two, ``shielded`` by marks of a third owner,
    ``presumed`` where only a use that no input shows makes it so, ``not followed`` where the walk was given up. ``pairs``: how many
    writes and reads it stands for.
    """

    code: str
    writer: str
    reader: str
    carrier: str
    name: str
    mask: int
    proof: Proof
    readers: dict[str, Owned] = field(default_factory=dict)
    writers: dict[str, Owned] = field(default_factory=dict)
    victims: dict[str, Owned] = field(default_factory=dict)
    carriers: dict[str, Owned] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    pairs: int = 0

    @property
    def doubt(self) -> int:
        """How far from certain it is: 0 where a walk shows it as things are."""
        return _SURE.index(self.proof)
