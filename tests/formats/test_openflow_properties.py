"""What always holds of the OpenFlow reader: templates, memos and shortcuts change nothing, and no text hurts it."""

from __future__ import annotations

import time
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markreg.formats import openflow
from markreg.formats._openflow_groups import parted
from markreg.formats._openflow_meaning import Meaning, meaning
from markreg.formats._openflow_ops import Item
from markreg.formats._openflow_parse import Parser
from markreg.formats._openflow_text import cut
from markreg.model import FIELDS, Reading, Scope
from markreg.source import Source
from tests.formats.test_openflow import CASES

ASKED = frozenset(FIELDS)
MARKS = frozenset({"skb_mark", "ct_mark", "ct_label"})
LINES = [line for case in CASES for line in case["text"].splitlines() if line.strip()]
LISTS = [both[1] for line in LINES if (both := parted(line)) and "group_id" not in line]

numbers = st.one_of(st.integers(0, 9), st.integers(0, (1 << 32) - 1)).map(lambda n: f"{n:#x}" if n % 2 else str(n))
masked = st.tuples(numbers, st.sampled_from(("", "/0x1", "/0xff00", "/0xffffffff", "/0xf0000000f"))).map("".join)
fields = st.sampled_from(("pkt_mark", "ct_mark", "ct_label", "reg0", "reg13", "xreg4", "xxreg0", "metadata", "eth_dst", "in_port"))
spans = st.sampled_from(("[]", "[0]", "[0..15]", "[4..7]", "[16..31]", "[31..40]", ""))
parts = st.tuples(
    st.sampled_from(("NXM_NX_PKT_MARK", "NXM_NX_CT_MARK", "NXM_NX_CT_LABEL", "NXM_NX_REG0", "OXM_OF_PKT_REG0", "NXM_OF_ETH_SRC")), spans
)
part = parts.map("".join)
simple = st.one_of(
    st.tuples(masked, fields).map(lambda t: f"set_field:{t[0]}->{t[1]}"),
    st.tuples(numbers, part).map(lambda t: f"load:{t[0]}->{t[1]}"),
    st.tuples(part, part).map(lambda t: f"move:{t[0]}->{t[1]}"),
    part.map(lambda p: f"push:{p}"),
    part.map(lambda p: f"pop:{p}"),
    numbers.map(lambda n: f"resubmit(,{n})"),
    numbers.map(lambda n: f"output:{n}"),
    st.sampled_from(('output:"a,b"', "drop", "dec_ttl", "LOCAL", "mod_dl_src:fa:16:3e:00:00:01", "group:5", "ct_clear", "note:00.01")),
)


def joined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(inner, min_size=1, max_size=4).map(",".join)


def nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    zone = st.one_of(numbers.map(lambda n: f"zone={n}"), st.just("zone=NXM_NX_REG13[0..15]"))
    ct = st.tuples(zone, joined(inner)).map(lambda t: f"ct(commit,{t[0]},table=5,nat(src=10.0.0.1-10.0.0.9:1-9),exec({t[1]}))")
    return st.one_of(inner, ct, joined(inner).map(lambda text: f"clone({text})"))


lists = joined(st.recursive(simple, nested, max_leaves=6))


def placed(said: Meaning) -> Meaning:
    """A meaning without where in a text it stands, and without the numbers of constants."""
    return replace(said, statements=tuple(replace(s, start=0, end=0, slots=()) for s in said.statements))


def shapeless(items: tuple[Item, ...]) -> tuple[object, ...]:
    return tuple(placed(meaning((item,), ASKED)) for item in items)


def same_by_shape(text: str, asked: frozenset[str]) -> None:
    shape, constants = cut(text)
    by_shape = Parser(shape, constants, asked).items()
    whole = Parser(text, (), asked).items()
    assert placed(meaning(by_shape, asked)) == placed(meaning(whole, asked))
    assert shapeless(by_shape) == shapeless(whole)


@given(lists)
def test_a_shape_with_its_constants_is_the_list(text: str) -> None:
    same_by_shape(text, MARKS)
    same_by_shape(text, ASKED)


@pytest.mark.parametrize("text", LISTS)
def test_a_shape_with_its_constants_is_the_list_of_a_case(text: str) -> None:
    same_by_shape(text, MARKS)


def flow(table: int, metadata: int, mark: str, text: str) -> str:
    match = "".join((f"metadata={metadata:#x}," * bool(metadata), mark))
    return f" cookie={table:#x}, duration=1s, table={table}, n_packets=0, n_bytes=0, priority={table % 3},{match}ip actions={text}\n"


marks = st.sampled_from(("", "", "ct_mark=0x1/0x3,", "pkt_mark=5,", "ct_label=0x1/0x1,", "reg0=0x5,"))
dumps = st.lists(st.builds(flow, st.integers(0, 5), st.integers(0, 2), marks, lists), max_size=12).map("".join)


