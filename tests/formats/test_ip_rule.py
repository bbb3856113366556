"""Policy routing rules: what selects which marks, in every way that ip prints it."""

from __future__ import annotations

import json
import re
import time
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markreg.formats import ip_rule
from markreg.formats._ip_rule_listing import predicate
from markreg.model import Reading, Rule, Scope
from markreg.source import Source
from tests.support import SHARED, needs_shared

CASES: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "cases" / "ip_rule.toml").read_text(encoding="utf-8"))["case"]


def read(text: str | bytes, name: str = "ip-rule", family: str = "inet") -> Reading:
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return ip_rule.read(Source("rules", data), name, Scope(family=family))


def shown(rule: Rule) -> str:
    line = f"{rule.priority} {rule.scope.family} {rule.action} {rule.table} [{rule.selectors}]"
    if rule.use:
        test = rule.use.predicate
        assert test
        assert test.value is not None
        accepts = " ".join(f"{low:#x}-{high:#x}" for low, high in test.accepts)
        line += f"{' not' if test.negated else ''} {test.value:#x}/{test.mask:#x} {accepts}"
    return line


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["name"])
def test_text(case: dict[str, Any]) -> None:
    reading = read(case["text"], family=case.get("family", "inet"))
    assert [shown(rule) for rule in reading.rules] == case["rules"]
    assert reading.uses == tuple(rule.use for rule in reading.rules if rule.use)
    assert sorted(line for o in reading.opaque for line in o.lines) == case.get("opaque", [])
    assert [p.line for p in reading.problems] == case.get("problems", [])


def test_a_use_says_where_it_stands() -> None:
    source = Source("rules", b"0:\tfrom all lookup local\n5210:\tfrom all fwmark 0x80000/0xff0000 lookup main\n")
    reading = ip_rule.read(source, "ip-rule", Scope(family="ip6"))
    (use,) = reading.uses
    assert (use.place.kind, use.place.text, use.place.table, use.place.priority) == ("rule", "ip -6 rule 5210", "main", 5210)
    assert (use.access, use.field, use.target, use.lines) == ("read", "skb_mark", "lookup main", (2,))
    assert source.locate(2, use.clause) == (16, 39)
    assert (reading.statements, reading.mark_statements) == (2, 1)


def test_zero_without_mask_is_a_mention_that_was_understood() -> None:
    reading = read("10:\tfrom all fwmark 0 lookup 7\n")
    assert (reading.statements, reading.mark_statements, reading.uses, reading.opaque) == (1, 1, (), ())


JSON_RULES: list[dict[str, object]] = [
    {"priority": 0, "src": "all", "table": "local"},
    {"priority": 9, "src": "all", "fwmark": "0x200", "fwmask": "0xf00", "table": "2004"},
    {"priority": 10, "src": "all", "fwmark": "0", "fwmask": "0x10000", "action": "blackhole"},
    {"priority": 11, "not": None, "src": "10.3.0.0", "srclen": 16, "fwmark": "0x10", "iif": "lo", "table": "6", "suppress_prefixlen": 0},
    {"priority": 12, "src": "all", "dst": "10.1.0.1", "fwmark": "0x4", "uid_start": 1, "uid_end": 2, "goto": 99, "unresolved": None},
    {"priority": 13, "src": "all", "fwmark": "0x4", "dport_start": 1, "dport_end": 2, "sport": 9, "nop": None, "protocol": "openr"},
    {"priority": 14, "src": "all", "iif": "d0", "iif_detached": None, "l3mdev": None},
    {"priority": 15, "src": "all", "fwmark": "0x200", "fwmask": "0xf00", "table": "9", "flow_from": "1", "flow_to": "2"},
    {"priority": 16, "src": "all", "fwmark": "0x4", "action": "unreachable", "masquerade": None},
]
TEXT_RULES = """\
0:	from all lookup local
9:	from all fwmark 0x200/0xf00 lookup 2004
10:	from all fwmark 0/0x10000 blackhole
11:	not from 10.3.0.0/16 fwmark 0x10 iif lo lookup 6 suppress_prefixlength 0
12:	from all to 10.1.0.1 fwmark 0x4 uidrange 1-2 goto 99 [unresolved]
13:	from all fwmark 0x4 sport 9 dport 1-2 nop proto openr
14:	from all iif d0 [detached] lookup [l3mdev-table]
15:	from all fwmark 0x200/0xf00 lookup 9 realms 1/2
16:	from all fwmark 0x4 unreachable masquerade
"""


