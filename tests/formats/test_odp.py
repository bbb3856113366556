"""Flows and connections of datapaths: what is written and looked at, in which zone, and nothing that is no mark."""

from __future__ import annotations

import random

import pytest

from markreg.formats import detect, dpctl_conntrack, odp
from markreg.model import Reading, Scope
from markreg.source import Source

QUIET = [
    "in_port(1),eth(),eth_type(0x86dd),ipv6(label=0x2,frag=no), packets:0, bytes:0, used:never, actions:set(ipv6(label=0x5)),2",
    "in_port(1),eth(),eth_type(0x8847),mpls(label=100,tc=3,ttl=64,bos=1), packets:0, actions:pop_mpls(eth_type=0x800),2",
    "ufid:00000000-0000-0000-0000-000000000000, skb_priority(0/0),skb_mark(0/0),ct_mark(0/0),ct_label(0/0),recirc_id(0), actions:drop",
    "recirc_id(0),in_port(1), packets:1, bytes:2, used:never, actions:ct(zone=5,nat),recirc(0x1)",
    "recirc_id(0),in_port(1), packets:1, actions:clone(ct(commit),3),check_pkt_len(size=200,gt(4),le(5))",
    "",
    "flow-dump from the main thread:",
]


def read(*lines: str) -> Reading:
    return odp.read(Source("dpctl_dump-flows.txt", "\n".join((*lines, "")).encode()), "odp", Scope())


def told(reading: Reading) -> list[str]:
    """Uses as ``field access value/mask zone lines``."""
    found = []
    for u in reading.uses:
        what = f"{u.field} {u.access} {u.value or 0:#x}/{u.mask:#x} {u.scope.zone}"
        found.append(f"{what} {','.join(map(str, u.lines))}{' possible' if u.possible else ''}")
    return found


def test_what_is_no_mark_is_no_use() -> None:
    reading = read(*QUIET)
    assert (reading.uses, reading.opaque, reading.problems) == ((), (), ())
    assert (reading.statements, reading.mark_statements) == (5, 0)


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        ("skb_mark(0x20),recirc_id(0),in_port(1), packets:0, actions:2", ["skb_mark read 0x20/0xffffffff None 1"]),
        ("skb_mark(0x20/0xf0),in_port(1), packets:0, actions:2", ["skb_mark read 0x20/0xf0 None 1"]),
        ("ct_zone(0x5),ct_mark(0x2/0x2),in_port(1), packets:0, actions:2", ["ct_mark read 0x2/0x2 5 1"]),
        ("ct_zone(0x5/0),ct_mark(0x2/0x2),in_port(1), packets:0, actions:2", ["ct_mark read 0x2/0x2 None 1"]),
        ("in_port(1), packets:0, actions:set(skb_mark(0x20/0xf0)),2", ["skb_mark write 0x20/0xf0 None 1"]),
        ("in_port(1), packets:0, actions:set(skb_mark(0x20)),2", ["skb_mark write 0x20/0xffffffff None 1"]),
        ("in_port(1), packets:0, actions:clone(set(skb_mark(0x1/0x1)),2),3", ["skb_mark write 0x1/0x1 None 1 possible"]),
        (
            "in_port(1), packets:0, actions:ct(commit,zone=7,mark=0x1/0x3,label=0x5/0xf,nat(src=10.0.0.1:1-9)),2",
            ["ct_mark write 0x1/0x3 7 1", "ct_label write 0x5/0xf 7 1"],
        ),
        ("in_port(1), packets:0, actions:ct(force_commit,mark=0x1/0x1),2", ["ct_mark write 0x1/0x1 0 1"]),
    ],
)
def test_one_flow(flow: str, expected: list[str]) -> None:
    reading = read(flow)
    assert told(reading) == expected
    assert not reading.opaque


def test_a_match_behind_recirc_looks_into_the_zone_of_the_last_ct() -> None:
    reading = read(
        "recirc_id(0),in_port(1), packets:0, actions:ct(zone=3,nat),recirc(0x4)",
        "ct_mark(0/0x1),recirc_id(0x4),in_port(1), packets:0, actions:ct(commit,zone=3,mark=0/0x1),ct(zone=7),recirc(0x5)",
        "ct_mark(0/0x1),recirc_id(0x5),in_port(1), packets:0, actions:ct_clear,recirc(0x6)",
        "ct_mark(0/0x1),recirc_id(0x6),in_port(1), packets:0, actions:2",
        "recirc_id(0),in_port(2), packets:0, actions:ct(zone=9),recirc(0x4)",
    )
    zones = {line: u.scope.zone for u in reading.uses if u.access == "read" for line in u.lines}
    assert zones == {2: None, 3: "7", 4: None}, "two ways with two zones are no known zone"


