"""A ruleset of nft while it is read: tables, chains, sets, where control goes, and the rules that concern marks.

What a file says later undoes what it said before (``flush``, ``delete``), so nothing is final before the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from markreg.formats._nft_hooks import hook, priority
from markreg.formats._nft_sets import NamedSet
from markreg.model import Chain

_USER = Chain()


@dataclass(frozen=True, slots=True)
class Statement:
    """A rule that mentions a mark.

    ``code``: its expressions without comment, quoted strings empty except names of devices. ``raw``: what its line has of it. ``parts``:
    where each expression begins in the plain ``code``, and how the input writes it, for inputs that do not hold ``code`` itself.
    """

    chain: str
    line: int
    code: str
    comment: str
    target: str
    raw: str
    parts: tuple[tuple[int, str, int], ...] = ()


@dataclass(slots=True)
class Rules:
    """A table. ``ways``: for each chain (line, verb, target) of its jumps, where ``@name`` stands for those of a verdict map; ``ends`` and
    ``inserted`` as in model.Table; ``offloads``, ``helps``: the chains with rules that do so; ``rewrites``: what those of a chain
    do so to."""

    family: str
    name: str
    dormant: bool = False
    warned: bool = False
    statements: int = 0
    chains: dict[str, Chain] = field(default_factory=dict)
    ways: dict[str, list[tuple[int, str, str]]] = field(default_factory=dict)
    ends: dict[str, list[int]] = field(default_factory=dict)
    inserted: set[int] = field(default_factory=set)
    offloads: set[str] = field(default_factory=set)
    helps: set[str] = field(default_factory=set)
    rewrites: dict[str, set[str]] = field(default_factory=dict)
    marks: list[Statement] = field(default_factory=list)
    sets: dict[str, NamedSet] = field(default_factory=dict)

    def declare(self, chain: str, kind: str = "", at: str = "", level: str = "", policy: str = "") -> bool:
        """Adds a chain, or what a later block says of it; whether its priority makes sense."""
        known = self.chains.setdefault(chain, _USER)
        number = priority(level, self.family) if kind else None
        if kind:
            self.chains[chain] = Chain(chain, policy or known.policy or "accept", hook(at, number or 0), kind)
        elif policy and known.hooks:
            self.chains[chain] = replace(known, policy=policy)
        return not kind or number is not None

    def flush(self, chain: str | None = None) -> None:
        """Drops the rules of a chain, or of all."""
        for name in [chain] if chain is not None else [*self.ways, *self.ends]:
            self.ways.pop(name, None)
            self.ends.pop(name, None)
        self.offloads = self.offloads - {chain} if chain is not None else set()
        self.helps = self.helps - {chain} if chain is not None else set()
        self.rewrites = {c: kinds for c, kinds in self.rewrites.items() if chain is not None and c != chain}
        self.marks = [s for s in self.marks if chain is not None and s.chain != chain]

    def steps(self) -> tuple[dict[str, tuple[list[int], list[str]]], set[int]]:
        """The jumps of each chain to chains of the table, as model.Table has them, and the lines of those that do not come back."""
        steps: dict[str, tuple[list[int], list[str]]] = {}
        gotos: set[int] = set()
        verdicts: dict[str, list[tuple[str, str]]] = {}
        for chain, ways in self.ways.items():
            lines: list[int] = []
            targets: list[str] = []
            for line, verb, name in ways:
                found: Iterable[tuple[str, str]] = ((verb, name),)
                if name.startswith("@"):
                    if name not in verdicts:
                        known = self.sets.get(name[1:])
                        verdicts[name] = list(known.verdicts()) if known else []
                    found = verdicts[name]
                for how, target in found:
                    if target in self.chains:
                        lines.append(line)
                        targets.append(target)
                        if how == "goto":
                            gotos.add(line)
            if lines:
                steps[chain] = (lines, targets)
        return steps, gotos


@dataclass(slots=True)
class Ruleset:
    """All tables by family and name, and what could not be read: (line, reason, table)."""

    tables: dict[tuple[str, str], Rules] = field(default_factory=dict)
    opaque: list[tuple[int, str, str]] = field(default_factory=list)
    problems: list[tuple[int, str]] = field(default_factory=list)
    # Where rules of several lines begin and end (bytes), by the line that stands for them.
    long: dict[int, tuple[int, int]] = field(default_factory=dict)
    # Statements of tables that were removed again were read, too.
    removed: int = 0

    def table(self, family: str, name: str) -> Rules:
        """A table, made when it is first spoken of."""
        family = family or "ip"
        return self.tables.get((family, name)) or self.tables.setdefault((family, name), Rules(family, name))

    def clear(self, family: str, name: str | None = None) -> None:
        """Removes a table, or all of a family (of every family if it is empty)."""
        for key in [k for k in self.tables if (not family or k[0] == family) and name in (None, k[1])]:
            self.removed += self.tables.pop(key).statements
