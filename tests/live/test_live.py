"""The live audit, in namespaces whose rules the real tools loaded: nothing is said of who is alone, and nothing changes."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import environment
from tests.support import ROOT

pytestmark = pytest.mark.oracle

NODES = Path(__file__).parent / "nodes"
# All settings of the network, but nothing that counts by itself.
SETTING = re.compile(r"net\.(?!.*(?:_count|inuse|\.stat|_seed|tcp_fastopen_key))")
ALONE = sorted(NODES.glob("*.sh"))


def run(*words: str | Path, data: str = "", check: bool = True) -> str:
    done = subprocess.run([*map(str, words)], input=data, capture_output=True, text=True, timeout=60, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def netns() -> Iterator[str]:
    name = f"markreg-live-{os.getpid()}-{random.SystemRandom().randrange(1 << 32):08x}"
    run("ip", "netns", "add", name)
    try:
        yield name
    finally:
        run("ip", "netns", "delete", name)


def inside(netns: str, *words: str | Path, data: str = "", check: bool = True) -> str:
    return run("ip", "netns", "exec", netns, *words, data=data, check=check)


def audit(netns: str, *words: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = ["ip", "netns", "exec", netns, *before, sys.executable, "-m", "markreg", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, env=environment(), check=False)
    assert "Traceback" not in done.stderr
    return done


def state(netns: str) -> dict[str, str]:
    """All that a live audit could change: modules, tables, rules, sets, sysctls, locks, namespaces."""
    said = {
        "nft": inside(netns, "nft", "-a", "list", "ruleset"),
        "rules": inside(netns, "ip", "rule", "show") + inside(netns, "ip", "-6", "rule", "show"),
        "xfrm": inside(netns, "ip", "xfrm", "policy") + inside(netns, "ip", "xfrm", "state", "list", "nokeys"),
        "links": re.sub(r"\d+", "", inside(netns, "ip", "-o", "link")),
        "legacy": inside(netns, "cat", "/proc/net/ip_tables_names", "/proc/net/ip6_tables_names", check=False),
        "netlink": re.sub(r"(?m)^\S+|\S+$", "", inside(netns, "cat", "/proc/net/netlink")),
        "sysctl": "\n".join(line for line in inside(netns, "sysctl", "-a", check=False).splitlines() if SETTING.match(line)),
        "netns": run("ip", "netns", "list"),
    }
    for path in ("/proc/modules", "/run/xtables.lock"):
        file = Path(path)
        said[path] = (re.sub(r"(?m) \d+ .*$", "", file.read_text()) or str(file.stat().st_mtime_ns)) if file.exists() else "none"
    return said


@pytest.mark.parametrize("script", ALONE, ids=[path.stem for path in ALONE])
def test_who_is_alone_hears_nothing(netns: str, script: Path) -> None:
    """One component's rules by themselves: recognised, no warning, no error, and the node is as it was."""
    inside(netns, "bash", "-euo", "pipefail", script)
    before = state(netns)
    done = audit(netns, "audit", "--format", "json", "--strict", "--fail-on", "warning")
    assert state(netns) == before
    said = json.loads(done.stdout)
    assert [f["message"] for f in said["findings"] if f["severity"] != "note"] == []
    assert (done.returncode, said["complete"]) == (0, True)
    component = script.stem.partition("-on-")[0]
    assert component in [c["name"] for c in said["components"]]
    owners = {use["owner"] for use in said["uses"]}
    # Tailscale's save and restore stand in built-in chains and carry no comment.
    assert {component} <= owners <= {component, "unattributed:built-in"}
    assert not [f for f in said["findings"] if f["code"] == "MK903"]


def test_the_example_node_live_is_the_example_node_captured(netns: str, tmp_path: Path) -> None:
    """What is found live is what is found in the files that the same tools wrote."""
    script = (ROOT / "docs" / "example-node" / "capture.sh").read_text()
    script = (
        script.replace("netns=markreg-example-$$", f"netns={netns}")
        .replace('ip netns add "$netns"', "")
        .replace('ip netns del "$netns"', ":")
    )
    (tmp_path / "capture.sh").write_text(script)
    run("bash", tmp_path / "capture.sh", tmp_path)
    live = json.loads(audit(netns, "audit", "--format", "json").stdout)
    captured = json.loads(audit(netns, "audit", str(tmp_path), "--format", "json").stdout)
    for key in ("code", "owners", "mask", "severity"):
        assert sorted(str(f[key]) for f in live["findings"] if f["code"] != "MK903") == sorted(str(f[key]) for f in captured["findings"])
    assert live["map"] == captured["map"]


def test_a_node_without_rules(netns: str) -> None:
    before = state(netns)
    done = audit(netns, "audit", "--strict")
    assert state(netns) == before
    assert inside(netns, "nft", "list", "tables") == ""
    assert done.returncode == 0
    assert "iptables-nft-save, ip6tables-nft-save, ip rule, ip -6 rule, ip xfrm policy, ip xfrm state" in " ".join(done.stdout.split())
    assert "nothing here uses marks" in done.stdout
    assert done.stderr == ""


