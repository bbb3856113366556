"""Who owns a use, and which components are on the node (registry.md section 6, contract.md "Fields, owners, reservations")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from markreg.attribution.evidence import comments, describe, rule_facts, table_facts, table_kinds, use_facts, use_kinds
from markreg.attribution.explain import Explainer, chosen_layouts
from markreg.attribution.inferred import inferred, said
from markreg.attribution.supplied import Suppliers
from markreg.attribution.unclaimed import PREFIX, Unclaimed, bridge_of, group
from markreg.model import Component, Confidence, Owned, Reading, Rule, Table, Use
from markreg.registry.effective import Settings
from markreg.registry.model import Registry
from markreg.registry.signatures import RANKS, Facts, Index, Match, Signature

if TYPE_CHECKING:
    from markreg.attribution.flows import FlowOwners, Verdict

_EVIDENCE = 3
NOBODY = "no signature"
OVN = "ovn"
NATIVE = "native"
_LOOKING = ("rule", "xfrm", "tc")
# 0x and 48 bits: what a longer cookie begins with is a count or a number drawn (Antrea pkg/agent/openflow/cookie, Neutron's agent).
_COUNTED = len("0x") + 12


def attribute(
    readings: Sequence[Reading],
    registry: Registry,
    *,
    releases: Mapping[str, str] | None = None,
    settings: Mapping[str, Settings] | None = None,
) -> tuple[tuple[Component, ...], tuple[Owned, ...]]:
    """The components on a node, by name, and every use with its owner, ``u1``, ``u2``, … in the order of the inputs.

    ``releases`` and ``settings``: what is known of components from elsewhere. A use of basis claimed or manifest belongs to whom
    its ``target`` names (a component, or a reservation's path).
    """
    work = _Attribution(readings, registry)
    work.find_components()
    claims = work.claim()
    releases, settings = releases or {}, settings or {}
    known = {**work.releases, **releases}
    attributed = [(c.use, c.owner, c.signature) for c in claims]
    shown = inferred(registry, attributed, settings)
    both = {name: {**shown.get(name, {}), **settings.get(name, {})} for name in {*shown, *settings}}
    explain, layouts = chosen_layouts(registry, attributed, known, both)
    owned = tuple(_owned(number, claim, explain) for number, claim in enumerate(claims, 1))
    components = tuple(
        Component(name, found.confidence, (*found.texts[:_EVIDENCE], *said(shown.get(name, {}))), layouts.get(name), releases.get(name))
        for name, found in sorted(work.present.items())
    )
    return components, owned


@dataclass(slots=True)
class _Claim:
    """A use and its owner so far; ``owner`` is empty for nobody."""

    use: Use
    reading: Reading
    table: Table | None
    base: bool
    rule: Rule | None = None
    owner: str = ""
    by: str = NOBODY
    confidence: Confidence = "high"
    signature: Signature | None = None
    path: str | None = None
    verdict: Verdict | None = None
    hosted: bool = False


def _owned(number: int, claim: _Claim, explain: Explainer) -> Owned:
    path = claim.path or explain.reservation(claim.use, claim.owner, claim.signature)
    means = explain.means(claim.use, claim.owner)
    return Owned(f"u{number}", claim.use, claim.owner, path, claim.by, claim.confidence, means)


@dataclass(slots=True)
class _Present:
    """A component that was recognised."""

    confidence: Confidence
    texts: list[str]


@dataclass(slots=True)
class _Seen:
    """What speaks for a component: what its signatures saw, each once."""

    texts: dict[Signature, str] = field(default_factory=dict)

    def level(self) -> Confidence | None:
        """``high`` by one high signature, ``medium`` by two different medium ones; None: that is not enough."""
        levels = [s.confidence for s in self.texts]
        return "high" if "high" in levels else "medium" if levels.count("medium") > 1 else None


class _Attribution:
    def __init__(self, readings: Sequence[Reading], registry: Registry) -> None:
        self.readings = readings
        self.index = Index(registry)
        self.makes = {name: rules.makes for name, rules in registry.rules.items()}
        self.present: dict[str, _Present] = {}
        self.certain: set[str] = set()
        self._chains: dict[tuple[int, str], Match | None] = {}
        self._tables: dict[int, tuple[frozenset[str], Facts]] = {}
        self.flows = _flow_owners(readings, registry)
        self.claims = [claim for reading in readings for claim in _claims(reading, self.flows)]

    @property
    def releases(self) -> dict[str, str]:
        """Releases that show in what components do."""
        return {OVN: self.flows.release} if self.flows and self.flows.release else {}

    def find_components(self) -> None:
        """Which components are present, by tables, chains, rules and uses."""
        seen: dict[str, _Seen] = {}
        shared: list[tuple[frozenset[str], Facts]] = []

        def note(match: Match | None, kinds: frozenset[str], facts: Facts) -> None:
            if match and match.shared:
                shared.append((kinds, facts))
            elif match:
                # One place is one piece of evidence: the first of its signs that nothing else has given yet.
                texts = seen.setdefault(match.component, _Seen()).texts
                signs = [match.signature, *(s for s, _ in self.index.matches(kinds, facts) if s.component == match.component)]
                sign = next((s for s in signs if s not in texts), match.signature)
                texts.setdefault(sign, describe(sign, facts, kinds))

        for reading in self.readings:
            for table in reading.tables:
                kinds, base = table_kinds(reading, table), table_facts(table)
                note(self.index.decide(kinds, base), kinds, base)
                for signature, name, winner in self.index.evidence(kinds, base, sorted(table.chains)):
                    facts = {**base, "chain": (name,)}
                    if winner and winner.shared:
                        shared.append((kinds, facts))
                    else:
                        seen.setdefault(signature.component, _Seen()).texts.setdefault(signature, describe(signature, facts, kinds))
            for rule in reading.rules:
                kinds, facts = _rule_kinds(rule), rule_facts(rule)
                note(self.index.decide(kinds, facts), kinds, facts)
        for text in self.flows.evidence if self.flows else ():
            self.present[OVN] = _Present("high", [*self.present.get(OVN, _Present("high", [])).texts, text])
        for claim in self.claims:
            if claim.rule is None and claim.verdict is None:
                kinds, facts = self._kinds(claim), use_facts(claim.use)
                note(self.index.decide(kinds, facts, own_chain=not claim.base), kinds, facts)
        self._settle(seen, shared)

    def _settle(self, seen: dict[str, _Seen], shared: list[tuple[frozenset[str], Facts]]) -> None:
        """What several components share is evidence for the one that is present anyway, else for the first listed."""
        elsewhere = {name for name, what in seen.items() if what.level()}
        for kinds, facts in shared:
            match = self.index.decide(kinds, facts, present=elsewhere, own_chain=True)
            if match:
                text = describe(match.signature, facts, kinds)
                seen.setdefault(match.component, _Seen()).texts.setdefault(match.signature, text)
        for name, what in seen.items():
            if level := what.level():
                texts = [text for s, text in sorted(what.texts.items(), key=lambda item: RANKS[item[0].confidence])]
                told = self.present.get(name)
                self.present[name] = _Present("high" if told else level, list(dict.fromkeys([*(told.texts if told else ()), *texts])))
        self.certain = {name for name, what in self.present.items() if what.confidence == "high"}

    def claim(self) -> list[_Claim]:
        """Every use with its owner."""
        for claim in self.claims:
            self._by_signature(claim)
        self._by_rule([c for c in self.claims if not c.owner])
        self._by_cookie([c for c in self.claims if not c.owner and c.use.place.kind == "openflow" and c.verdict is None])
        self._by_table([c for c in self.claims if not c.owner])
        self._by_group([c for c in self.claims if not c.owner and not _looks(c)])
        self._by_mark([c for c in self.claims if _looks(c) and (not c.owner or self._guessed(c))])
        self._by_group([c for c in self.claims if not c.owner])
        return self.claims

    def _decide(self, kinds: frozenset[str], facts: Facts, own_chain: bool = False) -> Match | None:
        return self.index.decide(kinds, facts, self.certain, self.present, own_chain)

    def _kinds(self, claim: _Claim) -> frozenset[str]:
        return table_kinds(claim.reading, claim.table) if claim.table else use_kinds(claim.use, claim.reading)

    def _by_signature(self, claim: _Claim) -> None:
        use = claim.use
        if use.basis in ("claimed", "manifest") and use.target:
            claim.owner, slash, _ = use.target.partition("/")
            claim.path, claim.by = use.target if slash else None, use.basis
            return
        if verdict := claim.verdict:
            claim.owner, claim.by, claim.confidence = verdict.owner, verdict.by, verdict.confidence
            return
        if claim.rule is not None:
            kinds, facts = _rule_kinds(claim.rule), rule_facts(claim.rule)
            match = self._decide(kinds, facts)
        else:
            kinds, facts = self._kinds(claim), use_facts(use)
            match = self._decide(kinds, facts, own_chain=not claim.base)
            if claim.base and claim.table and use.target in claim.table.chains:
                behind = self._chain(claim.reading, claim.table, use.target)
                if behind and (match is None or RANKS[behind.confidence] < RANKS[match.confidence]):
                    match, facts = behind, {**self._at(claim.reading, claim.table)[1], "chain": (use.target,)}
        if match and claim.table and self.makes.get(match.component) == "no-marks":
            claim.hosted = True
        elif match:
            claim.owner, claim.confidence, claim.signature = match.component, match.confidence, match.signature
            claim.by = describe(match.signature, facts, kinds)

    def _at(self, reading: Reading, table: Table) -> tuple[frozenset[str], Facts]:
        if id(table) not in self._tables:
            self._tables[id(table)] = (table_kinds(reading, table), table_facts(table))
        return self._tables[id(table)]

    def _chain(self, reading: Reading, table: Table, chain: str) -> Match | None:
        """Whose a user chain is."""
        key = (id(table), chain)
        if key not in self._chains:
            kinds, base = self._at(reading, table)
            self._chains[key] = self._decide(kinds, {**base, "chain": (chain,)}, own_chain=True)
        return self._chains[key]

    def _builders(self, reading: Reading, table: Table) -> set[str]:
        """Whose the chains of a table are by their names: some tables are built by one, and others hang their chains in."""
        return {match.component for name in table.chains if (match := self._chain(reading, table, name))}

    def _by_rule(self, nobody: list[_Claim]) -> None:
        """A rule has one author: what it does besides what a signature knows is the same owner's."""
        known: dict[tuple[object, ...], _Claim] = {}
        for claim in self.claims:
            if claim.owner and claim.use.basis == "observed":
                known.setdefault((claim.use.path, claim.use.place, claim.use.lines), claim)
        for claim in nobody:
            if author := known.get((claim.use.path, claim.use.place, claim.use.lines)):
                claim.owner, claim.by, claim.confidence = author.owner, author.by, author.confidence

    def _by_cookie(self, nobody: list[_Claim]) -> None:
        """A cookie has one author on a bridge, and so have those that begin alike: agents count their starts there, or draw a number."""
        known: dict[tuple[str, str, str], _Claim] = {}
        for claim in self.claims if nobody else ():
            if claim.owner and claim.use.place.kind == "openflow" and claim.use.place.cookie not in ("", "0x0"):
                known.setdefault(_cookie(claim.use), claim)
        for claim in nobody:
            if author := known.get(_cookie(claim.use)):
                claim.owner, claim.confidence = author.owner, author.confidence
                claim.by = f"cookie {claim.use.place.cookie}, like that of {author.use.place.text}"

    def _by_table(self, nobody: list[_Claim]) -> None:
        """A native nft table has one maker: what nobody claims in it is whose everything else in it is."""
        makers: dict[int, set[str]] = {}
        for claim in self.claims:
            if claim.owner and claim.table and claim.table.backend == NATIVE:
                makers.setdefault(id(claim.table), set()).add(claim.owner)
        sole: dict[int, str] = {}
        for claim in nobody:
            key = id(claim.table)
            if claim.table and key in makers and key not in sole:
                all_ = makers[key] | self._builders(claim.reading, claim.table)
                sole[key] = next(iter(all_)) if len(all_) == 1 else ""
            if owner := sole.get(key):
                claim.owner = owner
                claim.by = f"the rest of {claim.use.place.text.rpartition(' ')[0]}"
        self._by_loaded_table([c for c in nobody if not c.owner])

    def _by_loaded_table(self, nobody: list[_Claim]) -> None:
        """Who loads whole tables writes into built-in chains, too: what stands there without a comment, under a mask of his own chains."""
        masks: dict[tuple[int, int], dict[str, str]] = {}
        for claim in self.claims:
            if claim.table and claim.signature and self.makes.get(claim.owner) == "tables":
                masks.setdefault((id(claim.table), claim.use.mask), {}).setdefault(claim.owner, claim.use.place.text)
        for claim in nobody:
            owners = masks.get((id(claim.table), claim.use.mask), {}) if claim.base and not comments(claim.use) else {}
            if len(owners) == 1 and not (claim.table and claim.use.target in claim.table.chains):
                claim.owner, place = next(iter(owners.items()))
                claim.by, claim.confidence = f"same table and mask as in {place}", "medium"

    def _by_group(self, nobody: list[_Claim]) -> None:
        found = [Unclaimed(c.use, c.reading, c.table, c.base, c.hosted) for c in nobody]
        flows = (c for c in self.claims if c.owner and not c.owner.startswith(PREFIX) and c.use.place.kind == "openflow")
        hosts = {bridge_of(c.use) for c in flows}
        for claim, owner in zip(nobody, group(found, lambda r, t, c: self._chain(r, t, c) is not None, hosts), strict=True):
            claim.owner = owner

    def _guessed(self, claim: _Claim) -> bool:
        """Whether an owner is no more than likely: he shows nowhere else, or his configuration has others say which mark it is.

        The mark of a policy that an IKE daemon makes is what mark_in and mark_out of its configuration say.
        """
        if claim.owner.startswith(PREFIX) or claim.signature is None or claim.confidence == "high":
            return False
        return claim.owner not in self.present or claim.use.place.kind == "xfrm"

    def _by_mark(self, readers: list[_Claim]) -> None:
        """A reader that nobody claims is its only writer's, weakly; one whose owner is a guess is that of the group that sets its mark."""
        # A flow's mark is that of its zone: the same bits in another are another's.
        told = ((c.owner, c.use) for c in self.claims if c.owner and c.use.place.kind != "openflow")
        suppliers = Suppliers((owner, use) for owner, use in told if use.access != "read" or use.place.kind not in _LOOKING)
        for claim in readers:
            if claim.use.access != "read":
                continue
            owners = suppliers.exact(claim.use)
            if claim.owner:
                owners = owners if all(o.startswith(PREFIX) for o in owners) else {}
            elif not owners:
                owners = suppliers.supplying(claim.use)
            if len(owners) == 1:
                claim.owner, place = next(iter(owners.items()))
                claim.signature = None
                # A known component is a guess then; a group that nobody is known to own stays what it is, lines that are there.
                claim.confidence = "high" if claim.owner.startswith(PREFIX) else "low"
                claim.by = f"same mark and mask as in {place}"


def _looks(claim: _Claim) -> bool:
    """Whether a use is of what only looks at marks: a routing rule, an IPsec policy, a filter of tc."""
    return claim.rule is not None or (claim.use.access == "read" and claim.use.place.kind == "tc")


def _rule_kinds(rule: Rule) -> frozenset[str]:
    return frozenset({"xfrm" if rule.kind == "xfrm" else "ip-rule"})


def _flow_owners(readings: Sequence[Reading], registry: Registry) -> FlowOwners | None:
    """The judge of flows, where there are some."""
    if not any(r.format == "lflow" or any(u.place.kind in ("openflow", "lflow") for u in r.uses) for r in readings):
        return None
    from markreg.attribution.flows import FlowOwners

    return FlowOwners(readings, registry)


def _claims(reading: Reading, flows: FlowOwners | None) -> list[_Claim]:
    """The uses of an input in its order, each with its table, rule or flow; then those that only a rule mentions."""
    tables: dict[tuple[str, str, str], Table] = {}
    for table in reading.tables:
        tables.setdefault((table.family, table.backend, table.name), table)
        tables.setdefault((table.family, "", table.name), table)
    rules = {_same(r.use): r for r in reading.rules if r.use}
    found: list[_Claim] = []
    for use in reading.uses:
        place = use.place
        home = tables.get((place.family, place.backend, place.table)) or tables.get((place.family, "", place.table))
        chain = home.chains.get(place.chain) if home else None
        base = bool(chain.hooks) if chain else place.chain.isupper() and bool(place.hooks)
        if flows and place.kind == "openflow":
            found.extend(_Claim(part, reading, None, False, verdict=verdict) for part, verdict in flows.parts(use))
            continue
        found.append(_Claim(use, reading, home if place.kind == "netfilter" else None, base, rules.pop(_same(use), None)))
    found.extend(_Claim(rule.use, reading, None, False, rule) for rule in rules.values() if rule.use)
    return found


def _cookie(use: Use) -> tuple[str, str, str]:
    cookie = use.place.cookie
    return use.scope.netns, use.place.bridge or use.path, cookie[:-12] if len(cookie) > _COUNTED else cookie


def _same(use: Use) -> tuple[object, ...]:
    return use.lines, use.field, use.access, use.mask, use.value, use.place.text
