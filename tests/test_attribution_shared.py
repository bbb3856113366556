"""Attribution over the shared corpus and incidents, held against what a reader of the texts found: `attribution/corpus.toml`."""

from __future__ import annotations

import io
import tomllib
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

from markreg.inputs import gather
from markreg.node import build
from markreg.registry.load import load
from markreg.registry.model import Registry
from tests.support import ROOT, SHARED, needs_shared

SAID: dict[str, dict[str, list[str]]] = tomllib.loads((ROOT / "tests/attribution/corpus.toml").read_text(encoding="utf-8"))
# The part of all statements about marks in the corpus that has an owner, at least: what is left is hand-made or of test suites.
ATTRIBUTED = 0.62


@cache
def registry() -> Registry:
    return load(ROOT / "registry.toml")


def expected(table: str, path: str) -> set[str]:
    """What the longest glob says that fits a path."""
    fitting = [glob for glob in SAID[table] if fnmatch(path, glob)]
    return set(SAID[table][max(fitting, key=len)]) if fitting else set()


def named(path: Path) -> tuple[set[str], int, int] | None:
    """Who is named in a file, and how many statements have an owner and how many none; None for a file in no known notation."""
    gathered = gather([str(path)], io.BytesIO())
    if not gathered.known:
        return None
    node = build(gathered, registry())
    mine = [(o.owner, max(1, len(o.use.lines))) for o in node.uses if o.use.basis == "observed"]
    owned = {owner for owner, _ in mine if not owner.startswith("unattributed:")}
    told = sum(count for owner, count in mine if owner in owned)
    return owned | {c.name for c in node.components}, told, sum(count for _, count in mine) - told


@needs_shared
def test_who_is_named_in_the_corpus() -> None:
    wrong: dict[str, tuple[list[str], list[str]]] = {}
    told = untold = files = 0
    for path in sorted(p for p in (SHARED / "corpus").rglob("*") if p.is_file() and p.name != "MANIFEST.toml"):
        name = path.relative_to(SHARED / "corpus").as_posix()
        found = named(path)
        if found is None:
            continue
        files, told, untold = files + 1, told + found[1], untold + found[2]
        must = expected("named", name)
        if not must <= found[0] <= must | expected("guessed", name):
            wrong[name] = (sorted(must), sorted(found[0]))
    assert wrong == {}
    assert files > 800
    assert told > ATTRIBUTED * (told + untold), (told, untold)


@needs_shared
def test_every_glob_is_of_some_file() -> None:
    names = [p.relative_to(SHARED / "corpus").as_posix() for p in (SHARED / "corpus").rglob("*") if p.is_file()]
    for glob in (*SAID["named"], *SAID["guessed"]):
        assert any(fnmatch(name, glob) for name in names), glob


@needs_shared
@pytest.mark.parametrize("glob", SAID["incidents"])
def test_who_is_named_in_an_incident(glob: str) -> None:
    (folder,) = (SHARED / "incidents").glob(glob)
    found: set[str] = set()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in ("incident.toml", "claims.toml")):
        found |= (named(path) or (set(), 0, 0))[0]
    assert found == set(SAID["incidents"][glob])
