"""Whatever the ablation takes out of the analysis is there."""

from __future__ import annotations

import pytest

from bench import ablation


@pytest.mark.parametrize("name", ablation.INGREDIENTS)
def test_what_is_taken_out_is_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[object] = []
    monkeypatch.setattr(ablation, "_put", lambda where, named, value: taken.append(getattr(where, named)))
    ablation.INGREDIENTS[name]()
    assert taken or name == "nothing"
