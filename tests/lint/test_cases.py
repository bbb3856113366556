"""Each case file is a repository and what lint finds in it: one line a finding, `CODE severity field mask owners @ file:line`.

A case whose name begins with ``silent-`` expects nothing that a user would have to read: no warning, no error.
"""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from markreg.audit import audit
from markreg.bits import format_mask
from markreg.model import Audit, Finding
from markreg.registry.load import load
from markreg.repository import gather
from markreg.resources import builtin_registry
from tests.support import case_files

CASES = Path(__file__).parent / "cases"


def linted(folder: Path, files: dict[str, str]) -> Audit:
    for name, body in files.items():
        if name != "expect":
            path = folder / "tree" / name if name != "registry.toml" else folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(body, encoding="utf-8")
    plan = folder / "registry.toml"
    return audit(gather([str(folder / "tree")], io.BytesIO()), load(plan if plan.exists() else builtin_registry()))


def line_of(finding: Finding) -> str:
    place = finding.locations[0] if finding.locations else None
    where = f"@ {Path(place.path).name}:{place.line}" if place else ""
    words = (finding.code, finding.severity, finding.field, format_mask(finding.mask) if finding.mask else "", *finding.owners, where)
    return " ".join(" ".join(words).split())


@pytest.mark.parametrize("case", sorted(CASES.glob("*.case")), ids=lambda p: p.stem)
def test_case(case: Path, tmp_path: Path) -> None:
    files = case_files(case)
    done = linted(tmp_path, files)
    expected = sorted(line for line in map(str.strip, files["expect"].splitlines()) if line and not line.startswith("#"))
    assert sorted(map(line_of, done.findings)) == expected
    if case.stem.startswith("silent-"):
        assert all(f.severity == "note" for f in done.findings)


@pytest.mark.parametrize("case", sorted(CASES.glob("*.case")), ids=lambda p: p.stem)
def test_every_finding_shows_its_lines(case: Path, tmp_path: Path) -> None:
    files = case_files(case)
    for finding in linted(tmp_path, files).findings:
        for place in finding.locations:
            shown = Path(place.path).read_text(encoding="utf-8").splitlines()[place.line - 1]
            assert len(shown) == len(place.text)
            assert place.column <= place.end_column <= len(shown) + 1