def test_legacy_and_nft_tables_are_both_read_and_named_sets_with_them(netns: str) -> None:
    inside(netns, "ipset", "create", "marked", "hash:ip", "skbinfo")
    inside(netns, "ipset", "add", "marked", "192.0.2.1", "skbmark", "0x100/0xff00")
    inside(netns, "iptables-legacy", "-t", "mangle", "-A", "PREROUTING", "-j", "MARK", "--set-xmark", "0x1/0x1")
    inside(netns, "ip6tables-nft", "-t", "mangle", "-A", "PREROUTING", "-j", "MARK", "--set-xmark", "0x2/0x2")
    inside(netns, "iptables-nft", "-t", "mangle", "-A", "PREROUTING", "-j", "SET", "--map-set", "marked", "src", "--map-mark")
    before = state(netns)
    said = json.loads(audit(netns, "audit", "--format", "json").stdout)
    assert state(netns) == before
    assert "nat" not in before["legacy"]
    assert [entry["path"] for entry in said["inputs"]][:4] == [
        "iptables-legacy-save",
        "iptables-nft-save",
        "ip6tables-nft-save",
        "ipset save",
    ]
    assert {use["mask"] for use in said["uses"]} == {"0x1", "0x2", "0xff00"}


def test_what_iptables_cannot_print_nft_does(netns: str) -> None:
    rules = "add table ip raw; add chain ip raw PREROUTING { type filter hook prerouting priority -300; };"
    rules += "add rule ip raw PREROUTING meta mark set numgen inc mod 3; add table inet other"
    inside(netns, "nft", "-f", "-", data=rules.replace(";", "\n").replace("-300\n }", "-300; }"))
    before = state(netns)
    said = json.loads(audit(netns, "audit", "--format", "json").stdout)
    assert state(netns) == before
    assert "nft list ruleset" in [entry["path"] for entry in said["inputs"]]
    assert {use["mask"] for use in said["uses"]} != set()
    assert not [f for f in said["findings"] if f["code"] == "MK903"]


def with_own_ip(netns: str, folder: Path, script: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A run with another program in ip's place."""
    real = shutil.which("ip")
    assert real
    (folder / "ip").write_text(f"#!/bin/sh\n{script}\n".replace("REAL", real))
    (folder / "ip").chmod(0o755)
    command = [real, "netns", "exec", netns, sys.executable, "-m", "markreg", *words]
    env = environment(PATH=f"{folder}:{os.environ['PATH']}")
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, env=env, check=False)


def test_keys_are_never_read(netns: str, tmp_path: Path) -> None:
    """A kernel without ESP holds no state: a program in ip's place prints one, with its key unless told not to."""
    state_text = "src 192.0.2.1 dst 192.0.2.2\\n\\tproto esp spi 0x00001000 reqid 1 mode tunnel\\n\\tmark 0x1/0xff\\n"
    key = "\\tenc cbc(aes) 0xc0ffee42c0ffee42c0ffee42c0ffee42\\n"
    script = f"""case "$*" in
    "xfrm state"*nokeys*) printf '{state_text}' ;;
    *xfrm*state*) printf '{state_text}{key}' ;;
    *) exec REAL "$@" ;;
esac"""
    for form in ("json", "text", "markdown"):
        done = with_own_ip(netns, tmp_path, script, "audit", "--format", form, "--verbose")
        assert done.returncode == 0
        assert "ip xfrm state" in done.stdout
        assert "0xff" in done.stdout
        assert "c0ffee42" not in done.stdout + done.stderr


def test_an_interrupted_dump_is_read_once_more(netns: str, tmp_path: Path) -> None:
    warning = "Dump was interrupted and may be inconsistent."
    once = f'[ -e {tmp_path}/done ] || {{ : >{tmp_path}/done; echo "{warning}" >&2; }}; exec REAL "$@"'
    said = json.loads(with_own_ip(netns, tmp_path, once, "audit", "--format", "json").stdout)
    assert said["findings"] == []
    always = f'echo "{warning}" >&2; exec REAL "$@"'
    said = json.loads(with_own_ip(netns, tmp_path, always, "audit", "--format", "json").stdout)
    assert any("ip rule" in f["message"] and "changed while it was read" in f["message"] for f in said["findings"])


def test_without_the_right_it_says_what_could_not_be_read_and_what_it_takes(netns: str) -> None:
    inside(netns, "iptables-nft", "-t", "mangle", "-A", "PREROUTING", "-j", "MARK", "--set-xmark", "0x1/0x1")
    powerless = ("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin")
    done = audit(netns, "audit", "--format", "json", before=powerless)
    said = json.loads(done.stdout)
    notes = [f["message"] for f in said["findings"] if f["code"] == "MK903"]
    assert any(note.startswith("nftables could not be read") and "takes root (CAP_NET_ADMIN)" in note for note in notes)
    assert any(note.startswith("ip xfrm policy could not be read") for note in notes)
    text = audit(netns, "audit", before=powerless).stdout
    assert "no findings" not in text
    assert "nothing here uses marks" not in text


def test_time_is_limited(netns: str, tmp_path: Path) -> None:
    """A tool that hangs is ended, and what it would have said is a note."""
    said = json.loads(with_own_ip(netns, tmp_path, "exec sleep 60", "audit", "--timeout", "1", "--format", "json").stdout)
    assert any("ip rule could not be read" in f["message"] and "--timeout" in f["message"] for f in said["findings"])


def test_map_without_a_path_is_of_this_node(netns: str) -> None:
    inside(netns, "iptables-nft", "-t", "mangle", "-A", "PREROUTING", "-j", "MARK", "--set-xmark", "0x1/0x1")
    said = json.loads(audit(netns, "map", "--free", "skb_mark", "--format", "json").stdout)
    assert said["free"][0]["bits"] == "1-31"
