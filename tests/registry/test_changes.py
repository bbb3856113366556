"""What a change of a registry is called, and which changes break a promise."""

from __future__ import annotations

from pathlib import Path

import pytest

from markreg.registry.changes import Change, changes
from markreg.registry.load import load
from markreg.registry.model import Registry

HEAD = "version = 1\n"
A = "[[component]]\nname = 'a'\nreservation = [{}]\n"
B = "[[component]]\nname = 'b'\nreservation = [{}]\n"


def row(name: str, bits: str, field: str = "skb_mark", more: str = "") -> str:
    return f"{{ name = '{name}', field = '{field}', bits = '{bits}', source = 's'{f', {more}' if more else ''} }}"


@pytest.fixture(autouse=True)
def today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1796083200")  # 2026-12-01


@pytest.fixture
def compared(tmp_path: Path) -> object:
    def registry(name: str, text: str) -> Registry:
        file = tmp_path / name
        file.write_text(text if text.startswith("version") else HEAD + text)
        return load(file, rules=tmp_path / "none")

    return lambda before, after: changes(registry("before.toml", before), registry("after.toml", after))


RETIRED = "status = 'retired', retired = 2026-11-01"
KEPT = f"{RETIRED}, free_after = 2027-06-30"
PARENT = (
    "[[component]]\nname = 'p'\nreservation = [{ name = 'ids', field = 'ct_mark', bits = '16-23', value_range = '1-255', source = 's' }]\n"
)


def child(name: str, numbers: str, more: str = "") -> str:
    return f"{{ name = '{name}', within = 'p/ids', value_range = '{numbers}', source = 's'{f', {more}' if more else ''} }}"


CASES = {
    "nothing": (A.format(row("x", "1")), A.format(row("x", "0x2")), []),
    "taken": (A.format(""), A.format(row("x", "4-7")), ["taken a/x 0x0 0xf0"]),
    "freed": (A.format(row("x", "4-7")), A.format(""), ["BREAKING freed a/x 0xf0 0x0"]),
    "retired": (A.format(row("x", "4-7")), A.format(row("x", "4-7", more=RETIRED)), ["retired a/x 0xf0 0xf0"]),
    "moved": (A.format(row("x", "4-7")), A.format(row("x", "8-11")), ["BREAKING moved a/x 0xf0 0xf00"]),
    "moved to another field": (A.format(row("x", "1")), A.format(row("x", "1", "ct_mark")), ["BREAKING moved a/x 0x2 0x2"]),
    "moved and buried": (
        A.format(row("x", "4-7")),
        A.format(f"{row('x', '8-11')}, {row('x-old', '4-7', more=RETIRED)}"),
        ["moved a/x 0xf0 0xf00"],
    ),
    "narrowed": (A.format(row("x", "4-7")), A.format(row("x", "4-6")), ["BREAKING narrowed a/x 0xf0 0x70"]),
    "split in two of one's own": (
        A.format(row("x", "4-7")),
        A.format(f"{row('x', '4-6')}, {row('y', '7')}"),
        ["narrowed a/x 0xf0 0x70", "taken a/y 0x0 0x80"],
    ),
    "widened": (A.format(row("x", "4-6")), A.format(row("x", "4-7")), ["widened a/x 0x70 0xf0"]),
    "stolen": (
        A.format(row("x", "4-7")) + B.format(""),
        A.format("") + B.format(row("y", "7")),
        ["BREAKING freed a/x 0xf0 0x0", "BREAKING stolen b/y 0xf0 0x80", "taken b/y 0x0 0x80"],
    ),
    "stolen over a fresh tombstone": (
        A.format(row("x", "4-7")) + B.format(""),
        A.format(row("x", "4-7", more=RETIRED)) + B.format(row("y", "7")),
        ["BREAKING stolen b/y 0xf0 0x80", "retired a/x 0xf0 0xf0", "taken b/y 0x0 0x80"],
    ),
    "stolen before the tombstone's day": (
        A.format(row("x", "4-7", more=KEPT)) + B.format(""),
        A.format(row("x", "4-7", more=KEPT)) + B.format(row("y", "7")),
        ["BREAKING stolen b/y 0xf0 0x80", "taken b/y 0x0 0x80"],
    ),
    "taken after the tombstone's day": (
        A.format(row("x", "4-7", more=f"{RETIRED}, free_after = 2026-11-30")) + B.format(""),
        A.format(row("x", "4-7", more=f"{RETIRED}, free_after = 2026-11-30")) + B.format(row("y", "7")),
        ["taken b/y 0x0 0x80"],
    ),
    "a tombstone taken away too early": (A.format(row("x", "4", more=KEPT)), A.format(""), ["BREAKING freed a/x 0x10 0x0"]),
    "a tombstone taken away": (A.format(row("x", "4", more=RETIRED)), A.format(""), ["freed a/x 0x10 0x0"]),
    "newly overlapping": (
        A.format(row("x", "4-7")) + B.format(row("y", "8")),
        A.format(row("x", "4-7")) + B.format(row("y", "7-8")),
        ["BREAKING overlapping a/x 0x0 0x80", "widened b/y 0x100 0x180"],
    ),
    "overlapping as before": (
        A.format(row("x", "4-7")) + B.format(row("y", "7-8")),
        A.format(row("x", "3-7")) + B.format(row("y", "7-8")),
        ["widened a/x 0xf0 0xf8"],
    ),
    "overlapping in a catalogue": (
        "version = 1\nkind = 'catalogue'\n" + A.format(row("x", "4-7")) + B.format(""),
        "version = 1\nkind = 'catalogue'\n" + A.format(row("x", "4-7")) + B.format(row("y", "7")),
        ["overlapping a/x 0x0 0x80", "taken b/y 0x0 0x80"],
    ),
    "numbers narrowed": (
        PARENT + A.format(child("x", "16-31")),
        PARENT + A.format(child("x", "16-23")),
        ["BREAKING narrowed a/x 0xff0000 0xff0000"],
    ),
    "numbers narrowed and buried": (
        PARENT + A.format(child("x", "16-31")),
        PARENT + A.format(f"{child('x', '16-23')}, {child('old', '24-31', RETIRED)}"),
        ["narrowed a/x 0xff0000 0xff0000"],
    ),
    "numbers freed beside others of one's own": (
        PARENT + A.format(f"{child('x', '1-5')}, {child('y', '6-9')}"),
        PARENT + A.format(child("x", "1-5")),
        ["BREAKING freed a/y 0xff0000 0x0"],
    ),
    "numbers stolen": (
        PARENT + A.format(child("x", "1-5")) + B.format(""),
        PARENT + A.format("") + B.format(child("y", "5")),
        ["BREAKING freed a/x 0xff0000 0x0", "BREAKING stolen b/y 0xff0000 0xff0000", "taken b/y 0x0 0xff0000"],
    ),
    "other numbers of one parent": (
        PARENT + A.format(child("x", "1-5")) + B.format(""),
        PARENT + A.format(child("x", "1-5")) + B.format(child("y", "6")),
        ["taken b/y 0x0 0xff0000"],
    ),
}


