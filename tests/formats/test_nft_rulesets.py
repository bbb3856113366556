"""Rulesets of nft as text: tables, chains and hooks, where control goes, what people write, and what is broken."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from markreg.formats import detect, nft
from markreg.model import Hook, Reading, Scope
from markreg.source import Source
from tests.formats.nft_support import functions, read

CASES = Path(__file__).parent / "cases" / "nft"


def shown(reading: Reading) -> list[str]:
    return [f"{use.lines[0]} {use.place.text}: {use.clause}" for use in reading.uses]


def chain(head: str, family: str = "inet", rule: str = "meta mark set 1") -> Reading:
    return read(f"table {family} t {{\n\tchain c {{\n\t\t{head}\n\t\t{rule}\n\t}}\n}}\n")


@pytest.mark.parametrize(
    ("family", "head", "hook"),
    [
        ("inet", "type filter hook prerouting priority mangle; policy accept;", Hook("prerouting", -150)),
        ("ip", "type filter hook prerouting priority mangle + 10; policy drop;", Hook("prerouting", -140)),
        ("ip6", "type nat hook prerouting priority dstnat - 5;", Hook("prerouting", -105)),
        ("ip", "type nat hook postrouting priority srcnat", Hook("postrouting", 100)),
        ("ip", "type route hook output priority -150;", Hook("output", -150)),
        ("ip", "type filter hook forward priority raw ; policy accept", Hook("forward", -300)),
        ("inet", "type filter hook input priority security+1", Hook("input", 51)),
        ("inet", "type filter hook input priority filter -1", Hook("input", -1)),
        ("bridge", "type filter hook forward priority filter;", Hook("forward", -200)),
        ("bridge", "type filter hook prerouting priority dstnat;", Hook("prerouting", -300)),
        ("bridge", "type filter hook output priority out + 1;", Hook("output", 101)),
        ("netdev", 'type filter hook ingress device "eth0" priority filter;', Hook("ingress", 0)),
        ("netdev", "type filter hook ingress devices = { eth0, eth1 } priority -500;", Hook("ingress", -500)),
        ("netdev", 'type filter hook egress devices = { "eth0" , "eth1" } priority 0;', Hook("egress", 0)),
        ("inet", "type filter hook ingress device eth0 priority 0;", Hook("ingress", 0)),
        ("arp", "type filter hook input priority filter;", Hook("input", 0)),
    ],
)
def test_hooks(family: str, head: str, hook: Hook) -> None:
    (use,) = chain(head, family).uses
    assert use.place.hooks == (hook,)
    assert (use.place.family, use.scope.family) == (family, "inet" if family == "netdev" else family)
    assert (use.place.kind, use.place.table, use.place.chain, use.place.text) == ("netfilter", "t", "c", f"nft {family} t c")


def test_a_priority_that_is_none_is_a_problem() -> None:
    reading = chain("type filter hook input priority foo;")
    assert [p.line for p in reading.problems] == [2]
    assert [u.place.hooks for u in reading.uses] == [(Hook("input", 0),)]


def test_a_dormant_table_has_no_hooks() -> None:
    (use,) = read("table ip t {\n\tflags dormant\n\tchain c {\n\t\ttype filter hook input priority 0;\n\t\tmeta mark set 1\n\t}\n}\n").uses
    assert use.place.hooks == ()


def test_a_table_without_a_family_is_of_ip() -> None:
    assert [t.family for t in read("table t {\n}\ntable ip {\n chain c { meta mark 5; }\n}\n").tables] == ["ip"]


TWO = (CASES / "control.nft").read_text(encoding="utf-8")


def test_where_control_goes() -> None:
    reading = read(TWO)
    first, second = reading.tables
    assert first.steps == {"base": ([4, 5, 6, 6, 7, 7], ["one", "two", "one", "three", "two", "three"])}
    assert first.gotos == {5, 6, 7}
    assert second.steps == {}
    assert [(t.family, t.name, t.backend, sorted(t.chains)) for t in reading.tables] == [
        ("ip", "a", "native", ["base", "one", "three", "two"]),
        ("ip6", "a", "native", ["one"]),
    ]
    assert first.chains["base"].policy == "accept"
    assert shown(reading) == [
        "5 nft ip a base: meta mark 0x1",
        "12 nft ip a one: meta mark set 0x1",
        "16 nft ip a two: meta mark set 0x2",
        "30 nft ip6 a one: ct mark set 0x1",
    ]
    assert [u.place.hooks for u in reading.uses] == [(Hook("forward", 0),)] * 3 + [()]
    assert (reading.statements, reading.mark_statements, reading.scope.family) == (8, 4, "inet")


WRITTEN = (CASES / "written.nft").read_text(encoding="utf-8")


def test_what_people_write() -> None:
    reading = read(WRITTEN)
    assert not reading.opaque
    assert not reading.problems
    said = [(u.lines[0], u.place.chain, u.field, u.access, u.mask, u.clause) for u in reading.uses if u.place.chain != "two@30"]
    assert said == [
        (16, "one", "skb_mark", "write", 0xFFFFFFFF, "mark set $MARK"),
        (16, "one", "ct_mark", "read", 0xFFFFFFFF, "ct mark $MARK accept"),
        (23, "two", "skb_mark", "read", 0xFF, "meta mark & $MASK == $MARK"),
        (26, "two", "skb_mark", "write", 0xFFFFFFFF, "meta mark set 0x3"),
        (27, "two", "skb_mark", "read", 0xFFFFFFFF, "meta mark $both drop"),
        (27, "two", "skb_mark", "read", 0xFFFFFFFF, "meta mark @s"),
        (28, "two", "skb_mark", "write", 0xFFFFFE00, "meta mark set meta mark & $nested"),
        (29, "two", "skb_mark", "read", 0xFFFFFFFF, "meta mark 0x7"),
        (34, "two", "skb_mark", "read", 0xFFFFFFFF, "meta mark 0x9"),
        (39, "base", "skb_mark", "read", 0xFFFFFFFF, "meta mark 0x4"),
        (42, "other", "ct_mark", "copy", 0xFFFFFFFF, "ct mark set meta mark"),
        (42, "other", "skb_mark", "read", 0xFFFFFFFF, "ct mark set meta mark"),
        (45, "base", "skb_mark", "read", 0xFFFFFFFF, "meta mark @marks"),
    ]
    values = {(u.lines[0], u.field): u for u in reading.uses}
    assert values[16, "skb_mark"].value == 0x10
    assert values[23, "skb_mark"].predicate == values[23, "skb_mark"].predicate
    assert values[23, "skb_mark"].statement == 'iifname "eth0" meta mark & 0xff == 0x10 accept'
    (both, some) = (u.predicate for u in reading.uses if u.lines == (27,))
    assert both
    assert some
    assert (both.accepts, some.accepts) == (((1, 1), (0x10, 0x10)), ((1, 2),))
    assert values[29, "skb_mark"].comment == "}"
    assert [u.place.hooks for u in reading.uses if u.lines == (42,)] == [(Hook("postrouting", 100),)] * 2


def test_a_chain_without_a_name() -> None:
    reading = read(WRITTEN)
    (use,) = [u for u in reading.uses if u.lines == (31,)]
    assert (use.clause, use.place.hooks) == ("meta mark set 0x8", (Hook("forward", -150),))
    (table,) = [t for t in reading.tables if t.name == "b"]
    assert table.steps == {"two": ([30], [use.place.chain])}


def test_later_commands_undo_earlier_ones() -> None:
    start = (
        "table ip a { chain c { meta mark set 1; jump d; }; chain d { meta mark set 2; } }\ntable ip6 a { chain c { meta mark set 3; } }\n"
    )

    def left(*commands: str) -> list[int | None]:
        return [u.value for u in read(start + "\n".join(commands)).uses]

    assert left() == [1, 2, 3]
    assert left("flush ruleset") == []
    assert left("flush ruleset ip6") == [1, 2]
    assert left("delete table a") == [3]
    assert left("delete table ip6 a", "destroy table ip nowhere") == [1, 2]
    assert left("flush table ip a") == [3]
    assert left("flush chain ip a c") == [2, 3]
    assert left("delete table ip a", "table ip a { chain c { meta mark set 4; }; }") == [3, 4]
    assert read(start + "flush chain ip a c").tables[0].steps == {}


def test_inserted_rules_come_first() -> None:
    text = "add chain ip t c\nadd chain ip t d\nadd rule ip t c jump d\ninsert rule ip t c meta mark 1 goto d\n"
    reading = read(text + "add rule ip t c meta mark set 2\n")
    assert reading.tables[0].steps == {"c": ([4, 3], ["d", "d"])}
    assert reading.tables[0].gotos == {4}
    assert [u.lines for u in reading.uses] == [(4,), (5,)]


def test_variables_that_never_end() -> None:
    text = (
        "".join(f"define v{n + 1} = $v{n} | $v{n}\n" for n in range(60)).replace("$v0", "0x1")
        + "table ip t {\n chain c {\n  meta mark set $v60\n }\n}\n"
    )
    start = time.perf_counter()
    reading = read(text)
    assert time.perf_counter() - start < 2
    assert [o.lines for o in reading.opaque] == [(63,)]


def test_a_file_that_is_included_in_a_table() -> None:
    text = "chain user_mangle {\n\ttype filter hook prerouting priority mangle; policy accept;\n\tmeta mark set 0x5\n}\n"
    assert detect(Source("x.nft", text.encode()))
    (use,) = read(text).uses
    assert (use.place.text, use.place.hooks) == ("nft inet user_mangle", (Hook("prerouting", -150),))


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_listings_with_handles_and_any_line_ends(end: str) -> None:
    text = (
        "table ip t { # handle 3\n\tchain c { # handle 1\n\t\ttype filter hook input priority filter; policy accept;\n"
        '\t\tmeta mark set 0x00000001 comment "a # b" # handle 2\n\t\tmeta mark 0x1 # handle 4\n\t}\n}\n'
    )
    reading = read(text.replace("\n", end))
    assert shown(reading) == ["4 nft ip t c: meta mark set 0x00000001", "5 nft ip t c: meta mark 0x1"]
    assert [u.comment for u in reading.uses] == ["a # b", ""]
    assert reading.statements == 2


@pytest.mark.parametrize("tail", [" # handle 7", ""])
def test_a_rule_that_nft_leaves_empty_is_not_left_out(tail: str) -> None:
    """nft 1.0.6 prints nothing for labels in an anonymous set."""
    text = f"table ip t {{\n\tchain c {{\n\t\ttype filter hook input priority filter; policy accept;\n\t\t{tail}\n\t\taccept\n\t}}\n}}\n"
    assert [(o.lines, o.reason) for o in read(text).opaque] == [((4,), "a rule that nft could not print")]
    assert not read("# mine\n" + text.replace(" # handle 7", "")).opaque


CUT = TWO[: TWO.index("meta mark set 0x2") + 11]


def test_a_listing_that_is_cut_off() -> None:
    reading = read(CUT)
    assert [(p.line, p.message) for p in reading.problems] == [
        (15, "chain two has no end: the ruleset is cut off"),
        (1, "table a has no end: the ruleset is cut off"),
    ]
    assert [(o.lines, o.reason) for o in reading.opaque] == [((16,), "the line is cut off")]
    assert shown(reading) == ["5 nft ip a base: meta mark 0x1", "12 nft ip a one: meta mark set 0x1"]


def test_marks_outside_any_chain() -> None:
    reading = read("table ip t {\n\tmeta mark set 5\n}\nmeta mark set 6\nip t\n")
    assert [(o.lines, o.reason) for o in reading.opaque] == [((2,), "not a rule"), ((4,), "not a rule")]


@pytest.mark.parametrize(
    "text",
    [
        "table ip filter {\n\tchain INPUT {\n",
        "#!/usr/sbin/nft -f\n\nflush ruleset\n",
        "#!/usr/bin/env -S nft -f\ndefine a = 1\n",
        "# Warning: table ip filter is managed by iptables-nft, do not touch!\ntable ip filter {\n",
        "add table inet x\nadd rule inet x y accept\n",
        "add rule ip filter input meta mark 5\n",
        "  table inet x {\n  }\n",
        "flush ruleset\n",
        "table x\n",
    ],
)
def test_detected(text: str) -> None:
    assert nft.detect(Source("x", text.encode())) == "nft"


@pytest.mark.parametrize(
    "text",
    [
        "#!/bin/sh\nnft -f - <<E\ntable ip x {\n}\nE\n",
        "0:\tfrom all lookup local\n32766:\tfrom all lookup main\n",
        "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n",
        " cookie=0x0, duration=1s, table=0, n_packets=0 actions=NORMAL\n",
        "the table is set\n",
        '{"tables": []}',
        "",
    ],
)
def test_not_detected(text: str) -> None:
    assert nft.detect(Source("x", text.encode())) is None


def hostile(size: int) -> list[str]:
    head = "table ip t {\n chain c {\n"
    return [
        "table ip t {" * size,
        "{" * size,
        "}" * size,
        head + "{" * size,
        head + '"' * (size | 1),
        head + "meta mark set " + "(" * (size // 10),
        head + "meta mark " * (size // 10),
        head + "meta mark set " + "1 | " * (size // 10) + "1\n}\n}\n",
        head + "jump {" * size,
        head + "jump { accept\n}\n" * size,
        head + " " * size + "\n" * size + "}\n",
        head + "jump jump" * size,
        head + "type filter hook " * size,
        head + "type filter hook input devices = " * size,
        head + "comment " * size + "meta mark 5\n",
        head + "meta mark { " + "1, " * size + "}\n }\n}\n",
        head + "ip saddr " * size + "meta mark 5\n }\n}\n",
        "define a = 1\n" * size,
        "include " * size,
        "# " + "xt_" * size,
        "#" * size + "\n",
        "\\\n" * size,
        "table ip t {\n set s {\n elements = {" * size,
        "add rule ip t c meta mark set 5\n" * (size // 10),
        "\0" * size,
        "mark\n" * size,
    ]


@pytest.mark.parametrize("number", range(len(hostile(1))))
def test_hostile_texts_take_linear_time(number: int) -> None:
    times = []
    for size in (4000, 16000):
        text = hostile(size)[number]
        start = time.perf_counter()
        nft.read(Source("x", text.encode()), "nft", Scope())
        times.append(time.perf_counter() - start)
    assert times[1] < 8 * times[0] + 0.5


def test_bytes_that_are_no_text() -> None:
    reading = read(b'table ip t\xff {\n\tchain c\xfe {\n\t\tiifname "\xfd" meta mark set 1 comment "\xfc"\n\t}\n}\n')
    (use,) = reading.uses
    assert use.place.table == "t\udcff"
    assert use.comment == "\udcfc"


def test_a_hundred_thousand_elements_are_read_as_one() -> None:
    numbers = range(0, 300_000, 3)
    text = "table ip t {\n\tset s {\n\t\ttype mark\n\t\telements = { " + ",\n\t\t\t".join(f"{n:#010x}" for n in numbers) + " }\n\t}\n"
    text += "\tmap m {\n\t\ttype ipv4_addr : mark\n\t\telements = { " + ", ".join(
        f"10.{n >> 16}.{n >> 8 & 255}.{n & 255} : {n:#010x}" for n in numbers
    )
    text += " }\n\t}\n\tchain c {\n\t\tmeta mark @s\n\t\tmeta mark set ip saddr map @m\n\t}\n}\n"
    start = time.perf_counter()
    read_, write = read(text).uses
    assert time.perf_counter() - start < 3
    assert (read_.predicate, read_.mask) == (None, 0xFFFFFFFF)
    assert write.values == ((0, 299_997),)
    assert write.effect
    assert write.effect.one == (1 << 19) - 1


def test_the_same_by_any_detour() -> None:
    """One line or many, semicolons or line ends, comments in between: the same functions."""
    one = read("table ip t { chain c { type filter hook input priority 0; meta mark 1 accept; ct mark set meta mark & 0xff; } }")
    many = read(
        "table ip t {\n\n  chain c {\n # x\n type filter hook input priority 0\n"
        "meta mark 1 accept # y\n\n ct mark set \\\n meta mark & 0xff\n }\n\n}\n"
    )
    assert functions(one) == functions(many)
    assert len(functions(one)) == 3
