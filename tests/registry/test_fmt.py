"""The canonical form: it says the same, keeps every comment, and formatting it again changes nothing."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from markreg.registry.fmt import FormatError, formatted
from tests.support import ROOT

UNTIDY = """\
# What our nodes do.

# about the version
version=1   # the only one
extends = 'builtin'
[[component]]
name = "web" # ours
# about web

# before the rows
reservation = [ # why rows
  # the first
  { source = "s", name = "x", field = "skb_mark", bits = "1" }, # behind x
  { source = "s", name = "y", field = "skb_mark", bits = "2", values = {0x1 = 'a'} }
  # after the rows
]


[[component]] # the other
note = \"\"\"
several
lines\"\"\"
name="edge"
[[component.reservation]]
source = "s"
bits="0"
name="z"
field="ct_mark"
[component.reservation.values]
0x1 = "a" # one
[[node_pool]]
name = "p"
components = ["edge",
 "web"]

# the end
"""
TIDY = """\
# What our nodes do.

# about the version
version = 1 # the only one
extends = "builtin"

[[node_pool]]
name = "p"
components = [
  "edge",
  "web",
]

[[component]] # the other
name = "edge"
note = \"\"\"
several
lines\"\"\"

[[component.reservation]]
name = "z"
field = "ct_mark"
bits = "0"
source = "s"

[component.reservation.values]
0x1 = "a" # one

[[component]]
name = "web" # ours

# about web

# before the rows
# why rows
# the first
[[component.reservation]] # behind x
name = "x"
field = "skb_mark"
bits = "1"
source = "s"

[[component.reservation]]
name = "y"
field = "skb_mark"
bits = "2"
values = { 0x1 = "a" }
source = "s"
# after the rows

# the end
"""


def normal(table: Mapping[str, Any]) -> str:
    """A file's data, whatever the order of its top-level tables."""
    return json.dumps(
        {k: sorted(json.dumps(e, sort_keys=True) for e in v) if isinstance(v, list) else v for k, v in table.items()}, sort_keys=True
    )


def test_a_file_in_canonical_form() -> None:
    assert formatted(UNTIDY) == TIDY
    assert formatted(TIDY) == TIDY


@pytest.mark.parametrize("text", ["", "# only words\n", "version = 1\n"])
def test_what_is_tidy_stays(text: str) -> None:
    assert formatted(text) == text


def test_line_ends_and_byte_order_mark_go() -> None:
    assert formatted("\ufeffversion = 1\r\n\r\n\r\n[[component]]\r\nname = 'a'\r\n") == 'version = 1\n\n[[component]]\nname = "a"\n'


def test_a_component_file_has_an_order_too() -> None:
    text = '[[knob]]\ntype = "bit"\nname = "b"\n[[recognise]]\nconfidence = "high"\nin = "nft"\nchain = "x"\n'
    assert formatted(f'component = "c"\n{text}').split("\n\n") == [
        'component = "c"',
        '[[recognise]]\nin = "nft"\nchain = "x"\nconfidence = "high"',
        '[[knob]]\nname = "b"\ntype = "bit"\n',
    ]


@pytest.mark.parametrize("text", ["version =", "a = 1\na = 2\n", "x = " + "[" * 3000])
def test_what_is_no_toml_is_left_alone(text: str) -> None:
    with pytest.raises(FormatError):
        formatted(text)


def test_large_files_take_no_more_time_than_their_size() -> None:
    text = "version = 1\n" + "".join(f"[a{n}.b.c]\nx = [1, [2, {{ y = 3 }}]]\n" for n in range(20_000))
    start = time.process_time()
    assert formatted(text)
    assert time.process_time() - start < 15


def test_a_long_list_gets_a_line_for_each_element() -> None:
    after = formatted(
        f'version = 1\n[[component]]\nname = "a"\nnote = "n"\nreservation = [{{ name = "x", source = {json.dumps(["s" * 90] * 2)} }}]\n'
    )
    assert f'source = [\n  "{"s" * 90}",\n  "{"s" * 90}",\n]\n' in after


@pytest.mark.parametrize("path", [ROOT / "registry.toml", *sorted((ROOT / "rules" / "components").glob("*.toml"))], ids=lambda p: p.stem)
def test_the_files_that_ship_are_canonical(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert formatted(text) == text, f"markreg registry fmt {path.name}"


WORDS = st.sampled_from(["a", "b-c", "d.e", "it's", 'a "word"', "#no comment", "[x]", "a = 1", "", "ä", "\\"])
KEYS = ("name", "source", "field", "bits", "title", "note", "since", "when", "values", "scope")


@st.composite
def registries(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A registry's text with keys, tables, inline tables and comments in any order, and its comments."""
    seed = draw(st.integers(0, 2**32))
    words = draw(st.lists(WORDS, min_size=4, max_size=4))
    chance = random.Random(seed)
    comments: list[str] = []

    def comment(prefix: str = "") -> str:
        if chance.random() < 0.7:
            return ""
        comments.append(f"# comment {len(comments)}")
        return f"{prefix}{comments[-1]}"

    def value(key: str) -> str:
        if key == "values":
            return "{ " + ", ".join(f"0x{n:x} = {json.dumps(chance.choice(words))}" for n in range(chance.randrange(3))) + " }"
        if key == "when":
            return f"{{ knob = [true, {chance.randrange(9)}] }}"
        if key in ("scope", "source") and chance.random() < 0.5:
            gap = "\n" if chance.random() < 0.3 else " "
            return "[" + ",".join(f"{gap}{json.dumps(chance.choice(words))}" for _ in range(chance.randrange(4))) + gap + "]"
        plain = [w for w in words if "'" not in w]
        return f"'{chance.choice(plain)}'" if plain and chance.random() < 0.3 else json.dumps(chance.choice(words))

    def line(key: str) -> str:
        above = comment()
        blank = "\n" * chance.choice([0, 0, 1, 3])
        return f"{blank}{above}{chr(10) if above else ''}{key} = {value(key)}{comment(' ')}\n"

    def row() -> str:
        return "".join(line(k) for k in chance.sample(KEYS, chance.randrange(1, len(KEYS))))

    text = f"{comment()}\nversion = 1{comment(' ')}\n"
    for number in range(chance.randrange(4)):
        text += f'\n{comment()}\n[[component]]{comment(" ")}\nname = "c{chance.randrange(3)}{number}"\n'
        if chance.random() < 0.4:
            inline = "{ " + ", ".join(f"{k} = {json.dumps(chance.choice(words))}" for k in chance.sample(KEYS[:5], 3)) + " }"
            text += f"reservation = [{comment()}\n{inline},{comment(' ')}\n{comment()}\n{inline}\n{comment()}\n]\n"
        else:
            text += "".join(f"{comment()}\n[[component.reservation]]\n{row()}" for _ in range(chance.randrange(3)))
        if chance.random() < 0.3:
            text += f'[[agreement]]\nreason = "r{number}"\nowners = ["x", "c{number}"]{comment(" ")}\n'
    return text + comment(), comments


@given(registries())
def test_formatting_says_the_same_and_is_done_once(case: tuple[str, list[str]]) -> None:
    text, comments = case
    after = formatted(text)
    assert formatted(after) == after
    assert normal(tomli.loads(after)) == normal(tomli.loads(text))
    assert sorted(re.findall(r"# comment \d+", after)) == sorted(comments)
    assert "\n\n\n" not in after
