"""Rulesets and test data of other projects: the right function where it is given, and nothing about marks left out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from markreg.formats import nft
from markreg.model import Reading, Scope
from markreg.source import Source
from tests.formats.nft_support import function, json_rules, read
from tests.support import SHARED, needs_shared

pytestmark = needs_shared
CORPUS = SHARED / "corpus"
_WORD = re.compile(r"(?<![\w.@$-])(?:mark|label)(?![\w.-])")
# Lines with the word that neither write nor test a packet's or connection's mark.
_OTHER = re.compile(r"^\s*(?:(?:set|map)\s.*)?type(?:of)?\s|(?:^|\{)\s*type|socket\s+mark|ct\s+event|^\s*(?:set|map)\s")


def files(folder: str) -> list[Any]:
    return [pytest.param(path, id=path.name) for path in sorted((CORPUS / folder).glob("*"))]


def typed() -> Iterator[tuple[str, str, str, list[Any]]]:
    """nft's own tests: file, rule as typed, as listed (empty if the same), and its expressions in JSON."""
    for path in sorted((CORPUS / "nft-py").glob("*.t")):
        found: dict[str, list[Any]] = {}
        for suffix in (".json", ".json.output"):
            other = path.with_name(path.name + suffix)
            parts = re.split(r"(?m)^# (.*)$", other.read_text())[1:] if other.exists() else []
            for name, body in zip(parts[::2], parts[1::2], strict=True):
                try:
                    found.setdefault(name.strip(), []).append(json.loads(body))
                except json.JSONDecodeError:
                    continue
        for line in path.read_text().splitlines():
            fields = line.split(";")
            if line[:1] not in ("", *"#:*!?%-") and len(fields) > 1 and fields[1].strip() == "ok":
                yield path.name, fields[0], fields[2] if len(fields) > 2 else "", found.get(fields[0], [])


def rule(text: str) -> Reading:
    return read(f"table inet t {{\n\tchain c {{\n\t\ttype filter hook input priority 0; policy accept;\n\t\t{text}\n\t}}\n}}\n")


def functions(reading: Reading) -> list[tuple[object, ...]]:
    return [function(use) for use in reading.uses]


def test_nft_rules_mean_the_same_typed_listed_and_in_json() -> None:
    about = 0
    for name, text, listed, expressions in typed():
        reading = rule(text)
        assert not reading.opaque, (name, text)
        if _WORD.search(text) and not _OTHER.search(text):
            about += 1
            assert reading.uses, (name, text)
        if listed:
            assert functions(rule(listed)) == functions(reading), (name, text, listed)
        for expression in expressions:
            other = json_rules(expression)
            assert not other.opaque, (name, text)
            assert functions(other) == functions(reading), (name, text, expression)
    assert about > 90


@pytest.mark.parametrize("path", files("nft-text"))
def test_no_line_about_marks_is_left_out(path: Path) -> None:
    source = Source(path.name, path.read_bytes())
    reading = read(source.data)
    known = {line for use in reading.uses for line in use.lines} | {line for o in reading.opaque for line in o.lines}
    for number, line in enumerate(source.text().split("\n"), 1):
        code = re.sub(r'"[^"]*"', '""', line).split("#")[0]
        if _WORD.search(code) and not _OTHER.search(code):
            assert number in known, (number, line)


@pytest.mark.parametrize("path", [p for p in files("nft-json") if "README" not in p.id])
def test_json_documents(path: Path) -> None:
    source = Source(path.name, path.read_bytes())
    assert nft.detect(source) == "nft-json"
    reading = nft.read(source, "nft-json", Scope())
    for use in reading.uses:
        assert use.clause in source.line(use.lines[0])
    whole = path.read_text().rstrip().endswith("]}")
    assert bool(reading.problems) == (not whole)
    assert reading.uses or reading.opaque


@pytest.mark.parametrize("path", [p for p in files("nft-pairs") if p.id.endswith(".json")])
def test_pairs_of_text_and_json_are_equal(path: Path) -> None:
    text = read(path.with_name(path.name.removesuffix(".json") + ".nft").read_bytes())
    source = Source(path.name, path.read_bytes())
    other = nft.read(source, "nft-json", Scope())

    def said(reading: Reading) -> list[tuple[object, ...]]:
        return [(u.place, u.scope, u.comment, u.target, *function(u)) for u in reading.uses for _ in u.lines]

    assert said(other) == said(text)
    assert said(text)
    assert [(t.family, t.name, t.chains) for t in other.tables] == [(t.family, t.name, t.chains) for t in text.tables]


@pytest.mark.parametrize(
    "version", ["nft-list", "nft-a-list", "nft-s-list", "nft-sn-list", "nft-ny-list", "nft-t-list", "nft-j-list", "nft-ja-list"]
)
def test_every_way_to_list_says_the_same(version: str) -> None:
    """Terse listings have no elements: what maps and sets hold is open there, and only there."""
    compared = 0
    for path in sorted((CORPUS / "nft-text").glob("made_*.nft-list")):
        name = path.name.removesuffix("nft-list")
        for folder in ("nft-text", "nft-json"):
            other = CORPUS / folder / (name + version)
            if not other.exists():
                continue
            form = "nft-json" if folder == "nft-json" else "nft"
            a = nft.read(Source("a", path.read_bytes()), "nft", Scope())
            b = nft.read(Source("b", other.read_bytes()), form, Scope())
            if b.problems or (form == "nft-json" and b.opaque):
                continue
            compared += 1
            if version == "nft-t-list":
                assert [(u.lines and u.field, u.access, u.mask) for u in b.uses] == [
                    (u.lines and u.field, u.access, u.mask) for u in a.uses
                ]
            else:
                assert functions(b) == functions(a), other.name
            assert [(t.family, t.name, t.chains) for t in b.tables] == [(t.family, t.name, t.chains) for t in a.tables]
    assert compared or version in ("nft-ja-list", "nft-j-list")


NFT = sorted(p for root in ("incidents", "controls") for p in (SHARED / root).rglob("nft*.*") if p.suffix in (".txt", ".json"))


@pytest.mark.parametrize("path", NFT, ids=lambda p: str(p.relative_to(SHARED)))
def test_incidents_are_read(path: Path) -> None:
    source = Source(path.name, path.read_bytes())
    form = nft.detect(source)
    assert form
    reading = nft.read(source, form, Scope())
    assert not reading.problems
    assert reading.uses or reading.opaque
    if not (path.with_name("iptables-save.txt").exists() or form == "nft-json"):
        assert not reading.opaque
