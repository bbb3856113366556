"""Which registry file counts, and what one file makes of another."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markreg import resources
from markreg.registry.load import discover, load, locate
from markreg.registry.merge import merge
from markreg.registry.model import ComponentEntry, Recognise, RegistryFile, Reservation

CASES = Path(__file__).resolve().parent / "cases"
NODE = CASES / "registries" / "node.toml"


def test_the_file_named_goes_before_all_others(tmp_path: Path) -> None:
    (tmp_path / "registry.toml").write_text("version = 1\n")
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    named = Path("named.toml")
    assert discover(named, inner, {"MARKREG_REGISTRY": "/x"}) == named
    assert discover(None, inner, {"MARKREG_REGISTRY": "/x"}) == Path("/x")
    assert discover(None, inner, {"MARKREG_REGISTRY": ""}) == tmp_path / "registry.toml"


def test_what_ships_is_the_last_resort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("markreg.registry.load.SYSTEM", tmp_path / "none")
    assert discover(None, Path("/"), {}) == resources.builtin_registry()


def test_what_ships_is_in_order() -> None:
    registry = load(resources.builtin_registry())
    assert registry.kind == "catalogue"


def test_a_file_of_ones_own_replaces_the_catalogue_but_not_the_signatures(tmp_path: Path) -> None:
    own = tmp_path / "registry.toml"
    own.write_text('version = 1\n[[component]]\nname = "ours"\nrecognise = [{ in = "iptables", chain = "OURS", confidence = "high" }]\n')
    registry = load(own, rules=CASES / "rules")
    assert set(registry.components) == {"ours"}
    assert {"ours", "calico", "kubelet"} <= set(registry.rules)
    assert registry.path == str(own)
    assert registry.sha256 == hashlib.sha256(own.read_bytes()).hexdigest()


def test_the_nearest_file_wins_entry_by_entry(tmp_path: Path) -> None:
    far = tmp_path / "far.toml"
    far.write_text(
        """version = 1
[[component]]
name = "a"
homepage = "https://a.example"
title = "A"
reservation = [
  { name = "x", field = "ct_mark", bits = "1", until = "2.0", note = "far", source = "o" },
  { name = "x", field = "ct_mark", bits = "2", since = "2.0", source = "o" },
  { name = "y", field = "ct_mark", bits = "3", source = "o" },
]
[[agreement]]
owners = ["a", "b"]
field = "ct_mark"
bits = "1"
reason = "far"
[[component]]
name = "b"
"""
    )
    (tmp_path / "near").mkdir()
    near = tmp_path / "near" / "registry.toml"
    near.write_text(
        """version = 1
extends = "../far.toml"
[[component]]
name = "a"
title = "Ours"
reservation = [{ name = "x", field = "ct_mark", bits = "7", source = "o" }]
[[agreement]]
owners = ["a", "b"]
field = "ct_mark"
bits = "2"
reason = "near"
"""
    )
    registry = load(near, rules=CASES / "rules")
    entry = registry.components["a"]
    assert (entry.title, entry.homepage) == ("Ours", "https://a.example")
    assert [(r.name, r.bits, r.note) for r in entry.reservation] == [("x", "7", ""), ("y", "3", "")]
    assert [a.reason for a in registry.agreements] == ["far", "near"]
    assert registry.declared == ("a",)
    assert locate(entry.reservation[0].origin) == (6, 16, 17)
    assert locate(entry.reservation[1].origin)[0] == 9


names = st.sampled_from("abc")
rows = st.builds(Reservation, name=names, source=st.just(("o",)), bits=st.sampled_from(["1", "2", None]), note=st.sampled_from(["", "n"]))
signatures = st.builds(Recognise, in_=st.just(("nft",)), confidence=st.just("high"), table=st.tuples(names))
components = st.builds(
    ComponentEntry,
    name=names,
    title=st.sampled_from(["", "t", "u"]),
    reservation=st.lists(rows, max_size=4).map(tuple),
    recognise=st.lists(signatures, max_size=2).map(tuple),
)
files = st.builds(
    RegistryFile,
    version=st.just(1),
    kind=st.sampled_from(["catalogue", "plan"]),
    component=st.lists(components, max_size=3, unique_by=lambda c: c.name).map(tuple),
)


@given(files, files, files)
def test_three_files_are_one_however_they_are_joined(a: RegistryFile, b: RegistryFile, c: RegistryFile) -> None:
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


@given(files)
def test_a_file_over_nothing_is_itself(a: RegistryFile) -> None:
    def tidy(file: RegistryFile) -> list[ComponentEntry]:
        return list(merge(RegistryFile(1), file).component)

    assert tidy(a) == list(a.component)


@given(files, files)
def test_what_is_near_is_what_counts(far: RegistryFile, near: RegistryFile) -> None:
    merged = {c.name: c for c in merge(far, near).component}
    for entry in near.component:
        for name in {r.name for r in entry.reservation}:
            assert [r for r in merged[entry.name].reservation if r.name == name] == [r for r in entry.reservation if r.name == name]
