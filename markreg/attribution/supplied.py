"""Whose a reader is that only looks at marks, such as a routing rule: the one's who alone can supply what it looks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from operator import or_

from markreg.attribution.evidence import mark_keys
from markreg.attribution.unclaimed import PREFIX
from markreg.bits import full
from markreg.model import FIELDS, Use

# Owners with the first place, by its text, that shows them.
Owners = Mapping[str, str]
_Key = tuple[str, int, int, int]
_MOST_MASKS = 64


class Suppliers:
    """Who writes which constants on a node."""

    def __init__(self, owned: Iterable[tuple[str, Use]]) -> None:
        self._exact: dict[_Key, dict[str, str]] = {}
        self._alike: dict[_Key, dict[str, str]] = {}
        self._constants: dict[tuple[str, int], dict[int, dict[str, str]]] = {}
        self._under: dict[tuple[str, int, int], dict[int, dict[str, str]]] = {}
        for owner, use in owned:
            nobody = owner.startswith(PREFIX)
            if use.access == "read" and not nobody:
                continue
            for key in mark_keys(use):
                _note((self._alike if use.access == "read" else self._exact).setdefault((use.scope.netns, *key), {}), owner, use)
            if nobody and use.access != "read":
                known = self._constants.setdefault((use.scope.netns, _width(use)), {})
                for value in _constants(use):
                    _note(known.setdefault(value, {}), owner, use)

    def exact(self, use: Use) -> Owners:
        """Owners who write just the value that a reader compares with, under its mask; else those nobody knows who read the same."""
        keys = [(use.scope.netns, *key) for key in mark_keys(use)]
        for known in (self._exact, self._alike):
            owners: dict[str, str] = reduce(or_, (known.get(k, {}) for k in keys), {})
            if owners:
                return owners
        return {}

    def supplying(self, use: Use) -> Owners:
        """Owners nobody knows who write a constant that has a reader's value under the reader's mask, whatever their own mask."""
        if not use.value or use.access != "read":
            return {}
        where = use.scope.netns, _width(use)
        # Each mask asks all constants once; what has more masks than anybody writes by hand is told by equal masks alone.
        if (under := self._under.get((*where, use.mask))) is None:
            if len(self._under) >= _MOST_MASKS:
                return {}
            under = self._under[*where, use.mask] = {}
            for value, owners in self._constants.get(where, {}).items():
                known = under.setdefault(value & use.mask, {})
                for owner, place in owners.items():
                    known[owner] = min(place, known.get(owner, place))
        return under.get(use.value, {})


def _note(known: dict[str, str], owner: str, use: Use) -> None:
    # The least text, so that nothing depends on the order of the inputs.
    known[owner] = min(use.place.text, known.get(owner, use.place.text))


def _width(use: Use) -> int:
    return FIELDS[use.field].width if use.field in FIELDS else 0


def _constants(use: Use) -> list[int]:
    """The values that a write may leave, as far as it says them: one, or the elements of a map."""
    if use.values:
        return [low for low, high in use.values if low == high and low & full(_width(use))]
    return [use.value] if use.value else []
