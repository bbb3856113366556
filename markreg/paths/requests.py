"""What owners set on another's behalf: bits that one may write for another to read, as in a request to masquerade."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from markreg.model import Owned
from markreg.paths.uses import sets, whole

# The bits of a field that one owner (first) may write for another (second) to read.
Granted = Callable[[str, str, str], int]
# By owner and field the bits that it sets for the reader in question.
Requests = Mapping[tuple[str, str], int]


def nothing(writer: str, reader: str, name: str) -> int:
    """Nobody may."""
    del writer, reader, name
    return 0


def requests(uses: Iterable[Owned], granted: Granted) -> dict[str, dict[tuple[str, str], int]]:
    """For each owner, what others set for it to read. Statements about the whole field never do: no agreement covers them."""
    written: dict[tuple[str, str], int] = {}
    readers: dict[str, None] = {}
    for owned in uses:
        readers[owned.owner] = None
        key = (owned.owner, owned.use.field)
        if bits := requested(sets(owned.use), owned):
            written[key] = written.get(key, 0) | bits
    found: dict[str, dict[tuple[str, str], int]] = {}
    for reader in readers:
        for (writer, name), bits in written.items():
            if writer != reader and (shared := bits & granted(writer, reader, name)):
                found.setdefault(reader, {})[writer, name] = shared
    return found


def requested(bits: int, owned: Owned) -> int:
    """Of ``bits`` that an owner may write for another, those that this statement writes, with a mask."""
    return 0 if owned.use.effect is None or whole(owned.use) else bits & owned.use.mask
