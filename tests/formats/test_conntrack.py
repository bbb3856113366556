"""Connections: which marks they carry, and that no entry is taken for a statement of somebody."""

from __future__ import annotations

import re
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markreg.formats import conntrack
from markreg.model import Reading, Scope
from markreg.source import Source
from tests.support import SHARED, needs_shared

CASES: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "cases" / "conntrack.toml").read_text(encoding="utf-8"))["case"]


def read(text: str) -> Reading:
    return conntrack.read(Source("x", text.encode("utf-8", "surrogateescape")), "conntrack", Scope())


def shown(reading: Reading) -> list[str]:
    return [f"{s.field} {s.value:#x} {s.zone or '-'} {s.count} {s.line}" for s in reading.seen]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["name"])
def test_entries(case: dict[str, Any]) -> None:
    text = "\n" + case["text"]
    assert conntrack.detect(Source("x", text.encode())) == "conntrack"
    reading = read(text)
    assert shown(reading) == case["seen"]
    assert sorted(line for o in reading.opaque for line in o.lines) == case.get("opaque", [])
    assert [p.line for p in reading.problems] == case.get("problems", [])
    assert [reading.statements, reading.mark_statements] == case["statements"]
    assert reading.uses == ()


def test_something_else_is_a_broken_input() -> None:
    reading = read("hello\n")
    assert [p.line for p in reading.problems] == [1]
    assert not read("").problems


def corpus() -> list[Path]:
    return sorted((*SHARED.glob("corpus/conntrack/*"), *SHARED.glob("incidents/*/conntrack.txt")))


@pytest.mark.parametrize("path", corpus(), ids=lambda p: f"{p.parent.name}/{p.name}"[-60:])
@needs_shared
def test_every_mark_of_the_corpus_is_seen(path: Path) -> None:
    source = Source(str(path), path.read_bytes())
    assert conntrack.detect(source) == "conntrack"
    reading = conntrack.read(source, "conntrack", Scope())
    marks = re.findall(r"(?<![\w-])mark=(\d+)", source.text())
    assert sum(s.count for s in reading.seen) == len(marks)
    assert {s.value for s in reading.seen} == {int(m) for m in marks}
    assert not (reading.opaque or reading.problems)


@needs_shared
def test_no_other_notation_is_claimed() -> None:
    others = [
        p
        for p in (*SHARED.glob("corpus/*/*"), *SHARED.glob("incidents/**/*"))
        if p.is_file() and "conntrack" not in (p.parent.name, p.stem)
    ]
    assert others
    assert [p for p in others if conntrack.detect(Source(p.name, p.read_bytes()[:70000]))] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "```\ntcp      6 9 CLOSE src=192.0.2.1 dst=192.0.2.2 sport=1 dport=2 src=192.0.2.2 dst=192.0.2.1 mark=0\n```\n",
        "tcp,orig=(src=192.0.2.1,dst=192.0.2.2,sport=1,dport=2),reply=(src=192.0.2.2,dst=192.0.2.1,sport=2,dport=1),mark=5\n",
        "kernel: IN=eth0 SRC=192.0.2.1 DST=192.0.2.2 MARK=0x5\n",
        "-A INPUT -s 192.0.2.1 -j MARK --set-xmark 0x1/0x1\n",
    ],
)
def test_not_a_listing(text: str) -> None:
    assert conntrack.detect(Source("x", text.encode())) is None


@given(
    st.lists(
        st.sampled_from(
            ["tcp ", "6 ", "9 ", "src=a ", "dst=b ", "mark=", "16", " zone=", "7", "\n", "\0", "\udcff", "labels=", "<flow", "<mark>", "]"]
        )
    )
)
def test_nothing_breaks_it(words: list[str]) -> None:
    text = "".join(words)
    conntrack.detect(Source("x", text.encode("utf-8", "surrogateescape")))
    read(text)


@pytest.mark.parametrize(
    "text",
    [
        "tcp " + " " * 500_000 + "src=",
        "tcp 6 " + "9 " * 200_000,
        "-A -t 1 -u X " + "-w 1 " * 200_000,
        "mark=" * 200_000,
        "".join(
            f"tcp      6 9 CLOSE src=a dst=b sport={n} dport=2 src=b dst=a sport=2 dport=1 mark={n % 99} use=1\n" for n in range(100_000)
        ),
    ],
    ids=["spaces", "numbers", "options", "marks", "many"],
)
def test_time_stays_in_proportion(text: str) -> None:
    start = time.process_time()
    conntrack.detect(Source("x", text.encode()))
    read(text)
    assert time.process_time() - start < 5


def test_a_label_as_one_number() -> None:
    label = "labels=0x2a000000000000000000000000"
    text = f"tcp      6 9 ESTABLISHED src=a dst=b sport=1 dport=2 src=b dst=a sport=2 dport=1 [ASSURED] mark=2 zone=7 use=1 {label}\n"
    reading = conntrack.read(Source("x", text.encode()), "conntrack", Scope())
    assert [(s.field, s.value, s.zone) for s in reading.seen] == [("ct_mark", 2, "7"), ("ct_label", 42 << 96, "7")]
    assert not reading.opaque
