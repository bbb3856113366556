"""How dumps are framed, damaged and mixed; where their statements stand; and that no text takes more than linear time."""

from __future__ import annotations

import re
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from markreg.formats import _iptables_dump, iptables
from markreg.model import Chain, Hook, Reading, Scope, Table, Use
from markreg.source import Source

DUMPS = Path(__file__).parent / "cases" / "iptables" / "dumps.toml"
CASES: list[dict[str, Any]] = tomllib.loads(DUMPS.read_text(encoding="utf-8"))["dump"]
MARK = "-j MARK --set-xmark 0x1/0x1"
HEAD = "*mangle\n:PREROUTING ACCEPT [0:0]\n:X - [0:0]\n"


def source(text: str | bytes, path: str = "dump.txt") -> Source:
    return Source(path, text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text)


def read(text: str | bytes, path: str = "dump.txt", thorough: bool = False) -> Reading:
    return iptables.read(source(text, path), "iptables-save", Scope(), thorough=thorough)


def shown(use: Use) -> str:
    place = use.place
    hooks = ",".join(f"{hook.hook}:{hook.priority}" for hook in place.hooks) or "-"
    lines = ",".join(map(str, use.lines))
    return f"{place.family} {place.backend} {place.table} {place.chain} {hooks} {lines} {use.clause}"


def stands_where_it_says(given: Source, reading: Reading) -> bool:
    """Every line of every use holds its clause."""
    spans = [(given.line(n), given.locate(n, use.clause), use.clause) for use in reading.uses for n in use.lines]
    return all(line[start - 1 : end - 1] == clause for line, (start, end), clause in spans)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["name"])
@pytest.mark.parametrize("thorough", [False, True], ids=["scan", "thorough"])
def test_dump(case: dict[str, Any], thorough: bool) -> None:
    text = case["text"]
    reading = read(text, thorough=thorough)
    assert [shown(use) for use in reading.uses] == case["uses"]
    assert [f"{','.join(map(str, o.lines))} {o.reason}" for o in reading.opaque] == case.get("opaque", [])
    assert [f"{p.line} {p.message}" for p in reading.problems] == case.get("problems", [])
    if "tables" in case:
        assert [f"{t.family} {t.backend} {t.name}" for t in reading.tables] == case["tables"]
    assert stands_where_it_says(source(text), reading)


@pytest.mark.parametrize("case", [c for c in CASES if c["text"] and "mangle\nCOMMIT" not in c["text"]], ids=lambda c: c["name"])
def test_dumps_are_known_by_their_content(case: dict[str, Any]) -> None:
    assert iptables.detect(source(case["text"])) == "iptables-save"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "#!/bin/sh\niptables -t mangle -A PREROUTING -j MARK --set-mark 1\n",
        "Chain INPUT (policy ACCEPT)\ntarget     prot opt source\nMARK       all  --  anywhere  anywhere  MARK set 0x1\n",
        "table ip mangle {\n\tchain PREROUTING {\n\t\ttype filter hook prerouting priority mangle; policy accept;\n\t}\n}\n",
        "0:\tfrom all lookup local\n9:\tfrom all fwmark 0x1 lookup 5\n",
        "create S hash:ip family inet skbinfo\nadd S 192.0.2.1 skbmark 0x1/0x1\n",
        "# Notes\n\n* first\n* second\n\nUse `-j MARK`.\n",
        "kind: ConfigMap\ndata:\n  rules: |\n    - -A PREROUTING -j MARK\n",
    ],
)
def test_other_texts_are_not_claimed(text: str) -> None:
    assert iptables.detect(source(text)) is None


@pytest.mark.parametrize(
    "before",
    [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"],
    ids=["UTF-8", "UTF-16 little endian", "UTF-16 big endian"],
)
def test_byte_order_marks(before: bytes) -> None:
    encoding = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}.get(before, "utf-8")
    data = before + f"{HEAD}-A PREROUTING {MARK}\nCOMMIT\n".encode(encoding)
    assert iptables.detect(source(data)) == "iptables-save"
    assert [shown(use) for use in read(data).uses] == [f"inet legacy mangle PREROUTING prerouting:-150 4 {MARK}"]


def test_bytes_that_are_no_text() -> None:
    data = HEAD.encode() + b'-A PREROUTING -m comment --comment "caf\xe9 \xff\xfe \x00 -j MARK" ' + MARK.encode() + b"\nCOMMIT\n"
    reading = read(data)
    assert [use.lines for use in reading.uses] == [(4,)]
    assert reading.uses[0].comment == "caf\udce9 \udcff\udcfe \0 -j MARK"
    assert stands_where_it_says(source(data), reading)
    assert read(data, thorough=True) == reading


