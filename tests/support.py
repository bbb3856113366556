"""What tests share: where things are, and the command line in this process."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import shlex
import sys
from pathlib import Path

import pytest

from markreg import cli
from markreg.registry import positions

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("MARKREG_SHARED", ROOT.parent / "shared"))
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared corpus is not beside this checkout")


def case_files(case: Path) -> dict[str, str]:
    """The files of a case by name, each after a line ``== NAME``; ``expect`` is the one that is compared."""
    found: dict[str, str] = {}
    for piece in f"\n{case.read_text(encoding='utf-8')}".split("\n== ")[1:]:
        name, _, body = piece.partition("\n")
        found[name.strip()] = body.strip("\n") + "\n"
    return found


def markreg(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What ``markreg …`` prints on both streams, run in a folder, on 2026-12-01 and with no settings of the user."""
    program, *words = shlex.split(command)
    assert program == "markreg"
    positions.of_file.cache_clear()  # it knows files by name, and this folder may have another of that name
    printed = io.BytesIO()
    stream = io.TextIOWrapper(printed, encoding="utf-8", write_through=True)
    with monkeypatch.context() as patch:
        for name in [*os.environ]:
            if name.startswith("MARKREG_"):
                patch.delenv(name)
        patch.setenv("MARKREG_DEBUG", "1")
        patch.setenv("SOURCE_DATE_EPOCH", "1796083200")
        patch.chdir(folder)
        patch.setattr(sys, "argv", [program, *words])
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "stderr", stream)
        with contextlib.suppress(SystemExit):
            cli.main()
    gc.enable()  # a command turns it off
    return printed.getvalue().decode("utf-8")
