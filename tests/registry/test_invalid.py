"""Every kind of mistake in a registry file: where it is said to be, and what is said. The first line of a case tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from markreg.registry.errors import RegistryError
from markreg.registry.load import load

CASES = Path(__file__).resolve().parent / "cases"


@pytest.mark.parametrize("case", sorted((CASES / "invalid").glob("*.toml")), ids=lambda p: p.stem)
def test_a_mistake_is_shown_where_it_is(case: Path) -> None:
    expected = case.read_text(encoding="utf-8").splitlines()[0].removeprefix("#! ")
    place, _, message = expected.partition(" ")
    with pytest.raises(RegistryError) as caught:
        load(case, rules=CASES / "rules")
    error = caught.value
    assert f"{error.line}:{error.column}" == place, error
    assert message in error.message
    assert str(error).startswith(f"{case}:{place}: MK307 ")


def test_a_component_file_is_checked_too(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text('component = "x"\n[[knob]]\nname = "b"\ntype = "bit"\ndefault = "many"\n')
    with pytest.raises(RegistryError) as caught:
        load(CASES / "registries" / "node.toml", rules=tmp_path)
    assert (caught.value.path, caught.value.line, caught.value.column) == (str(file), 5, 11)


@pytest.mark.parametrize(
    ("data", "place", "message"),
    [
        (b'version = 1\nkind = "\xff"\n', "2:9", "is not UTF-8"),
        (b"version = " + b"[" * 5000, "1:1", "is no TOML"),
        (b"version = " + b"9" * 5000, "1:1", "is no TOML"),
        (b"a = 1\na = 2\n", "2:6", "is no TOML"),
        (b"", "1:1", "has no 'version'"),
        (b"version = true", "1:11", "version must be a number, not true"),
        (b"version = 1\nscope = 7", "2:9", "scope must be a list"),
        (b"version = 1\ncomponent = [[]]", "2:14", "component must hold a table each, not a list"),
    ],
)
def test_hostile_files_are_refused_in_words(tmp_path: Path, data: bytes, place: str, message: str) -> None:
    file = tmp_path / "registry.toml"
    file.write_bytes(data)
    with pytest.raises(RegistryError) as caught:
        load(file, rules=CASES / "rules")
    assert message in caught.value.message
    assert f"{caught.value.line}:{caught.value.column}" == place


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="cannot be read"):
        load(tmp_path / "none.toml")
