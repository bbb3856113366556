"""``show``: anything in any spelling."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markreg.registry.load import load
from markreg.registry.show import NotFoundError, look_up, render

CASES = Path(__file__).resolve().parent / "cases"
REGISTRY = load(CASES / "registries" / "node.toml", rules=CASES / "rules")


@pytest.mark.parametrize(
    ("what", "paths"),
    [
        ("kube-proxy", ["kube-proxy/masquerade"]),
        ("kube-proxy/masquerade", ["kube-proxy/masquerade"]),
        ("masquerade", ["kube-proxy/masquerade"]),
        ("skb_mark:14", ["kube-proxy/masquerade"]),
        ("skb_mark[14]", ["kube-proxy/masquerade"]),
        ("14", ["kube-proxy/masquerade"]),
        ("1<<14", ["kube-proxy/masquerade"]),
        ("0x4000", ["kube-proxy/masquerade"]),
        ("0x4000/0x4000", ["kube-proxy/masquerade"]),
        ("16384", []),
        ("0x40000/0xff0000", ["calico/accept", "calico/pass", "calico/drop", "calico/scratch0", "calico/scratch1", "tailscale/subnet"]),
        ("524288", ["tailscale/bypass"]),
        ("5210", []),
        ("cali-PREROUTING", ["calico/accept"]),
        ("ct_label[96..127]", []),
        ("kubelet", []),
    ],
)
def test_every_spelling(what: str, paths: list[str]) -> None:
    found = [m.path for m in look_up(REGISTRY, what).matches]
    assert found[: len(paths)] == paths
    assert bool(found) == bool(paths)


def test_a_number_may_be_a_priority() -> None:
    assert look_up(REGISTRY, "5210").tells == ("mwan3: ip-rule priority 1000-5999 (low)", "tailscale: ip-rule priority 5210-5270 (medium)")


def test_a_chain_tells_its_component() -> None:
    answer = look_up(REGISTRY, "KUBE-SVC-ABCDEF")
    assert {m.component for m in answer.matches} == {"kube-proxy"}
    assert answer.tells == ("kube-proxy: iptables chain KUBE-SVC-* (high)",)


def test_what_else_is_near() -> None:
    answer = look_up(REGISTRY, "tailscale/bypass")
    assert "calico/drop" in [m.path for m in answer.near]
    assert "kube-proxy/masquerade" not in [m.path for m in answer.near]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("kube-prox", "did you mean 'kube-proxy'?"),
        ("skb_mark:32", "bit 32 is outside a field of 32 bits"),
        ("", "nothing to look up"),
        ("x" * 10_000, "too long"),
        ("1<<9999999999", "nothing in the registry"),
    ],
)
def test_what_is_not_there(what: str, message: str) -> None:
    with pytest.raises(NotFoundError, match=message.replace("?", r"\?")):
        look_up(REGISTRY, what)


def test_as_text() -> None:
    text = render(look_up(REGISTRY, "calico/drop"))
    assert text.splitlines()[0] == "calico/drop: reservation calico/drop"
    assert "calico/drop  skb_mark 18 (0x40000)" in text
    assert "near (shares a bit):" in text
    text = render(look_up(REGISTRY, "calico/endpoint"))
    assert "with ipvs = true" in text
    assert "not in force at defaults: needs ipvs = true" in text


@given(st.text(alphabet="0123456789abcdefx/<:[].-* _skbmrt", max_size=30))
def test_any_text_is_answered_or_not_found(what: str) -> None:
    try:
        assert render(look_up(REGISTRY, what))
    except NotFoundError as error:
        assert str(error)
