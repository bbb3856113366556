"""Whose a flow of OVN's integration bridge is. Everything OVN writes there is known; what remains belongs to somebody else.

OVN has no protocol for foreign flows: another agent's flow stands between its own, in a logical table, with the same registers. Two things
tell them apart: the cookie, which is the first 32 bits of the UUID of a row of the Southbound database, where a dump of that is among
the inputs; and what the flow writes, where and how (rules/ovn/shapes.toml).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

from markreg.attribution.attribute import OVN
from markreg.attribution.logical import release_of
from markreg.attribution.ovn_shapes import STATEFUL, FlowShape, Layout, fitting, named, shapes
from markreg.attribution.ovn_shapes import layouts as every_layout
from markreg.attribution.scoped import within
from markreg.model import Confidence, Reading, Use
from markreg.registry.effective import Effective, Resolver, layouts
from markreg.registry.model import Registry
from markreg.registry.releases import Interval, parse

_ZONES = ("reg11", "reg12", "reg13")
_MARKS = ("skb_mark", "ct_mark", "ct_label")
_SOUTHBOUND = frozenset({"Logical_Flow", "Port_Binding", "Multicast_Group", "Load_Balancer", "MAC_Binding", "Datapath_Binding"})
# UUIDs are random: one that begins with so many zeros is no row's.
_LEAST, _MOST = 0x1000, 0xFFFFFFFF
_MOST_GROUPS = 8


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whose a flow is (empty: of nobody who is known), and what says so."""

    owner: str
    by: str
    confidence: Confidence = "high"


@dataclass(slots=True)
class _Bridge:
    """A bridge with the statements of its flows.

    ``joined``: most cookies are rows of the database at hand, those of ``tables`` among them. ``numbered``: cookies as OVN gives them.
    """

    name: str
    uses: list[Use] = field(default_factory=list)
    layouts: tuple[Layout, ...] = ()
    joined: bool = False
    numbered: bool = False
    tables: frozenset[str] = frozenset()


