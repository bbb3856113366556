"""Uses as the JSON contract has them: effect, place, and where in its input a use stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from markreg.bits import format_mask, full
from markreg.model import Owned, Place, Use
from markreg.report.parts.ownership import width_of
from markreg.source import Source
from markreg.transfer import Word

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
MOST_LINES = 100
LONGEST_TEXT = 1000
# What only places of OpenFlow and of BPF have.
_OWN_KEYS = ("bridge", "cookie", "datapath", "object", "program", "section", "attach", "direction", "device")


def masked(value: int | None) -> str | None:
    """A mask or value as text, None for none."""
    return None if value is None else format_mask(value)


def excerpt(text: str, column: int, end_column: int) -> str:
    """A line; of a very long one (dumps in JSON are one line) the part around its columns, with … where it was cut."""
    if len(text) <= LONGEST_TEXT:
        return text
    length = min(max(end_column - column, 0), LONGEST_TEXT)
    start = max(0, min(column - 1 - (LONGEST_TEXT - length) // 2, len(text) - LONGEST_TEXT))
    stop = start + LONGEST_TEXT
    return ("…" if start else "") + text[start:stop] + ("…" if stop < len(text) else "")


class Printer:
    """Prints uses against the inputs they were read from."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = sources
        self._found: dict[tuple[str, int, str], Json] = {}

    def use(self, owned: Owned) -> Json:
        """One use, with all keys of the contract; of several lines also ``lines``, ``occurrences``, and ``cookies`` of flows."""
        use = owned.use
        said: dict[str, Json] = {
            "id": owned.id,
            "field": use.field,
            "access": use.access,
            "mask": format_mask(use.mask),
            "value": masked(use.value),
        }
        if use.access == "read":
            said["negated"] = bool(use.predicate and use.predicate.negated)
            said["accepts"] = _intervals(use.predicate.accepts) if use.predicate else None
        said |= {
            "owner": owned.owner,
            "reservation": owned.reservation,
            "attributed_by": owned.attributed_by,
            "confidence": owned.confidence,
            "basis": use.basis,
            "scope": {"netns": use.scope.netns, "family": use.scope.family, "zone": use.scope.zone},
        }
        if owned.means:
            said["means"] = list(owned.means)
        if use.access != "read":
            said["effect"] = _effect(use, width_of(use.field, (owned,)))
        said |= {"place": place_json(use.place, use.scope.zone), "location": self._location(use)}
        if len(use.lines) > 1:
            said |= {"lines": list(use.lines[:MOST_LINES]), "occurrences": len(use.lines)}
            if use.cookies and not use.place.cookie:
                said["cookies"] = [f"{cookie:#x}" for cookie in use.cookies[:MOST_LINES]]
        return said

    def _location(self, use: Use) -> Json:
        line = use.lines[0] if use.lines else 0
        source = self._sources.get(use.path)
        if source is None or line < 1:
            return {"path": use.path, "line": line or None, "column": None, "end_column": None, "text": use.clause}
        key = (use.path, line, use.clause)
        if key not in self._found:
            column, end_column = source.locate(line, use.clause)
            text = excerpt(source.line(line), column, end_column)
            self._found[key] = {"path": use.path, "line": line, "column": column, "end_column": end_column, "text": text}
        return self._found[key]


def _intervals(intervals: tuple[tuple[int, int], ...]) -> Json:
    return [[format_mask(low), format_mask(high)] for low, high in intervals]


def _effect(use: Use, width: int) -> Json:
    """What each bit may become. A write of which nothing more is known makes its bits unknown and keeps the others."""
    word = use.effect
    kept = full(width) & ~use.mask
    zero = one = toggled = 0
    other = use.mask
    copies: list[Json] = []
    if word is not None:
        zero, one, other, toggled, kept = word.zero, word.one, word.other, word.toggles(use.field), 0
        for (symbol, shift, inverted), bits in word.copies:
            if symbol == use.field and shift == 0:
                kept |= 0 if inverted else bits
            else:
                # The contract's shift counts towards the least significant bit: bit i comes from bit i + shift.
                copies.append({"to": format_mask(bits), "from": symbol, "shift": -shift, "inverted": inverted})
    said: dict[str, Json] = {
        "may_set": format_mask(one),
        "may_clear": format_mask(zero),
        "may_keep": format_mask(kept | use.mask if use.possible else kept),
        "toggle": format_mask(toggled),
        "unknown": format_mask(other),
        "copies": copies,
        "values": _intervals(use.values) if use.values else None,
    }
    if word := use.transient:
        mask = word.zero | word.one | word.other | word.copied()
        said["transient"] = {"mask": format_mask(mask), **word_json(word, use.field)}
    return said


def word_json(word: Word, field: str) -> dict[str, Json]:
    """What bits may become, without those that keep what they are."""
    moved: list[Json] = [
        {"to": format_mask(bits), "from": symbol, "shift": -shift, "inverted": inverted}
        for (symbol, shift, inverted), bits in word.copies
        if (symbol, shift, inverted) != (field, 0, False)
    ]
    said = {"may_set": format_mask(word.one), "may_clear": format_mask(word.zero), "unknown": format_mask(word.other)}
    return {**said, "copies": moved}


def place_json(place: Place, zone: str | None = None) -> Json:
    """What every place has, then what its kind has. ``zone``: the conntrack zone of a flow's statement."""
    hooks: list[Json] = [{"hook": hook.hook, "priority": hook.priority} for hook in place.hooks]
    said: dict[str, Json] = {"kind": place.kind, "text": place.text, "family": place.family}
    if place.kind == "netfilter":
        return said | {"table": place.table, "chain": place.chain, "hooks": hooks}
    if place.kind == "rule":
        return said | {"priority": place.priority, "table": place.table}
    if place.kind == "openflow":
        said |= {"bridge": place.bridge or None, "table": place.table or None, "priority": place.priority, "cookie": place.cookie or None}
        said |= {"datapath": place.datapath or "unknown", "zone": zone}
        return said | ({"chain": place.chain} if place.chain else {})
    if place.kind == "manifest":
        return said | {"object": place.object or None, "path": place.section or None, "hooks": hooks}
    known: dict[str, Json] = {"table": place.table, "chain": place.chain, "priority": place.priority, "hooks": hooks}
    known |= {key: getattr(place, key) for key in _OWN_KEYS}
    return said | {key: value for key, value in known.items() if value not in ("", None, [])}
