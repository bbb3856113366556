"""The registry as pages for people: one picture a field, a page a component, and who cannot live with whom.

Everything is generated from registry.toml and rules/components, so the pages say nothing of their own.
"""

from __future__ import annotations

from collections.abc import Iterator

from markreg.catalogue import component, fields, incompatible
from markreg.registry.model import Registry

INDEX = "README.md"
PAIRS = "incompatible.md"
MADE = "<!-- Made by `markreg registry pages` from registry.toml and rules/components; do not edit. -->\n"


def pages(registry: Registry) -> Iterator[tuple[str, str]]:
    """Every page: its path below the folder, and its text."""
    pairs = incompatible.pairs(registry)
    yield INDEX, MADE + fields.page(registry)
    yield PAIRS, MADE + incompatible.page(registry, pairs)
    for name in sorted({*registry.components, *registry.rules}):
        yield f"components/{name}.md", MADE + component.page(registry, name, pairs)
