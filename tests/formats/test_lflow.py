"""OVN's language: what actions and matches do with marks, by their names; the rest is silent, what is unknown is told."""

from __future__ import annotations

import random

import pytest

from markreg.bits import parse_bits
from markreg.formats import detect, lflow
from markreg.formats._ovn_language import Deed, _filled, _items, actions, symbols
from markreg.model import FIELDS, Reading, Scope
from markreg.registry.load import load
from markreg.source import Source

HEAD = 'Datapath: "sw0" (54684f8e-7f8c-4327-b39c-01536630beb8)  Pipeline: ingress\n'


def flow(match: str = "1", action: str = "next;", stage: str = "ls_in_acl", extra: str = "") -> str:
    return f"  {extra}table=8 ({stage:19}), priority=100  , match=({match}), action=({action})\n"


def read(text: str) -> Reading:
    return lflow.read(Source("lflow-list.txt", text.encode()), "lflow", Scope())


def told(reading: Reading) -> list[str]:
    """Uses as ``field access value/mask zone``; ``-`` for no one value."""
    found = []
    for u in reading.uses:
        negated = " not" if u.predicate and u.predicate.negated else ""
        found.append(f"{u.field} {u.access} {'-' if u.value is None else hex(u.value)}/{u.mask:#x} {u.scope.zone}{negated}")
    return found


def test_what_is_no_mark_is_no_use() -> None:
    actions = (
        "next;",
        "drop;",
        "reg0[1] = 1; next;",
        "ct_next;",
        "ct_dnat(10.0.0.1);",
        "ct_lb_mark;",
        "ct_snat; /* ct_mark */",
        "reject { next; };",
    )
    text = HEAD + "".join(flow(action=a) for a in actions) + flow("ip4 && reg0[0] == 1 && !ct.est")
    reading = read(text)
    assert (reading.uses, reading.opaque, reading.problems) == ((), (), ())
    assert reading.statements == len(actions) + 1


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("ct_commit { ct_mark.blocked = 1; };", ["ct_mark write 0x1/0x1 reg13"]),
        (
            "ct_commit { ct_mark.blocked = 0; ct_label.label = reg3; }; next;",
            ["ct_mark write 0x0/0x1 reg13", f"ct_label write -/{0xFFFFFFFF << 96:#x} reg13"],
        ),
        ("ct_commit { ct_mark = 0x2/0xf; };", ["ct_mark write 0x2/0xf reg13"]),
        ("ct_commit { ct_label[0..15] = 7; };", ["ct_label write 0x7/0xffff reg13"]),
        ("ct_commit_v1(ct_label=1/1);", ["ct_label write 0x1/0x1 reg13"]),
        ("ct_commit(ct_mark=5, ct_label=0/1);", ["ct_mark write 0x5/0xffffffff reg13", "ct_label write 0x0/0x1 reg13"]),
        ("ct_lb_mark(backends=10.0.0.1:80,[fd00::1]:80);", ["ct_mark write 0x2/0x2 reg13"]),
        ("ct_lb_mark(backends=10.0.0.1:80; skip_snat);", ["ct_mark write 0x2/0x2 reg13", "ct_mark write 0x4/0x4 reg13"]),
        ("ct_lb(backends=10.0.0.1:80);", ["ct_label write 0x2/0x2 reg13"]),
        ("pkt.mark = 1008; next;", ["skb_mark write 0x3f0/0xffffffff None"]),
        ("eth.dst = ct_label.ecmp_reply_eth; next;", [f"ct_label read -/{0xFFFFFFFFFFFF << 32:#x} reg13"]),
        ("eth.dst = ct_label[32..79]; next;", [f"ct_label read -/{0xFFFFFFFFFFFF << 32:#x} reg13"]),
        ("mystery(ct_mark[3]);", ["ct_mark read -/0xffffffff reg13"]),
        (
            "sample(probability=65535,collector_set=10,obs_domain=43,obs_point=ct_label.obs_point_id); next;",
            [f"ct_label read -/{0xFFFFFFFF << 96:#x} reg13"],
        ),
        ("reject { ct_commit { ct_mark.blocked = 1; }; next; };", ["ct_mark write 0x1/0x1 reg13"]),
        ('log(name="ct_mark", verdict=drop); ct_commit { ct_mark.natted = 1; };', ["ct_mark write 0x2/0x2 reg13"]),
    ],
)
def test_actions(action: str, expected: list[str]) -> None:
    reading = read(HEAD + flow(action=action))
    assert told(reading) == expected
    assert not reading.opaque


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("ct.est && ct_mark.blocked == 1", ["ct_mark read 0x1/0x1 reg13"]),
        ("!(ct_mark.blocked == 1 || ct_mark.natted)", ["ct_mark read 0x1/0x1 reg13 not", "ct_mark read 0x2/0x2 reg13 not"]),
        ("ct_mark.natted && ip4", ["ct_mark read 0x2/0x2 reg13"]),
        ("!!ct_mark.natted", ["ct_mark read 0x2/0x2 reg13"]),
        ("ct_mark.obs_stage != 2", ["ct_mark read 0x20/0x30 reg13 not"]),
        ("ct_mark.obs_collector_id == {1, 2}", ["ct_mark read -/0xff0000 reg13"]),
        ("0x3 == ct_mark.ecmp_reply_port", ["ct_mark read 0x30000/0xffff0000 reg13"]),
        ("ct_label == 0x5/0xf", ["ct_label read 0x5/0xf reg13"]),
        ("ct_label.obs_unused == 0", [f"ct_label read 0x0/{(1 << 96) - 1:#x} reg13"]),
        ('inport == "ct_mark" && ip4', []),
    ],
)
def test_matches(match: str, expected: list[str]) -> None:
    reading = read(HEAD + flow(match))
    assert told(reading) == expected
    assert not reading.opaque


