"""The scan against the grammar alone, over collected and invented dumps; and every mark of the corpus accounted for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markreg.formats import iptables, scope_of
from markreg.formats._iptables_clauses import Clause, ClauseError, parse
from markreg.formats._iptables_text import statement_of
from markreg.model import MarkSet, Reading, Scope
from markreg.source import Source
from tests.support import SHARED, needs_shared

SETS = {
    "pairs": MarkSet("pairs", "ip", "hash:ip,mark", 0xFF),
    "marks": MarkSet("marks", "ip", "hash:ip", 0, ((0x10, 0xF0),)),
}


def both(data: bytes, path: str = "iptables-save.txt") -> tuple[Reading, Reading]:
    """What the scan makes of a dump, and what the grammar makes of its every line."""
    source, scope = Source(path, data), scope_of(path)
    scan, thorough = (iptables.read(source, "iptables-save", scope, SETS, thorough) for thorough in (False, True))
    return scan, thorough


def corpus() -> list[Path]:
    patterns = ("corpus/iptables-save/*", "corpus/iptables-pairs/*.save", "incidents/**/*tables*.txt", "controls/**/*tables*.txt")
    return sorted(path for pattern in patterns for path in SHARED.glob(pattern))


# Words that make a rule concern a mark, found by other means than markreg's.
CONCERNS = re.compile(
    r"(?<!\S)(?:(?:-m|--match) ?(?:mark|connmark|connlabel)(?!\S)|(?:-j|--jump) ?(?:MARK|CONNMARK|HMARK|IPMARK|NFQUEUE|QUEUE|mark)(?!\S)"
    r"|--tproxy-mark (?!0x0/0x0)|--restore-skmark|--validmark|--map-mark|--zone(?:-orig|-reply)? mark|--mark(?!\S))"
)


@needs_shared
@pytest.mark.parametrize("path", corpus(), ids=lambda p: f"{p.parent.name}/{p.name}"[-80:])
def test_collected_dumps(path: Path) -> None:
    data = path.read_bytes()
    scan, thorough = both(data, str(path))
    assert scan == thorough
    source = Source(str(path), data)
    covered = {line for use in scan.uses for line in use.lines} | {line for o in scan.opaque for line in o.lines}
    lines = enumerate(source.text().split("\n"), 1)
    bare = {n: re.sub(r'"(?:[^"\\]|\\.)*"', '""', line) for n, line in lines}
    assert {n for n, line in bare.items() if not line.lstrip().startswith("#") and CONCERNS.search(line)} <= covered
    for use in scan.uses:
        for number in use.lines:
            start, end = source.locate(number, use.clause)
            assert source.line(number)[start - 1 : end - 1] == use.clause
    if re.search(rb"^\*\w+\r?\n(?:#.*\n)?(?::|-A |COMMIT)", data, re.MULTILINE):
        assert iptables.detect(source) == "iptables-save"


def suite() -> Iterator[tuple[str, str, str, str]]:
    """File, rule as typed, rule as printed, and result of each line of the extensions' tests."""
    for path in sorted(SHARED.glob("corpus/iptables-t/*.tsv")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if not line.startswith("#"):
                _, _, rule, printed, result, *_ = (*line.split("\t"), "", "", "")
                yield path.stem, rule.strip(), rule.strip() if printed in ("", "=") else printed.strip(), result


def functions(rule: str, program: str) -> list[object]:
    clauses: list[Clause] = list(parse(statement_of(rule), program == "libarpt").clauses)
    return sorted(
        ((c.field, c.access, c.mask, c.effect, c.predicate and (c.predicate.mask, c.predicate.accepts), c.values) for c in clauses),
        key=repr,
    )


@needs_shared
def test_what_iptables_takes_is_understood_and_means_what_it_prints() -> None:
    concerned = 0
    for file, rule, printed, result in suite():
        if result == "OK":
            program = file.split("_")[0]
            mine = functions(rule, program)
            assert mine == functions(printed, program), rule
            concerned += bool(mine)
            assert bool(mine) == bool(CONCERNS.search(rule)) or "--label" in rule, rule
    assert concerned > 35


@needs_shared
def test_what_iptables_refuses_does_no_harm() -> None:
    refused = 0
    for _, rule, _, result in suite():
        if result != "OK":
            reading, thorough = both(f"*mangle\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT {rule}\nCOMMIT\n".encode())
            assert reading == thorough
            if re.search(r"(?i)mark|label", rule):
                refused += 1
                assert reading.opaque or reading.uses, rule
    assert refused > 10


@needs_shared
def test_translations_are_read_without_harm() -> None:
    for path in sorted(SHARED.glob("corpus/iptables-t/*.txlate")):
        for line in path.read_text(encoding="utf-8").splitlines():
            _, _, rest = line.partition(" -A ")
            scan, thorough = both(f"*mangle\n-A {rest}\nCOMMIT\n{line}\n".encode())
            assert scan == thorough


# Invented dumps: rules as several components write them, rules of odd words, and what else may stand between.

MARKS = st.builds(lambda v, m: f"{v:#x}/{m:#x}", st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
CHAIN = st.sampled_from(
    ["PREROUTING", "OUTPUT", "KUBE-SVC-ABCDEFGH12345678", "KUBE-MARK-MASQ", "cali-fw-eth0", "à", "名前", 'q"x', "SETMARK"]
)
COMMENT = st.sampled_from(
    [
        "plain",
        "-j",
        "-g",
        "--mark",
        '"cali:0123456789abcdef"',
        '"x -j KUBE-MARK-MASQ"',
        '" -g cali-fw-eth0"',
        '"a \\" -j MARK"',
        '"--set-mark 1',
        "é",
    ]
)
MATCH = st.one_of(
    st.builds("-m mark --mark {}".format, MARKS),
    st.builds("-m connmark ! --mark {}".format, MARKS),
    st.builds("-m comment --comment {}".format, COMMENT),
    st.sampled_from(
        [
            "-s 10.0.0.1/32 -p tcp -m tcp --dport 80",
            "-d 2001:db8::1/128",
            "-i eth0",
            "! -o lo",
            "-m set --match-set pairs src,src",
            "-m set --match-set other src",
            '-m connlabel --label "5" --set',
            "-m connlabel --label name",
            "-c 1 2",
            "-m",
            "--mark",
            '"',
            "\\",
            "\t",
            "\0",
            "\x85",
            "\u00a0",
            "  ",
        ]
    ),
)
TARGET = st.one_of(
    st.builds("-j MARK --set-xmark {}".format, MARKS),
    st.builds("-j CONNMARK --save-mark --nfmask {0} --ctmask {0}".format, st.sampled_from(["0xff", "0x1ffffffff"])),
    st.builds("{}{}".format, st.sampled_from(["-j ", "-j ", "-g ", "--jump ", "--goto  ", "-j", "-g"]), CHAIN),
    st.sampled_from(
        [
            '-j LOG --log-prefix "a -j à "',
            '-j NFLOG --nflog-prefix "-g"',
            "-j ACCEPT",
            "-j RETURN",
            "-j DNAT --to-destination 10.0.0.1:80",
            "-j SET --map-set marks src --map-mark",
            "-j NFQUEUE --queue-num 1",
            "-j TPROXY --on-port 1 --on-ip 0.0.0.0 --tproxy-mark 0x1/0x1",
            "-j FOOMARK",
            "-j CT --zone mark",
            "-j",
            "",
        ]
    ),
)
# iptables takes one target, and prints it last; a comment may be typed behind it.
BODY = st.builds(
    lambda matches, target, behind: " ".join([*matches, target, *behind]),
    st.lists(MATCH, max_size=3),
    TARGET,
    st.lists(st.builds('-m comment --comment "{}"'.format, st.sampled_from(["x", " -j à", "-g x ", "\\\\"])), max_size=1),
)
PLAIN = st.builds("-A {} {}".format, CHAIN, BODY)
RULE = st.builds("{}{} {}".format, st.sampled_from(["-A ", "-A ", "[1:2] -A ", "-I ", "--append ", "-A  "]), CHAIN, BODY)
ODD = st.sampled_from(
    [
        "",
        "# -j MARK --set-mark 1",
        "Warning: -j MARK",
        "odd -j MARK --set-mark 1",
        "COMMIT",
        "*filter",
        ":late - [0:0]",
        "-N late",
        "-P OUTPUT ACCEPT",
        "\r",
        ":x",
    ]
)
DECLARED = [
    ":PREROUTING ACCEPT [0:0]",
    ":OUTPUT DROP [1:2]",
    *(f":{c} - [0:0]" for c in ("KUBE-SVC-ABCDEFGH12345678", "KUBE-MARK-MASQ", "cali-fw-eth0", "à", "名前", 'q"x', "SETMARK")),
]


def dumps(rule: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda head, declared, rules, end, cut: "".join(f"{line}\n" for line in [*head, "*mangle", *declared, *rules, *end])[
            : -cut or None
        ],
        st.sampled_from(
            [[], ["# Generated by iptables-nft-save v1.8.9 (nf_tables) on x"], ["-P OUTPUT ACCEPT", "-A OUTPUT -j MARK --set-mark 1"]]
        ),
        st.sampled_from([DECLARED, DECLARED[:4], []]),
        st.lists(rule, max_size=8),
        st.sampled_from([["COMMIT"], ["COMMIT"], [], ["COMMIT", "*nat", "-A OUTPUT -m mark --mark 1", "COMMIT"]]),
        st.sampled_from([0, 0, 0, 1, 5, 17]),
    )


def accounted(text: str, scan: Reading) -> bool:
    """Whether every use stands in its lines."""
    source = Source("x", text.encode())
    for use in scan.uses:
        for number in use.lines:
            start, end = source.locate(number, use.clause)
            if "\t" not in source.line(number) and source.line(number)[start - 1 : end - 1] != use.clause:
                return False
    return True


@given(dumps(PLAIN))
def test_invented_dumps_as_they_are_printed(text: str) -> None:
    scan, thorough = both(text.encode())
    assert scan == thorough
    assert accounted(text, scan)


@given(dumps(st.one_of(RULE, RULE, RULE, ODD)))
def test_invented_dumps_with_odd_lines(text: str) -> None:
    scan, thorough = both(text.encode())
    assert scan == thorough
    assert accounted(text, scan)


@given(
    st.lists(
        st.one_of(MATCH, TARGET, ODD, st.text(max_size=5), st.sampled_from(["\n", "*", "-A X", "\n*mangle\n", "\nCOMMIT\n"])), max_size=20
    )
)
def test_nothing_breaks_it(pieces: list[str]) -> None:
    data = " ".join(pieces).encode("utf-8", "surrogatepass")
    iptables.detect(Source("x", data))
    both(data)


@given(st.text(max_size=60))
def test_a_rule_is_understood_or_refused(text: str) -> None:
    for body in (
        text,
        f"-m mark --mark {text}",
        f"-j MARK --set-mark {text}",
        f"-m connlabel --label {text}",
        f"-j HMARK --hmark-mod {text}",
    ):
        try:
            parse(statement_of(body))
        except ClauseError as error:
            assert str(error)


def test_the_scan_leaves_nothing_to_chance_in_names() -> None:
    """The families and back ends of a path hold where the dump is silent."""
    reading, _ = both(b"*mangle\n-A PREROUTING -j MARK --set-mark 1\nCOMMIT\n", "ip6tables-nft.netns-blue.txt")
    assert (reading.scope, reading.tables[0].backend) == (Scope("blue", "ip6"), "nft")
