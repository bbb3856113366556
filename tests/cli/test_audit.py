"""The audit as a user meets it: inputs, exit statuses, where things are printed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.running import CLEAN, COLLIDES, EXAMPLE, OPAQUE, environment, markreg
from tests.support import ROOT


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, data in (
        ("clean.txt", CLEAN),
        ("collides.txt", COLLIDES),
        ("opaque.txt", OPAQUE),
        ("empty.txt", b""),
        ("blank.txt", b" \n\t\n"),
    ):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "binary.bin").write_bytes(bytes(range(256)) * 64)
    (tmp_path / "nothing").mkdir()
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / "notes.txt").write_text("to whom it may concern\n")
    return tmp_path


def test_a_clean_dump_is_clean_and_says_what_was_read(files: Path) -> None:
    done = markreg("audit", "clean.txt", cwd=files)
    assert done.returncode == 0
    assert "nothing here uses marks: no findings in 1 input, 1 statement, 0 about marks" in done.stdout
    assert done.stderr == ""


def test_a_collision_is_an_error(files: Path) -> None:
    done = markreg("audit", "collides.txt", cwd=files)
    assert done.returncode == 1
    assert "error[MK101] steered-match: calico" in done.stdout
    assert "collides.txt:5:" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("name", ["empty.txt", "blank.txt", "binary.bin", "nothing", "junk", "no-such-file", "/dev/null"])
def test_nothing_to_go_by_is_exit_2_and_says_why(files: Path, name: str) -> None:
    done = markreg("audit", name, cwd=files)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "MK902" in done.stderr
    assert name in done.stderr


def test_an_empty_file_among_others_is_exit_2(files: Path) -> None:
    """An empty dump is a capture that failed: never a clean node."""
    done = markreg("audit", "clean.txt", "empty.txt", cwd=files)
    assert done.returncode == 2
    assert "empty.txt: is empty" in done.stderr


def test_standard_input(files: Path) -> None:
    done = markreg("audit", "-", stdin=COLLIDES)
    assert done.returncode == 1
    assert "-:5:" in done.stdout
    empty = markreg("audit", "-")
    assert empty.returncode == 2
    assert "MK902 -: is empty" in empty.stderr


def test_some_usable_and_some_broken_is_a_finding_and_incomplete(files: Path) -> None:
    done = markreg("audit", "clean.txt", "no-such-file", "binary.bin", cwd=files)
    assert done.returncode == 1
    assert done.stdout.startswith("incomplete")
    assert "error[MK902]" in done.stdout
    assert "no findings" not in done.stdout


def test_a_folder_is_one_node_and_counts_what_it_does_not_know() -> None:
    done = markreg("audit", "docs/example-node", "--exit-zero", cwd=ROOT)
    assert done.returncode == 0
    assert "read 4 inputs" in done.stdout
    assert "2 files not recognised" in done.stdout
    assert "ip-rule.txt, ip6-rule.txt, ip6tables-save.txt, iptables-save.txt" in done.stdout
    files = sorted(str(p.relative_to(ROOT)) for p in EXAMPLE.glob("*.txt"))
    named = markreg("audit", *files, "--format", "json", cwd=ROOT)
    folder = markreg("audit", "docs/example-node", "--format", "json", cwd=ROOT)
    assert named.stdout == folder.stdout


def test_incomplete_is_not_clean(files: Path) -> None:
    done = markreg("audit", "opaque.txt", cwd=files)
    assert done.returncode == 0
    assert done.stdout.startswith("incomplete: 1 mark statement in 1 input not understood")
    assert "warning[MK901]" in done.stdout
    assert markreg("audit", "opaque.txt", "--strict", cwd=files).returncode == 1
    assert markreg("audit", "clean.txt", "--strict", cwd=files).returncode == 0
    assert json.loads(markreg("audit", "opaque.txt", "--format", "json", cwd=files).stdout)["complete"] is False
    hidden = markreg("audit", "opaque.txt", "--ignore", "MK901", cwd=files)
    assert hidden.stdout.startswith("incomplete")
    assert "no findings in 1 input" not in hidden.stdout


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("--fail-on", "error"), 0),
        (("--fail-on", "warning"), 1),
        (("--fail-on", "note"), 1),
        (("--fail-on", "never"), 0),
        (("--fail-on", "warning", "--exit-zero"), 0),
        (("--fail-on", "warning", "--ignore", "MK901"), 0),
        (("--fail-on", "warning", "--select", "MK1"), 0),
        (("--fail-on", "warning", "--select", "not-understood"), 1),
        (("--exit-zero", "--strict"), 1),
    ],
)
def test_exit_statuses(files: Path, words: tuple[str, ...], status: int) -> None:
    """The only finding is a warning (MK901), and the run is incomplete."""
    assert markreg("audit", "opaque.txt", *words, cwd=files).returncode == status


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--format", "jsn"), "did you mean 'json'?"),
        (("--fail-on", "eror"), "did you mean 'error'?"),
        (("--color", "sometimes"), "auto, always, never"),
        (("--as", "iptable-save"), "did you mean 'iptables-save'?"),
        (("--select", "MK999"), "names no code"),
        (("--select", "steered-mach"), "did you mean 'steered-match'?"),
        (("--ignore", "everything"), "names no code"),
        (("--timeout", "0"), "--timeout"),
        (("--no-such-option",), "No such option"),
        (("--registry", "no-such-registry.toml"), "no-such-registry.toml"),
    ],
)
def test_words_that_mean_nothing_are_exit_2(files: Path, words: tuple[str, ...], said: str) -> None:
    done = markreg("audit", "collides.txt", *words, cwd=files)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""


def test_a_notation_that_does_not_fit_is_not_clean(files: Path) -> None:
    done = markreg("audit", "--as", "ip-rule", "collides.txt", cwd=files)
    assert done.returncode in (1, 2)
    assert "no findings" not in done.stdout


def test_no_input_without_a_notation_is_guessed_from_its_name(files: Path) -> None:
    (files / "iptables-save.txt").write_text("hello world\n")
    assert markreg("audit", "iptables-save.txt", cwd=files).returncode == 2


class TestOutput:
    """``-o`` writes a whole file or none."""

    def test_a_file_is_what_would_be_printed(self, files: Path) -> None:
        printed = markreg("audit", "collides.txt", "--format", "json", cwd=files)
        done = markreg("audit", "collides.txt", "--format", "json", "-o", "out.json", cwd=files)
        assert (done.returncode, done.stdout) == (1, "")
        assert (files / "out.json").read_text() == printed.stdout
        assert not list(files.glob(".out*"))

    def test_it_replaces_what_was_there_and_keeps_its_mode(self, files: Path) -> None:
        old = files / "out.txt"
        old.write_text("old " * 1000)
        old.chmod(0o600)
        (files / "link.txt").symlink_to("out.txt")
        markreg("audit", "collides.txt", "-o", "link.txt", cwd=files)
        assert "old" not in old.read_text()
        assert old.stat().st_mode & 0o777 == 0o600
        assert (files / "link.txt").is_symlink()

    @pytest.mark.parametrize("where", ["no-such-folder/out.txt", "nothing", "clean.txt/out.txt"])
    def test_what_cannot_be_written_is_exit_2_and_leaves_nothing(self, files: Path, where: str) -> None:
        before = sorted(p.name for p in files.rglob("*"))
        done = markreg("audit", "collides.txt", "-o", where, cwd=files)
        assert done.returncode == 2
        assert where.partition("/")[0] in done.stderr
        assert sorted(p.name for p in files.rglob("*")) == before

    def test_a_device_is_written_to_and_not_replaced(self, files: Path) -> None:
        os.mkfifo(files / "pipe")
        command = [sys.executable, "-m", "markreg", "audit", "collides.txt", "-o", "pipe"]
        with subprocess.Popen(command, cwd=files, env=environment(PYTHONPATH=str(ROOT))) as process:
            assert "MK101" in (files / "pipe").read_text()
            assert process.wait(60) == 1
        assert (files / "pipe").is_fifo()

    def test_a_usage_error_leaves_the_old_file(self, files: Path) -> None:
        (files / "out.txt").write_text("old")
        assert markreg("audit", "empty.txt", "-o", "out.txt", cwd=files).returncode == 2
        assert (files / "out.txt").read_text() == "old"


class TestColor:
    def test_no_colour_where_there_is_no_terminal(self, files: Path) -> None:
        assert "\x1b" not in markreg("audit", "collides.txt", cwd=files).stdout

    def test_always_is_always(self, files: Path) -> None:
        assert "\x1b" in markreg("audit", "collides.txt", "--color", "always", cwd=files, env={"NO_COLOR": "1"}).stdout

    @pytest.mark.parametrize(("env", "painted"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
    def test_a_terminal_has_colour_unless_told_otherwise(self, files: Path, env: dict[str, str], painted: bool) -> None:
        import pty

        master, slave = pty.openpty()
        command = [sys.executable, "-m", "markreg", "audit", "collides.txt"]
        run = environment(PYTHONPATH=str(ROOT), **{"TERM": "xterm", **env})
        with subprocess.Popen(command, cwd=files, stdout=slave, env=run) as process:
            os.close(slave)
            said = b""
            while True:
                try:
                    chunk = os.read(master, 1 << 16)
                except OSError:
                    break
                if not chunk:
                    break
                said += chunk
            process.wait(60)
        os.close(master)
        assert (b"\x1b[" in said) is painted


@pytest.mark.parametrize(
    "env", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
def test_any_locale_will_do(files: Path, env: dict[str, str]) -> None:
    (files / "collides-ü漢.txt").write_bytes(COLLIDES)
    done = markreg("audit", "collides-ü漢.txt", cwd=files, env=env)
    assert done.returncode == 1
    assert "MK101" in done.stdout
    if "LC_ALL" not in env or "PYTHONUTF8" in env:
        assert done.stdout.isascii()


def test_a_name_that_is_no_text(files: Path) -> None:
    name = os.fsdecode(b"bad-\xff\x1b[31m-name")
    (files / name).write_bytes(COLLIDES)
    for form in ("text", "concise", "json", "markdown"):
        done = markreg("audit", name, "--format", form, cwd=files)
        assert done.returncode == 1
        assert "\x1b" not in done.stdout
    (files / name).write_bytes(b"")
    done = markreg("audit", name, cwd=files)
    assert done.returncode == 2
    assert "\x1b" not in done.stderr


def test_closed_standard_output(files: Path) -> None:
    command = [sys.executable, "-m", "markreg", "audit", "collides.txt"]
    run = environment(PYTHONPATH=str(ROOT))
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *command], cwd=files, env=run, capture_output=True, timeout=60)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr


def test_a_reader_that_goes_away(files: Path) -> None:
    (files / "many.txt").write_bytes(
        b"*mangle\n" + b"".join(b"-A C%d -j MARK --set-xmark 0x1/0x1 -m x\n" % n for n in range(5000)) + b"COMMIT\n"
    )
    command = [sys.executable, "-m", "markreg", "audit", "many.txt", "--format", "json"]
    with subprocess.Popen(
        command, cwd=files, env=environment(PYTHONPATH=str(ROOT)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.read(10)
        process.stdout.close()
        said = process.stderr.read()
        process.wait(60)
    assert said == b""


def test_a_full_disk(files: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "markreg", "audit", "collides.txt"]
        done = subprocess.run(command, cwd=files, env=environment(PYTHONPATH=str(ROOT)), stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 2
    assert b"standard output" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("delay", [0.05, 0.15, 0.6])
def test_interrupted_is_130(files: Path, delay: float) -> None:
    """Wherever it is: at its start, while it reads."""
    os.mkfifo(files / "slow")
    command = [sys.executable, "-m", "markreg", "audit", "slow"]
    with subprocess.Popen(command, cwd=files, env=environment(PYTHONPATH=str(ROOT)), stderr=subprocess.PIPE) as process:
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        assert process.stderr
        said = process.stderr.read()
        status = process.wait(60)
    if delay > 0.5:
        assert status == 130
        assert b"Traceback" not in said


def test_a_registry_with_a_mistake_is_exit_2_and_says_where(files: Path) -> None:
    (files / "registry.toml").write_text('version = 1\nextends = "builtin"\n[[component]]\nname = "x"\nhomepag = "y"\n')
    for words in (("audit", "collides.txt"), ("map", "collides.txt"), ("show", "calico")):
        done = markreg(*words, cwd=files)
        assert done.returncode == 2
        assert "registry.toml:5:1: MK307" in done.stderr
        assert "did you mean 'homepage'?" in done.stderr
        assert done.stdout == ""
