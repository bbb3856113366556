"""What a finding's help names: nothing that would not end it, and settings and releases of the component that can change."""

from __future__ import annotations

import io
from pathlib import Path

from markreg.audit import audit
from markreg.inputs import gather
from markreg.registry.load import load
from markreg.resources import builtin_registry

HEAD = "*{0}\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n"
KUBE = (
    HEAD.format("nat")
    + ":KUBE-MARK-MASQ - [0:0]\n:KUBE-POSTROUTING - [0:0]\n-A PREROUTING -p tcp -m tcp --dport 30080 -j KUBE-MARK-MASQ\n"
    + "-A POSTROUTING -j KUBE-POSTROUTING\n"
    + "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000\n-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN\n"
    + "-A KUBE-POSTROUTING -j MASQUERADE\nCOMMIT\n"
)


def helps(tmp_path: Path, **files: str) -> dict[str, str]:
    """The help of each code's first finding."""
    for name, text in files.items():
        (tmp_path / f"{name.replace('_', '-')}.txt").write_text(text, encoding="utf-8")
    found: dict[str, str] = {}
    for finding in audit(gather([str(tmp_path)], io.BytesIO()), load(builtin_registry())).findings:
        found.setdefault(finding.code, finding.help)
    return found


def test_no_move_ends_a_match_of_the_whole_mark(tmp_path: Path) -> None:
    mine = HEAD.format("filter").replace(":PREROUTING ACCEPT [0:0]\n", "").replace(":POSTROUTING ACCEPT [0:0]\n", "")
    said = helps(tmp_path, iptables_save=KUBE + mine + "-A FORWARD -m mark --mark 0x4000 -j DROP\nCOMMIT\n")["MK101"]
    assert "compare under a mask" in said
    assert "move kube-proxy" not in said


def test_the_setting_is_that_of_the_bits_concerned(tmp_path: Path) -> None:
    masked = HEAD.format("mangle") + "-A FORWARD -j MARK --set-xmark 0x4000/0xf000\nCOMMIT\n"
    assert "move kube-proxy with KubeProxyConfiguration iptables.masqueradeBit" in helps(tmp_path, iptables_save=KUBE + masked)["MK101"]


def test_values_of_the_whole_mark_take_their_bits(tmp_path: Path) -> None:
    whole = HEAD.format("mangle") + "-A INPUT -j MARK --set-xmark 0x65/0xffffffff\n-A FORWARD -j MARK --set-xmark 0x4000/0xc000\nCOMMIT\n"
    assert "skb_mark 1,3-4,7-13,16-31)" in helps(tmp_path, iptables_save=KUBE + whole)["MK101"]


def test_a_statement_of_somebodys_own_gets_a_mask_in_its_notation(tmp_path: Path) -> None:
    whole = HEAD.format("mangle") + "-A FORWARD -j MARK --set-xmark 0x10/0xffffffff\nCOMMIT\n"
    said = helps(tmp_path, iptables_save=KUBE + whole)["MK102"]
    assert said.startswith("give unattributed:built-in's statement a mask")
    assert said.endswith("--set-xmark VALUE/MASK")
