"""markreg audit --why: one finding's whole path."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.paths.notation import iptables
from tests.support import markreg

RULES = """\
raw PREROUTING > cali-w
raw cali-w | -s 10.0.0.0/8 -j MARK --set-xmark 0x40000/0x40000
filter FORWARD > ts-r
filter ts-r | -m mark --mark 0x40000/0xff0000 -j ACCEPT
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "iptables-save.txt").write_text(iptables(RULES))
    return tmp_path


def finding(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    document = json.loads(markreg("markreg audit iptables-save.txt --format json --select MK101", folder, monkeypatch))
    (only,) = document["findings"]
    assert isinstance(only, dict)
    return only


def test_the_way_in_json_has_places_lines_and_assumptions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = finding(folder, monkeypatch)["path"]
    assert isinstance(path, list)
    assert [step["step"] for step in path] == ["write", "hop", "read"]
    assert (path[0]["line"], path[0]["assumes"]) == (7, ["-s 10.0.0.0/8 may hold"])
    assert path[1]["place"] == "prerouting to forward"
    assert (path[2]["place"], path[2]["confirmed"]) == ("iptables filter ts-r", "shown")


def test_why_prints_every_line_of_the_way(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fingerprint = str(finding(folder, monkeypatch)["fingerprint"])
    printed = markreg(f"markreg audit iptables-save.txt --why {fingerprint[:9]}", folder, monkeypatch)
    assert "iptables-save.txt:7: -A cali-w -s 10.0.0.0/8 -j MARK --set-xmark 0x40000/0x40000" in printed
    assert "prerouting to forward" in printed
    assert "assumed: -s 10.0.0.0/8 may hold" in printed
    assert f"fingerprint: {fingerprint}" in printed


def test_a_fingerprint_that_nobody_has_is_a_usage_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no finding has this fingerprint" in markreg("markreg audit iptables-save.txt --why 0123456789abcdef", folder, monkeypatch)
