"""The way of packets as checks ask for it: on a node where nobody can meet anybody the analysis need not even be loaded."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from markreg.model import Node, Owned, Use
from markreg.source import Source

if TYPE_CHECKING:
    from markreg.paths.analysis import Paths
    from markreg.paths.collision import Collision
    from markreg.paths.graph import Reader
    from markreg.paths.requests import Granted


class Asked:
    """`analysis.Paths`, made when its first question comes."""

    def __init__(self, node: Node, sources: Mapping[str, Source], readers: Mapping[str, Reader], granted: Granted) -> None:
        self._given = node, sources, readers, granted

    @cached_property
    def _paths(self) -> Paths:
        from markreg.paths.analysis import Paths

        return Paths(*self._given)

    @cached_property
    def _alone(self) -> bool:
        """Whether all is of one owner, who cannot spoil a code of his own either, for want of a test of several bits (MK206)."""
        uses = self._given[0].uses
        several = any(o.use.predicate is not None and o.use.predicate.mask.bit_count() > 1 for o in uses)
        return not several and len({o.owner for o in uses}) < 2

    @property
    def collisions(self) -> list[Collision]:
        """All collisions of the node."""
        return [] if self._alone else self._paths.collisions

    @property
    def gave_up(self) -> list[tuple[str, int]]:
        """The places at which control could not be followed, as paths and lines."""
        return [] if self._alone else self._paths.gave_up

    def separate(self, first: Use, second: Use) -> bool:
        """Whether two statements about a connection are in different conntrack zones."""
        return self._paths.separate(first, second)

    def meets(self, first: Owned, second: Owned) -> bool:
        """Whether what one write sets may still be there when another use meets its field."""
        return self._paths.meets(first, second)
