"""Manifests with anything where something else belongs: no traceback, whatever stands there."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from markreg.audit import audit
from markreg.formats import by_name
from markreg.inputs import Gathered, Known
from markreg.model import Scope
from markreg.registry.load import load
from markreg.resources import builtin_registry
from markreg.source import Source
from tests.lint.test_cases import CASES
from tests.support import case_files

ODD = [
    "",
    "null",
    "[]",
    "{}",
    "[[]]",
    "- -",
    "? [a]: b",
    "*a",
    "&a",
    "!!binary x",
    "!t",
    "0x",
    "1e99",
    "9" * 400,
    "{{ x }}",
    "$(X)",
    "'",
    '"',
    "|",
    "\u2028",
]
REGISTRY = load(builtin_registry())


def mutated(text: str, draw: random.Random) -> str:
    """A text with a few of its lines dropped, doubled or moved, and a few of its words replaced."""
    lines = text.split("\n")
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(lines))
        match draw.randrange(4):
            case 0:
                del lines[at : at + draw.randint(1, 3)]
                lines = lines or [""]
            case 1:
                lines.insert(at, draw.choice(lines))
            case 2:
                lines[at] = " " * draw.randint(0, 6) + lines[at].lstrip()
            case _:
                words = lines[at].split(" ")
                words[draw.randrange(len(words))] = draw.choice(ODD)
                lines[at] = " ".join(words)
    return "\n".join(lines)


@pytest.mark.parametrize("case", sorted(CASES.glob("*.case")), ids=lambda p: p.stem)
def test_no_manifest_is_too_odd(case: Path) -> None:
    draw = random.Random(case.stem)
    form = by_name("manifest")
    assert form
    for name, text in case_files(case).items():
        if name in ("expect", "registry.toml") or not name.endswith((".yaml", ".json", ".conflist")):
            continue
        for _ in range(25):
            source = Source(name, mutated(text, draw).encode())
            audit(Gathered([Known(source, form, "manifest", Scope())], repository=True), REGISTRY)
