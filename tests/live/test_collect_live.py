"""Live, collected and dumped by hand: one node, one set of findings. And nothing of the node changes, and no key leaves it."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import environment
from tests.live.test_live import inside, run, state
from tests.support import ROOT

pytestmark = pytest.mark.oracle

NODES = Path(__file__).parent / "nodes"
COMPONENTS = ("calico", "kube-proxy", "tailscale")
COLLIDING = """
table inet shop {
  chain forward {
    type filter hook forward priority mangle;
    meta mark & 0x000f0000 == 0x00040000 drop
    meta mark set meta mark | 0x00004000
  }
}
"""
DUMPS = {
    "iptables-nft-save.txt": ("iptables-nft-save",),
    "ip6tables-nft-save.txt": ("ip6tables-nft-save",),
    "nft.txt": ("nft", "list", "ruleset"),
    "ip-4-rule.txt": ("ip", "rule", "show"),
    "ip6-rule.txt": ("ip", "-6", "rule", "show"),
}


@pytest.fixture
def netns() -> Iterator[str]:
    name = f"markreg-collect-{os.getpid()}-{random.SystemRandom().randrange(1 << 32):08x}"
    run("ip", "netns", "add", name)
    try:
        yield name
    finally:
        run("ip", "netns", "delete", name)


def markreg(*words: str | Path, netns: str = "") -> subprocess.CompletedProcess[str]:
    enter = ("ip", "netns", "exec", netns) if netns else ()
    command = [*enter, sys.executable, "-m", "markreg", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, env=environment(), check=False)
    assert "Traceback" not in done.stderr
    return done


def findings(*words: str | Path, netns: str = "", unread: bool = True) -> list[tuple[object, ...]]:
    said = json.loads(markreg("audit", *words, "--format", "json", netns=netns).stdout)
    kept = [f for f in said["findings"] if unread or f["code"] != "MK903"]
    return sorted((f["code"], f["severity"], f["field"], f["mask"], tuple(f["owners"]), f["fingerprint"], f["occurrences"]) for f in kept)


def heard(found: list[tuple[object, ...]], called: str = "") -> list[tuple[object, ...]]:
    """Warnings and errors. Owners without a name are called by their namespace where that is not the host."""
    return [(*f[:4], str(f[4]).replace(called, "")) for f in found if f[1] != "note"]


def filled(netns: str, *more: str) -> None:
    for component in COMPONENTS:
        inside(netns, "bash", "-euo", "pipefail", NODES / f"{component}.sh")
    for text in more:
        inside(netns, "nft", "-f", "-", data=text)


def test_live_collected_and_dumped_by_hand_have_the_same_findings(netns: str, tmp_path: Path) -> None:
    filled(netns, COLLIDING)
    live = findings(netns=netns)
    assert [f for f in live if f[1] != "note"]
    made = tmp_path / "node.tar.gz"
    assert markreg("collect", "-o", made, netns=netns).returncode == 0
    assert made.stat().st_mode & 0o777 == 0o600
    assert findings(made) == live
    run("tar", "xf", made, "-C", tmp_path)
    assert findings(tmp_path / "markreg-collect") == live
    anonymous = tmp_path / "anonymous.tar.gz"
    assert markreg("collect", "--anonymize", "-o", anonymous, netns=netns).returncode == 0
    assert [f[:5] for f in findings(anonymous)] == [f[:5] for f in live]
    (tmp_path / "dumps").mkdir()
    for name, words in DUMPS.items():
        (tmp_path / "dumps" / name).write_text(inside(netns, *words))
    assert findings(tmp_path / "dumps", unread=False) == [f for f in live if f[0] != "MK903"]


def test_a_namespace_by_name_path_and_process_is_what_it_is_from_inside(netns: str, tmp_path: Path) -> None:
    filled(netns, COLLIDING)
    there = heard(findings(netns=netns))
    sleeper = subprocess.Popen(["ip", "netns", "exec", netns, "sleep", "60"])
    try:
        for named in (netns, f"/run/netns/{netns}", str(sleeper.pid)):
            said = json.loads(markreg("audit", "--netns", named, "--format", "json").stdout)
            assert {entry["scope"]["netns"] for entry in said["inputs"]} == {netns}
            assert heard(findings("--netns", named), f"@{netns}") == there
    finally:
        sleeper.kill()
        sleeper.wait()
    mounted = tmp_path / "host" / "proc" / "1" / "ns"
    mounted.mkdir(parents=True)
    (mounted / "net").symlink_to(f"/run/netns/{netns}")
    for word in (mounted / "net", "/proc/self/ns/net"):
        said = json.loads(markreg("audit", "--netns", word, "--format", "json").stdout)
        assert {entry["scope"]["netns"] for entry in said["inputs"]} == {"host"}
    assert findings("--netns", mounted / "net") == findings(netns=netns)


def test_who_may_not_enter_a_namespace_is_told(netns: str) -> None:
    command = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", sys.executable, "-m", "markreg", "audit", "--netns", netns]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, env=environment(), check=False)
    assert done.returncode == 2
    assert f"MK903 netns {netns} could not be read: Operation not permitted; this takes root (CAP_SYS_ADMIN)" in done.stderr


def test_nothing_changes(netns: str, tmp_path: Path) -> None:
    """Modules, tables, rules and sysctls are the same before and after, from inside and from outside, live and collected."""
    filled(netns, COLLIDING)
    inside(netns, "ip", "link", "set", "lo", "up")
    before = state(netns)
    for words in (("audit",), ("collect", "-o", tmp_path / "a.tar.gz")):
        markreg(*words, netns=netns)
        assert state(netns) == before
        markreg(*words, "--netns", netns)
        assert state(netns) == before
    markreg("audit", "--all-netns")
    assert state(netns) == before


def test_every_namespace_is_a_scope_of_its_own(netns: str, tmp_path: Path) -> None:
    filled(netns)
    said = json.loads(markreg("audit", "--all-netns", "--format", "json").stdout)
    assert {"host", netns} <= {entry["scope"]["netns"] for entry in said["inputs"]}
    assert len({entry["path"] for entry in said["inputs"]}) == len(said["inputs"])
    assert netns in {entry["scope"]["netns"] for entry in said["map"]}
    made = tmp_path / "node.tar.gz"
    assert markreg("collect", "--netns", netns, "-o", made).returncode == 0
    assert findings(made) == findings("--netns", netns)


def test_no_key_is_captured_or_printed(netns: str, tmp_path: Path) -> None:
    """xfrm's keys are planted in the kernel where it has ESP, and in any case in a program in ip's place; so are WireGuard's."""
    key, private = "c0ffee42" * 4, "QNqvlAAAABBBBsecretsecretsecretsecretsecr8="
    state = ["src", "192.0.2.1", "dst", "192.0.2.2", "proto", "esp", "spi", "0x1000", "mode", "tunnel", "mark", "0x1", "mask", "0xff"]
    inside(netns, "ip", "xfrm", "state", "add", *state, "enc", "cbc(aes)", f"0x{key}", check=False)
    programs = tmp_path / "bin"
    programs.mkdir()
    real = run("sh", "-c", "command -v ip").strip()
    link = '[{"ifname":"wg0","linkinfo":{"info_kind":"wireguard"}}]'
    text = "src 192.0.2.1 dst 192.0.2.2\\n\\tproto esp spi 0x1 reqid 1 mode tunnel\\n\\tmark 0x1/0xff\\n"
    (programs / "ip").write_text(
        f"""#!/bin/sh
case "$*" in
    "-d -j link show") echo '{link}' ;;
    "xfrm state list nokeys") printf '{text}' ;;
    *xfrm*state*) printf '{text}\\tenc cbc(aes) 0x{key}\\n' ;;
    *) exec {real} "$@" ;;
esac
"""
    )
    (programs / "wg").write_text(
        f"""#!/bin/sh
case "$*" in
    "show all fwmark") printf 'wg0\\t0xca6c\\n' ;;
    *) printf 'interface: wg0\\n  private key: {private}\\n  fwmark: 0xca6c\\n' ;;
esac
"""
    )
    for program in programs.iterdir():
        program.chmod(0o755)
    made = tmp_path / "node.tar.gz"
    env = environment(PATH=f"{programs}:{os.environ['PATH']}")
    said = b""
    for words in (("collect", "-o", str(made)), *(("audit", "--verbose", "--format", f) for f in ("text", "json", "markdown", "concise"))):
        command = [real, "netns", "exec", netns, sys.executable, "-m", "markreg", *words]
        done = subprocess.run(command, capture_output=True, timeout=60, cwd=ROOT, env=env, check=False)
        assert done.returncode in (0, 1), done.stderr
        said += done.stdout + done.stderr
    archived = gzip.decompress(made.read_bytes())
    assert b"0xca6c" in archived
    assert b"0xff" in archived
    for secret in (key, private):
        assert secret.encode() not in archived + said


