"""WireGuard: the mark of its encrypted packets, and that no key leaves the reader."""

from __future__ import annotations

import base64
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markreg.audit import audit
from markreg.formats import by_name, wireguard
from markreg.inputs import Gathered, Known
from markreg.model import Scope
from markreg.registry.load import load
from markreg.report import Options, names
from markreg.report import by_name as report_by_name
from markreg.source import Source
from tests.support import SHARED, needs_shared

CASES: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "cases" / "wireguard.toml").read_text(encoding="utf-8"))["case"]
KEY = base64.b64encode(bytes(range(32))).decode()


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["name"])
def test_marks(case: dict[str, Any]) -> None:
    source = Source(
        case.get("file", "wg.txt"), case["text"].replace("K\n", f"{KEY}\n").replace("K\r", f"{KEY}\r").replace("K\t", f"{KEY}\t").encode()
    )
    assert wireguard.detect(source) == "wg"
    reading = wireguard.read(source, "wg", Scope())
    assert [f"{u.lines[0]} {u.place.text} {u.value:#x} {u.clause}" for u in reading.uses] == case["uses"]
    assert sorted(line for o in reading.opaque for line in o.lines) == case.get("opaque", [])
    assert [reading.statements, reading.mark_statements] == case["statements"]
    for use in reading.uses:
        assert (use.field, use.access, use.mask, use.place.kind) == ("skb_mark", "write", 0xFFFFFFFF, "socket")
        start, end = source.locate(use.lines[0], use.clause)
        assert source.line(use.lines[0])[start - 1 : end - 1] == use.clause
    assert KEY not in repr(reading)
    assert KEY.encode() not in source.data, "reports print lines of the source, and those around them"


@pytest.mark.parametrize("form", names())
def test_no_report_has_a_key(form: str) -> None:
    text = f"wg0\t{KEY}\t{KEY}\t51820\t0xca6c\n" * 2
    config = f"[Interface]\nPrivateKey = {KEY}\nFwMark = 0xca6c\nFwMark = 0x4000\n[Peer]\nPresharedKey = {KEY}\n"
    rules = Source("ip-rule.txt", b"9:\tfrom all fwmark 0x4000/0x4000 lookup 5\n")
    sources = [Source("dump.txt", text.encode()), Source("wg0.conf", config.encode()), rules]
    gathered = Gathered()
    for source, name in zip(sources, ("wg", "wg", "ip-rule"), strict=True):
        reader = by_name(name)
        assert reader
        gathered.known.append(Known(source, reader, name, Scope()))
    done = audit(gathered, load(None))
    renderer = report_by_name(form)
    assert renderer
    shown = renderer.render(done, Options(False, True, 100, False, True), {s.path: s for s in sources})
    assert len(done.node.uses) >= 4
    assert KEY not in shown
    assert KEY[:20] not in shown


@needs_shared
def test_no_other_notation_is_claimed() -> None:
    others = [p for p in (*SHARED.glob("corpus/*/*"), *SHARED.glob("incidents/**/*")) if p.is_file()]
    assert others
    assert [p for p in others if wireguard.detect(Source(p.name, p.read_bytes()[:70000]))] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[Unit]\nDescription=x\n",
        "[Interface]\nName=eth0\n",
        "eth0\tup\n",
        f"```\n[Interface]\nPrivateKey = {KEY}\n```\n",
        "interface: lo0\n  mtu: 1500\n",
    ],
)
def test_not_wireguard(text: str) -> None:
    assert wireguard.detect(Source("x", text.encode())) is None


@given(
    st.lists(
        st.sampled_from(
            ["[Interface]\n", "FwMark", " = ", ":", "0xca6c", "off", "\n", "wg0", "\t", KEY, "\0", "\udcff", "interface: ", "#"]
        )
    )
)
def test_nothing_breaks_it(words: list[str]) -> None:
    source = Source("x", "".join(words).encode("utf-8", "surrogateescape"))
    wireguard.detect(source)
    wireguard.read(source, "wg", Scope())
