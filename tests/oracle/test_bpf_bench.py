"""The benchmark's object is what it says: programs that write the mark, of the size asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.bpf import best_of, build
from markreg.bpf import analyse_all
from markreg.bpf.objects import read

pytestmark = pytest.mark.oracle


def test_it_grows_by_the_program(tmp_path: Path) -> None:
    path = tmp_path / "large.o"
    build(path, 3)
    held = read(path.read_bytes())
    assert len(held.programs) == 3
    assert 3 * 300 < len(held.image.code) < 3 * 600
    assert all(facts.mark.sites and facts.mark.mask and not facts.limits and not facts.notes for facts in analyse_all(held))
    cost = best_of(path, 1)
    assert cost.visits >= cost.instructions > 0
