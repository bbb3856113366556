"""Names of codes come from the first line of their pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from markreg import resources
from markreg.checks import pages


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    functions = (pages.codes, pages.page, pages.name)
    monkeypatch.setattr(resources, "rules", lambda name: tmp_path)
    for function in functions:
        function.cache_clear()
    yield tmp_path
    for function in functions:
        function.cache_clear()


def test_codes_names_and_pages_are_the_files(folder: Path) -> None:
    (folder / "MK202.md").write_text("# MK202 whole-mark-match\n\nText.\n", encoding="utf-8")
    (folder / "MK101.md").write_text("# MK101 steered-match\n", encoding="utf-8")
    (folder / "README.md").write_text("# Not a code\n", encoding="utf-8")
    assert pages.codes() == ("MK101", "MK202")
    assert pages.name("MK202") == "whole-mark-match"
    assert pages.page("MK202").endswith("Text.\n")


def test_a_code_without_a_page_is_its_own_name(folder: Path) -> None:
    (folder / "MK102.md").write_text("# MK103 of-another\n", encoding="utf-8")
    assert [pages.name(code) for code in ("MK999", "MK102", "../secret", "")] == ["MK999", "MK102", "../secret", ""]
    assert pages.page("../secret") == ""


def test_every_page_that_ships_has_its_name_in_the_first_line() -> None:
    for code in pages.codes():
        assert pages.name(code) != code, code
