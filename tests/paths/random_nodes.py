"""Random rule sets as the analysis gets them, and what it says of them."""

from __future__ import annotations

from dataclasses import dataclass

from markreg.devices import Device, Sysctl
from markreg.formats import iptables, nft
from markreg.model import HOST, Node, Owned, Scope
from markreg.paths.analysis import Paths, Region
from markreg.paths.effects import Question
from markreg.paths.relevance import Relevance
from markreg.paths.trail import Found
from markreg.paths.walk import Walk
from markreg.source import Source
from tests.paths.random_rules import DEVICES, NFT, TUNNEL, RuleSet

FIELDS = {"m": "skb_mark", "c": "ct_mark"}
_BITS = {"skb_mark": 15, "ct_mark": 15}
# A walk of more is left out.
MOST = 4_000
_SETTINGS = {"reflect": "net.ipv4.fwmark_reflect", "accept": "net.ipv4.tcp_fwmark_accept"}


@dataclass(frozen=True)
class Analysed:
    """A rule set's region, and its uses by line and whether they write."""

    region: Region
    uses: dict[tuple[int, bool], Owned]

    def hits(
        self, a: str, b: str, carrier: str, requests: frozenset[tuple[str, str, int]], ends: bool = False
    ) -> set[tuple[str, str]] | None:
        """What tier 2 finds for a question, as things are; None where it gives up, or where no two rules ask for ``ends``."""
        asked = tuple((owner, FIELDS[name], 1 << bit) for owner, name, bit in sorted(requests))
        question = Question(a, b, carrier, tuple(_BITS.items()), requests=_joined(asked))
        relevant = Relevance(self.region.shape, a, _BITS, {})
        followed = relevant.ends() if ends else None
        if ends and followed is None:
            return None
        walk = Walk(question, self.region.family, self.region.lives, relevant, most=MOST, ends=followed, evidence=self.region.evidence)
        return _told(walk.run())


def analysed(rules: RuleSet) -> Analysed | None:
    """The analysis of a rule set; None where it has nothing to do."""
    inputs = [(Source("iptables-save.txt", rules.text.encode()), iptables, "iptables-save", 0)]
    if rules.nft:
        inputs.append((Source("nft.txt", rules.nft.encode()), nft, "nft", NFT))
    readings = [module.read(source, name, Scope()) for source, module, name, _ in inputs]
    uses: list[Owned] = []
    by_line: dict[tuple[int, bool], Owned] = {}
    for reading, (*_, offset) in zip(readings, inputs, strict=True):
        assert not reading.opaque and not reading.problems, (rules.text, rules.nft)
        for use in reading.uses:
            owned = Owned(f"u{len(uses)}", use, use.place.chain[0])
            uses.append(owned)
            if use.effect is not None or use.predicate is not None:
                by_line.update(((offset + line, use.effect is not None), owned) for line in use.lines)
    devices = [Device(HOST, name, kind, "links", 1) for name, kind in ((TUNNEL, "vxlan"), *((d, "") for d in DEVICES))]
    settings = tuple(Sysctl(HOST, name, 1, "sysctl", 1) for way, name in _SETTINGS.items() if way in rules.ways)
    node = Node(
        (),
        (),
        tuple(uses),
        tuple(t for r in readings for t in r.tables),
        devices=tuple(devices) if "listed" in rules.ways else (),
        sysctls=settings,
    )
    paths = Paths(node, {s.path: s for s, *_ in inputs}, {s.path: module.flow for s, module, *_ in inputs})
    return Analysed(paths.regions[0], by_line) if paths.regions else None


def _told(found: Found) -> set[tuple[str, str]] | None:
    if found.capped:
        return None
    return {key for key, hit in found.hits.items() if key[0] != "MK103" and hit.reader.use.predicate is not None}


def _joined(asked: tuple[tuple[str, str, int], ...]) -> tuple[tuple[str, str, int], ...]:
    found: dict[tuple[str, str], int] = {}
    for owner, name, bits in asked:
        found[owner, name] = found.get((owner, name), 0) | bits
    return tuple((*key, bits) for key, bits in found.items())
