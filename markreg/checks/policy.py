"""What the registry allows: MK301 to MK304. Facts about the node are other checks' matter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from markreg import deployed
from markreg.checks import Context, unattributed
from markreg.checks.located import locations
from markreg.checks.severity import limited
from markreg.checks.words import bits_of
from markreg.model import Finding, Owned
from markreg.paths.uses import sets, uncertain, whole
from markreg.registry.agreements import Side, agreed
from markreg.registry.effective import Effective, Resolver, layouts
from markreg.registry.model import Registry


def check(context: Context, earlier: tuple[Finding, ...]) -> Iterator[Finding]:
    """Uses held against the reservations of the components present and, where there is one, the plan."""
    del earlier
    work = _Policy(context)
    groups: dict[tuple[str, str, str], list[tuple[Owned, int]]] = {}
    for owned in context.node.uses:
        for code, mask in work.faults(owned):
            groups.setdefault((code, owned.owner, owned.use.field), []).append((owned, mask))
    for (code, owner, field), found in groups.items():
        yield work.finding(code, owner, field, found)
    if work.plan:
        yield from work.idle()


@dataclass(slots=True)
class _Policy:
    """What is in force here, and who is here."""

    context: Context
    plan: bool
    present: frozenset[str]
    covered: dict[tuple[str, str], int]
    movable: set[tuple[str, str]]
    in_force: list[Effective]

    def __init__(self, context: Context) -> None:
        registry = context.registry
        self.context = context
        self.plan = registry.kind == "plan"
        planned = registry.declared if self.plan else ()
        self.present = frozenset((*(c.name for c in context.node.components), *planned)) & registry.components.keys()
        self.covered, self.movable = {}, set()
        for name in self.present:
            self._cover(registry, name)
        resolver = deployed.resolver(registry, context.node.deployed)
        self.in_force = [row for name in sorted(self.present) for row in resolver.in_force(name)]

    def _cover(self, registry: Registry, name: str) -> None:
        """All bits of a component in any release; fields where a setting that no capture shows may have moved them."""
        entry = registry.components[name]
        self.movable |= {(name, pool.field) for pool in entry.pool}
        self.movable |= {(name, r.field) for r in entry.reservation if r.bits_from and r.field}
        for interval in layouts(entry) or (None,):
            resolver = Resolver(registry, None, {name: interval} if interval else {})
            for row in resolver.rows(name):
                self.covered[name, row.field] = self.covered.get((name, row.field), 0) | row.mask

    def faults(self, owned: Owned) -> Iterator[tuple[str, int]]:
        """The codes that a use deserves, with the bits that they are about."""
        use = owned.use
        if use.basis != "observed" or uncertain(use):
            return
        mask = use.mask if use.effect is None or not whole(use) else sets(use)
        if unattributed(owned) and not self.plan:
            yield "MK303", mask
        if self.plan and not whole(use):
            known = 0
            for (name, field), bits in self.covered.items():
                if field == use.field and (name == owned.owner or not unattributed(owned)):
                    known |= bits
            if mask & ~known and (owned.owner, use.field) not in self.movable:
                yield "MK301", mask & ~known
        if not unattributed(owned) and use.effect is not None and (owned.owner, use.field) not in self.movable:
            outside = sets(use) & ~self.covered.get((owned.owner, use.field), 0)
            if outside := sum(1 << b for b in range(outside.bit_length()) if outside >> b & 1 and self._others(owned, 1 << b)):
                yield "MK302", outside

    def _others(self, owned: Owned, mask: int) -> list[str]:
        """The paths of other components' reservations in force that hold bits which no agreement shares."""
        use = owned.use
        if owned.owner not in self.present:
            return []
        return [
            row.path
            for row in self.in_force
            if row.component != owned.owner
            and row.field == use.field
            and row.mask & mask
            and not agreed(self.context.registry, Side(owned.owner, "write"), Side(row.component, "write"), use.field, mask)
        ]

    def finding(self, code: str, owner: str, field: str, found: list[tuple[Owned, int]]) -> Finding:
        """One finding for an owner and a field."""
        mask = 0
        for _, bits in found:
            mask |= bits
        bits_text = bits_of(field, mask)
        count = sum(max(len(o.use.lines), 1) for o, _ in found)
        roles = {o.id: "writer" if o.use.effect else "reader" for o, _ in found}
        places = tuple(replace(place, role=roles[place.use]) for place in locations(self.context, "reader", [o for o, _ in found]))
        if code == "MK303":
            name = owner.partition(":")[2]
            message = f"nobody is known to own {count} statement{'' if count == 1 else 's'} about {bits_text} ({name})"
            help_ = "say whose they are: a [[component.recognise]] in registry.toml, or markreg: ignore[MK303] REASON in a comment"
            return Finding(code, "note", message, field, mask, (owner,), places, help_, count)
        if code == "MK301":
            message = f"{owner} uses {bits_text}, which neither the plan nor a component on this node has reserved"
            help_ = "reserve them in the plan"
            return Finding(code, limited("warning", *[o for o, _ in found[:1]]), message, field, mask, (owner,), places, help_, count)
        others = sorted({path for o, bits in found for path in self._others(o, bits)})
        message = f"{owner} sets {bits_text} outside its reservations, inside {', '.join(others)}"
        severity = limited("error", max((o for o, _ in found), key=lambda o: o.confidence == "high"))
        owners = (owner, others[0].partition("/")[0])
        help_ = "reserve them in the registry, or move them into its own"
        return Finding(code, severity, message, field, mask, owners, places, help_, count)

    def idle(self) -> Iterator[Finding]:
        """MK304: what a plan reserves for a component that is here and does not use it."""
        here = {c.name for c in self.context.node.components}
        declared = [row for row in self.in_force if row.component in here and row.component in self.context.registry.declared]
        for row in declared:
            mine = [o.use for o in self.context.node.uses if o.owner == row.component and o.use.field == row.field]
            if not any(u.mask & row.mask for u in mine):
                message = f"{row.path} is reserved and nothing on this node uses it"
                yield Finding("MK304", "note", message, row.field, row.mask, (row.path,))
