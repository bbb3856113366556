"""The registry for others: a schema that the shipped files and the loader agree with, tables, JSON."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import jsonschema
import pytest
import tomli

from markreg.registry.errors import RegistryError
from markreg.registry.export import document, markdown
from markreg.registry.json_schema import ROOTS, json_schema, text
from markreg.registry.load import load
from tests.support import ROOT

CASES = Path(__file__).resolve().parent / "cases"
COMPONENTS = sorted((ROOT / "rules" / "components").glob("*.toml"))
# What the types of a file cannot say.
BY_TYPE = ("missing-source", "missing-version", "unknown-key", "unknown-key-inline", "unknown-key-top", "wrong-choice", "wrong-type")


def data(path: Path) -> object:
    """A TOML file as JSON has it."""

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        if isinstance(value, list):
            return [plain(v) for v in value]
        return value.isoformat() if isinstance(value, date) else value

    return plain(tomli.loads(path.read_text(encoding="utf-8")))


VALIDATORS = {name: jsonschema.Draft202012Validator(json_schema(root)) for name, root in ROOTS.items()}


@pytest.mark.parametrize("name", ROOTS)
def test_the_schema_is_one_and_lies_in_docs(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema(ROOTS[name]))
    file = {"schema": "registry", "component-schema": "component"}[name]
    shipped = ROOT / "docs" / "schema" / f"{file}.schema.json"
    assert shipped.read_text(encoding="utf-8") == text(name), f"markreg registry export --format {name} -o {shipped}"


def test_the_registry_that_ships_is_valid() -> None:
    VALIDATORS["schema"].validate(data(ROOT / "registry.toml"))


@pytest.mark.parametrize("path", COMPONENTS, ids=lambda p: p.stem)
def test_component_files_are_valid(path: Path) -> None:
    VALIDATORS["component-schema"].validate(data(path))


@pytest.mark.parametrize("path", sorted(CASES.glob("overlaps/*.toml")) + sorted(CASES.glob("registries/*.toml")), ids=lambda p: p.stem)
def test_what_the_loader_takes_the_schema_takes(path: Path) -> None:
    load(path, rules=CASES / "rules")
    VALIDATORS["schema"].validate(data(path))


@pytest.mark.parametrize("name", BY_TYPE)
def test_what_is_wrong_by_type_both_refuse(name: str) -> None:
    path = CASES / "invalid" / f"{name}.toml"
    with pytest.raises(RegistryError):
        load(path, rules=CASES / "rules")
    assert list(VALIDATORS["schema"].iter_errors(data(path)))


def test_a_table_of_a_component() -> None:
    registry = load(CASES / "registries" / "node.toml", rules=CASES / "rules")
    made = markdown(registry, ["kube-proxy"])
    assert made.startswith("## kube-proxy\n")
    assert "| `kube-proxy/masquerade` | skb_mark | 14 (0x4000) |" in made
    assert "calico" not in made
    assert len({line.count("|") for line in made.splitlines() if line.startswith("|")}) == 1


def test_a_pipe_in_a_title_does_not_end_the_cell(tmp_path: Path) -> None:
    file = tmp_path / "registry.toml"
    file.write_text(
        'version = 1\n[[component]]\nname = "a"\n'
        'reservation = [{ name = "x", field = "ct_mark", bits = "1",title = "a|b\\nc", source = "s" }]\n'
    )
    assert "a\\|b c" in markdown(load(file, rules=CASES / "rules"))


def test_the_document_has_rows_as_written_and_as_they_are() -> None:
    registry = load(CASES / "registries" / "node.toml", rules=CASES / "rules")
    made = json.loads(document(registry))
    assert made["schema"] == "markreg.registry/1"
    rows = {r["path"]: r for c in made["components"] for r in c["reservations"]}
    assert rows["calico/accept"]["mask"] == "0x10000"
    assert rows["kube-proxy/masquerade"]["bits_from"]["knob"] == "masquerade-bit"
    assert len(made["components"]) == sum(1 for c in registry.components.values() if c.reservation)
