"""A reservation put into a plan file: the rest of the file stays as it is."""

from __future__ import annotations

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from markreg.plan.editing import with_reservation
from markreg.registry.fmt import formatted

ROW = {"name": "new", "field": "skb_mark", "bits": "3", "source": "s"}
PARTS = {
    "head": "# ours\nversion = 1 # one\n",
    "pool": "\n[[node_pool]] # nodes\nname = 'p'\ncomponents = ['a', # first\n 'mine']\n",
    "none": "\n# before it\n[[component]]\nname = 'mine' # me\n# after it\n",
    "blocks": "\n[[component]]\nname = 'mine'\n\n# why\n[[component.reservation]]\nname = 'x'\nsource = 's' # where\n# end of x\n",
    "inline": "\n[[component]]\nname = 'mine'\nreservation = [{ name = 'x', source = 's' }]\n",
    "lines": "\n[[component]]\nname = 'mine'\nreservation = [\n  { name = 'x', source = 's' }, # why\n  # last words\n]\n",
    "other": "\n[[component]]\nname = 'a'\n[[component.reservation]]\nname = 'y'\n[component.reservation.values]\n0x1 = 'one' # code\n",
    "pools": "\n[[component]]\nname = 'b'\n[[component.knob]]\nname = 'k'\n[[component.reservation]]\nname = 'z'\nsource = 's'\n",
    "agreement": "\n[[agreement]]\nowners = ['a', 'b']\n# why not\nreason = 'r'\n",
}
MINE = ("none", "blocks", "inline", "lines")


OTHERS = [name for name in PARTS if name not in ("head", *MINE)]


@given(st.lists(st.sampled_from(OTHERS), unique=True), st.sampled_from([*MINE, ""]), st.integers(0, 5), st.booleans())
def test_it_is_added_and_nothing_else_changes(parts: list[str], mine: str, at: int, tidy: bool) -> None:
    names = [*parts[:at], *([mine] if mine else []), *parts[at:]]
    before = PARTS["head"] + "".join(PARTS[name] for name in names)
    if tidy:
        before = formatted(before)
    after = with_reservation(before, "mine", ROW)
    old, new = tomli.loads(before), tomli.loads(after)
    entry = next(c for c in new["component"] if c["name"] == "mine")
    assert entry["reservation"].pop() == ROW
    if not entry["reservation"]:
        del entry["reservation"]
    if not mine:
        new["component"].remove(entry)
    if not new["component"] and "component" not in old:
        del new["component"]
    assert new == old
    for line in before.splitlines():
        assert line.strip().rstrip(",") in after or "reservation = [" in line, line
    if tidy:
        assert formatted(after) == after


@pytest.mark.parametrize("text", ["version = 1", "version = 1\r\n[[component]]\r\nname = 'mine'\r\n", "component = []\nversion = 1\n"])
def test_odd_files(text: str) -> None:
    after = tomli.loads(with_reservation(text, "mine", ROW))
    assert after["component"] == [{"name": "mine", "reservation": [ROW]}]
