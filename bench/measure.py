"""What a whole process costs: time on the clock and peak memory.

The kernel counts the peak of the process that started another as that one's too (fs/exec.c exec_mmap), so the caller must stay small.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cost:
    """``seconds`` on the clock, ``peak`` resident memory in bytes, the exit ``status``."""

    seconds: float
    peak: int
    status: int


def once(command: Sequence[str | Path], stdin: Path | None = None) -> Cost:
    """Runs a command, its output thrown away."""
    with (stdin or Path(os.devnull)).open("rb") as source:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdin=source, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    return Cost(seconds, usage.ru_maxrss * 1024, process.returncode)


def best(command: Sequence[str | Path], stdin: Path | None = None, times: int = 3) -> Cost:
    """The shortest time and the greatest memory of some runs; the status of a run that failed, if one did."""
    runs = [once(command, stdin) for _ in range(times)]
    return Cost(min(r.seconds for r in runs), max(r.peak for r in runs), max((r.status for r in runs), key=abs))
