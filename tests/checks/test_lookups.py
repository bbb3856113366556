"""MK105: rules of two owners that one mark selects, unless something else keeps the packets apart. The first of a pair is Tailscale's."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest

from markreg.audit import audit
from markreg.inputs import gather
from markreg.model import Finding
from markreg.registry.load import load
from markreg.resources import builtin_registry

TS = "fwmark 0x80000/0xff0000"
OWN = "fwmark 0x80000/0x80000"


def said(folder: Path, *rules: str, name: str = "ip-rule.txt") -> list[Finding]:
    (folder / name).write_text("".join(f"{rule}\n" for rule in ("0: from all lookup local", *rules, "32766: from all lookup main")))
    findings = audit(gather([str(folder)], io.BytesIO()), load(builtin_registry())).findings
    return [f for f in findings if f.code == "MK105"]


SILENT = [
    [f"5250: from all {TS} unreachable", "9000: from all fwmark 0x40000/0x40000 lookup 200"],
    [f"5250: from all {TS} unreachable", "9000: from all fwmark 0x90000/0xff0000 lookup 200"],
    [f"5250: from 10.0.0.1 {TS} unreachable", f"9000: from 10.0.0.2 {OWN} lookup 200"],
    [f"5250: from all {TS} iif eth0 unreachable", f"9000: from all {OWN} iif eth1 lookup 200"],
    [f"5250: from all {TS} iif lo unreachable", f"9000: from all {OWN} iif eth1 lookup 200"],
    [f"5250: from all {TS} ipproto tcp unreachable", f"9000: from all {OWN} ipproto udp lookup 200"],
    [f"5250: from all {TS} ipproto tcp dport 80 unreachable", f"9000: from all {OWN} ipproto tcp dport 81 lookup 200"],
    [f"5250: from all {TS} uidrange 0-0 unreachable", f"9000: from all {OWN} uidrange 1000-1000 lookup 200"],
    # Nobody comes to either, or to the second.
    ["10: from all unreachable", f"5250: from all {TS} unreachable", f"9000: from all {OWN} lookup 200"],
    [f"5250: from all {TS} lookup 52", "8000: from all prohibit", f"9000: from all {OWN} lookup 200"],
]
LOUD = [
    [f"5250: from all {TS} unreachable", f"9000: from all {OWN} lookup 200"],
    [f"5250: from all {TS} unreachable", f"5251: from all {TS} unreachable", f"9000: from all {OWN} lookup 200"],
    [f"100: from all {OWN} unreachable", f"5250: from all {TS} lookup 52"],
    [f"5250: from 10.0.0.1 {TS} unreachable", f"9000: from 10.0.0.0/24 {OWN} lookup 200"],
    [f"5250: from all {TS} iif eth0 unreachable", f"9000: from all {OWN} ipproto tcp lookup 200"],
    [f"5250: from all {TS} iif lo unreachable", f"9000: from all {OWN} oif eth1 lookup 200"],
    # An earlier rule takes only what has another mark, comes from elsewhere, or can be passed by.
    [
        "10: from all fwmark 0x10000/0xff0000 unreachable",
        "11: from 10.0.0.1 unreachable",
        f"5250: from all {TS} unreachable",
        f"9000: from all {OWN} lookup 200",
    ],
    [
        "5: from all iif eth0 goto 20",
        "10: from all blackhole",
        "20: from all nop",
        f"5250: from all {TS} unreachable",
        f"9000: from all {OWN} lookup 200",
    ],
]


@pytest.mark.parametrize("rules", SILENT, ids=" | ".join)
def test_packets_that_satisfy_no_two_rules(rules: list[str], tmp_path: Path) -> None:
    assert said(tmp_path, *rules) == []


@pytest.mark.parametrize("rules", LOUD, ids=" | ".join)
def test_packets_that_two_rules_select(rules: list[str], tmp_path: Path) -> None:
    assert [f.severity for f in said(tmp_path, *rules)] == ["warning"]  # for Tailscale is known by a mark and a priority


def test_lookups_of_which_none_ends_are_a_note(tmp_path: Path) -> None:
    (found,) = said(tmp_path, f"5210: from all {TS} lookup main", f"9000: from all {OWN} lookup 200")
    assert (found.severity, found.occurrences) == ("note", 1)


def test_the_final_rule_answers_for_what_comes_before_it(tmp_path: Path) -> None:
    """Tailscale's lookups before its own `unreachable` lead nowhere that this does not."""
    rules = [f"5210: from all {TS} lookup main", f"5230: from all {TS} lookup default", f"5250: from all {TS} unreachable"]
    (found,) = said(tmp_path, *rules, f"9000: from all {OWN} lookup 200")
    assert [step["place"] for step in found.path] == ["ip rule 5250", "ip rule 9000"]


def test_the_way_names_the_lines_in_the_order_in_which_they_are_asked(tmp_path: Path) -> None:
    (found,) = said(tmp_path, f"100: from 10.0.0.0/8 {OWN} lookup 7", f"5250: from all {TS} unreachable", name="rules.txt")
    path = str(tmp_path / "rules.txt")
    assert [(s["step"], s["place"], s["path"], s["line"], s.get("assumes")) for s in found.path] == [
        ("read", "ip rule 100", path, 2, ["from 10.0.0.0/8 may hold"]),
        ("read", "ip rule 5250", path, 3, None),
    ]


def test_two_owners_are_told_once_wherever_their_rules_stand(tmp_path: Path) -> None:
    (found,) = said(
        tmp_path, f"100: from 10.0.0.0/8 {OWN} unreachable", f"5250: from all {TS} unreachable", f"9000: from all {OWN} prohibit"
    )
    assert found.occurrences == 1


XFRM = "src {0} dst 10.2.0.0/24 \n\tdir {1} action {2} priority {3} ptype main \n\tmark {4} \n"
RULES = {
    "blocks": (("10.1.0.0/24", "out", "block", 10, "0x80000/0xff0000"), ["error"]),
    "allows": (("10.1.0.0/24", "out", "allow", 10, "0x80000/0xff0000"), []),
    "another direction": (("10.1.0.0/24", "fwd", "block", 10, "0x80000/0xff0000"), []),
    "another source": (("10.3.0.0/24", "out", "block", 10, "0x80000/0xff0000"), []),
}


@pytest.mark.parametrize(("second", "severity"), RULES.values(), ids=RULES)
def test_policies_of_ipsec_compete_in_one_direction(second: tuple[object, ...], severity: list[str], tmp_path: Path) -> None:
    policies = XFRM.format("10.1.0.0/24", "out", "allow", 20, "0x80000/0x80000") + XFRM.format(*second)
    (tmp_path / "ip-xfrm-policy.txt").write_text(policies)
    findings = audit(gather([str(tmp_path)], io.BytesIO()), load(builtin_registry())).findings
    assert [f.severity for f in findings if f.code == "MK105"] == severity


def test_many_rules_take_no_time_of_their_own(tmp_path: Path) -> None:
    ours = [f"{6000 + n}: from 10.{n >> 8}.{n & 255}.0/24 {OWN} lookup 7" for n in range(900)]
    theirs = [f"5250: from 10.{n >> 8}.{n & 255}.128/25 {TS} unreachable" for n in range(900)]
    start = time.process_time()
    (found,) = said(tmp_path, *ours, *theirs)
    assert found.occurrences == 900
    assert time.process_time() - start < 10
