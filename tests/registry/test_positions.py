"""Where keys and values of a TOML text stand."""

from __future__ import annotations

import tomli
from hypothesis import given
from hypothesis import strategies as st

from markreg.registry.positions import Positions

TEXT = '''# [[component]] in a comment
version = 1   # x = 2
"quoted key" = 'it''s'
[[component]]
name = "a"
note = """
[[component]]
name = "not this"
"""
reservation = [
  # "comment", {
  { name = "x}]", values = { 0x100 = "one, two", '0x200' = "#" }, list = [ "a", [1, 2], { b = 1 } ] },
  { name = "y" },
]
[component.when]
knob.sub = true
[[component]]
name = "b"
[[component.reservation]]
name = "z"
[[component.reservation]]
name = "zz"
'''


def at(keys: tuple[str | int, ...], value: bool = False) -> tuple[int, int]:
    return Positions(TEXT).find(keys, value)[:2]


def column(line: int, word: str) -> int:
    return TEXT.split("\n")[line - 1].index(word) + 1


def test_headers_keys_and_inline_tables() -> None:
    assert at(("version",)) == (2, 1)
    assert at(("component", 0)) == (4, 1)
    assert at(("component", 0, "reservation", 0)) == (12, 3)
    assert at(("component", 0, "reservation", 0, "values", "0x200")) == (12, column(12, "'0x200'"))
    assert at(("component", 0, "reservation", 0, "values", "0x200"), value=True) == (12, column(12, '"#"'))
    assert at(("component", 0, "reservation", 0, "list", 2, "b")) == (12, column(12, "b = 1"))
    assert at(("component", 0, "reservation", 1, "name")) == (13, 5)
    assert at(("component", 0, "when", "knob", "sub")) == (16, 6)
    assert at(("component", 1, "name"), value=True) == (18, 8)
    assert at(("component", 1, "reservation", 1)) == (21, 1)
    assert at(("component", 1, "reservation", 1, "name")) == (22, 1)


def test_what_is_not_there_is_the_table_around_it() -> None:
    assert at(("component", 1, "reservation", 0, "source")) == (19, 1)
    assert at(("nothing",)) == (1, 1)


def test_the_end_of_a_token() -> None:
    assert Positions(TEXT).find(("component", 1, "name"), value=True) == (18, 8, 11)


names = st.sampled_from(["a", "b", "c-d"])
values = st.recursive(
    st.sampled_from(['"x"', "'y # ]'", '"q\\"}"', "12", "true", '"""\nm\n"""', "2024-01-01"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda v: "[ " + ",\n # c ]\n ".join(v) + " ]")
        | st.dictionaries(names, inner, max_size=3).map(lambda d: "{ " + ", ".join(f"{k} = {v}" for k, v in d.items()) + " }")
    ),
    max_leaves=8,
)


def paths(value: object, keys: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [keys] if keys else []
    items: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return found + [p for key, inner in items for p in paths(inner, (*keys, key))]


@given(st.lists(st.tuples(names, st.dictionaries(names, values, max_size=3)), max_size=4))
def test_every_key_that_the_parser_sees_has_a_position(tables: list[tuple[str, dict[str, str]]]) -> None:
    text = "\n".join(f"[[{name}]]\n" + "\n".join(f"{k} = {v}" for k, v in pairs.items()) for name, pairs in tables)
    try:
        parsed = tomli.loads(text)
    except tomli.TOMLDecodeError:
        return
    found = Positions(text)
    for keys in paths(parsed):
        assert keys in found.keys or keys in found.values, keys


@given(st.text(alphabet="[]{}=\"'#\n, ab.", max_size=60))
def test_any_text_ends(text: str) -> None:
    Positions(text).find(("a", 0, "b"))
