"""A write on concrete marks, for one question: does what B did (or carried) reach a match of A's, or undo what A did?

A `Mark` is a field of one packet or connection, with for every bit what matters to the question. All are masks in bits of the field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from markreg.bits import shifted
from markreg.model import Owned
from markreg.paths.requests import requested
from markreg.transfer import Predicate, Word


class Mark(NamedTuple):
    """``value``; ``unknown``: bits of which nothing is known; ``mine``: decided by A, or for A by agreement; ``theirs``: decided by B;
    ``moved``: last moved by the carrier in question; ``without``: what the bits of ``theirs`` would be without B; ``lost``: A had
    decided them, as in ``had``, and B changed them; ``written``: by anybody; ``put``: what stands there B put there itself;
    ``guessed``: who decided it is only presumed to.
    """

    value: int = 0
    unknown: int = 0
    mine: int = 0
    theirs: int = 0
    moved: int = 0
    without: int = 0
    lost: int = 0
    had: int = 0
    written: int = 0
    put: int = 0
    guessed: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """Between whom: the ``reader`` (A), the ``writer`` (B; A itself for what is carried back to it), and who carries (or nobody).

    ``tracked``: for each field the bits that are followed. ``presumed``: whether uses that are only presumed are somebody's doing.
    ``requests``: the bits of a field that an owner sets for A to read, by agreement: (owner, field, bits).
    """

    reader: str
    writer: str
    carrier: str
    tracked: tuple[tuple[str, int], ...]
    presumed: bool = False
    requests: tuple[tuple[str, str, int], ...] = ()

    def bits(self, name: str) -> int:
        """The bits of a field that are followed."""
        for field, mask in self.tracked:
            if field == name:
                return mask
        return 0

    def carries(self, owner: str) -> bool:
        """Whether a copy by an owner is one in question, or, where no carrier is in question, one that makes it another question."""
        return owner == self.carrier if self.carrier else owner not in (self.reader, self.writer, "")


def contested(mark: Mark, question: Question) -> int:
    """The bits by which the finding in question would come about."""
    return mark.theirs & (mark.moved if question.carrier else ~mark.moved)


class Write:
    """A use's effect, compiled for a question."""

    __slots__ = ("copies", "field", "flips", "guess", "mask", "maybe", "mine", "ones", "own", "owner", "question", "unknown")

    def __init__(self, owned: Owned, question: Question, effect: Word | None = None) -> None:
        use = owned.use
        effect = effect or use.effect
        assert effect is not None
        tracked = question.bits(use.field)
        self.field, self.question = use.field, question
        self.owner = owned.owner if question.presumed or use.basis != "registry" else ""
        self.guess = not self.owner
        self.mask = use.mask & tracked
        kept = next((bits for source, bits in effect.copies if source == (use.field, 0, False)), 0)
        self.flips = effect.toggles(use.field) & self.mask
        self.copies: list[tuple[str, int, int]] = []
        copied = odd = 0
        for (symbol, shift, inverted), bits in effect.copies:
            if (symbol, shift) == (use.field, 0):
                continue
            bits &= self.mask
            if not inverted and bits & ~(copied | effect.zero | effect.one | effect.other | self.flips):
                self.copies.append((symbol, shift, bits & ~(effect.zero | effect.one | effect.other | self.flips)))
            else:
                odd |= bits
            odd |= bits & (copied | effect.zero | effect.one | effect.other | self.flips)
            copied |= bits
        self.unknown = (effect.other | odd | effect.zero & effect.one | (effect.zero | effect.one) & self.flips) & self.mask
        self.ones = effect.one & ~effect.zero & ~self.unknown & self.mask
        self.flips &= ~self.unknown
        self.own = self.mask & ~copied | self.unknown
        granted = next((bits for who, name, bits in question.requests if (who, name) == (self.owner, use.field)), 0)
        self.mine = self.own if self.owner == question.reader else self.own & requested(granted, owned)
        self.maybe = use.possible or bool(kept & self.mask & (effect.zero | effect.one | effect.other | copied))
        self.copies = [(symbol, shift, bits & ~self.unknown) for symbol, shift, bits in self.copies if bits & ~self.unknown]

    def on(self, marks: dict[str, Mark]) -> Mark:
        """The field after the write."""
        old = marks[self.field]
        q = self.question
        theirs = self.owner == q.writer
        own, mine = self.own, self.mine
        value = (old.value & ~own) | self.ones | (old.value ^ self.flips) & self.flips & own
        unknown = (old.unknown & ~own) | self.unknown | old.unknown & self.flips
        changed = ((old.value ^ value) | old.unknown | unknown) & own
        a = old.mine & ~changed | mine
        b = old.theirs | own if theirs else old.theirs & ~own
        m = old.moved & ~own
        without = old.without & b
        if theirs:
            without |= old.value & own & ~old.theirs
        lost = old.lost & ~mine
        had = old.had
        if theirs:
            gone = own & old.mine & ~old.lost & changed
            lost, had = lost | gone, had | gone & (old.value | old.unknown)
        written = old.written | own
        put = old.put | own if theirs else old.put & ~own
        guessed = old.guessed | own if self.guess else old.guessed & ~own
        for name, shift, bits in self.copies:
            source = marks.get(name)
            if source is None:
                source = Mark()
            came = Mark(*(shifted(part, shift) & bits for part in source))
            fresh = bits & ~came.written  # nobody wrote there: that it is 0 is the copier's doing
            value = (value & ~bits) | came.value
            unknown = (unknown & ~bits) | came.unknown
            changed = bits & ((old.value ^ came.value) | old.unknown | came.unknown)
            a = (a & ~bits) | came.mine | (fresh if self.owner == q.reader else 0)
            b = (b & ~bits) | came.theirs | (fresh if theirs else 0)
            carried = q.carries(self.owner)
            m = (m & ~bits) | came.moved | (bits if carried else 0)
            before = old.without & old.theirs | old.value & ~old.theirs
            if carried and q.carrier:
                without = (without & ~bits) | before & bits
            else:
                without = (without & ~bits) | came.without | (before & fresh if theirs else 0)
            gone = changed & old.mine & ~old.lost if theirs else 0
            kept = bits & old.lost & ~came.lost if theirs else 0
            had = (had & ~bits) | came.had | kept & old.had | gone & (old.value | old.unknown)
            lost = (lost & ~bits) | came.lost | kept | gone
            written |= bits
            put = put | bits if theirs else put & ~bits
            guessed = (guessed & ~bits) | came.guessed
        lost &= (had ^ value) | unknown
        return Mark(value, unknown, a, b, m & b, without & b, lost, had & lost, written, put & b, guessed)


