"""The pages of the codes: documentation, `markreg explain` and test at once.

A page's example is `markreg file=NAME` blocks followed by an `output` block, whose first line is the command and whose rest is all
that it prints in a folder that holds these files. `MARKREG_UPDATE=1 pytest tests/test_pages.py` writes the output blocks anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from markreg.checks import pages
from tests.support import ROOT, markreg

FOLDER = ROOT / "rules" / "checks"
LIMITATIONS = ROOT / "docs" / "limitations.md"
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"markreg file=([\w.-]+)")
FACTS = ("severity", "reads", "registry", "since")
SECTIONS = ("What it means", "Why it hurts", "Example", "What to do", "See also")
NOT_YET = "no check of this release reports it"
WIDEST = 100


@dataclass(frozen=True, slots=True)
class Example:
    """Files, and the text of the output block that says what markreg makes of them; ``start`` and ``end`` are its place in the page."""

    page: Path
    files: tuple[tuple[str, str], ...]
    output: str
    start: int
    end: int

    @property
    def command(self) -> str:
        """The first line of the output."""
        return self.output.partition("\n")[0]


def examples(page: Path) -> Iterator[Example]:
    """The examples of a page in order; the files of one are those since the last output."""
    files: list[tuple[str, str]] = []
    for fence in FENCE.finditer(page.read_text(encoding="utf-8")):
        if name := FILE.fullmatch(fence[1]):
            files.append((name[1], fence[2]))
        elif fence[1] == "output":
            yield Example(page, tuple(files), fence[2], *fence.span(2))
            files = []


PAGES = sorted(FOLDER.glob("*.md"))
EXAMPLES = [example for page in (*PAGES, LIMITATIONS) for example in examples(page)]


def sections(text: str) -> dict[str, str]:
    """A page's headings of the second level with what stands below each, code left out."""
    _, *parts = re.split(r"^## (.*)\n", FENCE.sub("", text), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize("number", range(len(EXAMPLES)), ids=lambda n: f"{EXAMPLES[n].page.stem}-{n}")
def test_an_example_says_what_markreg_says(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    update = bool(os.environ.get("MARKREG_UPDATE"))
    # Read again: an update of an earlier example has moved this one.
    example = list(examples(EXAMPLES[number].page))[number - [e.page for e in EXAMPLES].index(EXAMPLES[number].page)]
    for name, text in example.files:
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert example.command.startswith("$ markreg ")
    printed = f"{example.command}\n{markreg(example.command.removeprefix('$ '), tmp_path, monkeypatch)}"
    if update:
        text = example.page.read_text(encoding="utf-8")
        example.page.write_text(text[: example.start] + printed + text[example.end :], encoding="utf-8")
    else:
        assert printed == example.output


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_a_page_has_the_shape_of_a_page(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.match(rf"# {page.stem} [a-z]+(-[a-z]+)*\n\n\S[^\n]*\n\n\|", text), "heading, one line, table of facts"
    assert tuple(re.findall(r"^\| ([a-z]+) \|", text.partition("\n## ")[0], re.MULTILINE)) == FACTS
    found = sections(text)
    assert tuple(found) == SECTIONS
    assert all(part.strip() for name, part in found.items() if name != "Example" or NOT_YET in text)
    assert max(len(line) for line in FENCE.sub("", text).splitlines()) <= WIDEST


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_a_page_shows_its_code_unless_nothing_reports_it(page: Path) -> None:
    """A page promises only what markreg does: what is reported has an example in which it is seen, where files can show it."""
    text = page.read_text(encoding="utf-8")
    shown = list(examples(page))
    assert (page.stem in reported()) != (NOT_YET in text)
    if NOT_YET in text:
        assert not shown
    elif "no example" not in sections(text)["Example"].lower():
        assert any(f"[{page.stem}]" in e.output or f" {page.stem} " in e.output.partition("\n")[2] for e in shown)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_a_page_points_at_pages_and_files_that_there_are(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"\bMK[0-9]{3}\b", text)) <= set(pages.codes())
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert (page.parent / target).exists(), target


def literals(*folders: str) -> set[str]:
    """Every code that a module below these folders of markreg holds as a string by itself, as findings do."""
    files = (file for folder in folders for file in (ROOT / "markreg" / folder).rglob("*.py"))
    return {code for file in files for code in re.findall(r"""["'](MK[0-9]{3})["']""", file.read_text(encoding="utf-8"))}


def reported() -> set[str]:
    """The codes of findings: checks make them, and the registry those about itself."""
    return literals("checks", "registry")


def test_every_code_that_is_spoken_of_has_a_page_in_a_family_of_the_codes() -> None:
    assert literals("") <= set(pages.codes())
    assert {code[2] for code in pages.codes()} <= set("12349")
    assert len({pages.name(code) for code in pages.codes()}) == len(pages.codes())


@pytest.mark.parametrize("code", pages.codes())
def test_explain_prints_the_page_by_code_and_by_name(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (FOLDER / f"{code}.md").read_text(encoding="utf-8")
    pages.page.cache_clear()
    assert markreg(f"markreg explain {code}", tmp_path, monkeypatch) == page
    assert markreg(f"markreg explain {pages.name(code)}", tmp_path, monkeypatch) == page
