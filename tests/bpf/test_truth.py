"""Every program of cases/ in every build, held against what was read from its source (cases/truth.toml explains the keys)."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from markreg.bpf import Constants, Facts, Site, analyse, analyse_all
from markreg.bpf.objects import read
from markreg.transfer import Word

CASES = Path(__file__).parent / "cases"
TRUTH = tomllib.loads((CASES / "truth.toml").read_text())["program"]


def builds(name: str) -> list[Path]:
    """An object and the same source under other compilers, instruction sets and byte orders."""
    return [CASES / name, *sorted((CASES / "variants").glob(f"{name.removesuffix('.o')}.*"))]


CHECKS = [(path, truth) for truth in TRUTH for path in builds(truth["object"])]
IDS = [f"{path.stem}-{truth['name']}" for path, truth in CHECKS]


@cache
def facts(path: Path, as_built: bool = False) -> dict[str, Facts]:
    return {f.program.name: f for f in analyse_all(read(path.read_bytes()), Constants(as_built=as_built))}


def data_of(effect: Word) -> int:
    """Bits that get a value which is no constant."""
    mask = effect.other
    for source, bits in effect.copies:
        if source != ("skb_mark", 0, False):
            mask |= bits
    return mask


def net(found: Facts) -> Iterator[Site]:
    return (site for site in found.mark.sites if site.net)


@pytest.mark.parametrize(("path", "truth"), CHECKS, ids=IDS)
def test_a_program_is_read_as_its_source_says(path: Path, truth: dict[str, Any]) -> None:
    found = facts(path)[truth["name"]]
    mark = found.mark
    effect = mark.effect or Word(32)
    exact = truth.get("other", {}).get("write_mask_exact", truth["write_mask"])
    assert mark.reads == truth["reads"]
    assert mark.mask in (truth["write_mask"], exact)
    assert effect.one in (truth["set"], truth["set"] & exact)
    assert effect.zero in (truth["clear"], truth["clear"] & exact)
    assert data_of(effect) == truth["data"]
    assert found.program.section == truth["section"]
    assert not found.limits
    assert not found.notes


@pytest.mark.parametrize(("path", "truth"), CHECKS, ids=IDS)
def test_its_questions_and_sources_are_found(path: Path, truth: dict[str, Any]) -> None:
    found = facts(path)[truth["name"]]
    asked = {(t.mask, t.value) for t in found.mark.tests if t.value is not None}
    wanted = {(mask, value) for mask, value in truth["tests"]}
    assert wanted <= asked
    assert all(mask.bit_count() == 1 for mask, _ in asked - wanted), "a test of one bit need not be listed"
    if truth["data"]:
        assert {origin for site in net(found) for origin in site.origin} == set(truth["sources"])


@pytest.mark.parametrize(
    ("path", "truth"), [c for c in CHECKS if "other" in c[1]], ids=[i for i, c in zip(IDS, CHECKS, strict=True) if "other" in c[1]]
)
def test_other_marks_and_other_modes(path: Path, truth: dict[str, Any]) -> None:
    found = facts(path)[truth["name"]]
    other = truth["other"]
    sockets = [h for h in found.handed if h.kind == "socket"]
    lookups = [h for h in found.handed if h.kind == "fib"]
    connections = [h for h in found.handed if h.kind == "ct"]
    said = {
        "so_mark_set": [h.effect.one for h in sockets],
        "fib_mark": [h.effect.one for h in lookups],
        "fib_mark_from_skb_mark": [h.effect.keeps("skb_mark") for h in lookups],
        "ct_mark_write": [h.mask for h in connections],
        "ct_mark_from_skb_mark": [h.effect.keeps("skb_mark") for h in connections],
    }
    for key, values in said.items():
        if key in other:
            assert values == [other[key]]
    assert ("sk_mark" in found.touched) == other.get("sk_mark_read", False)
    if "ct_mark_read" in other:
        assert found.loaded["ct_mark"][0] == other["ct_mark_read"]
    if "core_reads" in other:
        assert [name for name, _ in found.accesses] == other["core_reads"]
    if "transient_set" in other:
        assert found.mark.transient is not None
        assert found.mark.transient.one == other["transient_set"]
    if built := other.get("as_built"):
        mark = facts(path, as_built=True)[truth["name"]].mark
        effect = mark.effect or Word(32)
        had = {"reads": mark.reads, "write_mask": mark.mask, "set": effect.one, "clear": effect.zero}
        assert {key: had[key] for key in built} == built


def test_given_constants_take_the_place_of_what_a_loader_writes() -> None:
    held = read((CASES / "s08_config.o").read_bytes())
    programs = {p.name: p for p in held.programs}
    mark = analyse(programs["from_data"], Constants({"tmpl_mark": 0x77})).mark
    assert (mark.mask, mark.effect) == (0xFFFFFFFF, Word.const(0x77, 32))
    assert data_of(analyse(programs["from_config"], Constants({"cfg_mask": 1})).mark.effect or Word(32)) == 0xFFFF0000


def test_only_programs_are_programs() -> None:
    held = read((CASES / "s04_subprog.o").read_bytes())
    assert [p.name for p in held.programs] == ["call_put", "call_get", "call_global"]
    kinds = {p.name: p.context.name for p in read((CASES / "s07_sock.o").read_bytes()).programs}
    assert (kinds["sock_set"], kinds["conn_opt"], kinds["ops_opt"]) == ("bpf_sock", "bpf_sock_addr", "bpf_sock_ops")
