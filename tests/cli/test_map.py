"""``map``: only the ownership map; ``--free``: which bits nobody has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import COLLIDES, OPAQUE, markreg
from tests.support import ROOT

WHOLE = b"*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j MARK --set-xmark 0x1/0xffffffff\nCOMMIT\n"
PLAN = """version = 1
extends = "builtin"
[[node_pool]]
name = "workers"
components = ["kube-proxy", "mine"]
[[component]]
name = "mine"
[[component.reservation]]
name = "flag"
field = "skb_mark"
bits = "3"
source = "docs"
[[component.reservation]]
name = "old"
field = "skb_mark"
bits = "4"
status = "retired"
retired = 2026-01-01
free_after = 2026-06-01
source = "docs"
"""


def document(*words: str | Path, stdin: bytes = b"", cwd: Path | None = None, env: dict[str, str] | None = None) -> dict[str, Any]:
    done = markreg("map", *words, "--format", "json", stdin=stdin, cwd=cwd, env=env)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_the_map_is_the_audit_s() -> None:
    said = document("docs/example-node", cwd=ROOT)
    audit = json.loads(markreg("audit", "docs/example-node", "--format", "json", cwd=ROOT).stdout)
    assert said["schema"] == "markreg.map/1"
    assert said["map"] == audit["map"]
    assert said["inputs"] == audit["inputs"]
    assert "free" not in said
    text, whole = (markreg(command, "docs/example-node", cwd=ROOT).stdout for command in ("map", "audit"))
    assert text[text.index("skb_mark in") :].rstrip() in whole


def test_free_bits_of_the_example_node() -> None:
    """Tailscale's byte, kube-proxy's bit and what Felix and the kubelet have reserved; WireGuard's whole marks take none."""
    said = document("docs/example-node", "--free", "skb_mark", cwd=ROOT)
    (free,) = said["free"]
    assert free["field"] == "skb_mark"
    assert not int(free["mask"], 16) & 0xFFC000
    assert int(free["mask"], 16).bit_count() == free["count"] > 16
    assert {"owner": "wireguard", "access": ["read", "write"]} in free["whole_field"]
    assert {"owner": "kube-proxy", "bits": "14", "mask": "0x4000"} in free["used"]
    assert free["planned"] is None
    text = markreg("map", "docs/example-node", "--free", "skb_mark", cwd=ROOT).stdout
    assert f"free in skb_mark: {free['bits']} ({free['mask']}), {free['count']} of 32 bits" in text
    assert "no plan is in force" in text
    assert "wireguard reads and writes it" in " ".join(text.split())


def test_a_whole_mark_takes_no_bit_but_is_named() -> None:
    (free,) = document("-", "--free", "skb_mark", stdin=WHOLE)["free"]
    assert free["count"] == 32
    assert free["whole_field"] == [{"owner": "unattributed:built-in", "access": ["write"]}]


def test_what_the_plan_reserves_is_not_free(tmp_path: Path) -> None:
    (tmp_path / "registry.toml").write_text(PLAN)
    before, after = {"SOURCE_DATE_EPOCH": "1770000000"}, {"SOURCE_DATE_EPOCH": "1790000000"}  # February and September of 2026
    (free,) = document("-", "--free", "skb_mark", stdin=WHOLE, cwd=tmp_path, env=before)["free"]
    assert [entry["reservation"] for entry in free["planned"]] == ["kube-proxy/masquerade", "mine/flag", "mine/old"]
    assert free["bits"] == "0-2,5-13,15-31"
    (free,) = document("-", "--free", "skb_mark", stdin=WHOLE, cwd=tmp_path, env=after)["free"]
    assert free["bits"] == "0-2,4-13,15-31"


def test_several_fields_and_an_unknown_one() -> None:
    said = document("-", "--free", "ct_mark", "--free", "ct_label", stdin=COLLIDES)
    assert [(entry["field"], entry["count"]) for entry in said["free"]][1] == ("ct_label", 128)
    done = markreg("map", "-", "--free", "skb_mrk", stdin=COLLIDES)
    assert done.returncode == 2
    assert "did you mean 'skb_mark'?" in done.stderr


def test_incomplete_says_so() -> None:
    done = markreg("map", "-", "--free", "skb_mark", stdin=OPAQUE)
    assert done.returncode == 0
    assert done.stdout.startswith("incomplete: 1 mark statement")
    assert "as far as it was understood" in done.stdout
    assert markreg("map", "-", "--strict", stdin=OPAQUE).returncode == 1


@pytest.mark.parametrize("words", [("no-such-file",), ("-",), ("-", "--format", "sarif")])
def test_nothing_to_go_by_is_exit_2(words: tuple[str, ...]) -> None:
    done = markreg("map", *words)
    assert done.returncode == 2
    assert done.stdout == ""


def test_output_is_a_file(tmp_path: Path) -> None:
    printed = markreg("map", "-", stdin=COLLIDES, cwd=tmp_path)
    done = markreg("map", "-", "-o", "map.txt", stdin=COLLIDES, cwd=tmp_path)
    assert (done.stdout, (tmp_path / "map.txt").read_text()) == ("", printed.stdout)
