"""For every mechanism of the path analysis a rule set that collides and a twin that the mechanism excludes, in iptables and in nft."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import pytest

from markreg.audit import audit
from markreg.inputs import gather
from markreg.model import Finding
from markreg.registry.load import load
from markreg.registry.model import Registry
from markreg.resources import builtin_registry
from tests.paths.notation import WRITTEN, Control, control, nft

CONTROLS = [control(path) for path in sorted((Path(__file__).parent / "controls").glob("*.control"))]
LOUD = ("MK101", "MK102", "MK104", "MK105", "MK107")
WALKED = ("MK101", "MK102", "MK104")


@cache
def registry() -> Registry:
    """The one that ships."""
    return load(builtin_registry())


def found(folder: Path, files: dict[str, str]) -> list[Finding]:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return list(audit(gather([str(folder)], io.BytesIO()), registry()).findings)


def loud(findings: list[Finding]) -> list[str]:
    return [f.code for f in findings if f.code in LOUD and f.severity != "note"]


@pytest.mark.parametrize(("one", "kind"), [pytest.param(c, kind, id=f"{c.name}-{kind}") for c in CONTROLS for kind in c.kinds])
def test_a_control_and_its_twins(one: Control, kind: str, tmp_path: Path) -> None:
    for number, case in enumerate(one.cases):
        findings = found(tmp_path / str(number), case.inputs(kind))
        heard = set(loud(findings))
        if case.excluded:
            assert heard <= set(case.codes)
            assert set(case.codes) <= {f.code for f in findings}
            continue
        assert heard == set(case.codes)
        finding = next(f for f in findings if f.code == case.codes[0])
        if finding.code in WALKED:
            assert finding.severity == case.severity
            assert finding.path[0]["step"] in ("write", "victim")
        assert finding.path[-1]["step"] == "read"


def test_a_control_has_both() -> None:
    assert all({case.excluded for case in one.cases} == {False, True} for one in CONTROLS)
    assert all(case.codes for one in CONTROLS for case in one.cases if not case.excluded)


WRITER = "raw PREROUTING > cali-w\nraw cali-w | -j MARK --set-xmark 0x40000/0x40000\n"
READER = "filter FORWARD > ts-r\nfilter ts-r | -m mark --mark 0x40000/0xff0000 -j ACCEPT\n"


@pytest.mark.parametrize("kind", WRITTEN)
def test_families_and_namespaces_keep_apart(kind: str, tmp_path: Path) -> None:
    name, write = WRITTEN[kind]
    assert loud(found(tmp_path / "one", {f"a-{name}": write(WRITER), f"b-{name}": write(READER)})) == ["MK101"]
    assert not loud(found(tmp_path / "two", {f"a-{name}": write(WRITER), f"ip6-{name}": write(READER, "ip6")}))
    other = name.replace(".txt", ".netns-pod.txt")
    assert not loud(found(tmp_path / "three", {f"a-{name}": write(WRITER), other: write(READER)}))


def test_inet_meets_both_families(tmp_path: Path) -> None:
    for number, family in enumerate(("ip", "ip6", "inet")):
        files = {"nft.txt": nft(WRITER, "inet") + nft(READER, family)}
        assert loud(found(tmp_path / str(number), files)) == ["MK101"]


def test_of_equal_priorities_either_may_come_first(tmp_path: Path) -> None:
    chain = "table ip {0} {{\n  chain c {{\n    type filter hook forward priority 0; policy accept;\n    {1}\n  }}\n}}\n"
    writer, reader = chain.format("b", "meta mark set meta mark | 0x1"), chain.format("a", "meta mark & 0x3 == 0x1 accept")
    assert loud(found(tmp_path / "one", {"nft.txt": reader + writer})) == ["MK101"]
    assert not loud(found(tmp_path / "two", {"nft.txt": reader + writer.replace("priority 0", "priority 1")}))


def test_a_verdict_map_is_a_condition_and_a_way(tmp_path: Path) -> None:
    rules = WRITER + READER
    ruleset = nft(rules).replace("meta mark & 0x00ff0000 == 0x00040000 accept", 'iifname vmap { "eth0" : jump deep, "eth1" : accept }')
    ruleset = ruleset.replace(
        "  chain filter_ts_r {", "  chain deep {\n    meta mark & 0x00ff0000 == 0x00040000 accept\n  }\n  chain filter_ts_r {"
    )
    assert "deep" in ruleset
    assert loud(found(tmp_path / "one", {"nft.txt": ruleset})) == ["MK101"]
    assert not loud(found(tmp_path / "two", {"nft.txt": ruleset.replace('"eth0" : jump deep, ', "")}))
