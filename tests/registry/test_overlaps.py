"""What excuses an overlap, each with a twin that nothing excuses; the cases are files."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from markreg.model import Finding
from markreg.registry import accepted
from markreg.registry.agreements import Side, agreed
from markreg.registry.load import load
from markreg.registry.model import Registry
from markreg.registry.overlaps import check

CASES = Path(__file__).resolve().parent / "cases"


def loaded(path: Path) -> Registry:
    return load(path, rules=CASES / "rules")


@pytest.mark.parametrize("case", sorted((CASES / "overlaps").glob("*.toml")), ids=lambda p: p.stem)
def test_an_overlap_is_excused_or_reported(case: Path) -> None:
    expected = [line.removeprefix("#! ") for line in case.read_text(encoding="utf-8").splitlines() if line.startswith("#! ")]
    found = [f"{f.code} {f.severity} {' '.join(f.owners)} {f.mask:#x} {f.message}" for f in check(loaded(case))]
    assert len(found) == len([e for e in expected if e != "silent"]), found
    for said, wanted in zip(found, [e for e in expected if e != "silent"], strict=True):
        assert said.startswith(wanted), said


def test_a_finding_shows_both_lines() -> None:
    (finding,) = check(loaded(CASES / "overlaps" / "4-children-meet.toml"))
    assert [(loc.owner, loc.line, loc.column) for loc in finding.locations] == [("b/low", 10, 12), ("b/high", 11, 12)]
    assert 'name = "low"' in finding.locations[0].text
    assert finding.help


def test_the_examples_of_a_node_are_clean() -> None:
    assert check(loaded(CASES / "registries" / "node.toml")) == ()


def test_two_components_are_one_finding(tmp_path: Path) -> None:
    file = tmp_path / "registry.toml"
    rows = "".join(f'{{ name = "x{n}", field = "ct_mark", bits = "{n}", source = "o" }},' for n in range(5))
    other = '{ name = "y", field = "ct_mark", bits = "0-3", source = "o" },'
    whole = '{ name = "z", field = "ct_mark", bits = "8", writes = "whole", source = "o" }'
    a, b = (f'[[component]]\nname = "{name}"\nreservation = [{held}]\n' for name, held in (("a", rows), ("b", other + whole)))
    file.write_text(f"version = 1\n{a}{b}")
    found = check(loaded(file))
    between = [f for f in found if f.owners == ("a", "b")]
    assert [(f.severity, f.mask, f.occurrences, len(f.locations)) for f in between] == [("error", 0xF, 4, 4)]
    assert between[0].message == "a (x0, x1, x2, x3) and b/y both have ct_mark bits 0-3"
    assert [f.owners for f in found if f not in between] == [("b/y", "b/z")]


AGREED = """version = 1
[[component]]
name = "a"
reservation = [{ name = "x", field = "ct_mark", bits = "1", source = "o" }]
[[component]]
name = "b"
[[agreement]]
owners = ["a/x", "b"]
field = "ct_mark"
bits = "1-2"
allows = { b = "read" }
reason = "r"
"""


def test_who_may_do_what_under_an_agreement(tmp_path: Path) -> None:
    file = tmp_path / "registry.toml"
    file.write_text(AGREED)
    registry = loaded(file)
    assert agreed(registry, Side("a/x", "write"), Side("b", "read"), "ct_mark", 0b110)
    assert agreed(registry, Side("b", "read"), Side("a/x", "write"), "ct_mark", 0b10)
    assert not agreed(registry, Side("a/x", "write"), Side("b", "write"), "ct_mark", 0b10)
    assert not agreed(registry, Side("a/x", "write"), Side("b", "read"), "ct_mark", 0b1010)
    assert not agreed(registry, Side("a/x", "write"), Side("b", "read"), "skb_mark", 0b10)
    assert not agreed(registry, Side("a/y", "write"), Side("b", "read"), "ct_mark", 0b10)
    assert not agreed(registry, Side("b", "write"), Side("b", "read"), "ct_mark", 0b10)


ACCEPTED = """version = 1
[[component]]
name = "flannel"
[[accepted]]
code = "MK202"
owners = ["flannel"]
field = "skb_mark"
reason = "r"
until = 2027-06-30
"""


def test_accepted_findings_are_hidden_until_the_day(tmp_path: Path) -> None:
    file = tmp_path / "registry.toml"
    file.write_text(ACCEPTED)
    registry = loaded(file)
    ours = Finding("MK202", "warning", "m", "skb_mark", 1, ("flannel/masq", "kube-proxy"))
    other = Finding("MK202", "warning", "m", "ct_mark", 1, ("flannel", "kube-proxy"))
    assert accepted.apply([ours, other], registry, day=date(2027, 6, 29)) == (other,)
    found = accepted.apply([ours], registry, day=date(2027, 6, 30))
    assert [f.code for f in found] == ["MK202", "MK308"]
    assert found[1].message == "the accepted MK202 of flannel expired on 2027-06-30"
    assert found[1].locations[0].line == 4


def test_an_accepted_entry_that_hides_nothing_is_told_of_where_that_can_be_known(tmp_path: Path) -> None:
    file = tmp_path / "registry.toml"
    file.write_text(ACCEPTED)
    registry = loaded(file)
    day = date(2027, 1, 1)
    assert accepted.apply([], registry, judged=("MK305",), day=day) == ()
    assert [f.message for f in accepted.apply([], registry, judged=("MK202",), day=day)] == [
        "the accepted MK202 of flannel matched nothing"
    ]


def test_the_day_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert accepted.today() == date(1970, 1, 2)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "soon")
    assert accepted.today() > date(2024, 1, 1)