def said(change: Change) -> str:
    return f"{'BREAKING ' if change.breaking else ''}{change.what} {change.path} {change.before:#x} {change.after:#x}"


@pytest.mark.parametrize("case", CASES)
def test_a_change_has_a_name(case: str, compared: object) -> None:
    before, after, expected = CASES[case]
    found = compared(before, after)  # type: ignore[operator]
    assert [said(c) for c in found] == expected, [c.text for c in found]
    assert all(c.path in c.text for c in found)


@pytest.mark.parametrize("case", CASES)
def test_what_is_added_is_not_breaking_backwards(case: str, compared: object) -> None:
    before, after, expected = CASES[case]
    if all(line.startswith("taken") for line in expected) and expected:
        assert [c.what for c in compared(after, before)] == ["freed"]  # type: ignore[operator]


POOL = "[[node_pool]]\nname = 'n'\ncomponents = [{}]\nsettings = {{ a = {{ bit = {} }} }}\n"
KNOB = """[[component]]
name = "a"
reservation = [{ name = "x", field = "skb_mark", bits_from = { knob = "bit" }, source = "s" }]
knob = [{ name = "bit", type = "bit", default = 3 }]
"""


def test_a_pinned_setting_moves_bits_of_a_pool(compared: object) -> None:
    found = compared(KNOB + POOL.format("'a'", 3), KNOB + POOL.format("'a'", 5))  # type: ignore[operator]
    assert [said(c) for c in found] == ["repinned a/x 0x8 0x20"]
    assert found[0].text == "pool n: a/x from skb_mark 3 to skb_mark 5"


def test_who_joins_a_pool(compared: object) -> None:
    other = B.format(row("y", "5"))
    found = compared(KNOB + other + POOL.format("'a'", 5), KNOB + other + POOL.format("'a', 'b'", 5))  # type: ignore[operator]
    assert [said(c) for c in found] == ["BREAKING overlapping a/x 0x0 0x20", "repinned b 0x0 0x20"]
