"""From what the interpreter noted to facts: phi symbols replaced by what came in, places by source lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from operator import or_
from typing import TypeVar

from markreg.bits import full
from markreg.bpf.context import MARK
from markreg.bpf.events import Asked, Events, Stored
from markreg.bpf.facts import Facts, Handed, MapStore, Site, Test, WordFacts
from markreg.bpf.image import Program
from markreg.bpf.merge import Meetings
from markreg.bpf.scalar import LOW, NOWHERE, WIDTH, Deps, Number, Scalar, merged_deps, word_of
from markreg.bpf.state import StoreKey, same_bits
from markreg.transfer import Source, Word

_ROUNDS = 200
_MOST_PARTS = 16


class Resolver:
    """Answers in terms of symbols at entry and of loaded marks.

    What a phi symbol may be is found once for all of them: its bits, on what they hang beyond that, and where unknown ones come from.
    """

    def __init__(self, meetings: Meetings) -> None:
        self._phis = meetings.by_symbol
        self._solved: dict[str, _Solved] = {}
        self._words: dict[Number, Word] = {}

    def word(self, value: Number) -> Word:
        """The low 32 bits of a number without phi symbols; loaded marks under the name of their field."""
        if (known := self._words.get(value)) is not None:
            return known
        word = word_of(value)
        wanted = self._solve(s.symbol for s, _ in word.copies)
        if wanted:
            word = word.applied({name: self._solved[name].word for name in wanted})
        word = self._words[value] = _named(word).resized(32)
        return word

    def hangs(self, parts: Iterable[tuple[str, int]]) -> dict[str, int]:
        """Bits of symbols, without phi symbols."""
        found: dict[str, int] = {}
        every = list(parts)
        self._solve(name for name, _ in every)
        for name, mask in every:
            solved = self._solved.get(name)
            for symbol, bits in solved.hangs(mask) if solved else ((name, mask),):
                found[symbol] = found.get(symbol, 0) | bits
        return found

    def origins(self, value: Number, bits: int) -> set[str]:
        """Where the unknown bits of a number come from."""
        if not isinstance(value, Scalar):
            return set()
        found = set(value.origin) if value.word.other & bits else set()
        self._solve(s.symbol for s, _ in value.word.copies)
        for source, mask in value.word.copies:
            if (solved := self._solved.get(source.symbol)) and (there := _back(mask & bits, source.shift)):
                for origin, held in solved.origins.items():
                    found |= origin if held & there else set()
        return found

    def _solve(self, names: Iterable[str]) -> set[str]:
        """Brings the phi symbols among some to what came in there, until nothing more does; returns which these are."""
        wanted = {name for name in names if name in self._phis}
        if wanted <= self._solved.keys():
            return wanted
        pending = [name for name in wanted if name not in self._solved]
        fresh: dict[str, Scalar] = {}
        while pending:
            name = pending.pop()
            if name in fresh or name in self._solved:
                continue
            fresh[name] = content = self._phis[name].content
            pending += [n for n in _symbols(content) if n in self._phis]
        # In the order in which they were made most of them need only what came before.
        order = sorted(fresh, key=lambda name: int(name.removeprefix("phi")))
        users: dict[str, list[str]] = {name: [] for name in order}
        for name in order:
            for source in _symbols(fresh[name]) & users.keys():
                users[source].append(name)
        self._solved |= {name: _Solved() for name in order}
        waiting = set(order)
        for _ in range(_ROUNDS):
            for name in order:
                if name in waiting:
                    waiting.discard(name)
                    if self._solved[name].grow(fresh[name], self._solved):
                        waiting.update(users[name])
            if not waiting:
                return wanted
        for name in order:
            self._solved[name].word = Word.unknown(WIDTH)
        return wanted


def _symbols(value: Scalar) -> set[str]:
    return {s.symbol for s, _ in value.word.copies} | {name for _, on in value.taint for name, _ in on}


def _back(mask: int, shift: int) -> int:
    """The bits of a symbol that stand in ``mask`` of a word which copies it."""
    return mask >> shift if shift >= 0 else mask << -shift


class _Solved:
    """A phi symbol in terms of others than phi symbols: ``taint`` on what unknown bits hang, ``origins`` where they come from."""

    __slots__ = ("origins", "taint", "word")

    def __init__(self) -> None:
        self.word = Word(WIDTH)
        self.taint: dict[Deps, int] = {}
        self.origins: dict[frozenset[str], int] = {}

    def hangs(self, mask: int) -> Iterator[tuple[str, int]]:
        """The bits of symbols on which these bits hang."""
        for source, bits in self.word.copies:
            if bits & mask:
                yield source.symbol, _back(bits & mask, source.shift)
        for on, bits in self.taint.items():
            if bits & mask:
                yield from on

    def grow(self, content: Scalar, solved: Mapping[str, _Solved]) -> bool:
        """Adds what came in; whether that was anything new."""
        inner = {s.symbol: solved[s.symbol] for s, _ in content.word.copies if s.symbol in solved}
        word = (content.word.applied({name: s.word for name, s in inner.items()}) if inner else content.word) | self.word
        taint, origins = dict(self.taint), dict(self.origins)
        for mask, on in content.taint:
            parts = [p for name, bits in on for p in (solved[name].hangs(bits) if name in solved else ((name, bits),))]
            _put(taint, merged_deps(parts), mask)
        if content.word.other and content.origin:
            _put(origins, content.origin, content.word.other)
        for source, mask in content.word.copies:
            if known := inner.get(source.symbol):
                for on, bits in known.taint.items():
                    _put(taint, on, (bits << source.shift if source.shift >= 0 else bits >> -source.shift) & mask)
                for origin, bits in known.origins.items():
                    _put(origins, origin, (bits << source.shift if source.shift >= 0 else bits >> -source.shift) & mask)
        if len(taint) > _MOST_PARTS:
            taint = {merged_deps(part for on in taint for part in on): reduce(or_, taint.values())}
        if len(origins) > _MOST_PARTS:
            origins = {frozenset().union(*origins): reduce(or_, origins.values())}
        changed = (word, taint, origins) != (self.word, self.taint, self.origins)
        self.word, self.taint, self.origins = word, taint, origins
        return changed


_Key = TypeVar("_Key", Deps, frozenset[str])


def _put(found: dict[_Key, int], key: _Key, mask: int) -> None:
    if mask and key:
        found[key] = found.get(key, 0) | mask


def _named(word: Word) -> Word:
    """Symbols of single loads under the name of what they load."""
    if not any("@" in s.symbol for s, _ in word.copies):
        return word
    copies: dict[Source, int] = {}
    for source, bits in word.copies:
        plain = source._replace(symbol=source.symbol.partition("@")[0])
        copies[plain] = copies.get(plain, 0) | bits
    return Word.make(word.width, word.zero, word.one, copies, word.other)


_SAID = {"sk_mark": "sk.mark", "ct_mark": "nf_conn.mark", MARK: "mark"}


def facts_of(program: Program, events: Events, meetings: Meetings) -> Facts:
    """The facts about a program that has been run."""
    resolver = Resolver(meetings)
    reads: dict[str, dict[int, int]] = {}
    touched: dict[str, int] = {}
    for ((_, at), _), parts in events.reads.items():
        for name, mask in resolver.hangs(parts).items():
            plain = name.partition("@")[0]
            places = reads.setdefault(plain, {})
            places[at] = places.get(at, 0) | mask
    for name, mask in events.loads.items():
        plain = name.partition("@")[0]
        touched[plain] = touched.get(plain, 0) | mask
    owners = {name: i for i, (name, _) in enumerate(program.context.cells)}
    cells = {**owners, **{name: phi.cell for name, phi in meetings.by_symbol.items()}}
    stores: dict[int, list[tuple[StoreKey, Stored]]] = {i: [] for i in owners.values()}
    for key, stored in sorted(events.stores.items(), key=lambda item: item[0][1]):
        stores[stored.cell].append((key, stored))
    words = {
        name: _word_facts(name, i, stores[i], events, resolver, reads.get(name, {}), _tests(i, events, resolver, cells))
        for name, i in owners.items()
    }
    handed = tuple(
        Handed(given.kind, resolver.word(given.value), given.bits, at, given.certain, _origins(resolver, "", given.value, LOW))
        for (_, at), given in sorted(events.given.items(), key=lambda item: item[0][1])
    )
    loaded = {}
    for name, places in reads.items():
        if name not in owners:
            mask = 0
            for bits in places.values():
                mask |= bits
            loaded[name] = (mask, min(places))
    tails = tuple(dict.fromkeys(tail for _, tail in sorted(events.tails.items(), key=lambda item: item[0][1])))
    given = tuple(
        MapStore(name, at, size, resolver.word(value), value.origin if isinstance(value, Scalar) else NOWHERE)
        for (name, at, size), value in events.map_stores.items()
    )
    notes, limits = tuple(events.notes), tuple(events.limits)
    return Facts(program, words, handed, loaded, touched, (), tails, (), notes, limits, events.visits, given)


def _word_facts(
    name: str,
    i: int,
    stores: list[tuple[StoreKey, Stored]],
    events: Events,
    resolver: Resolver,
    reads: Mapping[int, int],
    tests: tuple[Test, ...],
) -> WordFacts:
    mask = 0
    effect = Word(32)
    last: set[object] = set()
    entry = Word.entry(name, 32)
    kept = not stores
    for cells in events.exits.values() if stores else ():
        cell = cells[i]
        last |= cell.sites
        if not cell.differs:
            kept = True
            continue
        word = resolver.word(cell.value)
        changed = cell.differs & ~word.keeps(name) & LOW
        mask |= changed
        effect |= word.masked_into(entry, changed)
    if kept:
        effect |= entry
    sites: dict[int, Site] = {}
    for key, stored in stores:
        word = resolver.word(stored.after)
        changed = stored.differs & ~word.keeps(name) & LOW
        keeps = same_bits(stored.after, stored.before)
        site = Site(
            key[1],
            word.masked_into(entry, changed),
            changed,
            keeps,
            _origins(resolver, name, stored.after, LOW & ~keeps),
            key in last,
            stored.size,
            stored.possible,
        )
        sites[key[1]] = _either(sites.get(key[1]), site)
    back = Word(32)
    put_back = 0
    for site in sites.values():
        gone = site.mask & ~mask
        put_back |= gone
        back |= site.effect.only(gone)
    if events.limits:
        mask, effect = LOW, Word.unknown(32) | entry
    everything = 0
    for bits in reads.values():
        everything |= bits
    return WordFacts(
        name,
        LOW if events.limits else everything & LOW,
        tuple(sorted((at, bits & LOW) for at, bits in reads.items())),
        tests,
        mask,
        effect if events.exits or events.limits else None,
        tuple(sites.values()),
        back if put_back else None,
        put_back,
    )


def _either(a: Site | None, b: Site) -> Site:
    """One store, reached in two ways."""
    if a is None:
        return b
    origin = tuple(sorted({*a.origin, *b.origin}))
    return Site(
        a.at, a.effect | b.effect, a.mask | b.mask, a.keeps & b.keeps, origin, a.net or b.net, min(a.size, b.size), a.possible or b.possible
    )


def _origins(resolver: Resolver, own: str, value: Number, bits: int) -> tuple[str, ...]:
    found = resolver.origins(value, bits)
    word = resolver.word(value)
    for (symbol, shift, inverted), mask in word.copies:
        if mask & bits and ((symbol, shift, inverted) != (own, 0, False) or (mask & bits & word.other and False)):
            found.add(_SAID.get(symbol, symbol))
    if own and isinstance(value, Scalar):
        hanging = resolver.hangs(part for mask, on in value.taint if mask & bits for part in on)
        found |= {_SAID.get(name.partition("@")[0], name) for name in hanging}
    return tuple(sorted(found))


def _tests(i: int, events: Events, resolver: Resolver, cells: Mapping[str, int]) -> tuple[Test, ...]:
    """The questions about one word whose answers depend on what it was at entry, in these bits."""
    found: dict[tuple[object, ...], Test] = {}
    for (_, at), asked in sorted(events.asked.items(), key=lambda item: item[0][1]):
        if cells.get(asked.symbol) != i:
            continue
        if asked.symbol.startswith("phi") and not _of_entry(asked, resolver):
            continue
        test = Test(asked.mask, asked.accepts, asked.value, asked.negated, at)
        found.setdefault((asked.mask, asked.accepts), test)
    return tuple(found.values())


def _of_entry(asked: Asked, resolver: Resolver) -> bool:
    """Whether every bit asked for may still be what it was at entry."""
    word = resolver.word(Scalar(Word(WIDTH, zero=full(WIDTH) & ~asked.mask, copies=((Source(asked.symbol), asked.mask),))))
    own = 0
    for (symbol, shift, inverted), bits in word.copies:
        if not shift and not inverted and not symbol.startswith("phi"):
            own |= bits
    return not asked.mask & ~own
