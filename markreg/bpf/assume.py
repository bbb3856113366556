"""Marks that travel through maps: what a word of a map holds if nobody but the object's own programs writes it.

That is an assumption, since user space and other objects may write the map too. It is told where a mark gets such a value, with its
name, and it decides nothing: what it adds comes out of a second run in which these words are symbols.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from markreg.bpf.context import MARK
from markreg.bpf.facts import Facts, MapStore, Site
from markreg.transfer import Source, Word

_CELL = re.compile(r"map:(.+)\+(\d+)")
_ROUNDS = 64
_WORD = 4
_UNKNOWN = Word.unknown(32)
Cell = tuple[str, int]


def cells_of(origins: Iterable[str]) -> set[Cell]:
    """The words of maps among origins."""
    return {(m[1], int(m[2])) for origin in origins if (m := _CELL.fullmatch(origin))}


def with_assumptions(found: Sequence[Facts], again: Callable[[Facts, frozenset[Cell]], Facts]) -> tuple[Facts, ...]:
    """The facts, with what stores to marks hold under the assumption. ``again`` runs a program with words of maps as symbols."""
    wanted = {cell for facts in found for site in facts.mark.sites if site.net for cell in cells_of(site.origin)}
    stored = [row for facts in found for row in facts.map_stores]
    while more := {cell for row in stored if (row.map, row.at) in wanted for cell in cells_of(row.origin)} - wanted:
        wanted |= more
    known = wanted & {(row.map, row.at) for row in stored if row.at is not None}
    if not known:
        return tuple(found)
    second: dict[int, Facts] = {}
    for number, facts in enumerate(found):
        if any((row.map, row.at) in known for row in facts.map_stores) or any(cells_of(s.origin) & known for s in facts.mark.sites):
            second[number] = again(facts, frozenset(known))
    rows = [row for n, facts in enumerate(found) for row in second.get(n, facts).map_stores]
    values = _values(rows, known)
    return tuple(_told(facts, second[n], values) if n in second else facts for n, facts in enumerate(found))


def _values(rows: list[MapStore], known: set[Cell]) -> dict[str, Word]:
    """What each word may hold: 0 at first, then what is stored, which may come from such words itself. By symbol."""
    stores: dict[str, list[Word]] = {}
    held: dict[str, Word] = {}
    for row in rows:
        if row.at is None or (row.map, row.at) not in known:
            continue
        name = f"map:{row.map}+{row.at}/{row.size}"
        stores.setdefault(name, []).append(_own(row.value))
        held[name] = _UNKNOWN if row.size > _WORD or any(_overlaps(row, other) for other in rows) else Word.const(0, 32)
    for _ in range(_ROUNDS):
        before = dict(held)
        for name, words in stores.items():
            for word in words:
                held[name] = _plain(held[name] | word.applied(held))
        if held == before:
            return held
    return dict.fromkeys(held, _UNKNOWN)


def _overlaps(a: MapStore, b: MapStore) -> bool:
    """Whether another store writes a part of the same word, or it is not known where it writes."""
    if a.map != b.map:
        return False
    if a.at is None or b.at is None:
        return True
    return (a.at, a.size) != (b.at, b.size) and a.at < b.at + b.size and b.at < a.at + a.size


def _own(word: Word) -> Word:
    """A stored value; what it copies from the storing program's packet is another packet's to a reader."""
    other = word.other
    copies: dict[Source, int] = {}
    for source, bits in word.copies:
        if source.symbol.startswith("map:"):
            copies[source] = bits
        else:
            other |= bits
    return Word.make(32, word.zero, word.one, copies, other)


def _plain(word: Word) -> Word:
    """Without copies of words that nothing is known of."""
    return Word(32, word.zero, word.one, (), word.other | word.copied())


def _told(first: Facts, second: Facts, values: dict[str, Word]) -> Facts:
    again = {site.at: site for site in second.mark.sites}
    sites = tuple(_assumed(site, again.get(site.at), values) for site in first.mark.sites)
    words = {**first.words, MARK: replace(first.mark, sites=sites)} if sites else first.words
    return replace(first, words=words, visits=first.visits + second.visits)


def _assumed(site: Site, again: Site | None, values: dict[str, Word]) -> Site:
    if again is None:
        return site
    symbols = {source.symbol for source, _ in again.effect.copies if source.symbol.startswith("map:")}
    word = again.effect.applied({name: values.get(name, _UNKNOWN) for name in symbols})
    if not site.effect.other & ~word.other:
        return site
    maps = sorted({match[1] for name in symbols & values.keys() if (match := _CELL.match(name))})
    return replace(site, assumed=word, assumption=f"nobody else writes {' and '.join(maps)}")
