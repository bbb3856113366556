"""``init``: a plan with what was found, which is valid as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tomli

from tests.cli.running import markreg
from tests.support import ROOT

FELIX = """\
apiVersion: crd.projectcalico.org/v1
kind: FelixConfiguration
metadata: {name: default}
spec: {iptablesMarkMask: 4278190080}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: calico-node, namespace: kube-system}
spec:
  template:
    spec:
      hostNetwork: true
      containers:
        - {name: calico-node, image: "quay.io/calico/node:v3.29.1"}
"""


def test_from_an_audit(tmp_path: Path) -> None:
    markreg("audit", ROOT / "docs" / "example-node", "--format", "json", "-o", tmp_path / "audit.json")
    done = markreg("init", "--observed", "audit.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    made = tomli.loads((tmp_path / "registry.toml").read_text())
    (pool,) = made["node_pool"]
    assert {"calico", "kube-proxy", "tailscale"} <= set(pool["components"])
    # What is wrong on the node is wrong in its plan, and init says so.
    assert "MK305 calico" in done.stderr
    checked = markreg("registry", "check", "--format", "json", cwd=tmp_path)
    assert json.loads(checked.stdout)["valid"]


def test_from_manifests(tmp_path: Path) -> None:
    (tmp_path / "calico.yaml").write_text(FELIX)
    done = markreg("init", "calico.yaml", "--node-pool", "workers", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (pool,) = tomli.loads((tmp_path / "registry.toml").read_text())["node_pool"]
    assert (pool["name"], pool["components"]) == ("workers", ["calico"])
    assert pool["releases"] == {"calico": "3.29.1"}
    assert int(str(pool["settings"]["calico"]["mark-mask"]), 0) == 0xFF000000
    assert markreg("registry", "check", cwd=tmp_path).returncode == 0
    assert markreg("registry", "fmt", "--check", cwd=tmp_path).returncode == 0


def test_bits_that_nobody_explains_are_left_to_be_named(tmp_path: Path) -> None:
    use = {"field": "ct_mark", "mask": "0xf0", "owner": "unattributed:nat/ODD", "access": "write", "value": None}
    document = {"schema": "markreg.audit/1", "complete": True, "uses": [use], "components": []}
    (tmp_path / "audit.json").write_text(json.dumps(document))
    text = markreg("init", "--observed", "audit.json", "--dry-run", cwd=tmp_path).stdout
    assert "# unattributed:nat/ODD\n" in text
    assert '# bits = "4-7"\n' in text
    plain = "".join(line.removeprefix("# ") for line in text[text.index("# unattributed:nat/ODD\n") :].splitlines(keepends=True)[1:])
    assert tomli.loads(plain.replace("#\n", "\n"))["component"][0]["reservation"][0]["bits"] == "4-7"
    assert not (tmp_path / "registry.toml").exists()


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "registry.toml").write_text("version = 1\n")
    (tmp_path / "calico.yaml").write_text(FELIX)
    done = markreg("init", "calico.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert (tmp_path / "registry.toml").read_text() == "version = 1\n"
    assert markreg("init", "calico.yaml", "--force", cwd=tmp_path).returncode == 0
    assert "calico" in (tmp_path / "registry.toml").read_text()


@pytest.mark.parametrize("words", [(), ("--observed", "none.json"), ("none.yaml",)])
def test_nothing_to_go_by(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert markreg("init", *words, cwd=tmp_path).returncode == 2


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '{"schema": "markreg.audit/1", "uses": 7, "components": [3, {"name": null}]}',
        '{"schema": "markreg.audit/1", "uses": [{"mask": "0xzz"}, {"mask": 1, "field": []}]}',
        "[" * 100_000,
    ],
)
def test_hostile_audits(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    assert markreg("init", "--observed", "a.json", "--dry-run", cwd=tmp_path).returncode in (0, 2)
