"""What runs markreg in other people's CI: the pre-commit hooks, the GitHub Action, the GitLab template."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from markreg import report
from tests.support import ROOT

# Felix at its defaults beside Tailscale: bits 16 to 23 belong to both.
COLLIDES = """\
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: calico-node, namespace: kube-system}
spec:
  template:
    spec:
      hostNetwork: true
      containers:
        - {name: calico-node, image: "docker.io/calico/node:v3.30.1"}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: tailscale, namespace: kube-system}
spec:
  template:
    spec:
      hostNetwork: true
      containers:
        - {name: tailscale, image: "docker.io/tailscale/tailscale:v1.96.0", env: [{name: TS_USERSPACE, value: "false"}]}
"""
CLEAN = COLLIDES.partition("---")[0]


def loaded(path: str) -> Any:  # noqa: ANN401
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def environment(folder: Path, **more: str) -> dict[str, str]:
    """A PATH on which ``markreg`` is this checkout."""
    program = folder / "bin" / "markreg"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m markreg "$@"\n')
    program.chmod(0o755)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MARKREG_")}
    return {**kept, "PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), **more}


def shell(script: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(command, cwd=folder, env=environment(folder, **more), capture_output=True, text=True, timeout=120)


def action_step(name: str) -> dict[str, Any]:
    return next(step for step in loaded("action.yml")["runs"]["steps"] if step.get("name") == name)


def inputs(step: dict[str, Any], **given: str) -> dict[str, str]:
    """The environment of a step with its expressions filled in from defaults and what is given."""
    defaults = {name: spec["default"] for name, spec in loaded("action.yml")["inputs"].items()}
    values = defaults | {name.replace("_", "-"): value for name, value in given.items()}
    return {key: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda m: values[m[1]], text) for key, text in step["env"].items()}


class TestAction:
    @pytest.mark.parametrize(("text", "status"), [(COLLIDES, 1), (CLEAN, 0)])
    def test_it_lints_and_annotates(self, text: str, status: int, tmp_path: Path) -> None:
        (tmp_path / "deploy").mkdir()
        (tmp_path / "deploy" / "all.yaml").write_text(text)
        step = action_step("Lint")
        done = shell(step["run"], tmp_path, **inputs(step, paths="deploy"))
        assert done.returncode == status, done.stderr
        assert ("::error file=deploy/all.yaml,line=" in done.stdout) == bool(status)

    def test_a_sarif_file(self, tmp_path: Path) -> None:
        (tmp_path / "a b").mkdir()
        (tmp_path / "all.yaml").write_text(COLLIDES)
        step = action_step("Lint")
        done = shell(step["run"], tmp_path, **inputs(step, format="sarif", output="a b/markreg.sarif", fail_on="never"))
        assert done.returncode == 0, done.stderr
        assert json.loads((tmp_path / "a b" / "markreg.sarif").read_text())["runs"][0]["results"]

    def test_it_compares_the_registry(self, tmp_path: Path) -> None:
        entry = '[[component]]\nname = "a"\n[[component.reservation]]\nname = "x"\nfield = "ct_mark"\nbits = "{}"\nsource = "docs"\n'
        for command in (["init", "-q"], ["config", "user.email", "a@example.org"], ["config", "user.name", "a"]):
            subprocess.run(["git", *command], cwd=tmp_path, check=True)
        (tmp_path / "registry.toml").write_text("version = 1\n" + entry.format(1))
        subprocess.run(["git", "add", "registry.toml"], cwd=tmp_path, check=True)
        subprocess.run(["git", "commit", "-qm", "one"], cwd=tmp_path, check=True)
        step = action_step("Compare the registry")
        assert shell(step["run"], tmp_path, **inputs(step, against="HEAD")).returncode == 0
        (tmp_path / "registry.toml").write_text("version = 1\n")
        assert shell(step["run"], tmp_path, **inputs(step, against="HEAD")).returncode == 1

    def test_no_expression_reaches_a_shell(self) -> None:
        """An input inside a script would be code (see GitHub's guide to script injection)."""
        assert not any("${{" in step.get("run", "") for step in loaded("action.yml")["runs"]["steps"])

    def test_its_formats_exist(self) -> None:
        spec = loaded("action.yml")["inputs"]
        assert spec["format"]["default"] in report.names()
        assert set(re.findall(r"\b(sarif|junit|markdown|json|text)\b", spec["format"]["description"])) <= set(report.names())


def test_the_gitlab_job_writes_a_code_quality_report(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(COLLIDES)
    job = loaded("docs/ci/gitlab.yml")[".markreg"]
    done = shell("\n".join(job["script"]), tmp_path, **job["variables"])
    assert done.returncode == 1, done.stderr
    report_file = tmp_path / job["artifacts"]["reports"]["codequality"]
    assert {"fingerprint", "location", "severity"} <= json.loads(report_file.read_text())[0].keys()


def test_the_documentation_is_valid() -> None:
    text = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    hooks, workflow, gitlab = blocks
    assert {hook["id"] for hook in hooks["repos"][0]["hooks"]} == {hook["id"] for hook in loaded(".pre-commit-hooks.yaml")}
    assert set(workflow["jobs"]["markreg"]["steps"][1]["with"]) <= set(loaded("action.yml")["inputs"])
    assert gitlab["markreg"]["extends"] in loaded(gitlab["include"][0]["file"])


@pytest.mark.oracle
def test_pre_commit_runs_the_hooks(tmp_path: Path) -> None:
    """pre-commit itself, which makes an environment from this checkout and runs the hooks on a repository of two files."""
    checkout = tmp_path / "markreg"
    ignore = shutil.ignore_patterns(".venv*", "__pycache__", ".git", ".*_cache", ".hypothesis")
    shutil.copytree(ROOT, checkout, ignore=ignore, symlinks=True)
    sample = tmp_path / "sample"
    sample.mkdir()
    (sample / "registry.toml").write_text('version = 1\nextends = "builtin"\n')
    (sample / "all.yaml").write_text(CLEAN)
    identity = ["-c", "user.email=a@example.org", "-c", "user.name=a"]
    for folder in (checkout, sample):
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
        subprocess.run(["git", "add", "-A"], cwd=folder, check=True)
        subprocess.run(["git", *identity, "commit", "-qm", "all"], cwd=folder, check=True)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MARKREG_", "GIT_", "PYTHONPATH"))}
    env["PRE_COMMIT_HOME"] = str(tmp_path / "cache")
    run = [sys.executable, "-m", "pre_commit", "try-repo", str(checkout), "--all-files", "--color", "never"]
    done = subprocess.run(run, cwd=sample, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Passed") == len(loaded(".pre-commit-hooks.yaml")), done.stdout
    (sample / "all.yaml").write_text(COLLIDES)
    (sample / "registry.toml").write_text("version = 2\n")
    done = subprocess.run(run, cwd=sample, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert done.stdout.count("Failed") == len(loaded(".pre-commit-hooks.yaml")), done.stdout
    assert "MK307" in done.stdout