def test_nul_bytes_do_not_hide_a_mark() -> None:
    data = (
        HEAD.encode()
        + b"-A PREROUTING -j MARK\0 --set-xmark 0x1/0x1\n\0\0\0-A X -j MARK --set-xmark 0x2/0x2\n"
        + b"\0" * 4096
        + b"\nCOMMIT\n"
    )
    reading = read(data)
    assert sorted(line for o in reading.opaque for line in o.lines) == [4, 5]


def test_the_back_end_is_taken_from_the_name_where_no_header_says() -> None:
    text = f"{HEAD}-A PREROUTING {MARK}\nCOMMIT\n"
    assert [read(text, path).tables[0].backend for path in ("iptables-save", "a/iptables-nft-save.txt", "nft/iptables.txt")] == [
        "legacy",
        "nft",
        "legacy",
    ]


def test_insertions_come_before_what_was_there_the_last_first() -> None:
    chains = ":A - [0:0]\n:B - [0:0]\n:C - [0:0]\n:D - [0:0]\n"
    rules = "-A PREROUTING -j A\n-I PREROUTING -j B\n-I PREROUTING 1 -j C\n-A PREROUTING -j D\n"
    text = f"*mangle\n:PREROUTING ACCEPT [0:0]\n{chains}{rules}COMMIT\n"
    (table,) = read(text).tables
    assert table.steps == {"PREROUTING": ([9, 8, 7, 10], ["C", "B", "A", "D"])}


def test_tables() -> None:
    text = (
        "# Generated by iptables-save v1.8.9 on x\n*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:X - [0:0]\n:Y - [0:0]\n"
        "-A INPUT -j X\n-A INPUT -j ACCEPT\n-A X -g Y\n-A X -j LOG\n-A X --goto Y\n-A Y -p udp -jX\nCOMMIT\n"
    )
    expected = Table(
        "ip",
        "legacy",
        "filter",
        "dump.txt",
        "host",
        {
            "INPUT": Chain("INPUT", "ACCEPT", (Hook("input", 0),), "filter"),
            "FORWARD": Chain("FORWARD", "DROP", (Hook("forward", 0),), "filter"),
            "X": Chain(),
            "Y": Chain(),
        },
        {"INPUT": ([7], ["X"]), "X": ([9, 11], ["Y", "Y"]), "Y": ([12], ["X"])},
        {9, 11},
        {"INPUT": [8]},
    )
    for thorough in (False, True):
        reading = read(text, thorough=thorough)
        assert reading.tables == (expected,)
        assert (reading.statements, reading.scope.family) == (6, "ip")


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    chains = "".join(f":c{n} - [0:0]\n" for n in range(9))
    rules = "".join(f'-A c{n} -m comment --comment "é {"x" * n}" -g c{n + 1}\n-A c{n} {MARK}\n' for n in range(8))
    text = f"*mangle\n:PREROUTING ACCEPT [0:0]\n{chains}-A PREROUTING -j c0\n{rules}-I PREROUTING -j c3\nodd line\n{rules}COMMIT\n"
    whole = read(text)
    for size in (1, 7, 50, 333):
        monkeypatch.setattr(_iptables_dump, "_CHUNK", size)
        assert read(text) == whole
        assert read(text, thorough=True) == whole


def chain_ladder(steps: int) -> str:
    chains = "".join(f":c{n} - [0:0]\n" for n in range(steps))
    jumps = "".join(f"-A c{n} -j c{n + 1}\n" for n in range(steps - 1))
    return f"*mangle\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{chains}-A PREROUTING -j c0\n{jumps}-A c{steps - 1} {MARK}\nCOMMIT\n"


def fan(width: int) -> str:
    """Every chain jumped to from the base chain, and each from the one before it."""
    every = "".join(f"-A PREROUTING -j c{n}\n" for n in range(width))
    return chain_ladder(width).replace("-A PREROUTING -j c0\n", every)


def mesh(width: int) -> str:
    """Every chain jumps to every chain."""
    chains = "".join(f":c{n} - [0:0]\n" for n in range(width))
    jumps = "".join(f"-A c{n} -j c{m}\n" for n in range(width) for m in range(width))
    return f"*mangle\n:PREROUTING ACCEPT [0:0]\n{chains}-A PREROUTING -j c0\n{jumps}-A c{width - 1} {MARK}\nCOMMIT\n"


