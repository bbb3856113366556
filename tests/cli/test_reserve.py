"""``reserve``: what it writes, what it refuses, and that runs at once never hand out the same bits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tomli

from markreg.bits import parse_bits
from tests.cli.running import environment, markreg
from tests.support import ROOT

PLAN = """\
# our nodes
version = 1
extends = "builtin"

[[node_pool]]
name = "workers"
components = ["kube-proxy", "tailscale"] # what runs there

[[component]]
name = "qos"

[[component.reservation]]
name = "class"
field = "skb_mark"
bits = "0-3"
source = "docs/qos.md"
"""
COLLECTORS = """\
_uuid               : 5f1d7a5e-8a4e-4b4c-9a53-0d9f8d4f2a01
id                  : 1
name                : drops
probability         : 65535
set_id              : 7

_uuid               : 5f1d7a5e-8a4e-4b4c-9a53-0d9f8d4f2a02
id                  : 2
name                : acls
probability         : 65535
set_id              : 7
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    file = tmp_path / "registry.toml"
    file.write_text(PLAN)
    return file


def rows(plan: Path, owner: str) -> list[dict[str, str]]:
    components = tomli.loads(plan.read_text())["component"]
    return [r for c in components if c["name"] == owner for r in c["reservation"]]


def test_it_writes_the_reservation_and_says_why(plan: Path) -> None:
    done = markreg("reserve", "edge", "flag", "--field", "skb_mark", "--width", "2", "--source", "docs/edge.md", cwd=plan.parent)
    assert done.returncode == 0, done.stderr
    (row,) = rows(plan, "edge")
    assert (row["field"], row["source"]) == ("skb_mark", "docs/edge.md")
    mask = parse_bits(row["bits"], 32)
    assert mask.bit_count() == 2
    assert not mask & 0xFF400F
    assert done.stdout == f"edge/flag: skb_mark {row['bits']}\n"
    assert len(done.stderr.splitlines()) == 3
    text = plan.read_text()
    assert text.startswith(PLAN.rstrip("\n"))
    assert markreg("registry", "check", cwd=plan.parent).returncode == 0


def test_a_dry_run_prints_the_change_and_changes_nothing(plan: Path) -> None:
    done = markreg("reserve", "qos", "more", "--field", "ct_mark", "--bits", "5", "--dry-run", cwd=plan.parent)
    assert done.returncode == 0
    assert '+name = "more"' in done.stdout.splitlines()
    assert plan.read_text() == PLAN


def test_what_nodes_use_is_avoided(plan: Path) -> None:
    use = {"field": "skb_mark", "mask": "0xff003fff", "owner": "unattributed:x", "access": "write", "value": None}
    audit = plan.parent / "audit.json"
    audit.write_text(json.dumps({"schema": "markreg.audit/1", "complete": True, "uses": [use], "components": []}))
    done = markreg("reserve", "edge", "flag", "--field", "skb_mark", "--width", "1", "--observed", audit, cwd=plan.parent)
    assert done.returncode == 0
    assert rows(plan, "edge")[0]["bits"] == "15"


def test_an_audit_of_the_example_node_is_understood(plan: Path) -> None:
    audit = plan.parent / "audit.json"
    markreg("audit", ROOT / "docs" / "example-node", "--format", "json", "-o", audit)
    done = markreg("reserve", "edge", "flag", "--field", "skb_mark", "--width", "1", "--observed", audit, cwd=plan.parent)
    assert done.returncode == 0
    used = [int(u["mask"], 16) for u in json.loads(audit.read_text())["uses"] if u["field"] == "skb_mark"]
    assert not any(parse_bits(rows(plan, "edge")[0]["bits"], 32) & mask for mask in used if mask != 0xFFFFFFFF)


def test_a_collector_id_that_the_database_does_not_use(plan: Path) -> None:
    (plan.parent / "nb.txt").write_text(COLLECTORS)
    words = ("reserve", "observability", "drop-sampling", "--within", "ovn/obs_collector_id", "--count", "1")
    done = markreg(*words, "--nb", plan.parent / "nb.txt", cwd=plan.parent)
    assert done.returncode == 0, done.stderr
    assert rows(plan, "observability")[0]["value_range"] == "3"
    assert markreg("registry", "check", cwd=plan.parent).returncode == 0


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("qos", "class", "--field", "skb_mark", "--width", "1"), 2, "is reserved already"),
        (("e", "x", "--field", "skb_mark", "--bits", "14"), 1, "kube-proxy/masquerade has 14; the nearest free: bits"),
        (("e", "x", "--field", "skb_mark", "--width", "30"), 1, "no 30 free bits in a row"),
        (("e", "x", "--field", "skb_mark", "--width", "33"), 2, "skb_mark has 32 bits"),
        (("e", "x", "--field", "skb_mark", "--bits", "40"), 2, "outside a field of 32 bits"),
        (("e", "x", "--field", "skb_mrk", "--width", "1"), 2, "did you mean 'skb_mark'?"),
        (("e", "x", "--field", "skb_mark"), 2, "--width or --bits"),
        (("e", "x", "--within", "ovn/obs_colector_id", "--count", "1"), 2, "did you mean 'ovn/obs_collector_id'?"),
        (("e", "x", "--within", "ovn/obs_collector_id", "--value", "256"), 1, "the nearest free: 255"),
        (("e", "x y", "--field", "skb_mark", "--width", "1"), 2, "is no reservation name"),
        (("e/f", "x", "--field", "skb_mark", "--width", "1"), 2, "is no component name"),
        (("e", "x", "--field", "skb_mark", "--width", "1", "--purpose", "fun"), 2, "'fun' is none of"),
        (("e", "x", "--field", "skb_mark", "--width", "1", "--observed", "registry.toml"), 2, "is no JSON"),
        (("e", "x", "--field", "skb_mark", "--width", "1", "--observed", "none.json"), 2, "No such file"),
    ],
)
def test_what_is_refused_changes_nothing(plan: Path, words: tuple[str, ...], status: int, message: str) -> None:
    done = markreg("reserve", *words, cwd=plan.parent)
    assert done.returncode == status, done.stderr
    assert message in done.stderr
    assert plan.read_text() == PLAN


def test_the_catalogue_that_ships_is_not_edited(tmp_path: Path) -> None:
    before = (ROOT / "registry.toml").read_bytes()
    done = markreg("reserve", "e", "x", "--field", "skb_mark", "--width", "1", "--registry", ROOT / "registry.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert "markreg init" in done.stderr
    assert (ROOT / "registry.toml").read_bytes() == before


def test_runs_at_once_never_hand_out_the_same_bits(plan: Path) -> None:
    def start(number: int) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "markreg", "reserve", f"team{number % 3}", f"flag{number}", "--field", "ct_mark", "--width", "1"]
        return subprocess.Popen(
            words, cwd=plan.parent, env=environment(PYTHONPATH=str(ROOT)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    running = [start(number) for number in range(9)]
    status = []
    for process in running:
        _, said = process.communicate(timeout=120)
        assert b"Traceback" not in said
        assert b"internal" not in said
        status.append(process.returncode)
    given = [parse_bits(r["bits"], 32) for n in range(3) for r in rows(plan, f"team{n}")]
    assert status == [0] * 9
    assert len(set(given)) == 9
    assert markreg("registry", "check", cwd=plan.parent).returncode == 0
