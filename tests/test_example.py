"""The example node is what the real tools print of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support import ROOT

NODE = ROOT / "docs" / "example-node"


def statements(path: Path) -> list[str]:
    """Lines without the comments, which name the tool's version."""
    return [line for line in path.read_text().splitlines() if not line.startswith("#")]


@pytest.mark.oracle
def test_a_fresh_capture_is_the_same(tmp_path: Path) -> None:
    subprocess.run([NODE / "capture.sh", tmp_path], check=True, timeout=60)
    captured = sorted(tmp_path.glob("*.txt"))
    assert [path.name for path in captured] == sorted(path.name for path in NODE.glob("*.txt"))
    for path in captured:
        assert statements(path) == statements(NODE / path.name)
