"""Uses of marks by OVN's language: equal ones of one place are one use with many lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from markreg.formats._ovn_language import Deed, LanguageError
from markreg.model import Opaque, Place, Scope, Use

# Each ct_commit and ct_lb_mark works in the zone of register 13 in a switch, of register 11 in a router (lib/actions.c).
ZONES = {"switch": "reg13", "router": "reg11"}
_CLASSES = {"ls_": "switch", "lr_": "router"}


def datapath_class(stage: str) -> str:
    """``switch`` or ``router`` by the name of a stage, else empty."""
    return _CLASSES.get(stage[:3], "")


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
        """All uses, in the order of their first lines."""
        return tuple(self._use(deed, place, lines) for (deed, place), lines in self._found.items())

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
