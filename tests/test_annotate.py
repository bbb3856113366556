"""A filter that says what marks mean: what has none passes byte for byte, what has one gets its meaning as soon as it is there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markreg.annotate import Annotator, lines
from markreg.decode import Answer, Decoder
from markreg.registry.load import load
from tests.cli.running import COLLIDES, environment, markreg
from tests.support import ROOT

CASES: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "cases" / "annotate.toml").read_text(encoding="utf-8"))["case"]
BUILTIN = Decoder(load(None))


class Echo(Decoder):
    """Notes down what it is asked."""

    def __init__(self) -> None:
        super().__init__(BUILTIN.registry)
        self.asked: list[str] = []

    def decode(self, name: str, value: int, mask: int | None = None) -> Answer:
        """As it is."""
        self.asked.append(f"{name} {value:#x}/{mask:#x}")
        return super().decode(name, value, mask)


LINES = [(c["name"], line, c["marks"][n] if c["marks"] else []) for c in CASES for n, line in enumerate(c["lines"])]


@pytest.mark.parametrize(("name", "line", "marks"), LINES, ids=[f"{name}: {line}"[:70] for name, line, _ in LINES])
def test_lines(name: str, line: str, marks: list[str]) -> None:
    decoder = Echo()
    data = line.encode()
    for end in (b"\n", b"\r\n", b""):
        decoder.asked.clear()
        done = Annotator(decoder).chunk(data + end)
        assert decoder.asked == marks, name
        assert done.startswith(data)
        assert done.endswith(end)
        assert (done == data + end) == (not marks)
        assert not marks or done[len(data) :].startswith(b"  # ")


def test_what_it_says_is_short() -> None:
    annotator = Annotator(BUILTIN)
    assert annotator.chunk(b"fwmark 0x40000/0xff0000 x\n").startswith(b"fwmark 0x40000/0xff0000 x  # tailscale/fwmark (0x40000/0xff0000)")
    assert annotator.chunk(b"fwmark:0xca6c\n") == b"fwmark:0xca6c  # wireguard/tunnel (0xca6c)\n"
    assert annotator.chunk(b"ct_label=0x80000000000000000000000000000000/0x80000000000000000000000000000000\n").count(b"# ") == 1
    assert max(len(annotator.chunk(b"mark=0x%x\n" % (1 << bit))) for bit in range(32)) < 300


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40), st.sampled_from([b"mark=16384", b" fwmark 0x1 ", b"\n", b"\r\n", b"MARK=0x", b"ct mark ", b"\xff"])
        )
    )
)
def test_nothing_is_lost(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    done = Annotator(BUILTIN).chunk(data)
    assert done.count(b"\n") == data.count(b"\n")
    for before, after in zip(data.split(b"\n"), done.split(b"\n"), strict=True):
        plain = before.removesuffix(b"\r")
        assert after == before or after.startswith(plain + b"  # ")


@given(st.integers(1, 30))
def test_a_stream_cut_anywhere_says_the_same(size: int) -> None:
    data = b"a mark=16384 b\nnothing\n\xff fwmark 0x40000/0xff0000\nmark=0x4000"
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    whole = b"".join(lines(Annotator(BUILTIN), iter([data])))
    assert b"".join(lines(Annotator(BUILTIN), iter(pieces))) == whole


def test_the_nodes_own_map_goes_first(tmp_path: Path) -> None:
    dump = tmp_path / "iptables-save.txt"
    dump.write_bytes(COLLIDES)
    audit = tmp_path / "audit.json"
    audit.write_text(markreg("audit", "--format", "json", dump).stdout, encoding="utf-8")
    done = markreg("annotate", "--audit", audit, stdin=b"MARK=0x40000\nMARK=0x140000\n")
    assert done.returncode == 0
    first, second = done.stdout.splitlines()
    assert re.search(r"# (calico|tailscale)/[\w-]+ \(0x40000/0x(40000|ff0000)\)$", first)
    assert "calico" in second


def test_binary_input_comes_out_as_it_went_in() -> None:
    data = bytes(range(256)) * 50
    done = subprocess.run(
        [sys.executable, "-m", "markreg", "annotate"], input=data, capture_output=True, cwd=ROOT, env=environment(), check=True
    )
    assert done.stdout == data


@pytest.fixture(name="running")
def started() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "markreg", "annotate"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=environment(),
    )
    yield process
    process.kill()
    process.communicate()


def test_a_line_comes_out_before_the_next_goes_in(running: subprocess.Popen[bytes]) -> None:
    assert running.stdin
    assert running.stdout
    for number in (0x4000, 0x40000):
        running.stdin.write(b"MARK=0x%x\n" % number)
        running.stdin.flush()
        assert b"  # " in running.stdout.readline()


def test_ctrl_c_is_quiet(running: subprocess.Popen[bytes]) -> None:
    assert running.stdin
    assert running.stdout
    assert running.stderr
    running.stdin.write(b"MARK=0x4000\n")
    running.stdin.flush()
    running.stdout.readline()
    running.send_signal(signal.SIGINT)
    assert running.wait(20) == 130
    assert running.stderr.read() == b""


def test_a_closed_pipe_is_quiet(running: subprocess.Popen[bytes]) -> None:
    assert running.stdin
    assert running.stdout
    assert running.stderr
    running.stdout.close()
    with pytest.raises(BrokenPipeError):
        while True:
            os.write(running.stdin.fileno(), b"MARK=0x4000\n" * 1000)
    assert running.wait(20) == 0
    assert running.stderr.read() == b""


def test_it_keeps_up() -> None:
    ends = b"src=192.0.2.1 dst=192.0.2.2 sport=%d dport=80 src=192.0.2.2 dst=192.0.2.1 sport=80 dport=%d"
    line = b"tcp      6 9 ESTABLISHED " + ends + b" [ASSURED] mark=%d use=1\n"
    data = b"".join(line % (n, n, n % 500) for n in range(30_000))
    annotator = Annotator(BUILTIN)
    start = time.process_time()
    annotator.chunk(data)
    assert time.process_time() - start < 1, "30,000 lines a second at least"


@pytest.mark.parametrize(
    "data",
    [
        b"mark " + b" " * 1_000_000,
        b"mark " * 200_000,
        b"mark set " * 100_000,
        b"mark=" + b"1" * 1_000_000,
        b"mark=1" * 200_000,
        b"x" * 1_000_000,
    ],
)
def test_time_stays_in_proportion(data: bytes) -> None:
    start = time.process_time()
    list(lines(Annotator(BUILTIN), iter([data[i : i + 65536] for i in range(0, len(data), 65536)])))
    assert time.process_time() - start < 5
