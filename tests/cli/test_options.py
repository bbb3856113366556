"""Options: what help lists, and the variable that each has."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from markreg import __version__
from markreg.cli import _app
from tests.cli.running import CLEAN, COLLIDES, OPAQUE, markreg

COMMON = {"--help", "--version"}


def commands(group: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every command with the words that run it."""
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))
    if not hasattr(group, "commands"):
        yield path, group


ALL = list(commands(typer.main.get_command(_app([]))))


def options(command: object) -> Iterator[tuple[list[str], str | None]]:
    """The spellings of each option and its variable."""
    for parameter in command.params:  # type: ignore[attr-defined]
        if parameter.param_type_name == "option":
            yield [*parameter.opts, *parameter.secondary_opts], parameter.envvar


def test_there_are_commands() -> None:
    assert {("audit",), ("map",), ("show",), ("explain",), ("registry", "check")} <= {path for path, _ in ALL}


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(path) for path, _ in ALL])
def test_help_lists_every_option(path: tuple[str, ...], command: object) -> None:
    done = markreg(*path, "--help")
    assert done.returncode == 0
    assert done.stdout == markreg(*path, "-h").stdout
    for spellings, _ in options(command):
        for spelling in spellings:
            assert re.search(rf"(?<![\w-]){re.escape(spelling)}(?![\w-])", done.stdout), spelling
    assert max(map(len, done.stdout.splitlines())) <= 100


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(path) for path, _ in ALL])
def test_every_option_has_its_variable_and_means_the_same_everywhere(path: tuple[str, ...], command: object) -> None:
    for spellings, variable in options(command):
        if COMMON & set(spellings):
            continue
        longest = next(s for s in spellings if s.startswith("--"))
        assert variable == "MARKREG_" + longest.removeprefix("--").replace("-", "_").upper()


def test_every_command_is_in_help() -> None:
    said = markreg("--help").stdout
    for path, _ in ALL:
        assert re.search(rf"^  {path[0]} ", said, re.MULTILINE)
    assert markreg().stdout == said or markreg().stderr == said or said in markreg().stdout + markreg().stderr


def test_version() -> None:
    done = markreg("--version")
    assert (done.returncode, done.stdout) == (0, f"markreg {__version__}\n")


@pytest.mark.parametrize("words", [("audti",), ("--no-such",), ("registry", "chek")])
def test_a_wrong_command_is_exit_2(words: tuple[str, ...]) -> None:
    done = markreg(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "No such" in done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "option"),
    [
        ("MARKREG_FORMAT", "json", ("--format", "json")),
        ("MARKREG_AS", "iptables-save", ("--as", "iptables-save")),
        ("MARKREG_SELECT", "MK9", ("--select", "MK9")),
        ("MARKREG_IGNORE", "not-understood", ("--ignore", "not-understood")),
        ("MARKREG_FAIL_ON", "warning", ("--fail-on", "warning")),
        ("MARKREG_EXIT_ZERO", "1", ("--exit-zero",)),
        ("MARKREG_STRICT", "1", ("--strict",)),
        ("MARKREG_COLOR", "always", ("--color", "always")),
        ("MARKREG_QUIET", "1", ("--quiet",)),
        ("MARKREG_VERBOSE", "1", ("--verbose",)),
        ("MARKREG_TIMEOUT", "5", ("--timeout", "5")),
    ],
)
def test_a_variable_does_what_its_option_does(tmp_path: Path, variable: str, value: str, option: tuple[str, ...]) -> None:
    (tmp_path / "a.txt").write_bytes(OPAQUE + COLLIDES)
    by_option = markreg("audit", "a.txt", *option, cwd=tmp_path)
    by_variable = markreg("audit", "a.txt", cwd=tmp_path, env={variable: value})
    assert (by_option.returncode, by_option.stdout, by_option.stderr) == (by_variable.returncode, by_variable.stdout, by_variable.stderr)


def test_variables_that_name_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(CLEAN)
    (tmp_path / "mine.toml").write_text('version = 1\nextends = "builtin"\n')
    env = {"MARKREG_REGISTRY": "mine.toml", "MARKREG_OUTPUT": "out.json", "MARKREG_FORMAT": "json"}
    assert markreg("audit", "a.txt", cwd=tmp_path, env=env).stdout == ""
    assert json.loads((tmp_path / "out.json").read_text())["registry"]["path"] == "mine.toml"


def test_an_option_wins_over_its_variable(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(COLLIDES)
    done = markreg("audit", "a.txt", "--format", "concise", cwd=tmp_path, env={"MARKREG_FORMAT": "json"})
    assert done.stdout.startswith("a.txt:5:")


def test_a_variable_with_a_wrong_word_is_exit_2(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(COLLIDES)
    assert markreg("audit", "a.txt", cwd=tmp_path, env={"MARKREG_FORMAT": "jsn"}).returncode == 2
    assert markreg("audit", "a.txt", cwd=tmp_path, env={"MARKREG_STRICT": "perhaps"}).returncode == 2


def test_the_nearest_registry_upwards_counts(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (below / "a.txt").write_bytes(CLEAN)
    (tmp_path / "registry.toml").write_text('version = 1\nextends = "builtin"\n')
    done = markreg("audit", "a.txt", "--format", "json", cwd=below)
    assert json.loads(done.stdout)["registry"]["path"] == os.fspath(tmp_path / "registry.toml")
