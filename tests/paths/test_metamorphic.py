"""What must not matter does not, what matters does; and a large dump is not many times a small one."""

from __future__ import annotations

from pathlib import Path

import pytest

from markreg.formats import iptables
from markreg.model import Finding, Node, Owned, Scope
from markreg.paths.analysis import Paths
from markreg.source import Source
from tests.paths.notation import WRITTEN, nft
from tests.paths.notation import iptables as written
from tests.paths.test_controls import CONTROLS, found, loud

WRITER = "raw PREROUTING > cali-w\nraw cali-w | -i cali+ -j MARK --set-xmark 0x40000/0x40000\n"
READER = "filter FORWARD > ts-r\nfilter ts-r | -m mark --mark 0x40000/0xff0000 -j ACCEPT\n"
CLOBBER = """\
raw PREROUTING > ts-w
raw ts-w | -j MARK --set-xmark 0x40000/0xff0000
mangle PREROUTING > cali-w
mangle cali-w | -j MARK --set-xmark 0x0/0xffffffff
"""


def said(findings: list[Finding]) -> list[tuple[object, ...]]:
    """What findings say, apart from names and lines."""
    return sorted((f.code, f.severity, f.field, f.mask) for f in findings if f.code.startswith("MK10") and f.severity != "note")


@pytest.mark.parametrize("kind", WRITTEN)
def test_renaming_changes_nothing(kind: str, tmp_path: Path) -> None:
    for number, control in enumerate(c for c in CONTROLS if kind in c.kinds):
        colliding = next(c.inputs(kind) for c in control.cases if not c.excluded)
        renamed = {name: _renamed(text) for name, text in colliding.items()}
        one, two = (found(tmp_path / f"{number}{n}", files) for n, files in enumerate((colliding, renamed)))
        assert said(one) == said(two), control.name


def _renamed(text: str) -> str:
    for old, new in (("cali-w", "cali-otherwise"), ("ts-r", "ts-reads"), ("eth", "ens")):
        text = text.replace(old, new).replace(old.replace("-", "_"), new.replace("-", "_"))
    return text


@pytest.mark.parametrize("kind", WRITTEN)
def test_unrelated_rules_change_nothing(kind: str, tmp_path: Path) -> None:
    name, write = WRITTEN[kind]
    unrelated = "".join(f"filter INPUT > ts-x\nfilter ts-x | -s 192.0.2.{n}/32 -j DROP\n" for n in range(3))
    alone = found(tmp_path / "alone", {name: write(WRITER + READER)})
    assert loud(alone) == ["MK101"]
    assert said(found(tmp_path / "before", {name: write(unrelated + WRITER + READER)})) == said(alone)
    assert said(found(tmp_path / "after", {name: write(WRITER + READER + unrelated)})) == said(alone)


def test_a_chain_in_two_parts_says_the_same(tmp_path: Path) -> None:
    split = READER.replace("filter ts-r |", "filter ts-r > ts-s\nfilter ts-s |")
    assert said(found(tmp_path / "one", {"iptables-save.txt": written(WRITER + READER)})) == said(
        found(tmp_path / "two", {"iptables-save.txt": written(WRITER + split)})
    )


def test_the_order_of_files_changes_nothing(tmp_path: Path) -> None:
    rules = {"a-nft.txt": nft(WRITER), "b-nft.txt": nft(READER)}
    swapped = {"a-nft.txt": rules["b-nft.txt"], "b-nft.txt": rules["a-nft.txt"]}
    assert said(found(tmp_path / "one", rules)) == said(found(tmp_path / "two", swapped))


@pytest.mark.parametrize("kind", WRITTEN)
def test_without_the_writer_there_is_nothing(kind: str, tmp_path: Path) -> None:
    name, write = WRITTEN[kind]
    assert not loud(found(tmp_path / "one", {name: write(READER)}))


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_mask_mends_what_a_whole_write_breaks(kind: str, tmp_path: Path) -> None:
    name, write = WRITTEN[kind]
    assert loud(found(tmp_path / "whole", {name: write(CLOBBER + READER)})) == ["MK102"]
    masked = CLOBBER.replace("0x0/0xffffffff", "0x0/0xff000000")
    assert not loud(found(tmp_path / "masked", {name: write(masked + READER)}))


def test_a_ladder_of_chains_is_no_exponential(tmp_path: Path) -> None:
    steps = "".join(f"mangle cali-{n} | -s 10.0.{k}.0/24 -j cali-{n + 1}\n" for n in range(60) for k in range(2))
    rules = f"mangle PREROUTING > cali-0\n{steps}mangle cali-60 | -j MARK --set-xmark 0x40000/0x40000\n{READER}"
    assert loud(found(tmp_path / "one", {"iptables-save.txt": written(rules)})) == ["MK101"]


def test_circles_are_told_and_end(tmp_path: Path) -> None:
    circle = "mangle PREROUTING > cali-0\nmangle cali-0 > cali-1\nmangle cali-1 > cali-0\n"
    rules = f"{circle}mangle cali-1 | -j MARK --set-xmark 0x40000/0x40000\n{READER}"
    findings = found(tmp_path / "one", {"iptables-save.txt": written(rules)})
    assert "MK904" in [f.code for f in findings]


def test_chains_by_the_hundred_are_few_blocks() -> None:
    rules = "".join(
        f"filter FORWARD | -d 10.0.{n % 256}.{n // 256}/32 -j cali-tw-{n}\nfilter cali-tw-{n} | -j MARK --set-xmark 0x0/0x10000\n"
        f"filter cali-tw-{n} | -s 10.9.0.0/16 -j MARK --set-xmark 0x10000/0x10000\n"
        f"filter cali-tw-{n} | -m mark --mark 0x10000/0x10000 -j RETURN\nfilter cali-tw-{n} | -j DROP\n"
        for n in range(600)
    )
    source = Source("iptables-save.txt", written(rules + "filter FORWARD > ts-r\nfilter ts-r | -j MARK --set-xmark 0x1/0x10000\n").encode())
    reading = iptables.read(source, "iptables-save", Scope())
    uses = tuple(Owned(f"u{n}", use, use.place.chain.split("-")[0]) for n, use in enumerate(reading.uses))
    region = Paths(Node((), (), uses, reading.tables), {source.path: source}, {source.path: iptables.flow}).regions[0]
    assert len(region.graph.blocks) < 10
    assert sum(len(b.items) for b in region.graph.blocks) < 20
