"""What users and scripts may rely on: exit statuses, standard input, node pools, and that no secret is printed."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from markreg.deployed import interesting
from markreg.node import read
from markreg.registry.load import load
from markreg.repository import gather
from markreg.resources import builtin_registry

MARKREG = [str(Path(sys.executable).with_name("markreg"))]
TAILSCALE = """\
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: exit-node}
spec:
  template:
    spec:
      hostNetwork: true
      containers:
      - name: tailscale
        image: tailscale/tailscale:v1.90.1
        env: [{name: TS_USERSPACE, value: "false"}]
"""
CALICO = "apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nmetadata: {name: default}\nspec: {iptablesMarkMask: 0xffff0000}\n"
PLAN = 'version = 1\nextends = "builtin"\n[[node_pool]]\nname = "workers"\ncomponents = ["calico"]\n'


def lint(*words: str, cwd: Path, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([*MARKREG, "lint", *words], cwd=cwd, input=text, capture_output=True, text=True, timeout=120, check=False)


def test_a_tree_with_nothing_to_lint(tmp_path: Path) -> None:
    (tmp_path / "main.go").write_text("package main\n")
    (tmp_path / "README.md").write_text("iptables -j MARK --set-mark 1\n")
    done = lint(".", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("read 0 inputs")


def test_rendered_output_on_standard_input(tmp_path: Path) -> None:
    done = lint("-", "--format", "concise", cwd=tmp_path, text=f"{CALICO}---\n{TAILSCALE}")
    assert done.returncode == 1
    assert done.stdout.startswith("-:4:26: MK305 error ")


@pytest.mark.parametrize(
    ("name", "data", "status"),
    [
        ("empty.yaml", b"", 2),
        ("gone.yaml", None, 2),
        ("broken.yaml", b"a: [\n", 1),
        ("prose.txt", b"hello\n", 1),
        ("noise.bin", bytes(range(256)), 1),
    ],
)
def test_a_named_file_that_is_of_no_use(tmp_path: Path, name: str, data: bytes | None, status: int) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    done = lint(name, cwd=tmp_path)
    assert "Traceback" not in done.stderr
    assert "MK902" in done.stdout + done.stderr or name == "prose.txt"
    assert done.returncode == status or name == "prose.txt"


def test_some_usable_and_some_broken(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(CALICO)
    (tmp_path / "b.yaml").write_text("a: [\n")
    done = lint(".", "--format", "json", cwd=tmp_path)
    said = json.loads(done.stdout)
    assert (done.returncode, said["complete"]) == (1, False)
    assert [f["code"] for f in said["findings"]] == ["MK902"]
    assert {(u["basis"], u["place"]["kind"]) for u in said["uses"]} == {("manifest", "manifest")}


def test_a_node_pool_adds_what_runs_beside(tmp_path: Path) -> None:
    (tmp_path / "registry.toml").write_text(PLAN)
    (tmp_path / "ts.yaml").write_text(TAILSCALE)
    assert lint("ts.yaml", cwd=tmp_path).returncode == 0
    done = lint("ts.yaml", "--node-pool", "workers", "--format", "concise", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.startswith("registry.toml:5:14: MK305 error calico")
    done = lint("ts.yaml", "--node-pool", "worker", cwd=tmp_path)
    assert (done.returncode, "did you mean" in done.stderr) == (2, True)


def test_an_ignore_silences_it_there(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(CALICO.replace("spec:", "# markreg: ignore[MK305] moved next week\nspec:") + f"---\n{TAILSCALE}")
    assert lint("a.yaml", cwd=tmp_path).returncode == 0


def test_an_ignore_leaves_like_statements_elsewhere(tmp_path: Path) -> None:
    rule = "iptables -t mangle -A OUTPUT -j MARK --set-xmark 0x1/0x1"
    (tmp_path / "a.sh").write_text(f"{rule}\n\n{rule.replace('0x1', '0x2')} # markreg: ignore[MK303] ours\n")
    done = lint("a.sh", "--format", "json", cwd=tmp_path)
    (finding,) = (f for f in json.loads(done.stdout)["findings"] if f["code"] == "MK303")
    assert (finding["code"], finding["occurrences"], [x["line"] for x in finding["locations"]]) == ("MK303", 1, [1])


def test_a_use_says_where_in_its_object_it_is_set(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(CALICO)
    uses = json.loads(lint("a.yaml", "--format", "json", cwd=tmp_path).stdout)["uses"]
    assert {(u["place"]["object"], u["place"]["path"]) for u in uses} == {("FelixConfiguration/default", "spec.iptablesMarkMask")}


def test_what_no_component_looks_at_is_not_kept(tmp_path: Path) -> None:
    job = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: x}\nspec: {template: {spec: {containers: [{name: a, image: b}]}}}\n---\n"
    pairs = "data: {mask: '0xff000000'}"
    (tmp_path / "a.yaml").write_text(job * 50 + f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: site}}\n{pairs}\n")
    gathered = gather([str(tmp_path)], io.BytesIO())
    registry = load(builtin_registry())
    assert [len(r.documents) for r in read(gathered.known, keep=interesting(registry))] == [1]
    # what a variable takes from a ConfigMap of any name is still found
    (tmp_path / "b.yaml").write_text(
        "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: calico-node}\nspec: {template: {spec: {containers: [{name: calico-node, "
        "image: 'calico/node:v3.30.2', env: [{name: FELIX_IPTABLESMARKMASK, valueFrom: {configMapKeyRef: {name: site, key: mask}}}]}]}}}\n"
    )
    uses = json.loads(lint(".", "--format", "json", cwd=tmp_path).stdout)["uses"]
    assert {u["mask"] for u in uses if u["reservation"] == "calico/accept"} == {"0x1000000"}


@pytest.mark.parametrize("form", ["text", "json", "concise", "sarif", "markdown"])
def test_no_secret_is_printed(tmp_path: Path, form: str) -> None:
    (tmp_path / "all.yaml").write_text(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: cilium-ipsec-keys}\nstringData:\n"
        '  keys: "99 rfc4106(gcm(aes)) hunter2hunter2 128"\n---\n'
        '{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cilium-ipsec-keys"}, '
        '"stringData": {"keys": "98 a hunter2 128"}}\n---\n'
        "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: weave-net}\nspec: {template: {spec: {containers: [\n"
        "  {name: weave, image: weaveworks/weave-kube:2.8.1, env: [{name: WEAVE_PASSWORD, value: hunter2}]}]}}}\n"
    )
    (tmp_path / "wg0.conf").write_text(
        "[Interface]\nPrivateKey = hunter2\nFwMark = 0x200\n[Peer]\nPresharedKey = hunter2\nAllowedIPs = 0.0.0.0/0\n"
    )
    done = lint(".", "--format", form, cwd=tmp_path)
    assert "hunter2" not in done.stdout + done.stderr
    assert done.returncode == 1
