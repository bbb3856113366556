"""Whether what one statement leaves can be met by another, where one of them is a flow of Open vSwitch.

On a connection it is met in the same conntrack zone: a zone is a number, which flows mostly take from a register, so that two zones
are one where their registers are loaded with one number. Of registers and of the packet's mark nothing is left but inside the
bridge; of OVN's logical datapaths a packet's registers do not go from a switch to a router.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from markreg.model import FIELDS, HOST, Use

if TYPE_CHECKING:
    from markreg.paths.switches import Switches
    from markreg.pipelines import Pipeline
    from markreg.rows import ZoneName

KINDS = frozenset({"openflow", "lflow"})
# Zone 0 resets a register, and is that of netfilter (net/netfilter/nf_conntrack_core.c, nf_ct_zone_dflt).
_DEFAULT = "0"
# include/ovn/logical-fields.h MFF_LOG_DNAT_ZONE, MFF_LOG_SNAT_ZONE
_REGISTERS = {"dnat": "reg11", "snat": "reg12"}


class Zones:
    """What numbers zone registers hold, by bridge. ``names``: what ovn-controller says of its zones. ``switches``: the flows' tables.

    The 0 in a register says nothing, because flows reset registers to it; a router whose SNAT zone is the host's own has it in its name.
    """

    def __init__(self, pipelines: Iterable[Pipeline] = (), names: Iterable[ZoneName] = (), switches: Switches | None = None) -> None:
        self._switches = switches
        self._numbers: dict[tuple[str, str, str], frozenset[int] | None] = {}
        host = {(n.netns, _REGISTERS[n.name.rpartition("_")[2]]) for n in names if not n.number and n.name.endswith(("_snat", "_dnat"))}
        for pipeline in pipelines:
            if pipeline.hops and all(hop.source.startswith("group ") for hop in pipeline.hops):
                continue  # buckets take zones from registers and load none
            for register, numbers in pipeline.zones.items():
                own = {0} if (pipeline.netns, register) in host else frozenset()
                known = None if numbers is None else numbers - {0} | own
                self._numbers[pipeline.netns, pipeline.bridge, register] = known

    def meet(self, first: Use, second: Use) -> bool:
        """Whether a packet or a connection can go from one statement to the other; at least one of them is a flow."""
        return bool(self.reach(first, second))

    def reach(self, first: Use, second: Use) -> int:
        """The bits of the field of ``first`` that may still be as it left them where ``second`` meets them; -1 for all of them."""
        if first.scope.netns != second.scope.netns:
            return 0
        flows = first.place.kind in KINDS and second.place.kind in KINDS
        if FIELDS[first.field].carrier == "connection":
            if not self._one_zone(first, second) or (self._switches and self._switches.apart(first, second)):
                return 0
            return -1
        walked = self._switches.reach(first, second) if self._switches and flows else None
        if FIELDS[second.field].carrier == "connection":
            return walked if walked is not None else -self._one_zone(first, second)
        if self._one_pipeline(first, second):
            return -1 if walked is None else walked
        # Bridges that patch ports join; what nobody has walked stays apart.
        return walked or 0 if FIELDS[first.field].carrier == "packet" else 0

    def way(self, first: Use, second: Use) -> tuple[str, ...]:
        """The tables between two flows, hop by hop, where they are known."""
        if self._switches is None or FIELDS[first.field].carrier == "connection":
            return ()
        return self._switches.way(first, second)

    def separate(self, first: Use, second: Use) -> bool:
        """Whether two statements about a connection are surely in different zones: then their bits are not the same bits."""
        if not concerned(first, second) or FIELDS[first.field].carrier != "connection":
            return False
        a, b = self._zone(first), self._zone(second)
        if "" in (a, b):
            return True
        if a is None or b is None or self._alike(first, a, second, b):
            return False
        one, other = self.numbers(first, a), self.numbers(second, b)
        return one is not None and other is not None and one.isdisjoint(other) and bool(one) and bool(other)

    def _one_pipeline(self, first: Use, second: Use) -> bool:
        a, b = first.place, second.place
        if a.kind not in KINDS or b.kind not in KINDS:
            return False
        one_bridge = not (a.bridge and b.bridge) or a.bridge == b.bridge
        carried = FIELDS[first.field].carrier == "packet"
        return one_bridge and (carried or not (a.datapath and b.datapath) or a.datapath == b.datapath)

    def _one_zone(self, first: Use, second: Use) -> bool:
        """Of a zone that is not known nothing is said: it neither accuses nor excuses, and what it cannot accuse is no finding."""
        a, b = self._zone(first), self._zone(second)
        if not a or not b:
            return False
        if self._alike(first, a, second, b):
            return True
        one, other = self.numbers(first, a), self.numbers(second, b)
        return one is not None and other is not None and not one.isdisjoint(other)

    def _alike(self, first: Use, a: str, second: Use, b: str) -> bool:
        return a == b and (a.isdigit() or first.place.bridge == second.place.bridge)

    def _zone(self, use: Use) -> str | None:
        return use.scope.zone if use.place.kind in KINDS else _DEFAULT

    def numbers(self, use: Use, zone: str) -> frozenset[int] | None:
        """The numbers that a zone of a use may be; None where they are not known."""
        if zone.isdigit():
            return frozenset({int(zone)})
        return self._numbers.get((use.scope.netns or HOST, use.place.bridge, zone))


def concerned(first: Use, second: Use) -> bool:
    """Whether one of two statements is a flow."""
    return first.place.kind in KINDS or second.place.kind in KINDS
