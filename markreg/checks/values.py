"""Ranges that hold codes rather than flags: MK107 and MK206."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from markreg.bits import format_mask, format_value_mask
from markreg.checks import Context
from markreg.checks.located import locations
from markreg.checks.severity import limited
from markreg.model import FIELDS, Finding, Owned
from markreg.paths.uses import sets, uncertain
from markreg.registry.effective import Effective, Resolver
from markreg.registry.model import Registry

AFTER = ("sharing",)


@dataclass(slots=True)
class _Codes:
    """The values that an owner tests a range for, and the statements that write into it; ``named``: the registry's codes."""

    tested: dict[int, Owned] = field(default_factory=dict)
    written: dict[int, Owned] = field(default_factory=dict)
    ored: dict[int, Owned] = field(default_factory=dict)
    named: dict[int, str] = field(default_factory=dict)


_Ranges = dict[tuple[str, str, int], _Codes]


def check(context: Context, earlier: tuple[Finding, ...]) -> Iterator[Finding]:
    """Ranges are the masks of several bits under which an owner compares with a value that is not 0."""
    ranges: _Ranges = {}
    for owned in context.node.uses:
        predicate = owned.use.predicate
        if predicate and not predicate.negated and (value := predicate.exact()) and predicate.mask.bit_count() > 1:
            codes = ranges.setdefault((owned.use.scope.netns, owned.use.field, predicate.mask), _Codes())
            codes.tested.setdefault(value, owned)
    registered = _registered(context)
    for owned in context.node.uses:
        for row in registered.get(owned.owner, ()):
            ranges.setdefault((owned.use.scope.netns, row.field, row.mask), _Codes()).named |= dict(row.codes)
    uses: dict[tuple[str, str], _Uses] = {}
    for owned in context.node.uses:
        uses.setdefault((owned.use.scope.netns, owned.use.field), _Uses()).add(owned)
    by_owner = {key: _by_owner(uses[key[:2]], key[2], codes) if key[:2] in uses else {} for key, codes in ranges.items()}
    for (_, name, mask), owners in by_owner.items():
        for owner, codes in owners.items():
            for row in registered.get(owner, ()):
                codes.named |= dict(row.codes) if (row.field, row.mask) == (name, mask) else {}
    told = [f for f in earlier if f.code in ("MK101", "MK102", "MK104")]
    for (_, name, mask), owners in by_owner.items():
        yield from _ambiguous(context, name, mask, owners, told)
        for owner, codes in owners.items():
            yield from _ored(context, name, mask, owner, codes)


def _registered(context: Context) -> dict[str, list[Effective]]:
    """For each owner of programs the ranges that hold codes by the registry: nobody has to be seen to look for those."""
    owners = dict.fromkeys(o.owner for o in context.node.uses if o.use.place.kind == "bpf" and o.use.effect)
    return {owner: _coded(context.registry, owner) for owner in owners}


def _coded(registry: Registry, owner: str) -> list[Effective]:
    """An owner's ranges of several bits and codes."""
    rows = Resolver(registry, None, {}).rows(owner) if owner in registry.components else ()
    return [row for row in rows if len(row.codes) > 1 and row.mask.bit_count() > 1]


@dataclass(slots=True)
class _Uses:
    """What is used of a field in a namespace, so that many ranges are looked at in little time."""

    tests: dict[int, list[tuple[int, Owned]]] = field(default_factory=dict)
    writes: list[tuple[Owned, int]] = field(default_factory=list)
    programs: list[Owned] = field(default_factory=list)

    def add(self, owned: Owned) -> None:
        """One more: a test of a value by its mask, a write of a constant with the bits it sets, or what a program stores."""
        use = owned.use
        if use.predicate:
            if (value := use.predicate.exact()) is not None:
                self.tests.setdefault(use.predicate.mask, []).append((value, owned))
        elif use.effect and not uncertain(use):
            if use.value is not None:
                self.writes.append((owned, sets(use)))
            if use.place.kind == "bpf":
                self.programs.append(owned)


