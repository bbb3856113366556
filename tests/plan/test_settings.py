"""A setting in the words of its component."""

from __future__ import annotations

import pytest
import tomli
import yaml

from markreg.plan.settings import places, toml
from markreg.registry.knobs import Knob, ReadAt

MASK, BIT = 0xFF000000, 9
CASES = [
    (
        "mask",
        ReadAt(env="MASK", container="node", number="hex"),
        ("environment of container node", '- { name: MASK, value: "0xff000000" }'),
    ),
    ("mask", ReadAt(kind="Felix", path="spec.mask", number="decimal"), ("Felix", "spec: { mask: 4278190080 }")),
    ("mask", ReadAt(kind="op.example/*/Net", path="spec.masks[0]", number="hex"), ("Net (op.example)", 'spec: { masks: ["0xff000000"] }')),
    (
        "mask",
        ReadAt(file="/etc/config/pbr", path="c.mask", number="hex8"),
        ("OpenWrt's /etc/config/pbr", "uci set pbr.c.mask=ff000000"),
    ),
    ("mask", ReadAt(file="/etc/x.conf", path="MASK"), ("/etc/x.conf", "MASK = 0xff000000")),
    ("bit", ReadAt(flag="--bit", process="proxy"), ("command line of proxy", "--bit=9")),
    ("bit", ReadAt(kind="K3s", path="proxy-arg", flag="--bit"), ("K3s", 'proxy-arg: ["bit=9"]')),
    ("bit", ReadAt(config_map="conf", key="bit"), ("ConfigMap conf", 'bit: "9"')),
    ("bit", ReadAt(config_map="conf", key="a.yaml:x.bit"), ("ConfigMap conf, a.yaml", "x: { bit: 9 }")),
    ("bit", ReadAt(helm="a.bit"), ("Helm values", "a: { bit: 9 }")),
    ("bit", ReadAt(cni="portmap", key="bit"), ("CNI plugin portmap", '"bit": 9')),
    ("bit", ReadAt(annotation="example.com/bit"), ("annotation", 'example.com/bit: "9"')),
    ("bit", ReadAt(nb="ACL.bit"), ("OVN northbound", "ACL.bit = 9")),
]


@pytest.mark.parametrize(("kind", "place", "expected"), CASES, ids=[c[2][0] for c in CASES])
def test_a_place_has_its_notation(kind: str, place: ReadAt, expected: tuple[str, str]) -> None:
    knob = Knob("k", kind, read=(place,))  # type: ignore[arg-type]
    assert list(places(knob, MASK if kind == "mask" else BIT, {})) == [expected]
    if place.kind or place.helm or place.env or place.annotation:
        assert yaml.safe_load(expected[1])


def test_places_that_do_not_count_or_take_no_number_are_left_out() -> None:
    read = (
        ReadAt(kind="A", path="a", when={"mode": ("on",)}),
        ReadAt(kind="B", path="b", when={"mode": ("off",)}),
        ReadAt(kind="C", path="c", values={"x": 1}),
        ReadAt(kind="D", path="d", number="elsewhere"),
    )
    assert [where for where, _ in places(Knob("k", "bit", read=read), BIT, {"mode": "on"})] == ["A"]


def test_what_a_plan_pins() -> None:
    assert toml(Knob("k", "mask"), MASK) == "0xff000000"
    assert tomli.loads(f"x = {toml(Knob('k', 'bit'), BIT)}") == {"x": 9}
