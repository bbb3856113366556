"""What a mark says: the right component first, the release and the setting under which it holds, the node before the catalogue."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markreg.bits import BitsError
from markreg.decode import Answer, Decoder, parse
from markreg.model import CT_MARK, Component, Node, Owned, Place, Scope, Seen, Use
from markreg.nodemap import AuditError, NodeMap
from markreg.registry.load import load
from markreg.registry.model import Registry
from markreg.report.parts import decoded
from markreg.transfer import Predicate, masked_set
from tests.cli.running import COLLIDES, markreg

REGISTRY = """
version = 1
kind = "catalogue"
[[component]]
name = "alpha"
[[component.reservation]]
name = "masq"
field = "skb_mark"
bits = "14"
source = "a"
title = "to be masqueraded"
[[component.reservation]]
name = "old-flag"
field = "skb_mark"
bits = "20"
until = "2.0"
source = "a"
[[component.reservation]]
name = "new-flag"
field = "skb_mark"
bits = "21"
since = "2.0"
source = "a"
[[component]]
name = "beta"
[[component.reservation]]
name = "kind"
field = "skb_mark"
bits = "8-11"
values = { 0x200 = "to proxy", 0xf00 = "identity" }
source = "b"
[[component.reservation]]
name = "identity"
field = "skb_mark"
bits = "16-31"
variant = { of = "kind", values = ["0xf00"] }
source = "b"
[[component.reservation]]
name = "port"
field = "skb_mark"
bits = "16-31"
variant = { of = "kind", values = ["0x200"] }
source = "b"
[[component]]
name = "gamma"
[[component.reservation]]
name = "tunnel"
field = "skb_mark"
bits = "0-31"
value_range = "51820-51850"
writes = "whole"
source = "c"
[[component.reservation]]
name = "code"
field = "ct_mark"
bits = "16-23"
value_range = "1-3"
source = "c"
[[component]]
name = "delta"
[[component.reservation]]
name = "anything"
field = "skb_mark"
bits = "0-31"
writes = "whole"
source = "d"
[[component.reservation]]
name = "label"
field = "ct_label"
bits = "96-127"
source = "d"
"""


@pytest.fixture(name="registry")
def made(tmp_path: Path) -> Registry:
    file = tmp_path / "registry.toml"
    file.write_text(REGISTRY, encoding="utf-8")
    return load(file)


def said(answer: Answer) -> list[str]:
    """Readings as ``component part=value … left releases``."""
    return [
        " ".join(
            [
                r.component,
                *(f"{p.path.partition('/')[2]}={p.value:#x}" for p in r.parts),
                *([f"-{r.left:#x}"] if r.left else []),
                *([r.releases] if r.releases else []),
            ]
        )
        for r in answer.readings
    ]


def test_zero_says_nothing(registry: Registry) -> None:
    answer = Decoder(registry).decode("skb_mark", 0)
    assert (answer.readings, answer.node, answer.whole) == ((), (), ())


def test_bits_that_nobody_uses_are_nobodys(registry: Registry) -> None:
    answer = Decoder(registry).decode("skb_mark", 0x1)
    assert said(answer) == []
    assert answer.whole == ("delta",), "who may hold any value explains none"


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("skb_mark", "0x4000", ["alpha masq=0x4000"]),
        ("skb_mark", "16384", ["alpha masq=0x4000"]),
        ("skb_mark", "1<<14", ["alpha masq=0x4000"]),
        ("skb_mark", "0x100000", ["alpha old-flag=0x100000 before 2.0"]),
        ("skb_mark", "0x200000", ["alpha new-flag=0x200000 2.0 and newer"]),
        ("skb_mark", "0x200/0xf00", ["beta kind=0x200"]),
        ("skb_mark", "0x300/0xf00", []),
        ("skb_mark", "0xca6c", ["gamma tunnel=0xca6c", "alpha masq=0x4000 -0x8a6c"]),
        ("ct_mark", "0x20000", ["gamma code=0x20000"]),
        ("ct_mark", "0x70000", []),
        ("ct_label", "0x5000000000000000000000000", ["delta label=0x5000000000000000000000000"]),
        ("ct_label", "00000000000000000000000005000000", ["delta label=0x5000000000000000000000000"]),
    ],
)
def test_readings(registry: Registry, field: str, value: str, expected: list[str]) -> None:
    assert said(Decoder(registry).decode(field, *parse(value, registry.fields[field].width))) == expected


def test_bits_mean_what_their_discriminator_says(registry: Registry) -> None:
    decoder = Decoder(registry)
    assert said(decoder.decode("skb_mark", 0x12340F00))[0] == "beta kind=0xf00 identity=0x12340000"
    assert said(decoder.decode("skb_mark", 0x12340200))[0] == "beta kind=0x200 port=0x12340000"
    assert decoder.decode("skb_mark", 0x0F00).readings[0].parts[0].meaning == "identity"


def use(access: str, mask: int, value: int, owner: str, reservation: str | None = None) -> Owned:
    place = Place("netfilter", f"iptables mangle {owner}")
    effect = masked_set("skb_mark", 32, mask, value) if access == "write" else None
    predicate = Predicate.equals("skb_mark", value, mask) if access == "read" else None
    made = Use("skb_mark", "write" if access == "write" else "read", mask, place, Scope(), "rules", (3, 4), "", effect, predicate)
    return Owned("u1", made, owner, reservation)


def test_the_node_goes_before_the_catalogue(registry: Registry) -> None:
    node = Node(
        (),
        (Component("alpha", "high", ("chain A",), "before 2.0"),),
        (use("write", 0x4000, 0x4000, "unattributed:built-in"), use("read", 0xF00, 0x200, "beta")),
        seen=(Seen("skb_mark", 0x4000, 0xFFFFFFFF, "7", 3, "ct", 9),),
    )
    decoder = Decoder(registry, NodeMap.of_node(node))
    answer = decoder.decode("skb_mark", 0x4000)
    assert [(k.name, k.count, k.line) for k in answer.node] == [("unattributed:built-in", 2, 3)]
    assert [s.count for s in answer.seen] == [3]
    assert answer.readings[0].present
    assert said(decoder.decode("skb_mark", 0x200000)) == [], "the node has the old layout"
    assert [k.owner for k in decoder.decode("skb_mark", 0x200, 0xF00).node] == ["beta"]
    assert not decoder.decode("skb_mark", 0x8000).node


def test_the_json_of_an_audit_is_the_same_node(tmp_path: Path) -> None:
    dump = tmp_path / "iptables-save.txt"
    dump.write_bytes(COLLIDES)
    audit = tmp_path / "audit.json"
    audit.write_text(markreg("audit", "--format", "json", dump).stdout, encoding="utf-8")
    words = ("decode", "skb_mark", "0x40000", "--format", "json")
    by_audit, by_path = (json.loads(markreg(*words, *more).stdout) for more in (("--audit", audit), (dump,)))
    assert by_audit == by_path
    assert {n["owner"] for n in by_audit["node"]} == {"calico", "tailscale"}
    present = [r["component"] for r in by_audit["readings"] if r["present"]]
    assert set(present) == {"calico", "tailscale"}
    assert [r["component"] for r in by_audit["readings"]][: len(present)] == present


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema":"markreg.audit/1"}', '{"schema":"markreg.audit/1","components":[1],"uses":[]}', "[" * 99999]
)
def test_what_is_no_audit_is_refused_in_words(text: str, tmp_path: Path) -> None:
    with pytest.raises(AuditError):
        NodeMap.of_audit(text)
    file = tmp_path / "x.json"
    file.write_text(text, encoding="utf-8")
    done = markreg("decode", "skb_mark", "1", "--audit", file)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no audit in JSON" in done.stderr


def test_the_text_says_when_it_holds(registry: Registry) -> None:
    text = decoded.text(Decoder(registry).decode("skb_mark", 0x104000), registry.fields["skb_mark"], False)
    assert text.startswith("skb_mark 0x104000, bits 14,20\n")
    assert "alpha: before 2.0; explains all" in text
    assert "alpha/masq (0x4000/0x4000) to be masqueraded" in text
    assert "may hold any value: delta" in text


def test_the_builtin_registry_knows_the_famous_ones() -> None:
    decoder = Decoder(load(None))
    first = {v: decoder.decode("skb_mark", v).readings[0] for v in (0xCA6C, 0x1BD20, 0x6D6F6C65)}
    assert {v: r.component for v, r in first.items()} == {0xCA6C: "wireguard", 0x1BD20: "netbird", 0x6D6F6C65: "mullvad"}
    assert decoder.decode("skb_mark", 0x40000, 0xFF0000).readings[0].component == "tailscale"
    found = {(r.component, r.releases) for r in decoder.decode("skb_mark", 0x40000).readings if r.component == "calico"}
    assert found == {("calico", "before 3.30"), ("calico", "3.30 and newer")}
    assert "kube-proxy" in {r.component for r in decoder.decode("skb_mark", 0x4000).readings[:4]}
    assert decoder.decode(CT_MARK.name, 2).readings


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("skb_mrk", "1"), "did you mean 'skb_mark'?"),
        (("skb_mark", "0x1ffffffff"), "does not fit into 32 bits"),
        (("skb_mark", "1<<32"), "outside a field of 32 bits"),
        (("skb_mark", "mark"), "not a number"),
        (("skb_mark", "1", "--audit", "x", "y"), "exclude each other"),
    ],
)
def test_a_mistake_is_said(words: tuple[str, ...], message: str) -> None:
    done = markreg("decode", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


@given(st.sampled_from(["skb_mark", "ct_mark", "ct_label"]), st.integers(0, (1 << 128) - 1), st.integers(0, (1 << 128) - 1))
def test_no_reading_explains_what_is_not_there(name: str, value: int, mask: int) -> None:
    width = BUILTIN.registry.fields[name].width
    value, mask = value & (1 << width) - 1, mask & (1 << width) - 1
    for reading in BUILTIN.decode(name, value, mask).readings:
        assert reading.parts
        assert reading.explained | reading.left == value & mask
        assert not reading.explained & reading.left
        assert all(p.value == value & mask & p.mask and p.value for p in reading.parts)


BUILTIN = Decoder(load(None))


@given(st.text(max_size=20))
def test_any_text_is_a_number_or_refused(text: str) -> None:
    try:
        value, mask = parse(text, 32)
    except BitsError:
        return
    assert 0 <= value < 1 << 32
    assert 0 <= mask < 1 << 32
