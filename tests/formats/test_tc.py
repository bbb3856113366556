"""Traffic control: what reads and writes which marks, in every way that tc prints it."""

from __future__ import annotations

import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markreg.formats import detect as detect_any
from markreg.formats import tc
from markreg.formats._tc_clauses import clauses
from markreg.model import Reading, Scope, Use
from markreg.source import Source
from markreg.transfer import Word
from tests.support import SHARED, needs_shared

CASES: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "cases" / "tc.toml").read_text(encoding="utf-8"))["case"]


def read(text: str, form: str = "tc", name: str = "tc.txt") -> Reading:
    return tc.read(Source(name, text.encode("utf-8", "surrogateescape")), form, Scope())


def shown(use: Use) -> str:
    value = "-" if use.value is None else f"{use.value:#x}"
    accepts = "".join(f" {low:#x}-{high:#x}" for low, high in use.predicate.accepts) if use.predicate else ""
    if use.predicate and not use.predicate.accepts:
        accepts = " "
    zone = f" zone {use.scope.zone}" if use.scope.zone else ""
    return f"{use.lines[0]} {use.place.text} | {use.field} {use.access} {use.mask:#x} {value}{accepts}{zone}"


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["name"])
def test_text_and_json(case: dict[str, Any]) -> None:
    form = case.get("format", "tc")
    source = Source("x", case["text"].encode())
    assert tc.detect(source) == form
    reading = tc.read(source, form, Scope())
    assert [shown(use) for use in reading.uses] == case["uses"]
    assert sorted(line for o in reading.opaque for line in o.lines) == case.get("opaque", [])
    assert [p.line for p in reading.problems] == case.get("problems", [])
    assert [reading.statements, reading.mark_statements] == case["statements"]
    for use in reading.uses:
        assert use.clause
        start, end = source.locate(use.lines[0], use.clause)
        assert source.line(use.lines[0])[start - 1 : end - 1].strip() == use.clause.strip(), "a clause stands where it is said to be"


def test_places_have_hooks_and_an_order() -> None:
    text = "filter {}protocol ip pref {} matchall chain {} handle 0x1 \n\taction order 1: skbedit  mark 1 pipe\n\t index 1 ref 1 bind 1\n"

    def hooks(direction: str, pref: int, chain: int, name: str = "tc.txt") -> list[tuple[str, int]]:
        (use,) = read(text.format(direction, pref, chain), name=name).uses
        assert use.place.kind == "tc"
        return [(h.hook, h.priority) for h in use.place.hooks]

    assert hooks("ingress ", 5, 0) == hooks("parent ffff: ", 5, 0) == [("tc-ingress", 5)]
    assert hooks("egress ", 5, 0) == hooks("parent 1: ", 5, 0) == [("tc-egress", 5)]
    assert [h for h, _ in hooks("", 5, 0)] == ["tc-ingress", "tc-egress"]
    assert hooks("", 5, 0, "dir/tc-filter-eth0-egress.txt") == [("tc-egress", 5)]
    assert hooks("egress ", 9, 0) < hooks("egress ", 1, 1) < hooks("egress ", 2, 1)


def test_effects_are_the_kernels() -> None:
    def effect(kind: str, text: str) -> Word:
        return next(c.effect for c in clauses(kind, text) if c.effect)

    state = {"skb_mark": 0xABCD, "ct_mark": 0x12345678}
    assert effect("skbedit", "mark 19/0xf0 pipe").value(state) == 0xAB1D
    assert effect("skbedit", "mark 19 pipe").value(state) == 0x13
    assert effect("connmark", "zone 0 pipe").value(state) == 0x12345678
    assert effect("ctinfo", "zone 0 pipe\nindex 1 ref 1 bind 1 cpmark 0x000000ff").value(state) == 0x78
    # bits of the value outside the mask are set all the same (act_ct.c)
    assert effect("ct", "commit mark 257/0xf zone 0").value(state) == 0x12345771


@given(
    st.integers(0, 31),
    st.integers(0, 0xFFFFFFFF),
    st.sampled_from(["eq", "lt", "gt"]),
    st.integers(0, 0xFFFFFFFF),
    st.booleans(),
    st.integers(0, 0xFFFFFFFF),
)
def test_ematch_compares_as_em_meta(shift: int, mask: int, operator: str, value: int, negated: bool, mark: int) -> None:
    signed = value - (1 << 32) if value >> 31 else value
    text = f"{'NOT ' if negated else ''}meta(nf_mark shift {shift} mask 0x{mask:08x} {operator} {signed})"
    (clause,) = clauses("ematch", text)
    assert clause.predicate
    for word in (mark, value << shift & 0xFFFFFFFF, 0, 0xFFFFFFFF):
        left = word >> shift & (mask or 0xFFFFFFFF)
        holds = {"eq": left == value, "lt": left < value, "gt": left > value}[operator]
        assert clause.predicate.holds(word) == (holds != negated)


