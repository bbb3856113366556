"""Bits of a mark for `brute`: who decided each and who moved it last, and for one question what it would be without one owner."""

from __future__ import annotations

from typing import NamedTuple

from tests.paths.random_rules import WIDTH, Rule, RuleSet

NONE = -1


class Bit(NamedTuple):
    """One bit: who decided it and who moved it last (lines, 0 for nobody), and for one question (see markreg.paths.effects.Mark) what it
    would be without B, whether the carrier in question moved it, whether it is A's (or another's on A's behalf), and A's lost decision."""

    value: int = 0
    origin: int = 0
    mover: int = 0
    without: int = 0
    moved: bool = False
    mine: bool = False
    lost: int = NONE


Word = tuple[Bit, ...]
START: Word = tuple(Bit() for _ in range(WIDTH))


class Asked:
    """A question, and what answers it: does what B did (or carried) reach a match of A's, or undo what A did? ``requests``: (owner, field,
    bit) that an owner sets on A's behalf."""

    def __init__(self, rules: RuleSet, a: str, b: str, carrier: str, requests: frozenset[tuple[str, str, int]]) -> None:
        self.rules, self.a, self.b, self.carrier, self.requests = rules, a, b, carrier, requests
        self.owners = {r.line: r.owner for r in rules.rules}
        self.read: set[tuple[int, str, int, int, int, int]] = set()
        self.hits: set[tuple[str, int]] = set()

    def met(self, rule: Rule, name: str, word: Word, held: bool, shown: bool) -> None:
        """Notes what a test saw, and asks the question."""
        assert rule.test
        _, value, mask, negated = rule.test
        for number, bit in enumerate(word):
            if mask >> number & 1:
                self.read.add((rule.line, name, number, bit.origin, bit.mover, bit.value))
        if rule.owner != self.a or mask == 0 or not shown:
            return
        if not self.carrier and any(b.lost == 1 and not b.value and mask >> n & 1 for n, b in enumerate(word)):
            before = [b.value if b.lost == NONE else b.lost for b in word]
            if ((_number(before) & mask == value) is not negated) is not held:
                self.hits.add(("MK102", rule.line))
                return
        theirs = [self.theirs(b) and b.moved is bool(self.carrier) for b in word]
        otherwise = [b.without if t else b.value for b, t in zip(word, theirs, strict=True)]
        turned = ((_number(otherwise) & mask == value) is not negated) is not held
        # Who writes another's code decides by all its bits, even if its ones were there before; who only clears writes none.
        ones = (t and b.value and mask >> n & 1 for n, (b, t) in enumerate(zip(word, theirs, strict=True)))
        if turned and any(ones):
            self.hits.add(("MK104" if self.carrier else "MK101", rule.line))

    def theirs(self, bit: Bit) -> bool:
        """Whether B decided a bit."""
        return self.owners.get(bit.origin) == self.b

    def set(self, rule: Rule, name: str, word: Word, value: int, mask: int) -> Word:
        """The word of a field after a constant write."""
        return tuple(
            self.decided(rule, (rule.owner, name, n) in self.requests, old, (0 if mask >> n & 1 else old.value) ^ (value >> n & 1))
            if (mask | value) >> n & 1
            else old
            for n, old in enumerate(word)
        )

    def decided(self, rule: Rule, asked: bool, old: Bit, new: int) -> Bit:
        """A bit after a rule decided it anew; ``asked``: on A's behalf."""
        own = rule.owner == self.a or asked
        without = 0
        if rule.owner == self.b:
            without = old.without if self.theirs(old) else old.value
        lost = old.lost
        if own:
            lost = NONE
        elif rule.owner == self.b and lost == NONE and old.mine and old.value != new:
            lost = old.value
        # What another sets to what it was A's remains.
        return Bit(new, rule.line, 0, without, False, own or (old.mine and old.value == new), NONE if lost == new else lost)

    def copy(self, rule: Rule, target: Word, source: Word, mask: int) -> Word:
        """The word after bits of another were copied into it."""
        return tuple(self.copied(rule, old, source[n]) if mask >> n & 1 else old for n, old in enumerate(target))

    def copied(self, rule: Rule, old: Bit, came: Bit) -> Bit:
        """A bit after a copy."""
        origin = came.origin or rule.line
        foreign = rule.owner == self.carrier if self.carrier else rule.owner not in (self.a, self.b)
        before = old.without if self.theirs(old) else old.value
        if foreign and self.carrier:
            without = before
        elif came.origin:
            without = came.without
        else:
            without = before if rule.owner == self.b else 0
        lost = came.lost
        if rule.owner == self.b and lost == NONE:
            lost = old.lost
            if lost == NONE and old.mine and old.value != came.value:
                lost = old.value
        moved = came.moved or foreign
        mine = came.mine if came.origin else rule.owner == self.a
        new = Bit(came.value, origin, rule.line if came.origin else 0, without, moved, mine, NONE if lost == came.value else lost)
        return new if self.theirs(new) else new._replace(without=0, moved=False)


def _number(bits: list[int]) -> int:
    return sum(bit << n for n, bit in enumerate(bits))
