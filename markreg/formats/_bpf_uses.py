"""Facts about a BPF program as uses: for objects and for programs that are loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from markreg.bits import full
from markreg.bpf.context import SOCK
from markreg.bpf.facts import Facts, Test, WordFacts
from markreg.bpf.memory import SK_MARK
from markreg.model import CT_MARK, SKB_MARK, Hook, Place, Scope, Use
from markreg.programs import BpfProgram, BpfSite
from markreg.transfer import Predicate, Word

_ALL = full(32)
_SOCKET = (Hook("socket", 0),)
# CO-RE accesses to marks: the field that they read, and whether it is the socket's.
_ACCESSES = {"sk_buff.mark": SKB_MARK.name, "nf_conn.mark": CT_MARK.name, "sock.sk_mark": SKB_MARK.name}


def uses_of(facts: Facts, place: Place, scope: Scope, path: str, fields: frozenset[str] = frozenset()) -> tuple[Use, ...]:
    """Every use of a mark by one program at ``place`` (kind ``bpf``): of the mark in its context, and of ``cb`` words in ``fields``; of
    marks of sockets, route lookups, connections and kernel structures."""
    return tuple(_Maker(facts, place, scope, path).uses(fields))


def program_of(facts: Facts, place: Place, path: str) -> BpfProgram:
    """What the analysis says of itself."""
    maker = _Maker(facts, place, Scope(), path)
    sites = tuple(
        BpfSite(
            word.symbol, maker.clause(s.at), s.effect, s.mask, s.keeps, s.origin, s.size, s.net, s.possible, s.assumed, s.assumption
        )
        for word in facts.words.values()
        for s in word.sites
    )  # fmt: skip
    touched = [w for w in facts.words.values() if w.reads or w.mask or w.sites]
    assumptions = dict.fromkeys(s.assumption for s in sites if s.assumption)
    return BpfProgram(
        path,
        place,
        facts.program.context.name,
        tuple((w.symbol, w.reads) for w in touched),
        tuple((w.symbol, w.mask) for w in touched),
        tuple((w.symbol, w.mask & ~w.effect.other) for w in touched if w.effect),
        sites,
        tuple((t.map, t.slot) for t in facts.tails),
        facts.maps,
        tuple(assumptions),
        facts.notes,
        facts.limits,
        facts.visits,
    )


def touches(facts: Facts) -> bool:
    """Whether a program has anything to do with a mark."""
    mark = facts.mark
    return bool(
        mark.reads or mark.sites or facts.handed or facts.loaded.keys() & {SK_MARK, CT_MARK.name} or facts.touched or facts.accesses
    )


class _Maker:
    def __init__(self, facts: Facts, place: Place, scope: Scope, path: str) -> None:
        self.facts = facts
        self.place = replace(place, hooks=_SOCKET) if facts.program.context is SOCK and not place.hooks else place
        self.scope = scope
        self.path = path
        # What signatures of components look for, beside the names that the place has.
        self.statement = " ".join((f"program {facts.program.name}", *(f"map {name}" for name in facts.maps)))

    def clause(self, at: int) -> str:
        """The source line of an instruction, or its number in the program where the object does not say."""
        line = self.facts.line(at)
        if line is None or not line.number:
            return f"instruction {at - self.facts.program.entry}"
        if not line.file:
            return line.text
        return f"{line.file}:{line.number}: {line.text}" if line.text else f"{line.file}:{line.number}"

    def uses(self, fields: frozenset[str]) -> Iterator[Use]:
        for word in self.facts.words.values():
            if word.symbol == SKB_MARK.name or word.symbol in fields:
                yield from self._word(word)
        yield from self._handed()
        for symbol, kind, field in ((SK_MARK, "socket", SKB_MARK.name), (CT_MARK.name, "bpf", CT_MARK.name)):
            mask, at = self.facts.loaded.get(symbol, (self.facts.touched.get(symbol, 0), self.facts.program.entry))
            if mask:
                yield self._use(field, "read", mask & _ALL, at, self._at(kind))
        if CT_MARK.name not in self.facts.touched:
            for name, at in self.facts.accesses:
                yield self._use(_ACCESSES[name], "read", _ALL, at, self._at("trace"))

    def _at(self, kind: str) -> Place:
        return self.place if kind == "bpf" else replace(self.place, kind=kind, hooks=())

    def _use(self, field: str, access: str, mask: int, at: int, place: Place, **more: object) -> Use:
        where = (field, access, mask, place, self.scope, self.path, (), self.clause(at))
        return Use(*where, statement=self.statement, **more)  # type: ignore[arg-type]

    def _word(self, word: WordFacts) -> Iterator[Use]:
        yield from self._reads(word)
        made: dict[tuple[Word, int, bool], Use] = {}
        for site in word.sites:
            mask = site.mask & word.mask
            if not (site.net and mask):
                continue
            effect = site.effect.masked_into(Word.entry(word.symbol, 32), mask)
            access = "copy" if any(s.symbol != word.symbol for s, _ in effect.copies) else "write"
            key = (effect, mask, site.possible)
            if key not in made:
                made[key] = self._use(word.symbol, access, mask, site.at, self.place, effect=effect, possible=site.possible)
        if self.facts.limits and word.symbol == SKB_MARK.name:
            unknown = Word.unknown(32) | Word.entry(word.symbol, 32)
            made = {
                (unknown, _ALL, True): self._use(word.symbol, "write", _ALL, self._first(word), self.place, effect=unknown, possible=True)
            }
        found = list(made.values())
        if word.put_back:
            if not found:
                found = [self._use(word.symbol, "write", 0, self._first(word), self.place, effect=Word.entry(word.symbol, 32))]
            found[0] = replace(found[0], transient=word.transient)
        yield from found

    def _first(self, word: WordFacts) -> int:
        return min((s.at for s in word.sites), default=self.facts.program.entry)

    def _reads(self, word: WordFacts) -> Iterator[Use]:
        """A use for every question; what else has an influence in one without a question."""
        rest = word.reads
        for test in word.tests:
            if mask := test.mask & word.reads:
                rest &= ~mask
                yield self._use(word.symbol, "read", mask, test.at, self.place, predicate=_predicate(word.symbol, test))
        if rest:
            at = min((at for at, bits in word.read_at if bits & rest), default=self.facts.program.entry)
            yield self._use(word.symbol, "read", rest, at, self.place)

    def _handed(self) -> Iterator[Use]:
        for given in self.facts.handed:
            if given.kind == "ct":
                effect = given.effect.masked_into(Word.entry(CT_MARK.name, 32), given.mask)
                copied = any(s.symbol != CT_MARK.name for s, _ in effect.copies)
                yield self._use(CT_MARK.name, "copy" if copied else "write", given.mask, given.at, self.place, effect=effect)
                continue
            word = given.effect
            carried = word.one | word.other | word.copied() if given.kind == "fib" else _ALL
            place = self._at("route" if given.kind == "fib" else "socket")
            if carried:
                yield self._use(SKB_MARK.name, "write", carried, given.at, place, effect=word, possible=not given.certain)


def _predicate(symbol: str, test: Test) -> Predicate:
    return Predicate(symbol, test.mask, test.accepts, test.value, test.negated)
