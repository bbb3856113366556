"""What a use does to one packet of a walk, and whether it answers the question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from markreg.model import Owned, Use
from markreg.paths.effects import Mark, Question, Write, contested, holds, turned
from markreg.paths.graph import Item
from markreg.paths.trail import GUESSED, UNSHOWN, Found, Hit, State, Trail, freed
from markreg.paths.uses import clears, matches, means, uncertain, whole
from markreg.transfer import Predicate, Word

# A map of more values than that may bring any of their bits.
_MOST_VALUES = 16


class Answers:
    """One question and what answers it. ``meant``: bits that the writer in question claims; ``freeing``: marks of others may be wished
    away."""

    def __init__(self, question: Question, meant: Mapping[str, int], freeing: bool) -> None:
        self.question, self.meant, self.freeing = question, meant, freeing
        self.names = [name for name, _ in question.tracked]
        self.found = Found()
        self.writes: dict[str, list[Write]] = {}
        # What is alike in all rules that say the same: writes by what they do, and what they made of which marks; tests.
        self._alike: dict[tuple[object, ...], list[Write]] = {}
        self._after: dict[tuple[int, tuple[Mark, ...]], tuple[Mark, ...]] = {}
        self._tests: dict[int, tuple[Predicate, int | None, bool]] = {}
        self._above: Trail | None = None

    def _wrote(self, act: Owned, item: Item, state: State, trail: Trail | None) -> list[tuple[State, Trail | None]]:
        self._claimed(act, item, state, trail)
        changed = self._written(act, state)
        result = [(then, trail if then == state else Trail(trail, (act, item))) for then in changed]
        if not changed or (any(write.maybe for write in self.writes[act.id]) and state not in changed):
            result.append((state, trail))
        return result

    def _claimed(self, act: Owned, item: Item | None, state: State, trail: Trail | None) -> None:
        """Asks whether A writes where B has written."""
        q, use = self.question, act.use
        if (
            act.owner != q.reader
            or q.reader == q.writer
            or q.carrier
            or use.field not in self.names
            or uncertain(use)
            or use.basis == "registry"
        ):
            return
        mark = state.marks[self.names.index(use.field)]
        ones = mark.value | mark.unknown
        if over := contested(mark, q) & mark.put & (clears(use) & ones | means(use) & (ones | self.meant.get(use.field, 0))):
            self._hit("MK103", act, item, over, state, trail)

    def _written(self, act: Owned, state: State) -> list[State]:
        """The packet after a write, for each of the values that it may bring; none where it is none in question."""
        if act.id not in self.writes:
            use = act.use
            key = (id(use.effect), use.field, use.mask, use.values, use.possible, use.basis, act.owner)
            if key not in self._alike:
                self._alike[key] = [write for effect in _each(use) if (write := Write(act, self.question, effect)).mask]
            self.writes[act.id] = self._alike[key]
        after: list[State] = []
        for write in self.writes[act.id]:
            known = (id(write), state.marks)
            if known not in self._after:
                at = self.names.index(write.field)
                mark = write.on(dict(zip(self.names, state.marks, strict=True)))
                self._after[known] = (*state.marks[:at], mark, *state.marks[at + 1 :])
            after.append(state._replace(marks=self._after[known]))
        return after

    def _asked(self, act: Owned, state: State) -> Iterable[tuple[bool, State]]:
        """Whether a test holds: (True, state) and (False, state) as far as either may be."""
        predicate = act.use.predicate
        if predicate is None or act.use.field not in self.names:
            yield True, state
            if predicate is not None and not predicate.always():
                yield False, state
            return
        at = self.names.index(act.use.field)
        mark = state.marks[at]
        free = predicate.mask & ~self.question.bits(act.use.field)
        can, cannot = holds(predicate, mark, free)
        if id(predicate) not in self._tests:
            exact = predicate.exact()
            self._tests[id(predicate)] = (predicate, predicate.inverse().exact() if exact is None else exact, exact is None)
        _, value, inverse = self._tests[id(predicate)]
        for held, possible in ((True, can), (False, cannot)):
            equal = value is not None and held is not inverse
            if possible:
                then = mark
                if equal and value is not None and (known := mark.unknown & predicate.mask):
                    then = mark._replace(value=(mark.value & ~known) | value & known, unknown=mark.unknown & ~known)
                yield held, state if then is mark else state._replace(marks=(*state.marks[:at], then, *state.marks[at + 1 :]))
            elif equal and self.freeing and value is not None and (wished := self._freed(act, mark, predicate.mask, value, free)):
                wrong = (mark.value ^ value) & predicate.mask & ~free
                then = mark._replace(value=mark.value ^ wrong, mine=mark.mine & ~wrong, theirs=mark.theirs & ~wrong, put=mark.put & ~wrong)
                marks = (*state.marks[:at], then, *state.marks[at + 1 :])
                yield held, state._replace(marks=marks, freed=freed(state.freed, wished))

    def _freed(self, act: Owned, mark: Mark, mask: int, value: int, free: int) -> int:
        """Whose bits make a test of A's or B's fail that would hold without them: 1 of the other, 2 of a third, 0 if they are its own.

        Or one collision hides the next: it comes up as soon as somebody mends the first.
        """
        q = self.question
        if act.owner not in (q.reader, q.writer):
            return 0
        own, other = (mark.mine, mark.theirs) if act.owner == q.reader else (mark.theirs, mark.mine)
        wrong = (mark.value ^ value) & mask & ~free & ~mark.unknown
        if wrong & (own | ~mark.written) or (act.owner == q.reader and wrong & mark.theirs & (mark.without ^ value)):
            return 0
        return 2 if wrong & ~other else 1

    def _read(self, act: Owned, item: Item | None, state: State, trail: Trail | None) -> None:
        """Asks the question where A reads."""
        q, use = self.question, act.use
        if act.owner != q.reader or use.field not in self.names or use.effect is not None:
            return
        mark = state.marks[self.names.index(use.field)]
        if not (mark.lost or mark.theirs):
            return
        tests = matches(act)
        if (not tests and (use.predicate is not None or whole(use))) or (item and self._fails(act, item, state)):
            return
        missed = mark.lost & mark.had & use.mask & (~mark.value | mark.unknown)
        if missed and not q.carrier and (bits := missed & turned(use.predicate, use.mask, mark, mark.lost, mark.had)):
            self._hit("MK102", act, item, bits, state, trail)
        elif tests and (bits := turned(use.predicate, use.mask, mark, contested(mark, q), mark.without)):
            # Who writes another's code decides by all its bits, even if its ones were there before; who only clears writes none.
            ones = (mark.value | mark.unknown) & contested(mark, q) & use.mask
            # Whether the rest of a code stands there only because somebody is presumed to have put it there.
            guessed = bool(mark.guessed & (mark.value | mark.unknown) & use.mask & ~ones)
            if ones:
                self._hit("MK104" if q.carrier else "MK101", act, item, bits & ones or ones, state, trail, guessed)

    def _fails(self, act: Owned, item: Item, state: State) -> bool:
        """Whether another test of the same rule fails however this one turns out."""
        if any(a.use.effect is not None for a in item.acts):
            return False
        for other in item.acts:
            predicate, name = other.use.predicate, other.use.field
            if other is act or predicate is None or name not in self.names:
                continue
            mark = state.marks[self.names.index(name)]
            theirs = contested(mark, self.question)
            before = mark._replace(value=(mark.value & ~theirs) | mark.without & theirs)
            free = predicate.mask & ~self.question.bits(name)
            lost = mark.lost & mark.had
            kept = mark._replace(value=(mark.value & ~mark.lost) | lost)
            if not any(holds(predicate, m, free)[0] for m in (mark, before, kept)):
                return True
        return False

    def _hit(self, code: str, act: Owned, item: Item | None, bits: int, state: State, trail: Trail | None, guessed: bool = False) -> None:
        if state.freed & UNSHOWN:
            return
        hit = self.found.hits.setdefault((code, act.id), Hit(code, act, item))
        doubt = GUESSED if guessed else state.freed
        if doubt < hit.freed:
            hit.mask, hit.freed = 0, doubt
            hit.trail = trail if item is None else Trail(self._above, trail) if trail else self._above
        if doubt == hit.freed:
            hit.mask |= bits


def _each(use: Use) -> list[Word]:
    """The effects of a write that brings one of several values, each by itself, as long as there are few."""
    assert use.effect is not None
    if not use.values or sum(high - low + 1 for low, high in use.values) > _MOST_VALUES:
        return [use.effect]
    singles = [value for low, high in use.values for value in range(low, high + 1)]
    base, width = Word.entry(use.field, use.effect.width), use.effect.width
    found = [Word.const(value, width).masked_into(base, use.mask) for value in singles]
    together = found[0]
    for one in found[1:]:
        together |= one
    whole = use.effect._replace(zero=use.effect.zero | use.effect.other, one=use.effect.one | use.effect.other, other=0)
    return found if not whole.copied() & use.mask and together.one == whole.one else [use.effect]
