"""From which rules a chain is called: what they ask beside what is followed, a witness has to assume."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from markreg.model import Owned
from markreg.paths.graph import Block, Item


class Jumps:
    """The callers of all blocks of a namespace."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        self._callers: dict[int, list[tuple[Block, Item]]] = {}
        self._holding: dict[str, Block] = {}
        for block in blocks:
            for item in block.items:
                self._holding.update((act.id, block) for act in item.acts)
                for _, callee in item.jumps:
                    if callee:
                        self._callers.setdefault(id(callee), []).append((block, item))

    def assumed(self, owned: Owned) -> Iterator[str]:
        """What the jumps to a use ask that may hold, from its chain to the base chain, by callers that ask least."""
        block, seen = self._holding.get(owned.id), set[int]()
        while block and not block.base.hooks and id(block) not in seen and (callers := self._callers.get(id(block))):
            seen.add(id(block))
            block, item = min(callers, key=lambda caller: bool(caller[1].others))
            if item.others:
                yield f"{item.others} may hold at the jump in {block.name}"
