"""Settings that show in the rules decide before defaults, and say so; what is not certain stays at the default."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support import markreg

KUBE = """*nat
:POSTROUTING ACCEPT [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SERVICES - [0:0]
-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-SERVICES -d 10.96.0.1/32 -j KUBE-MARK-MASQ
-A KUBE-MARK-MASQ -j MARK --set-xmark {0}/{0}
-A KUBE-POSTROUTING -m mark ! --mark {1}/{1} -j RETURN
COMMIT
"""
FELIX = """*filter
:FORWARD ACCEPT [0:0]
:cali-FORWARD - [0:0]
-A FORWARD -j cali-FORWARD
-A cali-FORWARD -j MARK --set-xmark 0x0/{0}
-A cali-FORWARD -m mark --mark {1}/{1} -j ACCEPT
COMMIT
"""
HOOK = """*mangle
:PREROUTING ACCEPT [0:0]
:mwan3_hook - [0:0]
-A mwan3_hook -j CONNMARK --restore-mark --nfmask 0xff0000 --ctmask 0xff0000
COMMIT
"""
MWAN3 = "2001:\tfrom all fwmark 0x10000/0xff0000 lookup 1\n2002:\tfrom all fwmark 0x20000/0xff0000 lookup 2\n"


def audited(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str = "iptables-save.txt") -> tuple[str, set[str]]:
    """What is said of the components, and the reservations that explain uses."""
    (folder / name).write_text(text)
    document = json.loads(markreg(f"markreg audit {name} --format json", folder, monkeypatch))
    evidence = " ".join(text for c in document["components"] for text in c["evidence"])
    return evidence, {use["reservation"] for use in document["uses"] if use["basis"] == "observed"}


@pytest.mark.parametrize(
    "text",
    [
        KUBE.format("0x4000", "0x4000"),
        KUBE.format("0x100000", "0x8000"),  # two opinions are none
        FELIX.format("0xe0000", "0x10000"),
        FELIX.format("0x6000000", "0x2000000"),  # two bits are not enough to tell where a mask begins
        FELIX.format("0xe00000", "0x80000"),  # some of it is where the default would put it
    ],
)
def test_what_is_at_the_default_or_not_certain_is_not_said(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "seen in its rules" not in audited(text, tmp_path, monkeypatch)[0]


def test_a_moved_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evidence, reservations = audited(KUBE.format("0x100000", "0x100000"), tmp_path, monkeypatch)
    assert "masquerade-bit = 20, seen in its rules" in evidence
    assert reservations == {"kube-proxy/masquerade"}


def test_a_pool_that_begins_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evidence, reservations = audited(FELIX.format("0xf000000", "0x1000000"), tmp_path, monkeypatch)
    assert "mark-mask = 0xff000000, seen in its rules" in evidence
    assert "calico/accept" in reservations


def test_a_mask_in_routing_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ip-rule.txt").write_text(MWAN3)
    evidence, reservations = audited(HOOK, tmp_path, monkeypatch)
    document = json.loads(markreg("markreg audit . --format json", tmp_path, monkeypatch))
    (found,) = document["components"]
    assert "mmx-mask = 0xff0000, seen in its rules" in found["evidence"]
    assert {u["reservation"] for u in document["uses"]} == {"mwan3/mark", "mwan3/connmark"}
    assert reservations != {"mwan3/mark", "mwan3/connmark"}, evidence  # without the routing rules nothing says so