@pytest.mark.parametrize("text", [chain_ladder(20000), fan(20000), mesh(150)], ids=["ladder", "fan", "mesh"])
def test_deep_and_wide_jumps_take_linear_time(text: str) -> None:
    began = time.process_time()
    (use,) = read(text).uses
    assert [hook.hook for hook in use.place.hooks] == ["prerouting"]
    assert time.process_time() - began < 2


MEGABYTE = 1 << 20
HOSTILE = {
    "jumps": "-A X " + "-j " * (MEGABYTE // 3),
    "jumps before a quote": "-A X " + "-j a " * (MEGABYTE // 5) + '"',
    "a long target before a quote": "-A X -j " + "a" * MEGABYTE + '"',
    "quoted jumps": "-A X " + '" -j X" ' * (MEGABYTE // 8),
    "quotes": "-A X " + '"' * MEGABYTE,
    "quotes in a rule with a mark": f"-A X {MARK} " + '" ' * (MEGABYTE // 2),
    "escaped quotes": "-A X " + '\\"' * (MEGABYTE // 2),
    "escaped quotes in a rule with a mark": f'-A X {MARK} "' + '\\"' * (MEGABYTE // 2),
    "a comment of escaped quotes": f'-A X {MARK} -m comment --comment "' + '\\"' * (MEGABYTE // 2),
    "comments": f"-A X {MARK} " + "--comment " * (MEGABYTE // 10),
    "spaces": "-A X" + " " * MEGABYTE,
    "spaces in a rule with a mark": "-A X -s" + " " * MEGABYTE + MARK,
    "spaces after a jump": "-A X -j" + " " * MEGABYTE,
    "spaces after an append": "-A" + " " * MEGABYTE,
    "tabs": "-A X" + "\t" * MEGABYTE,
    "negations": f"-A X {MARK} " + "! " * (MEGABYTE // 2),
    "matches": "-A X " + "-m mark --mark 1 " * (MEGABYTE // 17),
    "options": "-A X " + "--mark " * (MEGABYTE // 7),
    "a long option": "-A X --" + "a-" * (MEGABYTE // 2) + " --mark",
    "a long number": "-A X -j MARK --set-mark " + "1" * MEGABYTE,
    "a long label": "-A X -m connlabel --label " + "1" * MEGABYTE,
    "a long target": "-A X -j " + "MARK" * (MEGABYTE // 4) + "x",
    "a long chain": "-A " + "X" * MEGABYTE + f" {MARK}",
    "bytecode": '-A X -m bpf --bytecode "' + "32 0 0 4294963220," * (MEGABYTE // 18) + '"',
    "counters": "[" + "1" * MEGABYTE,
    "many counters": "[1:1] " * (MEGABYTE // 6),
    "addresses": "-A X -s " + "f" * MEGABYTE,
    "colons": ":" * MEGABYTE,
    "insertions": "-I X -j X\n" * (MEGABYTE // 10),
    "gotos": "-A X -g X\n" * (MEGABYTE // 10),
    "policies": "-P INPUT ACCEPT\n-A INPUT -j X\n" * (MEGABYTE // 30),
    "commits": "COMMIT\n" * (MEGABYTE // 7),
    "headers": "# Generated by " * (MEGABYTE // 15),
    "empty lines": "\n" * MEGABYTE,
    "spaces on lines": " \n" * (MEGABYTE // 2),
    "targets with MARK in their names": "".join(f"-A X -j x{n}MARK\n" for n in range(15000)),
    "rules with marks": f"-A X {MARK}\n" * (MEGABYTE // 33),
}


MARKED = {name for name, text in HOSTILE.items() if re.search(r"-j \w*MARK\s|--mark|--label|bytecode", text)}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("ended", [True, False], ids=["whole", "cut off"])
def test_hostile_texts_take_linear_time(name: str, ended: bool) -> None:
    given = source(HEAD + HOSTILE[name] + ("\nCOMMIT\n" if ended else ""))
    began = time.process_time()
    iptables.detect(given)
    reading = iptables.read(given, "iptables-save", Scope())
    assert time.process_time() - began < 2
    lines = {line for use in reading.uses for line in use.lines} | {line for o in reading.opaque for line in o.lines}
    assert bool(lines) == (name in MARKED)


def test_a_line_of_a_megabyte_is_read() -> None:
    reading = read(f'{HEAD}-A PREROUTING -m comment --comment "{"x" * MEGABYTE}" {MARK}\nCOMMIT\n')
    assert [shown(use) for use in reading.uses] == [f"inet legacy mangle PREROUTING prerouting:-150 4 {MARK}"]