class FlowOwners:
    """Judges uses of OpenFlow in bridges that are OVN's; other uses and bridges are not its matter.

    ``evidence``: what says that OVN is here; ``release``: one with its layout, where the flows tell it.
    """

    def __init__(self, readings: Sequence[Reading], registry: Registry) -> None:
        self._registry = registry
        self._rows: dict[str, list[Effective]] = {}
        self._parts: dict[int, list[tuple[Use, Verdict]]] = {}
        self.evidence: list[str] = []
        self.release: str | None = None
        self._known = {int(row.uuid[:8], 16) for r in readings for row in r.rows if row.table in _SOUTHBOUND and len(row.uuid) >= 8}
        bridges: dict[tuple[str, str], _Bridge] = {}
        for reading in readings:
            for use in reading.uses:
                if use.place.kind == "openflow":
                    name = use.place.bridge or use.path
                    bridges.setdefault((use.scope.netns, name), _Bridge(use.place.bridge)).uses.append(use)
        logical = any(r.format == "lflow" or any(u.place.kind == "lflow" for u in r.uses[:1]) for r in readings)
        if (bridges or logical) and OVN in registry.components:
            self._reserved()
            for bridge in bridges.values():
                self._judge(bridge)
            if self.release is None and logical and (found := release_of(readings, self._rows)):
                self.release, text = found
                self.evidence.append(text)

    def parts(self, use: Use) -> Sequence[tuple[Use, Verdict | None]]:
        """A use with whose it is, or its lines apart where several wrote them; None where other evidence must say it."""
        return self._parts.get(id(use)) or ((use, None),)

    def _reserved(self) -> None:
        """OVN's reservations of all releases, by name."""
        oldest = layouts(self._registry.components[OVN])[0]
        for row in Resolver(self._registry, None, {OVN: oldest}).rows(OVN):
            self._rows.setdefault(row.reservation.name, []).append(row)

    def _judge(self, bridge: _Bridge) -> None:
        if not any(use.scope.zone in _ZONES and self._fits(use, ()) for use in bridge.uses):
            return
        tables = self._stateful(bridge)
        bridge.layouts = fitting(tables)
        cookies = frozenset(c for use in bridge.uses for c in use.cookies)
        bridge.numbered = any(_LEAST <= c <= _MOST for c in cookies)
        mine = cookies & self._known
        bridge.joined = 2 * len(mine) > len(cookies - {0})
        bridge.tables = frozenset(u.place.table for u in bridge.uses if not mine.isdisjoint(u.cookies)) if bridge.joined else frozenset()
        told = f"bridge {bridge.name}" if bridge.name else "OVN's zone registers"
        if bridge.layouts:
            self.release = bridge.layouts[-1].last
            told += f": tables {' and '.join(map(str, tables))} commit as in OVN {named(bridge.layouts)}"
        self.evidence.append(told)
        verdicts = [self._verdicts(bridge, use) for use in bridge.uses]
        # A flow has one author: what else stands in a line that is not OVN's is not OVN's either.
        strange: dict[tuple[str, int], Verdict] = {}
        for use, by_line in zip(bridge.uses, verdicts, strict=True):
            if isinstance(by_line, dict) or not by_line.owner:
                strange.update(((use.path, n), v) for n in use.lines if not (v := _at(by_line, n)).owner)
        for use, by_line in zip(bridge.uses, verdicts, strict=True):
            self._parts[id(use)] = list(_divided(use, by_line, strange))

    def _stateful(self, bridge: _Bridge) -> tuple[int, ...]:
        """The tables of the two stateful stages: where a switch copies a label from a register into its connection.

        Where others do so too, the two that are a layout's, with most of these flows.
        """
        masks = {row.mask for name in ("label", "obs_point_id") for row in self._rows.get(name, ())}
        known = {x.stages[stage] for x in every_layout() for stage in STATEFUL}
        found: Counter[int] = Counter()
        for use in bridge.uses:
            table = _table(use)
            if use.field == "ct_label" and use.scope.zone == "reg13" and table in known and any(_copied(use, m) for m in masks):
                found[table] += len(use.lines)
        pairs = [p for p in combinations(sorted(found), 2) if fitting(p)] if len(found) > 2 else [tuple(sorted(found))]
        return max(pairs, key=lambda pair: sum(found[t] for t in pair), default=())

    def _verdicts(self, bridge: _Bridge, use: Use) -> Verdict | dict[int, Verdict]:
        """Whose a statement is, by lines where its cookies differ in what they say."""
        at = f"bridge {bridge.name}" if bridge.name else "a bridge of OVN"
        shape = Verdict(OVN, f"{at}, as OVN's flows") if self._fits(use, bridge.layouts) else Verdict("", f"{at}, not as OVN's flows")
        told = {c: v for c in frozenset(use.cookies) if (v := self._by_cookie(bridge, c, use))}
        if not told or len(use.cookies) != len(use.lines):
            return shape
        distinct = set(told.values())
        if len(told) == len(frozenset(use.cookies)) and len(distinct) == 1:
            return distinct.pop()
        return {line: told.get(cookie, shape) for line, cookie in zip(use.lines, use.cookies, strict=True)}

    def _by_cookie(self, bridge: _Bridge, cookie: int, use: Use) -> Verdict | None:
        """What a cookie says by itself."""
        if cookie in self._known:
            return Verdict(OVN, "its cookie is a row of the Southbound database")
        # Without a row ovn-controller makes flows that write registers, and reads of its own, but none that writes a mark.
        if cookie > _MOST or (bridge.numbered and cookie < _LEAST and (cookie or (use.effect is not None and use.field in _MARKS))):
            return Verdict("", f"cookie {cookie:#x} is no row's of OVN")
        if bridge.joined and cookie and use.place.table in bridge.tables:
            return Verdict("", f"cookie {cookie:#x} is no row of the Southbound database")
        return None

    def _fits(self, use: Use, known: Sequence[Layout]) -> bool:
        """Whether OVN reads or writes so in some flow; what it writes outside of marks is not judged."""
        if use.field not in _MARKS:
            return True
        if use.effect is None:
            return not use.mask & ~self._bits(use.field)
        return any(self._written_as(shape, use, known) for shape in shapes())

    def _bits(self, field_: str) -> int:
        """All bits of a field that OVN has in any release."""
        mask = 0
        for rows in self._rows.values():
            for row in rows:
                mask |= row.mask if row.field == field_ else 0
        return mask

    def _written_as(self, shape: FlowShape, use: Use, known: Sequence[Layout]) -> bool:
        """Whether a write is whole sub-fields of a shape, in their zone and their releases, where such a flow stands."""
        if not shape.at(_table(use), use.place.priority, known) or (use.target and not shape.follows):
            return False
        here = [row for name in shape.writes for row in self._rows.get(name, ()) if row.field == use.field and _of_time(row, known)]
        if any(row.mask & ~use.mask for row in here if row.reservation.name in shape.always):
            return False
        mask = 0
        for row in here:
            if not row.mask & ~use.mask and within(self._registry, row.scope, use):
                mask |= row.mask
        return mask == use.mask


