"""From a node to its collisions: tier 1 says who may meet whom, tier 2 whether and how (docs/architecture.md, "From uses to findings")."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from markreg.bits import bit_numbers, shifted
from markreg.model import FIELDS, Node, Owned, Use
from markreg.paths.collision import Collision, Proof
from markreg.paths.crossings import Evidence, evidence
from markreg.paths.effects import Question
from markreg.paths.facts import Definition, Facts
from markreg.paths.graph import Graph, Reader, graph
from markreg.paths.jumps import Jumps
from markreg.paths.lives import Life, Stop, lives
from markreg.paths.openflow import Zones, concerned
from markreg.paths.pairs import pairs
from markreg.paths.ports import flows
from markreg.paths.questions import Candidate, questions
from markreg.paths.reaching import Reaching
from markreg.paths.relevance import Relevance, Shape
from markreg.paths.requests import Granted, Requests, nothing, requested, requests
from markreg.paths.rewriting import rewrites
from markreg.paths.selectors import asked
from markreg.paths.slices import Bits, Slices
from markreg.paths.switches import Switches
from markreg.paths.trail import Found, Hit
from markreg.paths.uses import means, sets, whole
from markreg.paths.walk import MOST_STATES, Walk
from markreg.paths.witness import steps
from markreg.source import Source

# Where bits can be walked apart, a walk of all together need not see more than so many.
_FEW_STATES = 2_000
# All walks of a node together may see so many states.
_MOST_STATES = 1_000_000
_FAMILIES = ("ip", "ip6", "arp")


@dataclass(slots=True)
class Region:
    """One network namespace, for one family of packets or several that meet the same."""

    netns: str
    family: str
    uses: list[Owned]
    graph: Graph
    lives: tuple[Life, ...]
    facts: Facts
    shape: Shape
    requests: Mapping[str, Requests]
    evidence: Evidence
    _slices: Slices | None = None
    _jumps: Jumps | None = None
    _owned: dict[str, int] = field(default_factory=dict)

    def jumps(self) -> Jumps:
        """The callers of its blocks."""
        if self._jumps is None:
            self._jumps = Jumps(self.graph.blocks)
        return self._jumps

    def owned(self, owner: str) -> int:
        """The definitions that an owner made or carried, as a set of their numbers."""
        if owner not in self._owned:
            numbers = (
                number
                for number, made in enumerate(self.facts.definitions)
                if isinstance(made, Definition) and (made.origin.owner == owner or (made.via is not None and made.via.owner == owner))
            )
            self._owned[owner] = sum(1 << number for number in numbers)
        return self._owned[owner]

    def apart(self, asked: Mapping[str, int], tracked: Mapping[str, int]) -> Sequence[Bits]:
        """The slices of the ``tracked`` bits in which what is done to the ``asked`` ones can be judged."""
        if self._slices is None:
            self._slices = Slices(self.shape, self.uses, self.evidence)
        return self._slices.of(asked, tracked)

    def requests_for(self, reader: str, writer: str) -> Requests:
        """What others than the writer set for the reader."""
        return {key: bits for key, bits in self.requests.get(reader, {}).items() if key[0] != writer}


class Paths:
    """The analysis of a node, made when it is first asked for."""

    def __init__(self, node: Node, sources: Mapping[str, Source], readers: Mapping[str, Reader], granted: Granted = nothing) -> None:
        self._node, self._sources, self._readers, self._granted = node, sources, readers, granted
        # What a repository holds are not all flows of a bridge, nor is what is left of a truncated dump.
        paths = {p.path for p in node.problems}
        broken = {(p.netns, p.bridge) for p in node.pipelines if p.path in paths}
        whole = [] if node.repository else [p for p in node.pipelines if (p.netns, p.bridge) not in broken]
        self._zones = Zones(node.pipelines, node.zones, Switches(whole, sources, node.devices, node.rows))
        self._regions: list[Region] | None = None
        self._collisions: list[Collision] | None = None
        self.gave_up: list[tuple[str, int]] = []

    @property
    def regions(self) -> list[Region]:
        """Every namespace and family in which more than one owner has to do with marks."""
        if self._regions is None:
            self._regions = list(self._found())
        return self._regions

    def _found(self) -> Iterator[Region]:
        spaces: dict[str, list[Owned]] = {}
        for owned in self._node.uses:
            if owned.use.basis == "manifest":
                continue  # it stands for rules that nobody has seen: checks/registered.py
            if owned.use.field in FIELDS and FIELDS[owned.use.field].carrier != "pipeline" and not concerned(owned.use, owned.use):
                spaces.setdefault(owned.use.scope.netns, []).append(owned)
        for netns, uses in spaces.items():
            switched = flows(self._node, netns)
            if len({o.owner for o in (*uses, *switched)}) < 2 and not any(_codes(o) for o in uses):
                continue
            tables = [t for t in self._node.tables if t.netns == netns]
            made = graph(tables, uses, self._sources, self._readers)
            self.gave_up += made.gave_up
            stops = [o for o in uses if o.use.place.kind != "netfilter" or not o.use.place.chain]
            # The check of a source asks with other devices and the ends exchanged (net/ipv4/fib_frontend.c fib_validate_source).
            checked = any(s.value and s.netns == netns and s.name.endswith(".src_valid_mark") for s in self._node.sysctls)
            mine = [r for r in self._node.rules if r.kind == "rule" and r.use and r.scope.netns == netns and not checked]
            selectors = {(r.path, r.line): asked(r) for r in mine}
            shape = Shape(made.blocks, selectors.values(), rewrites(tables, uses))
            node = self._node
            guards = (g for b in made.blocks for i in b.items for g in i.guards)
            shown = evidence(netns, guards, node.devices, node.sysctls, node.rules, tables)
            if shown.ports:
                uses, stops = uses + switched, stops + switched
            given = requests(uses, self._granted)
            known: set[tuple[object, ...]] = set()
            for family in _FAMILIES:
                ways = lives(family, made.bases, stops, shown, selectors)
                apart = family if shape.families else ""
                met = apart, *((v.name, v.exits, tuple(tuple(map(_identity, g)) for s in v.stages for g in s.groups)) for v in ways)
                if not ways or met in known:
                    continue
                known.add(met)
                facts = Reaching(family, ways, made.blocks, uses, shown.local).run()
                yield Region(netns, family, uses, made, ways, facts, shape, given, shown)

    def separate(self, first: Use, second: Use) -> bool:
        """Whether two statements about a connection are in different conntrack zones."""
        return self._zones.separate(first, second)

    def _reach(self, first: Owned, second: Owned) -> int:
        """`meets` bit by bit, where a flow of Open vSwitch is one of the two."""
        return self._zones.reach(first.use, second.use) if concerned(first.use, second.use) else -self.meets(first, second)

    def _way(self, first: Owned, second: Owned) -> tuple[str, ...]:
        return self._zones.way(first.use, second.use)

    def meets(self, first: Owned, second: Owned) -> bool:
        """Whether what one write sets may still be there when another use meets its field."""
        if concerned(first.use, second.use):
            return self._zones.meet(first.use, second.use)
        for region in self.regions:
            for bit in bit_numbers(sets(first.use)):
                if any(d.origin.id == first.id for d in region.facts.named(region.facts.ones(second, first.use.field, bit))):
                    return True
        return False

    @property
    def collisions(self) -> list[Collision]:
        """All of them, those of one code, pair, field and carrier as one."""
        if self._collisions is None:
            merged: dict[tuple[str, str, str, str, str], Collision] = {}
            left = _MOST_STATES
            for region in self.regions:
                for asked in questions(region.uses, region.facts, region.requests):
                    answers, states = _answered(region, asked, left)
                    left = max(left - states, 2_000)
                    for answer in answers:
                        _merge(merged, answer)
            for answer in pairs(_representatives(self._node.uses), self._reach, self._way):
                _merge(merged, answer)
            self._collisions = list(merged.values())
        return self._collisions


def _representatives(uses: Iterable[Owned]) -> list[Owned]:
    """One use for all that are alike, so that a hundred flows of a pod each count as one."""
    chosen: dict[tuple[object, ...], Owned] = {}
    for owned in uses:
        use, place = owned.use, owned.use.place
        key = (
            owned.owner,
            use.field,
            use.access,
            use.effect,
            use.predicate,
            use.possible,
            use.scope,
            place.kind,
            place.table,
            place.bridge,
            use.target if place.kind == "openflow" else "",
        )
        chosen.setdefault((*key, place.backend, place.priority, place.hooks, place.datapath, use.statement), owned)
    return list(chosen.values())


def _identity(entry: object) -> str:
    return entry.owned.id if isinstance(entry, Stop) else str(id(entry))


def _codes(owned: Owned) -> bool:
    """Whether a use tests a value of several bits, which its own owner may spoil (MK206)."""
    predicate = owned.use.predicate
    return predicate is not None and predicate.mask.bit_count() > 1 and bool(predicate.exact())


_PROOFS: tuple[Proof, ...] = ("shown", "hidden", "shielded", "presumed")


def _merge(merged: dict[tuple[str, str, str, str, str], Collision], new: Collision) -> None:
    key = (new.code, new.writer, new.reader, new.carrier, new.name)
    old = merged.setdefault(key, new)
    if old is new:
        return
    if new.doubt < old.doubt:
        merged[key], new, old = new, old, new
    elif new.doubt > old.doubt:
        return
    if new.doubt == old.doubt:
        old.mask |= new.mask
        old.pairs += new.pairs
        for mine, theirs in (
            (old.readers, new.readers),
            (old.writers, new.writers),
            (old.victims, new.victims),
            (old.carriers, new.carriers),
        ):
            for key_, owned in theirs.items():
                mine.setdefault(key_, owned)


def _tracked(region: Region, asked: Candidate) -> dict[str, int]:
    """The bits to follow: all that the two (and the carrier) read and write, and where copies bring them from."""
    parties = {asked.reader, asked.writer, asked.carrier}
    bits: dict[str, int] = {}
    copies: list[tuple[str, str, int, int]] = []
    for owned in region.uses:
        use = owned.use
        if owned.owner in parties:
            bits[use.field] = bits.get(use.field, 0) | use.mask
        if use.effect is not None:
            copies += [(use.field, s.symbol, s.shift, mask) for s, mask in use.effect.copies if (s.symbol, s.shift) != (use.field, 0)]
    while True:
        before = dict(bits)
        for target, source, shift, mask in copies:
            if wanted := bits.get(target, 0) & mask:
                bits[source] = bits.get(source, 0) | shifted(wanted, -shift)
        if bits == before:
            return bits


def _answered(region: Region, asked: Candidate, most: int) -> tuple[list[Collision], int]:
    """What the walk says: as things are; else with marks of others wished away; else with what is only presumed."""
    bits = _tracked(region, asked)
    meant: dict[str, int] = {}
    for owned in region.uses:
        if owned.owner == asked.writer and owned.use.effect is not None and not whole(owned.use):
            meant[owned.use.field] = meant.get(owned.use.field, 0) | means(owned.use)
    guessed = any(o.use.basis == "registry" for o in region.uses if o.owner in (asked.reader, asked.writer, asked.carrier))
    asked_for = tuple((*key, mask) for key, mask in region.requests_for(asked.reader, asked.writer).items())
    found: dict[tuple[str, str], Collision] = {}
    states, capped = 0, False
    wanted = asked.reads.keys()
    named: dict[tuple[str, str, str], int] = {}
    told: set[str] = set()  # the fields in which the two collide as things are
    for presumed in (False, True) if guessed else (False,):
        for freeing in (False, True):
            question = Question(asked.reader, asked.writer, asked.carrier, _ordered(bits), presumed, asked_for)
            answer, seen = _walked(region, question, meant, freeing, min(most, _FEW_STATES))
            states += seen
            if answer.capped:
                parts = [replace(question, tracked=_ordered(part)) for part in region.apart(asked.bits, bits)]
                answer, seen = _joined([_walked(region, part, meant, freeing, most) for part in parts])
                states += seen
            # What would come after other faults are mended is told where it is found; that it is not found is no doubt about what is.
            capped |= answer.capped and not (freeing or presumed)
            for key, hit in answer.hits.items():
                hidden = hit.reader.use.field in told or any((code, key[1]) in found for code in _STRONGER[key[0]])
                if key[1] in wanted and not hidden:
                    proof: Proof = "presumed" if presumed else _PROOFS[hit.freed]
                    found.setdefault(key, _collision(region, asked, hit, proof, named))
            told |= {c.name for c in found.values() if c.proof == "shown" and c.code != "MK103"}
            if capped or all(o.use.field in told for o in asked.reads.values()):
                break
        if capped or found:
            break
    if capped and not any(c.code != "MK103" for c in found.values()):
        return [_unfollowed(region, asked)], states
    return list(found.values()), states


def _ordered(bits: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    order = [name for name in ("skb_mark", "ct_mark", "ct_label") if name in bits] + sorted(bits.keys() - FIELDS.keys())
    return tuple((name, bits[name]) for name in order)


def _walked(region: Region, question: Question, meant: Mapping[str, int], freeing: bool, most: int) -> tuple[Found, int]:
    """The answer of a walk, and how many states it saw."""
    most = min(most, MOST_STATES)
    parties = frozenset((question.reader, question.writer, question.carrier, *(owner for owner, _, _ in question.requests)))
    about = region.shape, question.reader, dict(question.tracked), meant, parties
    way = question, region.family, region.lives
    walk = Walk(*way, Relevance(*about, close=False), freeing, most, evidence=region.evidence)
    answer, seen = walk.run(), walk.seen
    # Chains that drop packets, addresses and ports divide packets too finely to ask before there is something that they may exclude.
    for close in (True, False) if answer.hits and not answer.capped else ():
        relevant = Relevance(*about, close=close)
        ends = relevant.ends()
        if ends or (close and region.shape.filters):
            walk = Walk(*way, relevant, freeing, most, ends, region.evidence)
            told, seen = walk.run(), seen + walk.seen
            if not told.capped:
                return told, seen
    return answer, seen


def _joined(answers: Iterable[tuple[Found, int]]) -> tuple[Found, int]:
    """The answers of walks of slices as one: of each match the surest, with the bits of all that are as sure."""
    joined, states = Found(), 0
    for answer, seen in answers:
        states += seen
        joined.capped |= answer.capped
        for key, hit in answer.hits.items():
            known = joined.hits.setdefault(key, hit)
            if hit.freed < known.freed:
                joined.hits[key] = hit
            elif hit.freed == known.freed:
                known.mask |= hit.mask
    return joined, states


# By code those that say of the same read what it would say.
_STRONGER = {"MK101": ("MK101", "MK102"), "MK102": ("MK102",), "MK103": ("MK103",), "MK104": ("MK104", "MK102")}


def _collision(region: Region, asked: Candidate, hit: Hit, proof: Proof, named: dict[tuple[str, str, str], int]) -> Collision:
    """A hit as a collision. ``named``: the definitions that are named by collisions with which it will be one."""
    found = Collision(hit.code, asked.writer, asked.reader, asked.carrier, hit.reader.use.field, hit.mask, proof)
    found.readers[hit.reader.id] = hit.reader
    asked_for = region.requests_for(asked.reader, asked.writer)
    found.steps = steps(hit, asked.writer, asked.reader, asked_for, region.jumps())
    for step in found.steps[:-1]:
        if step.owned is None:
            continue
        role = {"write": found.writers, "victim": found.victims}.get(step.kind, found.carriers)
        role.setdefault(step.owned.id, step.owned)
    by_writer, by_carrier = region.owned(asked.writer), region.owned(asked.carrier) if asked.carrier else 0
    known = named.get((hit.code, found.name, proof), 0)
    for bit in bit_numbers(hit.mask):
        met = (region.facts.zeros if hit.code == "MK102" else region.facts.ones)(hit.reader, found.name, bit)
        found.pairs += (met & by_writer).bit_count()
        fresh = met & (by_writer | by_carrier) & ~known
        known |= fresh
        for definition in region.facts.named(fresh):
            last = definition.origin if definition.origin.owner == asked.writer else definition.via
            if last is not None and last.owner == asked.writer:
                found.writers.setdefault(last.id, last)
            if asked.carrier and definition.via and definition.via.owner == asked.carrier:
                found.carriers.setdefault(definition.via.id, definition.via)
    named[hit.code, found.name, proof] = known
    if hit.code == "MK102" and not found.victims:
        found.victims.update(
            (o.id, o)
            for o in region.uses
            if o.use.field == found.name
            and sets(o.use) & hit.mask & (o.use.mask if o.owner == asked.reader else requested(asked_for.get((o.owner, found.name), 0), o))
        )
    if not asked.carrier:
        found.carriers = {k: o for k, o in found.carriers.items() if o.use.access == "copy"}
    found.pairs = max(found.pairs, 1)
    return found


def _unfollowed(region: Region, asked: Candidate) -> Collision:
    """Tier 1's word alone."""
    name, mask = next(iter(asked.bits.items()))
    reads = {k: o for k, o in asked.reads.items() if o.use.field == name}
    tests = {k: o for k, o in reads.items() if o.use.effect is None}
    code = "MK104" if asked.carrier else "MK101" if tests else "MK103"
    found = Collision(code, asked.writer, asked.reader, asked.carrier, name, mask, "not followed", tests or reads)
    for owned in region.uses:
        if owned.owner == asked.writer and owned.use.field == name and owned.use.effect is not None and owned.use.mask & mask:
            found.writers.setdefault(owned.id, owned)
        elif owned.owner == asked.carrier and owned.use.access == "copy":
            found.carriers.setdefault(owned.id, owned)
    found.pairs = 1
    return found