@pytest.mark.parametrize("indent", [None, 4])
def test_json_says_what_text_says(indent: int | None) -> None:
    text = json.dumps(JSON_RULES, indent=indent, separators=(",", ": " if indent else ":"))
    source = Source("rules", text.encode())
    assert ip_rule.detect(source) == "ip-rule-json"
    reading = ip_rule.read(source, "ip-rule-json", Scope())
    plain = read(TEXT_RULES)
    # 13: the text form prints sport before dport, JSON holds them as they came
    assert [shown(r).replace("dport 1-2 sport 9", "sport 9 dport 1-2") for r in reading.rules] == [shown(r) for r in plain.rules]
    assert [u.statement for u in reading.uses if u.place.priority != 13] == [u.statement for u in plain.uses if u.place.priority != 13]
    places = [(use.lines, source.locate(use.lines[0], use.clause)) for use in reading.uses]
    assert len(set(places)) == len(places), "each rule has a place of its own, on one line too"
    for use, (lines, (start, end)) in zip(reading.uses, places, strict=True):
        marked = source.line(lines[0])[start - 1 : end - 1]
        assert '"fwmark"' in marked
        assert marked.count('"priority"') <= 1, f"{use.place.text} is shown by its own text"


def test_broken_json_is_a_broken_input_and_its_marks_are_not_lost() -> None:
    text = json.dumps(JSON_RULES, separators=(",", ":"))
    for cut in range(1, len(text)):
        reading = read(text[:cut], "ip-rule-json")
        whole = text[:cut].count('"fwmark":"')
        found = sum(len(o.lines) for o in reading.opaque) + reading.mark_statements
        assert reading.problems or text[cut:].strip("]},[ ") == "" or text[:cut].endswith((",", "[", "}"))
        assert found >= whole - 1


def test_json_in_odd_shapes() -> None:
    for text in ("[]", "[{}]", "[" * 100000, "[1,2,null]", '{"a":1}', '[{"priority":"x","src":[1]}]', '[{"priority":1' + "0" * 9999 + "}]"):
        read(text, "ip-rule-json")


