"""A baseline hides what was there before, never what is new, and only shrinks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import CLEAN, COLLIDES, markreg

MORE = COLLIDES.replace(b":PREROUTING ACCEPT [0:0]\n", b":PREROUTING ACCEPT [0:0]\n-A PREROUTING -j MARK --set-mark 0x7\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rules.txt").write_bytes(COLLIDES)
    assert markreg("audit", "rules.txt", "--baseline", "known.json", "--write-baseline", cwd=tmp_path).returncode == 0
    return tmp_path


def run(folder: Path, *words: str) -> tuple[int, list[str]]:
    done = markreg("audit", "rules.txt", "--baseline", "known.json", "--format", "concise", *words, cwd=folder)
    return done.returncode, [line.split(": ", 1)[1] for line in done.stdout.splitlines()]


def test_what_is_known_is_silent(folder: Path) -> None:
    assert markreg("audit", "rules.txt", cwd=folder).returncode == 1
    assert run(folder) == (0, [])


def test_known_findings_stay_known_when_lines_move(folder: Path) -> None:
    (folder / "rules.txt").write_bytes(b"# moved\n# moved\n" + COLLIDES)
    assert run(folder) == (0, [])


def test_what_is_new_is_reported(folder: Path) -> None:
    (folder / "rules.txt").write_bytes(MORE)
    status, lines = run(folder, "--fail-on", "warning")
    assert status == 1
    assert lines
    assert not any(line.startswith("MK308") for line in lines)


def test_what_is_gone_is_reported_until_it_is_taken_out(folder: Path) -> None:
    (folder / "rules.txt").write_bytes(CLEAN)
    _, lines = run(folder)
    assert lines
    assert all(line.startswith("MK308") for line in lines)
    assert run(folder, "--write-baseline") == (0, [])
    assert json.loads((folder / "known.json").read_text())["findings"] == []
    assert run(folder) == (0, [])


def test_it_only_shrinks(folder: Path) -> None:
    before = (folder / "known.json").read_text()
    (folder / "rules.txt").write_bytes(MORE)
    assert run(folder, "--write-baseline", "--fail-on", "warning")[0] == 1
    assert (folder / "known.json").read_text() == before


def test_what_is_wrong_with_the_run_cannot_be_hidden(tmp_path: Path) -> None:
    (tmp_path / "rules.txt").write_bytes(COLLIDES)
    (tmp_path / "broken.txt").write_bytes(b"\x00\x01")
    words = ("audit", "rules.txt", "broken.txt", "--baseline", "known.json")
    assert markreg(*words, "--write-baseline", cwd=tmp_path).returncode == 1
    assert "MK902" in markreg(*words, cwd=tmp_path).stdout


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema": "markreg.baseline/1", "findings": [1]}', "[" * 100_000, '{"schema": "x"}'])
def test_what_is_no_baseline_is_exit_2(folder: Path, text: str) -> None:
    (folder / "known.json").write_text(text)
    done = markreg("audit", "rules.txt", "--baseline", "known.json", cwd=folder)
    assert done.returncode == 2
    assert "known.json" in done.stderr


def test_a_baseline_that_is_not_there_is_exit_2(folder: Path) -> None:
    assert markreg("audit", "rules.txt", "--baseline", "other.json", cwd=folder).returncode == 2
    assert markreg("audit", "rules.txt", "--write-baseline", cwd=folder).returncode == 2
