"""What a configuration file is that does not say it: by its name, or by the keys that only such a file has (rules/documents.toml)."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING

import tomli

from markreg.manifests.nodes import at, entries
from markreg.resources import data_root

if TYPE_CHECKING:
    from yaml.nodes import Node

VALUES = "HelmValues"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of file; ``chart``: whose Helm values it is."""

    name: str
    chart: str
    files: tuple[str, ...]
    keys: tuple[str, ...]
    least: int


@cache
def kinds() -> tuple[Kind, ...]:
    """Every kind, in the order of the file."""
    tables = tomli.loads((data_root() / "rules" / "documents.toml").read_text(encoding="utf-8"))["document"]
    return tuple(
        Kind(t.get("kind", VALUES), t.get("chart", ""), tuple(t.get("files", ())), tuple(t.get("keys", ())), t.get("least", 1))
        for t in tables
    )


def kind_of(root: Node, path: str) -> Kind | None:
    """The kind of a mapping without ``kind``."""
    top = {name for name, _, _ in entries(root)}
    for kind in kinds():
        if any(fnmatchcase(f"/{path}", glob) for glob in kind.files):
            return kind
        near = [key for key in kind.keys if key.partition(".")[0] in top]
        if len(near) >= kind.least and sum(any(True for _ in at(root, key)) for key in near) >= kind.least:
            return kind
    return None