def reference(text: str) -> Counter[int]:
    """Lines with a mark selector, counted by other means."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    found = re.compile(r"fwmark (?!0(?:\s|$))\S|\"fwmark\"\s*:")
    return Counter(n for n, line in enumerate(plain.split("\n"), 1) for _ in found.finditer(line))


def corpus() -> list[Path]:
    patterns = ("corpus/ip-rule/*", "incidents/**/ip*rule*.txt", "controls/**/ip*rule*.txt")
    return sorted(path for pattern in patterns for path in SHARED.glob(pattern))


@needs_shared
@pytest.mark.parametrize("path", corpus(), ids=lambda p: f"{p.parent.name}/{p.name}"[-80:])
def test_every_mark_of_the_corpus_is_covered(path: Path) -> None:
    source = Source(str(path), path.read_bytes())
    name = ip_rule.detect(source)
    assert name
    reading = ip_rule.read(source, name, Scope())
    covered = Counter(line for use in reading.uses for line in use.lines)
    covered.update(line for o in reading.opaque for line in o.lines)
    assert covered == reference(source.text())
    assert not reading.problems


@needs_shared
def test_all_prints_of_one_rule_set_mean_the_same() -> None:
    def uses(name: str, form: str) -> list[str]:
        path = SHARED / "corpus" / "ip-rule" / name
        return [shown(r) for r in ip_rule.read(Source(name, path.read_bytes()), form, Scope()).rules if r.priority not in (301, 302)]

    plain = uses("made_ip-rule.txt", "ip-rule")
    assert uses("made_ip-c-rule.txt", "ip-rule") == uses("made_ip-o-rule.txt", "ip-rule") == uses("made_ip-d-rule.txt", "ip-rule") == plain
    as_json = uses("made_ip-j-rule.json", "ip-rule-json")
    assert as_json == uses("made_ip-jp-rule.json", "ip-rule-json")
    assert set(as_json) <= set(plain)


@needs_shared
def test_no_other_notation_is_claimed() -> None:
    others = [p for p in SHARED.glob("corpus/*/*") if p.is_file() and p.parent.name != "ip-rule"]
    assert others
    assert [p for p in others if ip_rule.detect(Source(p.name, p.read_bytes()[:70000]))] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# Routing\n\nRun `ip rule` and look for fwmark.\n",
        "# Routing\n```\n$ ip rule\n9:\tfrom all fwmark 0x1 lookup 5\n```\n",
        "#!/bin/sh\n# 9:\tfrom all lookup 5\nip rule add fwmark 1 table 5\n",
        "kind: ConfigMap\ndata:\n  rules: |\n    9:\tfrom all fwmark 0x1 lookup 5\n",
        "*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j MARK --set-xmark 0x1/0x1\nCOMMIT\n",
        "2: eth0: <BROADCAST,UP> mtu 1500\n    link/ether 00:00:00:00:00:00\n",
        '[{"dst":"default","gateway":"10.0.0.1"}]',
        '[{"protocol":"all","pref":1,"kind":"fw"}]',
    ],
)
def test_not_a_listing(text: str) -> None:
    assert ip_rule.detect(Source("x", text.encode())) is None


@given(st.integers(0, 0xFFFFFFFF), st.integers(1, 0xFFFFFFFF), st.booleans(), st.integers(0, 0xFFFFFFFF))
def test_the_predicate_is_the_kernels(value: int, mask: int, negated: bool, mark: int) -> None:
    for word in (mark, value, value ^ mask, value & mask, ~value & 0xFFFFFFFF):
        matches = ((value ^ word) & mask == 0) != negated
        assert predicate(negated, (), value, mask).holds(word) == matches
        assert predicate(False, ("iif lo",), value, mask).holds(word) == ((value ^ word) & mask == 0)
        assert predicate(True, ("iif lo",), value, mask).holds(word)


@given(
    st.lists(
        st.sampled_from(
            ["9:", "\t", " ", "from", "all", "fwmark", "0x1", "/", "lookup", "not", "\n", "\0", "\udcff", "\r", "10.0.0.1", "#"]
        )
    )
)
def test_nothing_breaks_it(words: list[str]) -> None:
    text = "".join(words)
    ip_rule.detect(Source("x", text.encode("utf-8", "surrogateescape")))
    reading = read(text)
    read(text, "ip-rule-json")
    assert reading.mark_statements <= reading.statements
    assert len(reading.uses) + sum(len(o.lines) for o in reading.opaque) <= reading.mark_statements


@pytest.mark.parametrize(
    "text",
    [
        "9:\tfrom all fwmark 0x1 lookup 5 " + "x" * 1_000_000,
        "9:" + " " * 300_000 + "from all fwmark 0x1",
        "ip " * 100_000 + "fwmark",
        "9:\t" + "not from all " * 50_000 + "fwmark 1 lookup 5\n",
        "[" + '{"priority":1,"src":"all","fwmark":"0x1","table":"5"},' * 20_000,
        "".join(f"{n}:\tfrom 10.0.{n >> 8}.{n & 255} fwmark 0x1/0xf lookup {n % 50}\n" for n in range(20_000)),
    ],
    ids=["long word", "spaces", "echo", "repeats", "json", "many rules"],
)
def test_time_stays_in_proportion(text: str) -> None:
    start = time.process_time()
    source = Source("x", text.encode())
    ip_rule.detect(source)
    for name in ip_rule.NAMES:
        ip_rule.read(source, name, Scope())
    assert time.process_time() - start < 5