def read(text: str, thorough: bool = False, fields: frozenset[str] = frozenset()) -> Reading:
    return openflow.read(Source("f", text.encode("utf-8", "surrogateescape")), "openflow", Scope(), fields, thorough)


@settings(max_examples=60)
@given(dumps, st.sampled_from((frozenset[str](), frozenset({"ovs.reg0", "ovs.metadata"}))))
def test_shortcuts_change_nothing(text: str, fields: frozenset[str]) -> None:
    quick, thorough = (read(text, way, fields) for way in (False, True))
    assert replace(quick, pipelines=()) == replace(thorough, pipelines=())
    assert [(p.hops, p.zones, p.ports, p.asks) for p in quick.pipelines] == [(p.hops, p.zones, p.ports, p.asks) for p in thorough.pipelines]


@settings(max_examples=60)
@given(lists, st.lists(st.integers(0, 0xFFFF), min_size=12, max_size=12, unique=True), st.sampled_from((frozenset[str](), ASKED - MARKS)))
def test_a_use_of_many_values_holds_each(text: str, drawn: list[int], fields: frozenset[str]) -> None:
    """The same list with other numbers in each line: whatever one line does, the use of all lines does."""
    texts = [f"table=1,priority=2,tp_dst={n},tcp,actions={text.replace('0x', hex(n), 1)}\n" for n in drawn]
    texts = [t if cut(t)[0] == cut(texts[0])[0] else texts[0] for t in texts]
    whole = read("".join(texts), fields=fields)
    for number, line in enumerate(texts, 1):
        for use in read(line, fields=fields).uses:
            found = [u for u in whole.uses if number in u.lines and (u.field, u.access, u.scope) == (use.field, use.access, use.scope)]
            assert found, use
            if use.effect is not None:
                state = {symbol: 0x5A5A5A5A for (symbol, _, _), _ in use.effect.copies}
                value = use.effect.value(state)
                assert value is None or any(u.effect and u.effect.allows(value, state) for u in found), (use, found)
            assert any(not use.mask & ~u.mask for u in found) or use.access != "read"


@given(st.sampled_from(LINES), st.data())
def test_damaged_lines_are_read_or_said(line: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(line)))
    gone = data.draw(st.integers(0, 6))
    put = data.draw(st.text(st.sampled_from('()[]"=,:/->0xf \t\r\0\ue000é'), max_size=5))
    damaged = line[:at] + put + line[at + gone :] + "\n"
    reading = read(damaged + "\n".join(LINES[:3]))
    for use in reading.uses:
        assert use.mask and use.lines


@given(st.binary(max_size=200))
def test_bytes_are_no_matter(data: bytes) -> None:
    source = Source("f", b"table=0,priority=1,actions=" + data)
    openflow.detect(source)
    openflow.read(source, "openflow", Scope())


@pytest.mark.parametrize(
    "text",
    [
        "clone(" * 50_000,
        "ct(commit,exec(" * 20_000 + "set_field:1->ct_mark",
        "ct(" + "commit," * 50_000 + ")",
        "set_field:1->pkt_mark," * 5_000,
        "load:" * 50_000 + "->NXM_NX_PKT_MARK[]",
        '"' * 100_001,
        "1" * 300_000 + "->pkt_mark",
        "set_field:0x" + "f" * 200_000 + "->pkt_mark",
        "learn(" + "NXM_NX_PKT_MARK[]," * 5_000 + ")",
        "-" * 200_000 + "pkt_mark",
        " " * 200_000 + "pkt_mark",
    ],
    ids=lambda t: t[:12],
)
def test_long_lists_take_no_longer_than_they_are(text: str) -> None:
    start = time.perf_counter()
    read(f"table=0,priority=1,actions={text}\n" + f"table=0,priority=1,ct_mark={text}\n" + f"group_id=1,type=all,bucket=actions={text}\n")
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize("distinct", ["value", "mask", "zone", "table", "port", "register", "shape", "cookie", "metadata"])
def test_what_differs_in_every_line_takes_linear_time(distinct: str) -> None:
    def dump(count: int) -> str:
        random = Random(7)

        def line(n: int) -> str:
            r = {name: n if name == distinct else 1 for name in ("value", "mask", "zone", "table", "port", "cookie", "metadata")}
            extra = f"fancy{random.getrandbits(60):x}," if distinct == "shape" else ""
            register = n % 32 if distinct == "register" else 1
            ct = f"ct(commit,zone={r['zone'] % 65536},exec(set_field:{r['value']:#x}/{r['mask'] | 0xFF000000:#x}->ct_mark))"
            return (
                f" cookie={r['cookie']:#x}, table={r['table'] % 250}, priority=1,ip,metadata={r['metadata']:#x} "
                f"actions={extra}{ct},set_field:{n}->reg{register},output:{r['port']}\n"
            )

        return "".join(map(line, range(count)))

    def seconds(text: str) -> float:
        start = time.process_time()
        read(text)
        return time.process_time() - start

    read(dump(10))
    small, large = seconds(dump(300)), seconds(dump(2400))
    assert large < 24 * small + 0.2
