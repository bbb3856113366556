"""The order in which inputs are named changes no finding."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from markreg.audit import audit
from markreg.inputs import gather
from markreg.registry.load import load
from markreg.resources import builtin_registry
from tests.support import ROOT, case_files

CASES = Path(__file__).parent / "cases"
SEVERAL = [case for case in sorted(CASES.glob("*.case")) if len(case_files(case)) > 2 and "registry.toml" not in case_files(case)]


def found(paths: list[Path]) -> list[tuple[object, ...]]:
    done = audit(gather([str(path) for path in paths], io.BytesIO()), load(builtin_registry()))
    return sorted((f.code, f.severity, f.field, f.mask, f.owners, f.occurrences) for f in done.findings)


@pytest.mark.parametrize("case", SEVERAL, ids=lambda p: p.stem)
def test_of_a_case(case: Path, tmp_path: Path) -> None:
    paths = []
    for name, body in case_files(case).items():
        if name != "expect":
            paths.append(tmp_path / name)
            paths[-1].write_text(body, encoding="utf-8")
    assert found(paths) == found(paths[::-1])


def test_of_the_example_node() -> None:
    paths = sorted((ROOT / "docs" / "example-node").glob("*.txt"))
    assert found(paths) == found(paths[::-1])
