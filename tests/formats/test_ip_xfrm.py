"""IPsec policies and states: which marks they look for, which they write, and that no key leaves."""

from __future__ import annotations

import re
import time
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markreg.formats import ip_xfrm
from markreg.model import Reading, Rule, Scope, Use
from markreg.source import Source
from tests.support import SHARED, needs_shared

CASES: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "cases" / "ip_xfrm.toml").read_text(encoding="utf-8"))["case"]


STATE = "src 10.0.0.1 dst 10.0.0.2\n\tproto esp spi 0x1 reqid 1 mode tunnel\n"


def read(text: str, family: str = "inet") -> Reading:
    return ip_xfrm.read(Source("xfrm", text.encode("utf-8", "surrogateescape")), "ip-xfrm", Scope(family=family))


def shown_rule(rule: Rule) -> str:
    return f"{rule.priority} {rule.scope.family} {rule.action} [{rule.selectors}]{' mark' if rule.use else ''}"


def shown_use(use: Use) -> str:
    assert use.value is not None
    return f"{use.lines[0]} {use.place.text} | {use.access} {use.mask:#x} = {use.value:#x} | {use.scope.family}"


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["name"])
def test_text(case: dict[str, Any]) -> None:
    reading = read(case["text"])
    assert [shown_rule(rule) for rule in reading.rules] == case["rules"]
    assert [shown_use(use) for use in reading.uses] == case["uses"]
    assert sorted(line for o in reading.opaque for line in o.lines) == case.get("opaque", [])
    assert [p.line for p in reading.problems] == case.get("problems", [])
    if case["rules"] and not case.get("problems"):
        assert ip_xfrm.detect(Source("x", case["text"].encode())) == "ip-xfrm"


@given(st.integers(0, 0xFFFFFFFF), st.integers(1, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF))
def test_marks_do_what_the_kernel_does(value: int, mask: int, before: int) -> None:
    marks = f"\tmark {value:#x}/{mask:#x} \n\toutput-mark {value:#x}/{mask:#x}\n"
    reading = read(f"{STATE}{marks}")
    lookup, write = reading.uses
    assert lookup.predicate
    assert write.effect
    for word in (before, value, before & ~mask | value & mask):
        assert lookup.predicate.holds(word) == (word & mask == value & mask)
        assert write.effect.value({"skb_mark": word}) == word & ~mask | value & mask


def test_a_use_says_where_it_stands() -> None:
    source = Source("x", b"src 10.1.0.0/16 dst 10.2.0.0/16 \n\tdir out priority 9 ptype main \n\tmark 0xd00/0xf00 \n")
    reading = ip_xfrm.read(source, "ip-xfrm", Scope())
    (use,) = reading.uses
    assert (use.place.kind, use.place.priority, use.target, use.field) == ("xfrm", 9, "out allow", "skb_mark")
    assert (use.lines, source.locate(3, use.clause)) == ((3,), (2, 18))
    assert "10." not in use.statement
    assert (reading.statements, reading.mark_statements) == (1, 1)
    assert reading.scope.family == "ip"


KEY = "c0ffee00c0ffee00c0ffee00c0ffee00"


@pytest.mark.parametrize(
    "line", ["enc cbc(aes) 0x{}", "auth-trunc hmac(sha256) 0x{} 128", "aead rfc4106(gcm(aes)) 0x{} 128", "auth md5 0x{} mark 0x1/0x1"]
)
@pytest.mark.parametrize("cut", [False, True])
def test_no_key_leaves(line: str, cut: bool) -> None:
    key = line.format(KEY)
    text = f"{STATE}\toutput-mark 0x1/0xf\n\t{key}\n\tmark zz/1\n\t{key}"
    reading = read(text if cut else text + "\n")
    assert len(reading.uses) == 1
    assert KEY not in repr(reading)
    assert KEY[:8] not in repr(reading)


def corpus() -> list[Path]:
    return sorted((*SHARED.glob("corpus/ip-xfrm/*"), *SHARED.glob("incidents/**/ip-xfrm*.txt"), *SHARED.glob("controls/**/ip-xfrm*.txt")))


