"""Runs markreg as a user would: another process, what it prints, and how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT

EXAMPLE = ROOT / "docs" / "example-node"
CLEAN = b"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp -j ACCEPT\nCOMMIT\n"
COLLIDES = b"""*mangle
:PREROUTING ACCEPT [0:0]
:cali-PREROUTING - [0:0]
-A PREROUTING -j cali-PREROUTING
-A cali-PREROUTING -j MARK --set-xmark 0x40000/0x40000
COMMIT
*filter
:FORWARD ACCEPT [0:0]
:ts-forward - [0:0]
-A FORWARD -j ts-forward
-A ts-forward -m mark --mark 0x40000/0xff0000 -j ACCEPT
COMMIT
"""
# Says something of a mark that iptables does not know.
OPAQUE = b"*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j MARK --rotate-mark 3\nCOMMIT\n"


def environment(**more: str) -> dict[str, str]:
    """The environment without what would change a run."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MARKREG_") and k not in ("NO_COLOR", "PYTHONIOENCODING")}
    return {**kept, **more}


def markreg(
    *words: str | Path, stdin: bytes = b"", env: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """One run. A traceback is always a defect."""
    command = [sys.executable, "-m", "markreg", *map(str, words)]
    search = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=120, cwd=cwd, env=environment(**search, **(env or {})))
    result = subprocess.CompletedProcess(
        command, done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    )
    assert "Traceback" not in result.stderr, result.stderr
    assert "internal error" not in result.stderr, result.stderr
    return result
