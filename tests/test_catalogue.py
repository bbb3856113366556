"""The public registry: complete, sourced, and printed as pages that are never stale."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from markreg.bits import parse_bits
from markreg.catalogue import INDEX, PAIRS, pages
from markreg.registry import skeleton
from markreg.registry.effective import Resolver, layouts
from markreg.registry.load import load
from markreg.registry.model import Registry
from markreg.registry.overlaps import check
from tests.support import ROOT, markreg

DOCS = ROOT / "docs" / "registry"

# The rows of the fwmark registry (README of 2020-08-24), each with where its bits are here and what is different today.
ROWS_OF_2020 = {
    "Cilium 0-12,16-31": ("cilium", "skb_mark", "0-12,16-31"),  # and 13-15 with IPsec keys
    "AWS CNI 7": ("aws-vpc-cni", "skb_mark", "7"),
    "CNI Portmap 13": ("cni-portmap", "skb_mark", "13"),
    "Kubernetes 14": ("kube-proxy", "skb_mark", "14"),
    "Kubernetes 15": ("kubelet", "skb_mark", "15"),  # gone since 1.28
    "Calico 16-31": ("calico", "skb_mark", "16-31"),
    "Weave Net 17-18": ("weave", "skb_mark", "17-18"),
    "Tailscale 18-19": ("tailscale", "skb_mark", "18-19"),  # the whole byte 16-23
    "OpenShift any": ("ovn-kubernetes", "skb_mark", "0-31"),
    "Antrea 0x800": ("antrea", "skb_mark", "11"),  # retired in 0.9
    "Istio 0x1337": ("istio", "skb_mark", "0,3-5,8,10"),  # decimal: 0x539
    "AWS AppMesh 0x1e7700ce": ("aws-app-mesh", "skb_mark", "1-3,6-7,16-18,20-22,25-28"),
}
CODES_OF_2020 = {"antrea": 0x800, "istio": 0x539, "aws-app-mesh": 0x1E7700CE}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load(ROOT / "registry.toml")


def test_the_pages_are_as_they_would_be_made(registry: Registry) -> None:
    """``markreg registry pages docs/registry`` makes them anew."""
    made = dict(pages(registry))
    there = {str(path.relative_to(DOCS)): path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md")}
    assert sorted(there) == sorted(made)
    assert [path for path, text in made.items() if there[path] != text] == []


def test_every_link_of_the_pages_leads_somewhere(registry: Registry) -> None:
    made = dict(pages(registry))
    for path, text in made.items():
        for target in re.findall(r"\]\(([^)#:]+\.(?:md|toml))\)", text):
            assert (DOCS / path).parent.joinpath(target).resolve().is_file(), (path, target)


def test_the_index_has_every_component_and_a_word_for_each_field(registry: Registry) -> None:
    made = dict(pages(registry))
    for name in registry.components:
        assert f"(components/{name}.md)" in made[INDEX]
    assert "## skb_mark" in made[INDEX]
    assert "## ct_label" in made[INDEX]
    assert "[calico](components/calico.md), [tailscale](components/tailscale.md)" in made[PAIRS]


def test_a_page_says_what_moves_and_what_gets_in_the_way(registry: Registry) -> None:
    page = dict(pages(registry))["components/calico.md"]
    for words in (
        "| `scratch0` | 18 | 19 |",
        "`env FELIX_IPTABLESMARKMASK",
        "## Known collisions",
        "0xff000000",
        "[tailscale](tailscale.md)",
    ):
        assert words in page, words


def test_no_cell_breaks_its_table(registry: Registry) -> None:
    for path, text in pages(registry):
        for block in re.findall(r"(?m)(?:^\|.*\|\n)+", text):
            columns = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
            assert len(columns) == 1, (path, block)


@pytest.mark.parametrize("row", ROWS_OF_2020)
def test_the_rows_of_2020_are_here(row: str, registry: Registry) -> None:
    name, field, bits = ROWS_OF_2020[row]
    entry = registry.components[name]
    held, codes = 0, set()
    for layout in layouts(entry):
        for found in Resolver(registry, releases={name: layout}).rows(name):
            if found.field == field:
                held |= found.mask
                codes |= {code for code, _ in found.codes}
    assert not parse_bits(bits, 32) & ~held
    assert CODES_OF_2020.get(name, 0) in codes | {0}


def test_every_number_has_a_source(registry: Registry) -> None:
    for entry in registry.components.values():
        for row in entry.reservation:
            assert row.source, f"{entry.name}/{row.name}"
            assert all(len(text.strip()) > 5 for text in row.source), f"{entry.name}/{row.name}"
            assert row.checked or row.status == "retired", f"{entry.name}/{row.name}"
            assert row.title, f"{entry.name}/{row.name}"


def test_every_known_collision_says_what_happens_and_what_to_do(registry: Registry) -> None:
    for conflict in registry.conflicts:
        assert len(conflict.mechanism) > 20, conflict.between
        assert conflict.way_out, conflict.between
        assert conflict.source, conflict.between
        assert all(re.search(r"[\w.-]+/[\w.-]+[@#]\w", text) for text in conflict.source), conflict.source


def test_it_passes_its_own_check(registry: Registry) -> None:
    assert registry.kind == "catalogue"
    assert check(registry) == ()


class TestAddComponent:
    def test_it_adds_a_block_and_a_file_that_say_what_is_missing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "registry.toml").write_text('version = 1\n\n[[component]]\nname = "a"\n\n[[accepted]]\ncode = "MK202"\nreason = "r"\n')
        (tmp_path / "rules" / "components").mkdir(parents=True)
        said = markreg("markreg registry add-component my-cni", tmp_path, monkeypatch)
        assert "registry.toml: fill in what is empty" in said
        text = (tmp_path / "registry.toml").read_text()
        assert text.index('name = "a"') < text.index('name = "my-cni"') < text.index("[[accepted]]")
        assert 'component = "my-cni"' in (tmp_path / "rules" / "components" / "my-cni.toml").read_text()
        for key, value, complaint in (("bits", "3", "no bit at all"), ("source", "me/my-cni@1 mark.go", "needs a source")):
            assert complaint in markreg("markreg registry check", tmp_path, monkeypatch)
            file = tmp_path / "registry.toml"
            file.write_text(file.read_text().replace(f'\n{key} = ""', f'\n{key} = "{value}"', 1))
        assert "MK307" not in markreg("markreg registry check", tmp_path, monkeypatch)

    def test_a_dry_run_changes_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "registry.toml").write_text("version = 1\n")
        assert 'name = "my-cni"' in markreg("markreg registry add-component my-cni --dry-run", tmp_path, monkeypatch)
        assert (tmp_path / "registry.toml").read_text() == "version = 1\n"

    @pytest.mark.parametrize(
        ("name", "said"), [("calico", "registered already"), ("My CNI", "no slug"), ("../x", "no slug"), ("a" * 99, "no slug")]
    )
    def test_what_is_no_new_name_is_refused(self, name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "registry.toml").write_text('version = 1\nextends = "builtin"\n')
        assert said in markreg(f"markreg registry add-component '{name}'", tmp_path, monkeypatch)

    def test_the_skeleton_of_a_file_is_a_component_file(self, tmp_path: Path) -> None:
        _, rules = skeleton.texts("my-cni")
        (tmp_path / "rules").mkdir()
        (tmp_path / "rules" / "my-cni.toml").write_text(rules)
        (tmp_path / "registry.toml").write_text("version = 1\n")
        assert load(tmp_path / "registry.toml", rules=tmp_path / "rules").rules["my-cni"].recognise[0].confidence == "high"
