"""What is to be asked of a walk: every reader with every writer, and carrier, that tier 1 does not rule out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from markreg.bits import bit_numbers, shifted
from markreg.model import Owned
from markreg.paths.facts import Definition, Facts
from markreg.paths.requests import Requests
from markreg.paths.uses import clears, matches, means, uncertain, whole


@dataclass(slots=True)
class Candidate:
    """A question with what tier 1 found for it: the reads and writes of the reader that the writer's definitions reach."""

    reader: str
    writer: str
    carrier: str
    reads: dict[str, Owned] = field(default_factory=dict)
    bits: dict[str, int] = field(default_factory=dict)


def questions(uses: Sequence[Owned], facts: Facts, requests: Mapping[str, Requests]) -> list[Candidate]:
    """Every pair, or pair and carrier, that tier 1 does not rule out, in the order of the uses."""
    found: dict[tuple[str, str, str], Candidate] = {}
    setting = _setting(uses, requests)
    others: dict[str, _Others] = {}

    def ask(owned: Owned, bit: int, met: int, kinds: Mapping[tuple[str, str], int]) -> None:
        for (writer, carrier), kind in kinds.items():
            if met & kind:
                asked = found.setdefault((owned.owner, writer, carrier), Candidate(owned.owner, writer, carrier))
                asked.reads.setdefault(owned.id, owned)
                asked.bits[owned.use.field] = asked.bits.get(owned.use.field, 0) | 1 << bit

    for owned in uses:
        use = owned.use
        write = use.effect is not None
        if write and (uncertain(use) or use.basis == "registry"):
            continue
        if not write and not matches(owned) and (use.predicate is not None or whole(use)):
            continue
        if owned.owner not in others:
            others[owned.owner] = _others(facts, owned.owner)
        theirs = others[owned.owner]
        for bit in bit_numbers(use.mask):
            if not write or (means(use) | clears(use)) >> bit & 1:
                ask(owned, bit, facts.ones(owned, use.field, bit) & (theirs.foreign if write else -1), theirs.setting)
            if means(use) >> bit & 1 if write else setting.get((owned.owner, use.field), 0) >> bit & 1:
                ask(owned, bit, facts.zeros(owned, use.field, bit) & (theirs.partial if write else -1), theirs.clearing)
    return list(found.values())


@dataclass(slots=True)
class _Others:
    """Definitions that are not an owner's own, as sets of their numbers: those of others (``foreign``), those of them by a part of the
    field (``partial``), and by (writer, carrier) in question what may have set a bit and what may have cleared one.
    """

    foreign: int = 0
    partial: int = 0
    setting: dict[tuple[str, str], int] = field(default_factory=dict)
    clearing: dict[tuple[str, str], int] = field(default_factory=dict)


def _others(facts: Facts, owner: str) -> _Others:
    found = _Others()
    for number, entry in enumerate(facts.definitions):
        if not isinstance(entry, Definition):
            continue
        origin, via = entry.origin.owner, entry.via.owner if entry.via else ""
        if origin == owner and via in ("", owner):
            continue  # its own, which nobody carried, is nothing to ask about: of a large program there are thousands
        one = 1 << number
        if origin != owner:
            found.foreign |= one
            found.partial |= 0 if whole(entry.origin.use) else one
        key = origin, "" if via in (owner, origin) and origin != owner else via
        found.setting[key] = found.setting.get(key, 0) | one
        key = via if via not in ("", owner) else origin, ""
        found.clearing[key] = found.clearing.get(key, 0) | one
    return found


def _setting(uses: Iterable[Owned], requests: Mapping[str, Requests]) -> dict[tuple[str, str], int]:
    """The bits of each field in which something may stand that an owner wrote, or others for it, by whatever copies it came there."""
    found: dict[tuple[str, str], int] = {}
    for owned in uses:
        if owned.use.effect is not None:
            key = (owned.owner, owned.use.field)
            found[key] = found.get(key, 0) | owned.use.mask
    for reader, asked in requests.items():
        for (_, name), bits in asked.items():
            found[reader, name] = found.get((reader, name), 0) | bits
    copies = {(u.field, s, bits) for u in (o.use for o in uses) if u.effect for s, bits in u.effect.copies if s.symbol != u.field}
    while True:
        before = dict(found)
        for (owner, name), mask in before.items():
            for target, source, bits in copies:
                if source.symbol == name and (moved := shifted(mask, source.shift) & bits):
                    found[owner, target] = found.get((owner, target), 0) | moved
        if found == before:
            return found