def _by_owner(uses: _Uses, mask: int, all_codes: _Codes) -> dict[str, _Codes]:
    """One range as each of its owners uses it; of what is written only values that somebody tests or the registry names."""
    owners: dict[str, _Codes] = {}
    meant = all_codes.tested.keys() | all_codes.named.keys()
    for value, owned in uses.tests.get(mask, ()):
        if value in all_codes.tested:
            owners.setdefault(owned.owner, _Codes()).tested.setdefault(value, owned)
    for owned, ones in [(owned, ones) for owned, bits in uses.writes if (ones := bits & mask) in meant and ones]:
        codes = owners.setdefault(owned.owner, _Codes())
        codes.written.setdefault(ones, owned)
        if not owned.use.mask & mask & ~ones:
            codes.ored.setdefault(ones, owned)
    for owned in uses.programs:
        if owned.use.value is None or not sets(owned.use) & mask:
            _by_program(owners.setdefault(owned.owner, _Codes()), owned, mask)
    return owners


def _by_program(codes: _Codes, owned: Owned, mask: int) -> None:
    """A program's store may be the meeting of several writes: a code that it sets on every path, other bits that it may keep."""
    word = owned.use.effect
    assert word is not None
    always = word.known_one() & mask
    kept = next((bits for source, bits in word.copies if source == (owned.use.field, 0, False)), 0) & mask
    if always and kept & ~always:
        codes.ored.setdefault(always, owned)
    elif always and not (kept | word.other) & mask and not word.zero & word.one & mask:
        codes.written.setdefault(always, owned)


def _ambiguous(context: Context, name: str, mask: int, owners: dict[str, _Codes], told: list[Finding]) -> Iterator[Finding]:
    """MK107: one value of a range that two owners both write and both look for."""
    names = sorted(owners)
    for number, a in enumerate(names):
        for b in names[number + 1 :]:
            if any(f.field == name and f.mask & mask and {a, b} <= set(f.owners) for f in told):
                continue
            own = [owners[x].tested.keys() & owners[x].written.keys() for x in (a, b)]
            for value in sorted(own[0] & own[1]):
                sides = (owners[a].written[value], owners[b].written[value])
                shown = format_value_mask(value, mask, FIELDS[name].width)
                message = f"{a} and {b} both write {name} {shown} and look for it: what it means is not decided"
                places = [*locations(context, "writer", sides)]
                places += locations(context, "reader", [owners[x].tested[value] for x in (a, b)])
                yield Finding(
                    "MK107", limited("warning", *sides), message, name, mask, (a, b), tuple(places), "give one of them another value"
                )


def _ored(context: Context, name: str, mask: int, owner: str, codes: _Codes) -> Iterator[Finding]:
    """MK206: a code that is ORed over another of the same range makes a third that nobody looks for."""
    for value, second in codes.ored.items():
        for other, first in codes.written.items():
            third = value | other
            # What the registry calls codes are codes, whatever a mixture of two of them happens to mean.
            coded = {value, other} <= codes.named.keys()
            if not coded and (not {value, other} <= codes.tested.keys() or third in codes.tested):
                continue
            if third in (value, other) or not context.paths.meets(first, second):
                continue
            message = f"{owner} ORs {format_mask(value)} into {name} {format_mask(mask)} without clearing it: "
            message += f"over {format_mask(other)} it gives {format_mask(third)}"
            if coded:
                message += f" ({codes.named[other]}, {codes.named.get(third, 'no code')})"
            readers = [codes.tested[value]] if value in codes.tested else []
            places = (*locations(context, "writer", (second, first)), *locations(context, "reader", readers))
            said = format_value_mask(value, mask, FIELDS[name].width)
            in_a_program = second.use.place.kind == "bpf"
            help_ = f"write the whole range: {f'(mark & ~{mask:#x}) | {value:#x}' if in_a_program else f'--set-xmark {said}'}"
            yield Finding("MK206", limited("warning", second), message, name, mask, (owner,), places, help_)
