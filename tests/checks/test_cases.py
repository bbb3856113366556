"""Each case file is a node and what markreg finds on it: one line a finding, `CODE severity field mask owners`.

A case whose name begins with ``silent-`` expects nothing that a user would have to read: no warning, no error.
"""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from markreg.audit import audit
from markreg.bits import format_mask
from markreg.inputs import gather
from markreg.model import Audit
from markreg.registry.load import load
from markreg.resources import builtin_registry
from tests.support import case_files

CASES = Path(__file__).parent / "cases"


def node(folder: Path, files: dict[str, str]) -> Audit:
    folder.mkdir(exist_ok=True)
    for name, body in files.items():
        if name != "expect":
            (folder / name).write_text(body, encoding="utf-8")
    plan = folder / "registry.toml"
    return audit(gather([str(folder)], io.BytesIO()), load(plan if plan.exists() else builtin_registry()))


def told(done: Audit) -> list[str]:
    lines = [
        " ".join((f.code, f.severity, f.field, format_mask(f.mask) if f.mask else "", *f.owners)).replace("  ", " ") for f in done.findings
    ]
    return sorted(line.strip() for line in lines)


@pytest.mark.parametrize("case", sorted(CASES.glob("*.case")), ids=lambda p: p.stem)
def test_case(case: Path, tmp_path: Path) -> None:
    files = case_files(case)
    done = node(tmp_path / "node", files)
    expected = sorted(line.split("#")[0].strip() for line in files["expect"].splitlines() if line.split("#")[0].strip())
    assert told(done) == expected
    if case.stem.startswith("silent-"):
        assert all(f.severity == "note" for f in done.findings)


@pytest.mark.parametrize("case", sorted(CASES.glob("*.case")), ids=lambda p: p.stem)
def test_every_finding_shows_its_lines(case: Path, tmp_path: Path) -> None:
    files = case_files(case)
    for finding in node(tmp_path / "node", files).findings:
        for place in finding.locations:
            if place.line:
                shown = Path(place.path).read_text(encoding="utf-8").splitlines()[place.line - 1]
                assert shown == place.text
                assert place.column <= place.end_column <= len(shown) + 1
