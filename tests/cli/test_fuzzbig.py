"""No input may cause a traceback: the example node's files with random damage, through the whole audit."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

import pytest

from markreg import audit as engine
from markreg.inputs import gather
from markreg.registry.load import load
from markreg.report import Options, by_name
from tests.cli.running import EXAMPLE
from tests.support import ROOT

REGISTRY = load(ROOT / "registry.toml")
FILES = sorted(EXAMPLE.glob("*.txt"))
ROUNDS = 1500
PIECES = (
    b"\n",
    b'"',
    b" ",
    b"!",
    b"/",
    b"\\",
    b"\0",
    b"\xff\xfe",
    b"--mark ",
    b" -j MARK",
    b"COMMIT\n",
    b"*mangle\n",
    b":X - [0:0]\n",
    b"0x",
    b"9" * 40,
)


def damaged(data: bytes, rng: random.Random) -> bytes:
    """One to six cuts, repetitions, swapped bytes, insertions."""
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) + 1)
        to = min(len(data), at + rng.choice((1, 2, 10, 200)))
        kind = rng.randrange(5)
        if kind == 0:
            data = data[:at] + data[to:]
        elif kind == 1:
            data = data[:at] + rng.choice(PIECES) + data[at:]
        elif kind == 2:
            data = data[:at] + bytes(rng.randrange(256) for _ in range(to - at)) + data[to:]
        elif kind == 3:
            data = data[:to] + data[at:to] * rng.randint(1, 5) + data[to:]
        else:
            data = data[:at]
    return data


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_damaged_files(path: Path, tmp_path: Path) -> None:
    rng = random.Random(path.name+"x")
    original = path.read_bytes()
    renderers = [by_name(name) for name in ("json", "text", "concise", "markdown")]
    for _ in range(ROUNDS):
        data = damaged(original, rng)
        (tmp_path / path.name).write_bytes(data)
        gathered = gather([str(tmp_path / path.name)], io.BytesIO())
        if not gathered.known:
            assert gathered.problems
            continue
        done = engine.audit(gathered, REGISTRY)
        sources = engine.sources(gathered, done.node)
        for renderer in renderers:
            assert renderer
            said = renderer.render(done, Options(), sources)
            if renderer.NAME == "json":
                assert json.loads(said)["schema"] == "markreg.audit/1"
            else:
                assert "\x1b" not in said
                assert "\0" not in said
