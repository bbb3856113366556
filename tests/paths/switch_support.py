"""A case of `switching` as markreg reads it, and what its analysis says of two statements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from markreg.formats import openflow, ovs_vsctl
from markreg.model import FIELDS, Scope, Use
from markreg.paths.openflow import Zones
from markreg.paths.switches import Switches
from markreg.source import Source
from tests.paths.switching import Action, Case, Meeting

ASKED = frozenset(FIELDS)
FLOWS, GROUPS = "ovs-ofctl_dump-flows_br0", "ovs-ofctl_dump-groups_br0"


def own_name(name: str) -> str:
    """markreg's name of a field."""
    return "skb_mark" if name == "pkt_mark" else f"ovs.{name}"


class Read:
    """Dumps by their names as markreg reads them, the statements of all bridges and their tables. ``others``: ovs-vsctl show."""

    def __init__(self, dumps: Mapping[str, str], others: Mapping[str, str] | None = None) -> None:
        sources = {name: Source(name, text.encode()) for name, text in dumps.items()}
        readings = openflow.together([openflow.read(s, "openflow", Scope(), ASKED) for s in sources.values()])
        assert not any(r.problems or r.opaque for r in readings), readings
        shown = [ovs_vsctl.read(Source(name, text.encode()), "ovs-vsctl-show", Scope()) for name, text in (others or {}).items()]
        pipelines = [p for r in readings for p in r.pipelines]
        self.uses = [u for r in readings for u in r.uses]
        self.switches = Switches(pipelines, sources, [d for r in shown for d in r.devices], [x for r in shown for x in r.rows])
        self.zones = Zones(pipelines, (), self.switches)

    @classmethod
    def of(cls, case: Case) -> Read:
        """A generated case."""
        return cls({FLOWS: case.text(), GROUPS: case.buckets()})

    def met(self, writer: str, reader: str) -> set[str]:
        """The fields in which a match of one bridge meets a write of another."""
        written = [u for u in self.uses if u.place.bridge == writer and u.effect is not None]
        asked = [u for u in self.uses if u.place.bridge == reader and u.predicate is not None]
        return {w.field for w in written for r in asked if w.field == r.field and self.zones.reach(w, r) & r.mask}

    def at(self, line: int, group: bool, name: str, *, writes: bool) -> list[Use]:
        """The uses of a field in a line, those that write it or those of its match."""
        path = GROUPS if group else FLOWS
        there = [u for u in self.uses if u.path == path and line in u.lines and u.field == own_name(name)]
        return [u for u in there if (u.effect is not None if writes else u.predicate is not None and u.effect is None)]

    def writes(self, line: int, group: bool, action: Action) -> list[Use]:
        """The uses that an action may be part of."""
        found = self.at(line, group, action.name, writes=True)
        constant = action.kind == "set"
        return [u for u in found if not (constant and u.value is not None and (u.value ^ action.value) & action.mask & u.mask)]

    def missing(self, met: Meeting) -> int:
        """The bits of a meeting that the analysis does not know of. What a run of writes leaves as it was is none of its bits."""
        written = self.writes(met.writer.line, met.writer.group, met.writer.action)
        asked = self.writes(met.line, met.group, met.acts) if met.acts else self.at(met.line, met.group, met.name, writes=False)
        changed = _all(w.mask for w in written) if asked else 0
        return met.bits & changed & ~_all(self.zones.reach(w, r) for w in written for r in asked)


def _all(found: Iterable[int]) -> int:
    bits = 0
    for one in found:
        bits |= one
    return bits
