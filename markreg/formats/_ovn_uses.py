"""Uses of marks by OVN's language: equal ones of one place are one use with many lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import or_

from markreg.formats._ovn_language import Deed, LanguageError
from markreg.model import Opaque, Place, Scope, Use
from markreg.transfer import Word

# Each ct_commit and ct_lb_mark works in the zone of register 13 in a switch, of register 11 in a router (lib/actions.c).
ZONES = {"switch": "reg13", "router": "reg11"}
_CLASSES = {"ls_": "switch", "lr_": "router"}


def datapath_class(stage: str) -> str:
    """``switch`` or ``router`` by the name of a stage, else empty."""
    return _CLASSES.get(stage[:3], "")


# From so many values on, what is written is a set of values and no longer a use for each.
_MANY = 8


def _joined(uses: list[Use]) -> Use:
    """One use for those that write different constants to the same bits."""
    first = uses[0]
    values = sorted({u.effect.one & u.mask for u in uses if u.effect})
    seen = reduce(or_, values) & first.mask
    clear = reduce(or_, (first.mask & ~v for v in values))
    assert first.effect is not None
    kept = first.effect.only(~first.mask)
    effect = Word.make(kept.width, kept.zero | clear, kept.one | seen, dict(kept.copies), kept.other)
    lines = tuple(sorted({line for use in uses for line in use.lines}))
    return replace(first, lines=lines, effect=effect, values=tuple((v, v) for v in values))


@dataclass(slots=True)
class Uses:
    """What has been read so far of one input."""

    path: str
    scope: Scope
    _found: dict[tuple[Deed, Place], list[int]] = field(default_factory=dict)
    _opaque: dict[str, list[int]] = field(default_factory=dict)
    _marked: set[int] = field(default_factory=set)

    def add(self, deeds: Iterable[Deed], place: Place, line: int) -> None:
        """Deeds of a line at a place."""
        for deed in deeds:
            lines = self._found.setdefault((deed, place), [])
            if lines[-1:] != [line]:
                lines.append(line)
            self._marked.add(line)

    def said(self, reader: Callable[[str], tuple[Deed, ...]], text: str, place: Place, line: int) -> None:
        """What a text of OVN's language says, or that it was not understood."""
        try:
            self.add(reader(text), place, line)
        except LanguageError as error:
            self.opaque(str(error), line)

    def opaque(self, reason: str, line: int) -> None:
        """A line that names a mark and was not understood."""
        self._opaque.setdefault(reason, []).append(line)
        self._marked.add(line)

    @property
    def marked(self) -> int:
        """How many lines concern marks."""
        return len(self._marked)

    def uses(self) -> tuple[Use, ...]:
        """All uses, in the order of their first lines. Many constants written to the same bits at one place are one use."""
        groups: dict[tuple[Place, str, str, int, bool], list[tuple[Deed, list[int]]]] = {}
        for (deed, place), lines in self._found.items():
            constant = deed.effect is not None and not deed.effect.other and not deed.effect.only(deed.mask).copied()
            groups.setdefault((place, deed.access, deed.field, deed.mask, constant), []).append((deed, lines))
        made: list[Use] = []
        for (place, _, _, _, constant), members in groups.items():
            uses = [self._use(deed, place, lines) for deed, lines in members]
            made += [_joined(uses)] if constant and len(uses) > _MANY else uses
        return tuple(sorted(made, key=lambda use: use.lines[0]))

    def opaques(self) -> tuple[Opaque, ...]:
        """What was not understood, by reason."""
        return tuple(Opaque(self.path, tuple(dict.fromkeys(lines)), reason) for reason, lines in self._opaque.items())

    def _use(self, deed: Deed, place: Place, lines: list[int]) -> Use:
        zone = None if deed.field == "skb_mark" else ZONES.get(place.datapath)
        scope = Scope(self.scope.netns, self.scope.family, zone)
        return Use(
            deed.field,
            deed.access,
            deed.mask,
            place,
            scope,
            self.path,
            tuple(lines),
            deed.clause,
            deed.effect,
            deed.predicate,
            statement=f"{place.text} {deed.clause}",
        )
