"""The example in the README is what markreg prints of the example node. `MARKREG_UPDATE=1 pytest tests/test_readme.py` writes it anew."""

from __future__ import annotations

import os
from itertools import takewhile

import pytest

from tests.support import ROOT, markreg

README = ROOT / "README.md"
START, END = "<!-- example output -->\n", "<!-- /example output -->"
NODE = "docs/example-node"
LEFT_OUT = "…"
SHOWN = ("error[MK101]", "calico sets", "tailscale")


def excerpt(printed: str) -> list[str]:
    """What was read, the components and the map of the packet mark; one finding; the totals."""
    blocks = [block.split("\n") for block in printed.rstrip("\n").split("\n\n")]
    head = [line for block in takewhile(lambda b: not b[0].startswith("ct_mark"), blocks) for line in (*block, "")]
    finding = next(b for b in blocks if all(words in " ".join(line.strip() for line in b[:2]) for words in SHOWN))
    return [*head, LEFT_OUT, "", *finding, "", LEFT_OUT, "", *blocks[-1]]


def test_the_example_is_what_markreg_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    update = bool(os.environ.get("MARKREG_UPDATE"))
    printed = markreg(f"markreg audit {NODE}", ROOT, monkeypatch)
    before, rest = README.read_text(encoding="utf-8").split(START)
    shown, after = rest.split(END)
    block = "\n".join(["```", f"$ markreg audit {NODE}", *excerpt(printed), "```", ""])
    if update:
        README.write_text(f"{before}{START}{block}{END}{after}", encoding="utf-8")
    else:
        lines = shown.split("\n")
        assert set(lines) - {"```", "", LEFT_OUT, f"$ markreg audit {NODE}"} <= set(printed.split("\n"))
        assert shown == block


def test_the_example_is_short_and_shows_the_collision() -> None:
    shown = README.read_text(encoding="utf-8").split(START)[1].split(END)[0]
    assert all(words in shown for words in ("MK101", "calico", "tailscale", "path:", "help:"))
    assert shown.count("\n") < 65
    assert str(ROOT) not in shown