def test_relations_hold_for_what_they_say() -> None:
    for relation, inside, outside in (("<", 4, 5), ("<=", 5, 6), (">", 6, 5), (">=", 5, 4)):
        (use,) = read(HEAD + flow(f"ct_mark[16..23] {relation} 5")).uses
        assert use.predicate
        assert use.predicate.holds(inside << 16 | 0xFFFF)
        assert not use.predicate.holds(outside << 16)


def test_a_router_has_its_own_zone_and_its_copy_of_a_register_is_not_known() -> None:
    (use,) = read(HEAD + flow(action="ct_commit { ct_mark.ecmp_reply_port = reg1[0..15]; };", stage="lr_in_ecmp_stateful")).uses
    assert (use.scope.zone, use.place.datapath, use.place.table) == ("reg11", "router", "lr_in_ecmp_stateful")
    assert use.effect
    assert (use.effect.other, use.effect.keeps("ct_mark")) == (0xFFFF0000, 0x0000FFFF)


def test_equal_flows_of_many_switches_are_one_use() -> None:
    text = (HEAD + flow("ct_mark.blocked == 1")) * 3
    assert [u.lines for u in read(text).uses] == [(2, 4, 6)]


def test_uuids_are_rows_that_openflow_cookies_join() -> None:
    reading = read(HEAD + flow(extra="uuid=0x5d527463, ") + flow(extra="uuid=0xa1b, "))
    assert [(r.uuid, r.line, r.pairs("external_ids")["stage-name"]) for r in reading.rows] == [
        ("5d527463", 2, "ls_in_acl"),
        ("00000a1b", 3, "ls_in_acl"),
    ]


def test_the_openflow_below_a_logical_flow_is_read_by_its_own_reader() -> None:
    below = (
        "    cookie=0x6ea132ae, duration=4.975s, table=8, n_packets=0, n_bytes=0, idle_age=4, priority=100,ct_mark=0x1/0x1 actions=drop\n"
    )
    reading = read(HEAD + flow("ct_mark.blocked == 1") + below)
    assert told(reading) == ["ct_mark read 0x1/0x1 reg13"]
    assert (reading.statements, reading.opaque) == (2, ())


def test_a_flow_that_a_document_broke_into_lines_is_one() -> None:
    text = (
        HEAD + "  table= 4(  ls_in_acl), priority=   50,\n    match=(ct.est &&\n      ct_mark.blocked == 1),\n    action=(next;)\n" + flow()
    )
    reading = read(text)
    assert told(reading) == ["ct_mark read 0x1/0x1 reg13"]
    assert reading.statements == 2


