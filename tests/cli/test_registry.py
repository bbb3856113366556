"""``show`` and ``registry check``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import markreg

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
bits = "{bits}"
source = "docs"
"""
STALE = """[[accepted]]
code = "MK202"
owners = ["flannel"]
reason = "compares the whole mark"
until = 2020-01-01
"""


class TestShow:
    @pytest.mark.parametrize("what", ["kube-proxy", "kube-proxy/masquerade", "skb_mark:14", "0x4000", "1<<14", "0x4000/0x4000"])
    def test_any_spelling(self, what: str) -> None:
        done = markreg("show", what)
        assert done.returncode == 0
        assert "kube-proxy/masquerade  skb_mark 14 (0x4000)" in done.stdout
        said = json.loads(markreg("show", what, "--format", "json").stdout)
        assert said["schema"] == "markreg.show/1"
        assert any(m["reservation"] == "kube-proxy/masquerade" and m["mask"] == "0x4000" for m in said["matches"])

    def test_nothing_found(self) -> None:
        done = markreg("show", "kube-prxy")
        assert (done.returncode, done.stdout) == (2, "")
        assert "did you mean 'kube-proxy'?" in done.stderr

    @pytest.mark.parametrize("what", ["", "-", "\x1b[31m", "skb_mark:99", "[", "9" * 300, "1<<99999999"])
    def test_odd_words(self, what: str) -> None:
        done = markreg("show", "--", what)
        assert done.returncode == 2
        assert "\x1b" not in done.stderr


class TestCheck:
    def test_the_one_that_ships_is_in_order(self) -> None:
        done = markreg("registry", "check")
        assert done.returncode == 0
        assert done.stdout.split()[-2:] == ["no", "findings"]

    def test_a_plan_without_overlaps(self, tmp_path: Path) -> None:
        (tmp_path / "registry.toml").write_text(PLAN.format(bits="3"))
        assert markreg("registry", "check", cwd=tmp_path).returncode == 0

    def test_an_overlap_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "plan.toml").write_text(PLAN.format(bits="14"))
        done = markreg("registry", "check", "--registry", "plan.toml", cwd=tmp_path)
        assert done.returncode == 1
        assert "error[MK305] overlapping-reservations" in done.stdout
        assert "kube-proxy" in done.stdout
        assert "plan.toml:9:8" in done.stdout
        assert markreg("registry", "check", "plan.toml", cwd=tmp_path).stdout == done.stdout
        assert markreg("registry", "check", "plan.toml", "--exit-zero", cwd=tmp_path).returncode == 0
        assert "MK305 error" in markreg("registry", "check", "plan.toml", "--format", "concise", cwd=tmp_path).stdout
        said = json.loads(markreg("registry", "check", "plan.toml", "--format", "json", cwd=tmp_path).stdout)
        assert (said["schema"], said["valid"], said["kind"]) == ("markreg.registry-check/1", True, "plan")
        assert [f["code"] for f in said["findings"]] == ["MK305"]
        assert said["findings"][0]["fingerprint"]

    def test_a_stale_entry_exits_1(self, tmp_path: Path) -> None:
        (tmp_path / "plan.toml").write_text(PLAN.format(bits="3") + STALE)
        done = markreg("registry", "check", "plan.toml", cwd=tmp_path)
        assert done.returncode == 1
        assert "warning[MK308]" in done.stdout
        assert "writes" not in done.stdout
        assert markreg("registry", "check", "plan.toml", "--exit-zero", cwd=tmp_path).returncode == 0

    @pytest.mark.parametrize(
        ("text", "place"),
        [
            ("version = 1\nkind = 'plan'\nverson = 2\n", "3:1"),
            ("a = \n", "1:5"),
            (
                "version = 1\n[[component]]\nname = 'x'\nreservation = [\n  { nam = 'drop', bits = '3' },\n]\n",
                "5:5",
            ),
            ("\ufffe", "1:1"),
        ],
    )
    def test_an_invalid_one_is_exit_2_and_says_where(self, tmp_path: Path, text: str, place: str) -> None:
        (tmp_path / "plan.toml").write_text(text)
        for form in ("text", "concise"):
            done = markreg("registry", "check", "plan.toml", "--format", form, cwd=tmp_path)
            assert done.returncode == 2
            assert "MK307" in done.stdout
            assert f"plan.toml:{place}" in done.stdout
        said = json.loads(markreg("registry", "check", "plan.toml", "--format", "json", cwd=tmp_path).stdout)
        assert said["valid"] is False
        assert f"{said['findings'][0]['locations'][0]['line']}:{said['findings'][0]['locations'][0]['column']}" == place

    def test_bytes_that_are_no_text_and_a_file_that_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "plan.toml").write_bytes(b"\xff\xfe\x00")
        assert "plan.toml:1:1" in markreg("registry", "check", "plan.toml", cwd=tmp_path).stdout
        for name in ("plan.toml", "none.toml", str(tmp_path)):
            assert markreg("registry", "check", name, cwd=tmp_path).returncode == 2