def _table(use: Use) -> int:
    """The number of an OpenFlow table, -1 for one that is named."""
    text = use.place.table
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 5 else -1


def _at(found: Verdict | dict[int, Verdict], line: int) -> Verdict:
    return found[line] if isinstance(found, dict) else found


def _divided(use: Use, found: Verdict | dict[int, Verdict], strange: Mapping[tuple[str, int], Verdict]) -> Iterator[tuple[Use, Verdict]]:
    """A use by verdicts; of nobody's flows each cookie by itself, where they are few."""
    if isinstance(found, Verdict) and not (strange and any((use.path, n) in strange for n in use.lines)):
        yield _of_cookie(use, found, use.lines), found
        return
    groups: dict[tuple[Verdict, int | None], list[int]] = {}
    cookies = dict(zip(use.lines, use.cookies, strict=True)) if len(use.cookies) == len(use.lines) else {}
    for line in use.lines:
        verdict = strange.get((use.path, line)) or _at(found, line)
        groups.setdefault((verdict, None if verdict.owner else cookies.get(line)), []).append(line)
    if len(groups) > _MOST_GROUPS:
        first = next(v for v, _ in groups if not v.owner)
        merged: dict[tuple[Verdict, int | None], list[int]] = {}
        for (verdict, _), lines in groups.items():
            merged.setdefault((verdict if verdict.owner else first, None), []).extend(lines)
        groups = merged
    for (verdict, _), lines in groups.items():
        yield _of_cookie(use, verdict, tuple(sorted(lines))), verdict


def _of_cookie(use: Use, verdict: Verdict, lines: tuple[int, ...]) -> Use:
    """Some lines of a use; the place of a stranger's flow has its cookie, by which it is named."""
    if lines == use.lines and (verdict.owner or use.place.cookie):
        return use
    chosen = dict(zip(use.lines, use.cookies, strict=False))
    cookies = tuple(chosen[n] for n in lines if n in chosen)
    same = not verdict.owner and len(set(cookies)) == 1
    place = replace(use.place, cookie=f"{cookies[0]:#x}") if same else use.place
    return replace(use, lines=lines, cookies=cookies, place=place)


def _copied(use: Use, mask: int) -> bool:
    """Whether a statement copies from elsewhere into a whole sub-field."""
    foreign = 0
    for source, bits in use.effect.copies if use.effect else ():
        if source.symbol != use.field:
            foreign |= bits
    return not mask & ~foreign


def _of_time(row: Effective, known: Sequence[Layout]) -> bool:
    """Whether a reservation is of a time with one of these layouts."""
    times = Interval(row.reservation.since, row.reservation.until)
    return not known or any(parse(end) in times for layout in known for end in (layout.first, layout.last))
