"""Asking for the version or for help costs no library that only reading needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("lark", "yaml", "rich", "elftools", "tomlkit", "pyroute2", "iptc", "nftables")
# What only archives, manifests, switches, BPF, a question about a packet's way, and other commands need.
SELDOM = (
    *("archives.held", "archives.streams", "manifests", "deployed.", "deployment", "northbound", "rows", "pipelines", "programs", "bpf"),
    *("paths.analysis", "paths.walk", "attribution.flows", "attribution.ovn_shapes", "collect", "plan", "catalogue", "observation"),
    *("decode", "nodemap", "registry.overlaps", "registry.free", "repository"),
)
# A dump of one owner, with what the names of its reader's modules begin with. Clauses of iptables and nft are one class.
DUMPS = {
    "iptables": ("*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j MARK --set-xmark 0x1/0x1\nCOMMIT\n", ("iptables",)),
    "nft": ("table ip a {\n\tchain b {\n\t\tmeta mark set mark or 0x1\n\t}\n}\n", ("nft", "iptables_clauses")),
    "ip-rule": ("32000:\tfrom all fwmark 0x1/0x1 lookup 7\n", ("ip_rule", "selector_asks", "narrow")),
    "conntrack": ("tcp      6 5 CLOSE src=1.1.1.1 dst=2.2.2.2 sport=1 dport=2 src=2.2.2.2 dst=1.1.1.1 mark=1 use=1\n", ("conntrack",)),
}
PROBE = """
import sys
sys.argv = ["markreg", *sys.argv[1:]]
status = None
try:
    from markreg.cli import main
    status = main()
except SystemExit as end:
    status = end.code
print("loaded:", *sorted(sys.modules), file=sys.stderr)
sys.exit(status)
"""


def loaded(*arguments: str, cwd: Path) -> tuple[str, set[str]]:
    """What markreg prints, and the modules it has loaded when it ends."""
    done = subprocess.run([sys.executable, "-c", PROBE, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, set(done.stderr.rpartition("loaded:")[2].split())


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), ("audit", "--help")], ids=" ".join)
def test_nothing_heavy_is_loaded(arguments: tuple[str, ...], tmp_path: Path) -> None:
    said, modules = loaded(*arguments, cwd=tmp_path)
    assert said
    assert not {name.partition(".")[0] for name in modules} & set(HEAVY)


@pytest.mark.parametrize(("text", "own"), DUMPS.values(), ids=DUMPS)
def test_an_audit_loads_no_other_notations_reader(text: str, own: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "dump.txt").write_text(text)
    _, modules = loaded("audit", "dump.txt", "--exit-zero", cwd=tmp_path)
    there = {name.removeprefix("markreg.") for name in modules if name.startswith("markreg.")}
    readers = {name for name in there if name.startswith("formats._")}
    assert readers
    assert not {name for name in readers if not name.startswith(tuple(f"formats._{o}" for o in own))}
    assert not {name for name in there if name.startswith(SELDOM)}
    assert not {name.partition(".")[0] for name in modules} & {"yaml", "rich", "elftools", "tomlkit", "zipfile", "tarfile"}


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