def test_what_connections_sockets_and_filters_have_is_read(netns: str, tmp_path: Path) -> None:
    inside(netns, "ip", "link", "set", "lo", "up")
    inside(netns, "nft", "-f", "-", data="table ip m {\n chain o { type filter hook output priority 0\n ct mark set 0x2a\n }\n}\n")
    code = (
        "import socket, subprocess, sys; s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, 36, 0x77); s.bind(('127.0.0.1', 0));"
        "s.listen(); c = [socket.create_connection(s.getsockname()) for n in range(3)]; sys.exit(subprocess.call(sys.argv[1:]))"
    )
    has_filters = not subprocess.run(
        ["ip", "netns", "exec", netns, "tc", "qdisc", "add", "dev", "lo", "clsact"], capture_output=True, check=False
    ).returncode
    if has_filters:
        words = ["filter", "add", "dev", "lo", "ingress", "pref", "5", "protocol", "ip", "matchall", "action", "skbedit", "mark", "9"]
        has_filters = not subprocess.run(["ip", "netns", "exec", netns, "tc", *words], capture_output=True, check=False).returncode
    made = tmp_path / "node.tar.gz"
    inside(netns, sys.executable, "-c", code, sys.executable, "-m", "markreg", "collect", "-o", made)
    archived = gzip.decompress(made.read_bytes())
    assert b"mark=42" in archived
    assert b"fwmark:0x77" in archived or not Path("/proc/sys/net/ipv4").exists()
    assert (b"skbedit" in archived) == has_filters
    said = json.loads(markreg("audit", made, "--format", "json").stdout)
    assert {"conntrack", "ip-rule", "nft"} <= {entry["format"] for entry in said["inputs"]}
    cut = json.loads(markreg("audit", "--netns", netns, "--max-entries", "1", "--format", "json").stdout)
    assert any("--max-entries" in f["message"] for f in cut["findings"])
