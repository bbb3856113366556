"""A real ovs-vswitchd says which flows a packet matches; the brute force that the analysis of tables is held against must say the same."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.oracle.ovs_switch import switch
from tests.paths.switching import Walk, case

pytestmark = pytest.mark.oracle

CASES = int(os.environ.get("MARKREG_TABLES", "100"))
_MATCHED = re.compile(r"^ *(\d+)\. .*?priority (\d+)", re.MULTILINE)
_PROTOCOL = {6: "tcp", 17: "udp", 0: "arp"}


def test_brute_force_is_the_switchs_way(tmp_path: Path) -> None:
    walked = passes = again = 0
    with switch(tmp_path) as running:
        running.add_bridge("br0", 3)
        for seed in range(CASES):
            made = case(seed)
            running.load("br0", "")
            running.run("ovs-ofctl", "-O", "OpenFlow15", "del-groups", "br0")
            running.run("ovs-ofctl", "-O", "OpenFlow15", "add-groups", "br0", "-", stdin=made.buckets())
            running.load("br0", made.text())
            for packet in made.packets[:4]:
                address = f"arp_spa=10.0.0.{packet['nw_src']}" if not packet["proto"] else f"nw_src=10.0.0.{packet['nw_src']}"
                text = running.trace("br0", f"in_port={packet['in_port']},{_PROTOCOL[packet['proto']]},{address}")
                told = f"seed {seed}, {packet}\n{made.text()}{made.buckets()}{text}"
                mine = Walk(made).run(packet)
                assert mine.matched == [(int(a), int(b)) for a, b in _MATCHED.findall(text)], told
                theirs = re.split(r"^=+\nrecirc\(.*\n=+\n", text, flags=re.MULTILINE)
                assert len(theirs) == len(mine.ends), told
                for part, end in zip(theirs, mine.ends, strict=True):
                    assert _final(part) == {k: v for k, v in end.items() if v}, told
                walked += 1
                passes += len(mine.ends)
                again += len(mine.matched)
    assert passes > walked and again > 2 * walked


def _final(text: str) -> dict[str, int]:
    start = re.search(r"^Flow: (.*)", text, re.MULTILINE)
    final = re.search(r"^Final flow: (.*)", text, re.MULTILINE)
    assert start and final, text
    said = start[1] if final[1] == "unchanged" else final[1]
    found = re.findall(r"(?<!\w)(pkt_mark|metadata|reg[012])=(0x[0-9a-f]+|\d+)", said)
    return {name: int(value, 0) for name, value in found if int(value, 0)}
