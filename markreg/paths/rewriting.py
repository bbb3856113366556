"""What changes packets' addresses and ports on their way, so that what one rule found tells nothing to the next."""

from __future__ import annotations

from collections.abc import Iterable

from markreg.flow import NARROW
from markreg.model import Owned, Table


def rewrites(tables: Iterable[Table], uses: Iterable[Owned]) -> frozenset[str]:
    """What of them (flow.NARROW) rules and services of one namespace change; chains of type nat are another thing (paths/lives.py MAPS)."""
    balanced = any(o.use.place.kind == "ipvs" for o in uses)
    return frozenset(NARROW if balanced else (kind for t in tables for kind in t.rewrites))