def test_equal_clauses_are_one_use() -> None:
    flow = "ct_mark(0x2/0x2),recirc_id({}),in_port(1), packets:0, actions:2"
    assert told(read(*(flow.format(hex(n)) for n in range(1, 4)))) == ["ct_mark read 0x2/0x2 None 1,2,3"]


@pytest.mark.parametrize(
    "flow",
    [
        "ct_mark(0x2/),in_port(1), packets:0, actions:2",
        "ct_mark(0x1ffffffff),in_port(1), packets:0, actions:2",
        "in_port(1), packets:0, actions:ct(commit,mark=all),2",
        "in_port(1), packets:0, actions:mystery(ct_mark(0x1)),2",
        "in_port(1), packets:0, actions:ct(commit,mark=0x1/0x1,mystery(ct_mark)),2",
        "in_port(1), packets:0, actions:ct(commit,mark=0x1/0x1",
        "set(skb_mark(0x1/0x1))",
    ],
)
def test_what_names_a_mark_is_understood_or_told(flow: str) -> None:
    reading = read(flow)
    assert not reading.uses
    assert [o.lines for o in reading.opaque] == [(1,)]
    assert reading.mark_statements == 1


def test_a_cut_dump_is_truncated() -> None:
    source = Source("x", b"in_port(1), packets:0, actions:2\nrecirc_id(0),in_port(2), packets:0, actions:ct(zone=3,na")
    assert [p.message for p in odp.read(source, "odp", Scope()).problems] == ["truncated"]


ENTRIES = (
    "tcp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=1,dport=2),reply=(src=10.0.0.2,dst=10.0.0.1,sport=2,dport=1)"
    ",zone=5,mark=2,labels=0x2a000000000000000000000000,protoinfo=(state=ESTABLISHED)\n"
    "udp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=3,dport=2),reply=(src=10.0.0.2,dst=10.0.0.1,sport=2,dport=3),zone=5,mark=2\n"
    "icmp,orig=(src=10.0.0.1,dst=10.0.0.2,id=1,type=8,code=0),reply=(src=10.0.0.2,dst=10.0.0.1,id=1,type=0,code=0),id=7,status=0,mark=2147483648\n"
)


def test_connections_by_field_and_zone() -> None:
    source = Source("dump-conntrack", ENTRIES.encode())
    found = detect(source)
    assert found
    assert found[1] == "dpctl-conntrack"
    reading = dpctl_conntrack.read(source, "dpctl-conntrack", Scope())
    assert [(s.field, s.value, s.zone, s.count, s.line) for s in reading.seen] == [
        ("ct_mark", 2, "5", 2, 1),
        ("ct_label", 42 << 96, "5", 1, 1),
        ("ct_mark", 1 << 31, "0", 1, 3),
    ]
    assert (reading.statements, reading.mark_statements, reading.opaque, reading.problems) == (3, 4, (), ())


def test_a_mark_that_is_no_number_is_told_and_a_zone_that_is_none_is_unknown() -> None:
    source = Source("x", ENTRIES.replace("mark=2,", "mark=two,").replace("zone=5", "zone=<cleared>").encode())
    reading = dpctl_conntrack.read(source, "dpctl-conntrack", Scope())
    assert [o.lines for o in reading.opaque] == [(1,)]
    assert {s.zone for s in reading.seen} == {None, "0"}


def test_damaged_texts_are_read() -> None:
    words = [
        *" ,()=/:\n",
        "ct(",
        "ct_mark",
        "skb_mark(",
        "mark=",
        "0x2",
        "actions:",
        "recirc_id(1)",
        "recirc(1)",
        "set(",
        "orig=(src=",
        "\0",
        "\udcff",
    ]
    chance = random.Random(5)
    for _ in range(300):
        text = "".join(chance.choice(words) for _ in range(80))
        data = text.encode("utf-8", "surrogateescape")
        for form, name in ((odp, "odp"), (dpctl_conntrack, "dpctl-conntrack")):
            form.detect(Source("x", data))
            form.read(Source("x", data), name, Scope())


def test_time_grows_no_faster_than_a_hostile_text() -> None:
    for piece in ("ct(", "clone(", "set(skb_mark(", "ct_mark(0x1", "recirc(0x1),", "(", "mark=1,"):
        text = f"in_port(1),ct_mark(1), packets:0, actions:{piece * 20000}"
        odp.read(Source("x", text.encode()), "odp", Scope())
        dpctl_conntrack.read(Source("x", f"tcp,orig=(src={text}".encode()), "dpctl-conntrack", Scope())
