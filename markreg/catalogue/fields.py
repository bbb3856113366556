"""The index: every field with all components that use it in one picture."""

from __future__ import annotations

from collections.abc import Iterator

from markreg.catalogue.words import LEGEND, cell, picture, table
from markreg.registry.effective import Effective, Resolver
from markreg.registry.model import Field, Registry

_ABOUT = """\
Who uses which bits of the words that everything on a Linux node shares. Generated from
[registry.toml](../../registry.toml), where each number has its source; corrections and
additions are welcome there ([CONTRIBUTING](../../CONTRIBUTING.md)).

Bits overlap everywhere: there are more uses than bits. What that means for two components
on one node is on [incompatible.md](incompatible.md).
"""


def page(registry: Registry) -> str:
    """The index page."""
    lines = ["# The registry of mark bits", "", *_ABOUT.split("\n")]
    rows = by_field(registry)
    for field in registry.fields.values():
        lines += list(_field(field, rows.get(field.name, {})))
    lines += ["## Components", ""]
    named = ((c, registry.components.get(c)) for c in sorted({*registry.components, *registry.rules}))
    lines += table(
        ("component", "what it is", "reservations"),
        ((f"[{c}](components/{c}.md)", cell(e.title) if e else "", str(len(e.reservation)) if e else "0") for c, e in named),
    )
    return "\n".join(lines).rstrip("\n") + "\n"


def by_field(registry: Registry) -> dict[str, dict[str, list[Effective]]]:
    """Every row with bits, by field and component, in the order of names."""
    resolver = Resolver(registry)
    found: dict[str, dict[str, list[Effective]]] = {}
    for name in sorted(registry.components):
        for row in resolver.rows(name):
            if row.mask and row.reservation.status != "retired" and not row.reservation.within:
                found.setdefault(row.field, {}).setdefault(name, []).append(row)
    return found


def _field(field: Field, components: dict[str, list[Effective]]) -> Iterator[str]:
    drawn = picture(list(components.items()), field.width)
    if drawn:
        yield from (f"## {field.name}", "")
        about = f"{cell(field.title)}, " if field.title else ""
        yield from (f"{about}{field.width} bits. {LEGEND}.", "")
        yield from drawn