def test_compact_json_says_each_filter_by_its_own_text() -> None:
    one = '{"ingress":true,"protocol":"ip","pref":%d,"kind":"u32","chain":0,"options":{"fwmark_value":"0x1","fwmark_mask":"0x1"}}'
    source = Source("x", ("[" + ",".join(one % n for n in range(1, 4)) + "]\n").encode())
    reading = tc.read(source, "tc-json", Scope())
    places = [source.locate(u.lines[0], u.clause) for u in reading.uses]
    assert len(set(places)) == 3


@pytest.mark.parametrize("path", sorted((SHARED / "corpus" / "tc").glob("*")), ids=lambda p: p.name)
@needs_shared
def test_the_corpus_is_read(path: Path) -> None:
    source = Source(str(path), path.read_bytes())
    name = tc.detect(source)
    assert name or path.read_text().strip() == "[ ]"
    reading = tc.read(source, name or "tc-json", Scope())
    assert not (reading.problems or reading.opaque or reading.uses)
    assert "mark" not in source.text()


@needs_shared
def test_no_other_notation_is_claimed() -> None:
    others = [p for p in (*SHARED.glob("corpus/*/*"), *SHARED.glob("incidents/**/*")) if p.is_file() and p.parent.name != "tc"]
    assert others
    assert [p for p in others if tc.detect(Source(p.name, p.read_bytes()[:70000]))] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[ ]\n",
        "#!/bin/sh\ntc qdisc add dev eth0 clsact\nfilter protocol ip pref 4 bpf chain 0\n",
        "tc filter add dev eth0 ingress protocol ip pref 1 fw\n",
        "# Shaping\n```\nfilter protocol ip pref 4 u32 chain 0\n```\n",
        '[{"priority":0,"src":"all","table":"local"}]',
        '[{"kind":"ConfigMap"}]',
        "table ip filter {\n}\nfilter protocol ip pref 4 u32\n",
    ],
)
def test_not_a_listing(text: str) -> None:
    assert tc.detect(Source("x", text.encode())) is None


def test_it_is_found_among_all_notations() -> None:
    found = detect_any(Source("x", b"filter ingress protocol ip pref 1 fw chain 0 handle 0x1 classid 1:1\n"))
    assert found
    assert found[1] == "tc"


WORDS = [
    "filter ",
    "ingress ",
    "protocol ip pref 1 ",
    "fw ",
    "flower ",
    "handle 0x1/0x1 ",
    "\n",
    "\taction order 1: ",
    "skbedit ",
    "mark ",
    "16",
]
WORDS += [
    "/0xf0",
    "meta(",
    "nf_mark ",
    "eq ",
    ")",
    "\\",
    "\0",
    "\udcff",
    '"kind":',
    '"skbedit"',
    "{",
    "}",
    "[",
    "]",
    ",",
    '"mark":',
    '"order":1,',
]


@given(st.lists(st.sampled_from(WORDS)))
def test_nothing_breaks_it(words: list[str]) -> None:
    text = "".join(words)
    tc.detect(Source("x", text.encode("utf-8", "surrogateescape")))
    for form in tc.NAMES:
        reading = read(text, form)
        assert reading.mark_statements <= max(reading.statements, len(words))


@pytest.mark.parametrize(
    "text",
    [
        "filter protocol ip pref 1 basic\n  " + "NOT " * 50_000 + "meta(nf_mark eq 1)\n",
        "filter protocol ip pref 1 basic\n  " + "meta(" * 50_000 + "nf_mark\n",
        "filter " * 100_000,
        "[{" * 100_000,
        '[{"protocol":"ip","pref":1,"kind":"fw"' * 20_000,
        "filter protocol ip pref 1 fw " + "handle 0x1/0x1 " * 50_000,
        "\taction order 1: ct " + "mark 1/1 " * 50_000,
        "filter protocol ip pref 1 u32\n" + "  mark 0x1 0x1 (success 0)\n" * 20_000,
        "dev " * 100_000 + "mark",
    ],
    ids=["not", "meta", "filter", "brackets", "json", "handles", "marks", "lines", "words"],
)
def test_time_stays_in_proportion(text: str) -> None:
    start = time.process_time()
    source = Source("x", text.encode())
    tc.detect(source)
    for name in tc.NAMES:
        tc.read(source, name, Scope())
    assert time.process_time() - start < 5
