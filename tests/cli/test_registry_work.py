"""``registry fmt``, ``diff`` and ``export``: the registry file in a pull request."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import jsonschema
import pytest

from tests.cli.running import environment, markreg
from tests.cli.test_options import ALL, options
from tests.support import ROOT

BEFORE = """version = 1

[[component]]
name = "a"

[[component.reservation]]
name = "x"
field = "skb_mark"
bits = "4-7"
source = "docs/a.md"
"""
TOMBSTONE = BEFORE + 'status = "retired"\nretired = 2026-11-01\n'


def git(folder: Path, *words: str) -> None:
    names = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    env = environment(**names, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null")
    subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True, env=env)


class TestFmt:
    def test_it_rewrites_the_file_and_then_leaves_it(self, tmp_path: Path) -> None:
        file = tmp_path / "registry.toml"
        file.write_text("[[component]]\nname='a' # ours\n[[scope]]\nname='s'\ndimension='netns'\n")
        assert markreg("registry", "fmt", "--check", cwd=tmp_path).returncode == 1
        shown = markreg("registry", "fmt", "--diff", cwd=tmp_path)
        assert (shown.returncode, "+[[scope]]" in shown.stdout) == (1, True)
        assert markreg("registry", "fmt", cwd=tmp_path).returncode == 0
        assert file.read_text() == '[[scope]]\nname = "s"\ndimension = "netns"\n\n[[component]]\nname = "a" # ours\n'
        for words in (("--check",), ("--diff",), ()):
            done = markreg("registry", "fmt", *words, cwd=tmp_path)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_standard_input_goes_to_standard_output(self) -> None:
        assert markreg("registry", "fmt", "-", stdin=b"version=1").stdout == "version = 1\n"

    @pytest.mark.parametrize("data", [b"a = ", b"\xff", b"a = " + b"[" * 9999])
    def test_what_is_no_toml(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "registry.toml").write_bytes(data)
        assert markreg("registry", "fmt", "registry.toml", cwd=tmp_path).returncode == 2
        assert (tmp_path / "registry.toml").read_bytes() == data
        assert markreg("registry", "fmt", "none.toml", cwd=tmp_path).returncode == 2


class TestDiff:
    def test_two_files(self, tmp_path: Path) -> None:
        (tmp_path / "old.toml").write_text(BEFORE)
        (tmp_path / "new.toml").write_text(BEFORE.replace("4-7", "4-6"))
        done = markreg("registry", "diff", "old.toml", "new.toml", cwd=tmp_path)
        assert done.returncode == 1
        assert done.stdout.splitlines()[0].startswith("  BREAKING narrowed: a/x narrows from skb_mark 4-7 to skb_mark 4-6 without a")
        assert done.stdout.splitlines()[-1] == "old.toml -> new.toml: 1 change, 1 breaking"
        said = json.loads(markreg("registry", "diff", "old.toml", "new.toml", "--format", "json", cwd=tmp_path).stdout)
        assert (said["schema"], said["breaking"]) == ("markreg.registry-diff/1", True)
        assert [(c["what"], c["reservation"], c["before"], c["after"]) for c in said["changes"]] == [("narrowed", "a/x", "0xf0", "0x70")]
        table = markreg("registry", "diff", "old.toml", "new.toml", "--format", "markdown", cwd=tmp_path).stdout
        assert "| breaking | narrowed | `a/x` | skb_mark | 0xf0 | 0x70 | a/x narrows" in table
        assert markreg("registry", "diff", "old.toml", "new.toml", "--exit-zero", cwd=tmp_path).returncode == 0

    def test_nothing_changed(self, tmp_path: Path) -> None:
        (tmp_path / "old.toml").write_text(BEFORE)
        done = markreg("registry", "diff", "old.toml", "old.toml", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, "old.toml -> old.toml: no change to any bits\n")

    def test_against_a_revision(self, tmp_path: Path) -> None:
        (tmp_path / "net").mkdir()
        plan = tmp_path / "net" / "registry.toml"
        plan.write_text('version = 1\nextends = "../base.toml"\n')
        (tmp_path / "base.toml").write_text(BEFORE)
        git(tmp_path, "init", "-q", "-b", "main")
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-q", "-m", "one")
        git(tmp_path, "branch", "topic/a")
        assert markreg("registry", "diff", "--against", "main", cwd=plan.parent).returncode == 0
        (tmp_path / "base.toml").write_text("version = 1\n[[component]]\nname = 'a'\n")
        done = markreg("registry", "diff", "--against", "topic/a", cwd=plan.parent)
        assert done.returncode == 1
        assert "BREAKING freed: a/x frees skb_mark 4-7 without a tombstone" in done.stdout
        (tmp_path / "base.toml").write_text(TOMBSTONE)
        done = markreg("registry", "diff", "--against", "HEAD", plan, cwd=tmp_path)
        assert done.returncode == 0
        assert "retired: a/x retires skb_mark 4-7 on 2026-11-01" in done.stdout
        (tmp_path / "new.toml").write_text(BEFORE)
        for words, message in (
            (("none", plan), "no revision 'none'"),
            (("--output=x", plan), "is no revision"),
            (("HEAD", tmp_path / "new.toml"), "new.toml is not in HEAD"),
        ):
            done = markreg("registry", "diff", "--against", *words, cwd=tmp_path)
            assert (done.returncode, message in done.stderr) == (2, True), done.stderr

    def test_a_revision_that_is_invalid(self, tmp_path: Path) -> None:
        plan = tmp_path / "registry.toml"
        plan.write_text("version = 2\n")
        git(tmp_path, "init", "-q", "-b", "main")
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-q", "-m", "one")
        plan.write_text("version = 1\n")
        done = markreg("registry", "diff", "--against", "main", cwd=tmp_path)
        assert done.returncode == 2
        assert "main/registry.toml:1:11: MK307" in done.stderr

    def test_outside_a_repository(self, tmp_path: Path) -> None:
        (tmp_path / "registry.toml").write_text(BEFORE)
        done = markreg("registry", "diff", "--against", "HEAD", cwd=tmp_path, env={"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)})
        assert (done.returncode, "not a git repository" in done.stderr) == (2, True)

    @pytest.mark.parametrize("words", [(), ("one.toml",), ("none.toml", "none.toml"), ("--against", "HEAD", "a", "b")])
    def test_wrong_usage(self, tmp_path: Path, words: tuple[str, ...]) -> None:
        assert markreg("registry", "diff", *words, cwd=tmp_path).returncode == 2


class TestExport:
    def test_every_form(self, tmp_path: Path) -> None:
        file = tmp_path / "registry.toml"
        file.write_text(BEFORE)
        assert "| `a/x` | skb_mark | 4-7 (0xf0) |" in markreg("registry", "export", cwd=tmp_path).stdout
        said = json.loads(markreg("registry", "export", "a", "--format", "json", cwd=tmp_path).stdout)
        assert said["components"][0]["reservations"][0]["mask"] == "0xf0"
        schema = json.loads(markreg("registry", "export", "--format", "schema", cwd=tmp_path).stdout)
        jsonschema.Draft202012Validator.check_schema(schema)
        assert "knob" in json.loads(markreg("registry", "export", "--format", "component-schema", cwd=tmp_path).stdout)["properties"]

    def test_an_unknown_component(self) -> None:
        done = markreg("registry", "export", "calco")
        assert (done.returncode, "did you mean 'calico'?" in done.stderr) == (2, True)


def test_settings_that_a_component_refuses_are_errors(tmp_path: Path) -> None:
    pool = '[[node_pool]]\nname = "w"\ncomponents = ["calico"]\nsettings = { calico = { bpf = true, mark-mask = "0xff000000" } }\n'
    (tmp_path / "plan.toml").write_text(f'version = 1\nextends = "builtin"\n{pool}')
    done = markreg("registry", "check", "plan.toml", "--format", "concise", cwd=tmp_path)
    assert done.returncode == 1
    assert "plan.toml:6:49: MK306 error calico refuses what pool w pins: mark-mask = 0xff000000 with bpf = true" in done.stdout


def test_the_guide_names_commands_and_options_that_exist() -> None:
    text = (ROOT / "docs" / "registry.md").read_text(encoding="utf-8")
    lines = [line.partition("#")[0] for block in text.split("```")[1::2] for line in block.splitlines() if line.startswith("markreg ")]
    assert len(lines) > 5
    for line in lines:
        words = line.split()[1:]
        path, command = next((p, c) for p, c in ALL if tuple(words[: len(p)]) == p)
        known = {spelling for spellings, _ in options(command) for spelling in spellings}
        assert {w for w in words[len(path) :] if w.startswith("-")} <= known, line


def test_the_guides_tombstone_is_one(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "registry.md").read_text(encoding="utf-8")
    block = text.split("```toml\n")[1].split("```")[0]
    (tmp_path / "registry.toml").write_text(f'version = 1\n\n[[component]]\nname = "edge-qos"\n\n{block}')
    assert markreg("registry", "check", cwd=tmp_path).returncode == 0
    assert markreg("registry", "fmt", "--check", cwd=tmp_path).returncode == 0
