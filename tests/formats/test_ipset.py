"""IP sets: which marks their elements hold, however many there are."""

from __future__ import annotations

import os
import subprocess
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markreg.formats import ipset
from markreg.formats._ipset_sets import clauses, mark
from markreg.model import MarkSet, Reading, Scope
from markreg.source import Source
from tests.support import SHARED, needs_shared

CASES: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "cases" / "ipset.toml").read_text(encoding="utf-8"))["case"]


def read(text: str | bytes) -> Reading:
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return ipset.read(Source("sets", data), "ipset-save", Scope())


def shown(entry: MarkSet) -> str:
    marks = "".join(f" {value:#x}/{mask:#x}" for value, mask in entry.marks)
    return f"{entry.name} {entry.family} {entry.type} {entry.markmask:#x}:{marks}"


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["name"])
def test_text(case: dict[str, Any]) -> None:
    reading = read(case["text"])
    assert [shown(entry) for entry in reading.sets] == case["sets"]
    assert [reading.statements, reading.mark_statements] == case["counts"]
    assert sorted(line for o in reading.opaque for line in o.lines) == case.get("opaque", [])
    assert [p.line for p in reading.problems] == case.get("problems", [])
    assert not reading.uses, "a set that no rule names touches nothing"
    expected = None if case["name"] == "something else" else "ipset-save"
    assert ipset.detect(Source("x", case["text"].encode())) == expected


@given(st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF))
def test_the_scan_reads_what_the_grammar_reads(value: int, mask: int) -> None:
    for clause in (f"{value:#x}/{mask:#x}", f"{value:#x}"):
        words = [w for w in clauses(f"skbmark {clause}")["skbmark"] if w != "/"]
        assert mark(clause) == (int(words[0], 16), int(words[1], 16) if len(words) > 1 else 0xFFFFFFFF)


@pytest.mark.oracle
def test_what_ipset_prints() -> None:
    name = f"markreg-oracle-{os.getpid()}-{time.monotonic_ns():x}"
    wanted = (
        "create a hash:ip family inet skbinfo\nadd a 192.0.2.1 skbmark 0x1234/0xff00\nadd a 192.0.2.2 skbmark 0x10\n"
        "create l list:set skbinfo\nadd l a skbmark 0x80000000/0x80000000\n"
    )

    def run(*words: str, text: str | None = None) -> str:
        done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("ip", "netns", "add", name)
    try:
        run("ip", "netns", "exec", name, "ipset", "restore", text=wanted)
        for command in ("save", "list"):
            text = run("ip", "netns", "exec", name, "ipset", command)
            assert ipset.detect(Source("x", text.encode())) == "ipset-save"
            reading = read(text)
            assert [shown(entry) for entry in reading.sets] == [shown(entry) for entry in read(wanted).sets]
            assert not reading.opaque
    finally:
        run("ip", "netns", "delete", name)


@needs_shared
def test_no_other_notation_is_claimed() -> None:
    others = [p for p in SHARED.glob("corpus/*/*") if p.is_file()]
    assert others
    assert [p for p in others if ipset.detect(Source(p.name, p.read_bytes()[:70000]))] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Then create a hash:ip set.\n",
        "#!/bin/sh\ncreate a hash:ip\n",
        "```\ncreate a hash:ip\n```\n",
        "Name: x\nType: pod\n",
        "ipset create a hash:ip\n",
    ],
)
def test_not_a_dump(text: str) -> None:
    assert ipset.detect(Source("x", text.encode())) is None


WORDS = [
    "create ",
    "add ",
    "a ",
    "hash:ip ",
    "hash:ip,mark ",
    "skbinfo",
    "skbmark ",
    "0x1",
    "/",
    "\n",
    '"',
    "\0",
    "\udcff",
    "\r",
    "Name: a\nType: hash:ip\n",
]


@given(st.lists(st.sampled_from([*WORDS, "Header: skbinfo\n", "Members:\n", "1.2.3.4,5"])))
def test_nothing_breaks_it(words: list[str]) -> None:
    text = "".join(words)
    ipset.detect(Source("x", text.encode("utf-8", "surrogateescape")))
    read(text)


def address(number: int) -> str:
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


HEAD = "create a hash:ip family inet skbinfo\n"


def elements(count: int, form: str) -> str:
    return HEAD + "".join(form.format(address(n), n % 1000, n) for n in range(count))


@pytest.mark.parametrize(
    "text",
    [
        elements(200_000, "add a {0} skbmark {1:#x}/0xffff skbprio 1:10\n"),
        elements(200_000, "add a {0} skbmark {2:#x}/0xffffff\n"),
        elements(200_000, 'add a {0} comment "none"\n') + "add a 1.1.1.1 skbmark 0x1\n",
        elements(100_000, "add a {0} skbmark zebra\n"),
        elements(5_000, "add a {0} skbmark 1/zebra{2}\n"),
        HEAD + "add a 1.1.1.1 skbmark " * 200_000,
        HEAD + 'add a "skbmark "' * 200_000,
        HEAD + "add a" + " " * 300_000 + "skbmark",
        "Name: a\nType: hash:ip\n" * 50_000,
        "Name: a\nType: hash:ip\nHeader: skbinfo\nMembers:\n1.2.3.4 skbmark 0x1\n\n" * 30_000,
    ],
    ids=["few marks", "many marks", "comments", "one fault", "many faults", "long line", "quotes", "spaces", "heads", "listing"],
)
def test_time_stays_in_proportion(text: str) -> None:
    start = time.process_time()
    source = Source("x", text.encode())
    ipset.detect(source)
    ipset.read(source, "ipset-save", Scope())
    assert time.process_time() - start < 4


def test_too_many_different_marks_are_said_to_be() -> None:
    reading = read(elements(70_000, "add a {0} skbmark {2:#x}\n"))
    (entry,) = reading.sets
    assert not entry.complete
    assert [o.lines for o in reading.opaque] == [(2 + len(entry.marks),)]
    assert reading.mark_statements == 70_001