@needs_shared
@pytest.mark.parametrize("path", corpus(), ids=lambda p: f"{p.parent.name}/{p.name}"[-80:])
def test_every_mark_of_the_corpus_is_covered(path: Path) -> None:
    source = Source(str(path), path.read_bytes())
    assert ip_xfrm.detect(source) == "ip-xfrm"
    reading = ip_xfrm.read(source, "ip-xfrm", Scope())
    covered = Counter(line for use in reading.uses for line in use.lines)
    covered.update(line for o in reading.opaque for line in o.lines)
    mentions = Counter(n for n, line in enumerate(source.text().split("\n"), 1) for _ in re.finditer(r"\bmark\b", line))
    assert covered == mentions
    policies = len(re.findall(r"\bdir (?:in|out|fwd) (?:action \w+ )?(?:index \d+ )?priority|\bsocket (?:in|out)\b", source.text()))
    assert len([r for r in reading.rules if not r.action.startswith("state")]) == policies
    assert not reading.problems


@needs_shared
def test_all_prints_of_one_policy_set_mean_the_same() -> None:
    def said(name: str) -> list[str]:
        reading = read((SHARED / "corpus" / "ip-xfrm" / name).read_text())
        return [*map(shown_rule, reading.rules), *(shown_use(u).split(" ", 1)[1] for u in reading.uses)]

    assert said("made_xfrm-policy.txt") == said("made_xfrm-o-policy.txt") == said("made_xfrm-sd-policy.txt")


@needs_shared
def test_no_other_notation_is_claimed() -> None:
    others = [p for p in SHARED.glob("corpus/*/*") if p.is_file() and p.parent.name != "ip-xfrm"]
    assert others
    assert [p for p in others if ip_xfrm.detect(Source(p.name, p.read_bytes()[:70000]))] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Use `ip xfrm policy` to see src and dst marks\n",
        "```\nsrc 10.1.0.0/16 dst 10.2.0.0/16 \n\tdir out priority 0 ptype main \n\tmark 0xd00/0xf00 \n```\n",
        "tcp 6 431999 ESTABLISHED src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 mark=5 use=1\n",
        "#!/bin/sh\nip xfrm policy add src 10.1.0.0/16 dst 10.2.0.0/16 dir out mark 5\n",
    ],
)
def test_not_a_listing(text: str) -> None:
    assert ip_xfrm.detect(Source("x", text.encode())) is None


WORDS = [
    "src ",
    "10.0.0.1 ",
    "dst ",
    "::/0",
    "\n",
    "\t",
    "dir out ",
    "proto esp spi ",
    "mark ",
    "output-mark ",
    "0x1",
    "/",
    "\\",
    "\0",
    "\udcff",
    "\r",
    "sel ",
]


@given(st.lists(st.sampled_from(WORDS)))
def test_nothing_breaks_it(words: list[str]) -> None:
    text = "".join(words)
    ip_xfrm.detect(Source("x", text.encode("utf-8", "surrogateescape")))
    reading = read(text)
    assert len(reading.uses) <= text.count("mark")


@pytest.mark.parametrize(
    "text",
    [
        "src 1 dst 2" + " " * 500_000 + "x\n" * 3,
        "src 1 dst 2\n\tdir in " + "action " * 100_000,
        "src 1 dst 2\n\tdir in priority 1\n\t" + "mark 1/1 " * 100_000,
        "src 1 dst 2 " * 50_000,
        "src 1 dst 2" + "\n" * 300_000,
        "src 10.0.0.1 dst 10.0.0.2\n\tproto esp spi 0x1 reqid 1 mode tunnel\n\tmark 0x1/0x1 \n\toutput-mark 0x1/0xf\n" * 10_000,
    ],
    ids=["spaces", "actions", "marks", "headers", "lines", "many states"],
)
def test_time_stays_in_proportion(text: str) -> None:
    start = time.process_time()
    source = Source("x", text.encode())
    ip_xfrm.detect(source)
    ip_xfrm.read(source, "ip-xfrm", Scope())
    assert time.process_time() - start < 5