def holds(predicate: Predicate, mark: Mark, free: int) -> tuple[bool, bool]:
    """Whether a test may hold, and may fail, where the bits of ``free`` may be anything."""
    value, inverse = predicate.exact(), False
    if value is None:
        other = predicate.inverse()
        value, inverse = other.exact(), True
    free = (free | mark.unknown) & predicate.mask
    if value is None:
        if not free:
            held = predicate.holds(mark.value)
            return held, not held
        known = mark.value & predicate.mask & ~free
        word = Word(32 if predicate.mask < 1 << 32 else 128, zero=~known, one=known | free)
        return predicate.may_hold(word), predicate.inverse().may_hold(word)
    same = not (mark.value ^ value) & predicate.mask & ~free
    other_ = not same or bool(free)
    return (other_, same) if inverse else (same, other_)


def turned(predicate: Predicate | None, mask: int, mark: Mark, bits: int, value: int) -> int:
    """The bits by which a test turns out otherwise than if ``bits`` were as in ``value`` and all others as they are; 0 if it does not."""
    bits &= mask
    differing = bits & ((mark.value ^ value) | mark.unknown)
    if not differing or predicate is None:
        return differing
    other = mark._replace(value=(mark.value & ~bits) | value & bits, unknown=mark.unknown & ~bits)
    now, then = holds(predicate, mark, 0), holds(predicate, other, 0)
    # Where the same unknown bits leave both open, one assignment gives one answer, unless known bits differ as well.
    if now == then and (sum(now) == 1 or not differing & ~mark.unknown):
        return 0
    return differing
