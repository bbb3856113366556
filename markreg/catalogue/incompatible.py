"""Who cannot live with whom: pairs of components whose bits meet at default settings, known collisions, agreements."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from operator import or_

from markreg.bits import format_bits
from markreg.catalogue.words import cell, codes, table
from markreg.model import Severity
from markreg.registry.effective import Effective, Resolver
from markreg.registry.model import Conflict, Registry
from markreg.registry.overlaps import overlap

_ABOUT = """\
Two components are listed here when their bits meet **as shipped**: default settings, newest
releases. Whether packets carry the bits from one to the other on your node is what
`markreg audit` finds out; this table says where to look, and where a setting helps
(`markreg plan`).
"""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two components that meet in a field: the common bits, and whether only because one of them uses the whole field."""

    a: str
    b: str
    field: str
    mask: int
    severity: Severity
    paths: tuple[str, ...]


def pairs(registry: Registry) -> tuple[Pair, ...]:
    """Every pair of components whose reservations meet at default settings, in the order of names and fields."""
    resolver = Resolver(registry)
    by_field: dict[str, list[Effective]] = defaultdict(list)
    for name in sorted(registry.components):
        for row in resolver.in_force(name):
            if row.mask:
                by_field[row.field].append(row)
    found: dict[tuple[str, str, str], dict[Severity, list[tuple[int, str, str]]]] = {}
    for field, rows in by_field.items():
        for a, b in combinations(rows, 2):
            if a.component != b.component and (hit := overlap(registry, a, b, resolver)):
                group = found.setdefault((a.component, b.component, field), {})
                group.setdefault(hit.severity, []).append((hit.mask, a.path, b.path))
    return tuple(_pair(key, group) for key, group in sorted(found.items()))


def _pair(key: tuple[str, str, str], group: Mapping[Severity, list[tuple[int, str, str]]]) -> Pair:
    severity: Severity = "error" if "error" in group else "warning"
    hits = group[severity]
    paths = dict.fromkeys(path for _, a, b in hits for path in (a, b))
    return Pair(*key, reduce(or_, (mask for mask, _, _ in hits)), severity, tuple(paths))


def page(registry: Registry, found: tuple[Pair, ...]) -> str:
    """The page: known collisions first, then all pairs, then what is agreed."""
    lines = ["# Who cannot live with whom", "", *_ABOUT.split("\n"), "## Known collisions", ""]
    lines += ["Reported, understood, and not excused: what happens, and the way out.", ""]
    lines += table(("between", "what happens", "way out", "source"), (_known(c) for c in registry.conflicts))
    lines += ["## Pairs whose bits meet", ""]
    lines += table(("components", "field", "bits", "reservations"), (_row(p) for p in found if p.severity == "error"))
    lines += ["## Pairs where one side takes the whole field", ""]
    lines += ["A masked neighbour loses its bits, or is seen by a match that compares everything.", ""]
    whole: dict[tuple[str, str], list[str]] = defaultdict(list)
    for pair in found:
        if pair.severity == "warning":
            for one, other in ((pair.a, pair.b), (pair.b, pair.a)):
                whole[pair.field, one].append(other)
    lines += table(("field", "component", "meets"), ((f, link(one), ", ".join(map(link, o))) for (f, one), o in sorted(whole.items())))
    lines += ["## Agreed", "", "Shared on purpose: no finding.", ""]
    agreed = ((codes(a.owners), a.field, a.bits, cell(a.reason)) for a in registry.agreements)
    lines += table(("owners", "field", "bits", "why"), agreed)
    return "\n".join(lines).rstrip("\n") + "\n"


def link(component: str) -> str:
    """A component as a link to its page."""
    return f"[{component}](components/{component}.md)"


def _row(pair: Pair) -> Iterator[str]:
    yield f"{link(pair.a)}, {link(pair.b)}"
    yield pair.field
    yield format_bits(pair.mask)
    yield codes(pair.paths)


def _known(conflict: Conflict) -> tuple[str, str, str, str]:
    releases = "; ".join(f"{c} {span}" for c, span in conflict.releases.items())
    between = codes(conflict.between) + (f" ({cell(releases)})" if releases else "")
    return between, cell(conflict.mechanism), cell(conflict.way_out), codes(conflict.source)