@pytest.mark.parametrize(
    "text",
    [
        flow("ct_mark.colour == 1"),
        flow("ct_mark[40] == 1"),
        flow("ct_mark.blocked == 2"),
        flow(action="ct_commit { ct_mark.blocked <-> reg0; };"),
        flow(action="mystery(ct_mark.colour);"),
        flow(action="ct_commit { ct_mark.blocked = 1;"),
        "the mark is ct_mark.blocked, somewhere\n",
        flow("!" * 200 + "ct_mark.natted"),
        flow("(" * 5000 + "ct_mark.natted"),
    ],
)
def test_what_names_a_mark_is_understood_or_told(text: str) -> None:
    reading = read(HEAD + text)
    assert not reading.uses
    assert [o.lines for o in reading.opaque] == [(2,)]


def test_a_cut_flow_is_truncated() -> None:
    assert [p.message for p in read(HEAD + flow() + flow()[:60]).problems] == ["truncated"]


def test_it_is_known_by_its_content() -> None:
    for text in (HEAD + flow(), flow(extra="uuid=0x1, "), flow(stage="lr_out_snat")):
        found = detect(Source("x", text.encode()))
        assert found
        assert found[1] == "lflow"
    assert lflow.detect(Source("x", b" cookie=0x1, table=8, priority=1 actions=drop\n")) is None


def test_many_labels_are_one_use_with_its_values() -> None:
    text = HEAD + "".join(flow(action=f"ct_commit {{ ct_label.label = {n}; }}; next;") for n in (*range(100, 120), 105))
    (use,) = read(text).uses
    assert use.values == tuple((n << 96, n << 96) for n in range(100, 120))
    assert (len(use.lines), use.mask) == (21, 0xFFFFFFFF << 96)
    assert use.effect
    assert all(use.effect.allows(n << 96 | 5, {"ct_label": 5}) for n in (100, 119))
    assert not use.effect.allows(1 << 120, {"ct_label": 0})


PIECES = [
    "ct_commit {{ ct_mark.blocked = {0}; ct_label.label = {1}; }};",
    "ct_commit_v1(ct_mark=0x{0}/0x1, ct_label={1});",
    "pkt.mark = {1};",
    "ct_lb_mark(backends=10.0.0.{0}:80,[fd00::{0}]:{1}; skip_snat);",
    'log(name="ct_mark = {1}", meter="m{0}");',
    "reg{0}[{0}] = {1};",
    "ct_commit {{ ct_label[0..47] = 00:00:00:00:00:0{0}; }};",
    "reg8 = ct_label[{0}..3];",
    "ct_mark = reg{0};",
]


def test_a_shape_with_its_constants_says_what_the_whole_text_does() -> None:
    chance = random.Random(3)
    for _ in range(200):
        text = " ".join(chance.choice(PIECES).format(chance.randrange(2), chance.randrange(1 << 30)) for _ in range(chance.randrange(1, 6)))
        whole = [item if isinstance(item, Deed) else _filled(item, item.clause.rpartition("=")[2].strip()) for item in _items(text)]
        assert list(actions(text)) == whole


def test_symbols_are_where_the_registry_has_them() -> None:
    registry = load(None)
    compared = 0
    for reservation in registry.components["ovn"].reservation:
        part = symbols().get(f"{reservation.field}.{reservation.name}")
        if part and reservation.bits and reservation.field:
            assert part.mask == parse_bits(reservation.bits, FIELDS[reservation.field].width), reservation.name
            compared += 1
    assert compared > 12


def test_damaged_texts_are_read() -> None:
    words = [
        *' ,(){}[]=!<>;"\n',
        "ct_mark",
        "ct_label.label",
        "ct_commit",
        "table=1 (ls_in_acl), priority=1, ",
        "match=(",
        "), action=(",
        "==",
        "&&",
        "||",
        "0x5/0xf",
        "ct_lb_mark(",
        "\0",
        "\udcff",
        "/*",
        "*/",
    ]
    chance = random.Random(7)
    for _ in range(300):
        data = "".join(chance.choice(words) for _ in range(60)).encode("utf-8", "surrogateescape")
        lflow.detect(Source("x", data))
        lflow.read(Source("x", data), "lflow", Scope())


def test_time_grows_no_faster_than_a_hostile_text() -> None:
    for piece in (
        "a",
        "0",
        "{",
        "[",
        ":",
        "ct_mark",
        "ct_mark[",
        "table=1 (",
        '"',
        "ct_lb_mark(",
        "1 == ",
        "!",
        "(",
        "a1:",
        "ct_mark.natted && ",
    ):
        long = piece * (50_000 // len(piece))
        for text in (flow(f"{long} ct_mark.natted"), flow(action=f"pkt.mark = 1; {long}"), long):
            read(HEAD + text)
