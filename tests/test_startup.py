"""Asking for the version or for help costs no library that only reading needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("lark", "yaml", "rich", "elftools", "tomlkit", "pyroute2", "iptc", "nftables")
PROBE = """
import sys
sys.argv = ["markreg", *sys.argv[1:]]
status = None
try:
    from markreg.cli import main
    status = main()
except SystemExit as end:
    status = end.code
print("loaded:", *sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
sys.exit(status)
"""


def loaded(*arguments: str, cwd: Path) -> tuple[str, set[str]]:
    """What markreg prints, and the packages it has loaded when it ends."""
    done = subprocess.run([sys.executable, "-c", PROBE, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, set(done.stderr.rpartition("loaded:")[2].split())


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), ("audit", "--help")], ids=" ".join)
def test_nothing_heavy_is_loaded(arguments: tuple[str, ...], tmp_path: Path) -> None:
    said, packages = loaded(*arguments, cwd=tmp_path)
    assert said
    assert not packages & set(HEAVY)


def test_importing_markreg_loads_nothing_but_the_standard_library(tmp_path: Path) -> None:
    code = "import sys, markreg.model, markreg.source, markreg.resources; print(*{n.partition('.')[0] for n in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(done.stdout.split()) - sys.stdlib_module_names <= {"markreg", "__main__", "__mp_main__"}
