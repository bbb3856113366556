"""A real ovs-vswitchd says what marks packets and connections end up with; the functions read from its dumps must say the same.

500 random tables, each read from the OpenFlow 1.0 and the 1.5 print. ``MARKREG_TABLES=5000`` runs as many as wanted.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.oracle.ovs_switch import switch
from tests.oracle.ovs_tables import case
from tests.oracle.ovs_walk import Pipeline, own_name, traced

pytestmark = pytest.mark.oracle

TABLES = int(os.environ.get("MARKREG_TABLES", "500"))
VERSIONS = ("OpenFlow10", "OpenFlow15")


def test_composed_functions_are_the_switchs(tmp_path: Path) -> None:
    met: Counter[str] = Counter()
    with switch(tmp_path) as running:
        running.add_bridge("br0", 2)
        for seed in range(TABLES):
            made = case(seed)
            running.load("br0", made.flows)
            pipelines = {v: Pipeline(running.dump("br0", v)) for v in VERSIONS}
            for packet in made.packets:
                tracked = "ct_state=trk|est," if "ct_mark" in packet else ""
                words = ",".join(f"{name}={value:#x}" for name, value in packet.items())
                text = running.trace("br0", f"in_port=1,ip,{tracked}{words}".rstrip(","))
                theirs = traced(text)
                for version, pipeline in pipelines.items():
                    mine = pipeline.passes({own_name(name): value for name, value in packet.items()})
                    told = f"seed {seed}, {version}, {packet}\n{made.flows}\n{text}"
                    assert [p.state for p in mine] == [p.state for p in theirs], told
                    assert [p.commits for p in mine] == [p.commits for p in theirs], told
                    assert not pipeline.seen_wrong, f"{pipeline.seen_wrong}\n{told}"
                met["zones"] += sum(p.zones_met for p in pipelines.values())
                for done in theirs:
                    met["passes"] += 1
                    met["marked"] += bool(done.state["skb_mark"])
                    met["commits"] += len(done.commits)
                    met["marks"] += sum(bool(c.mark[1]) for c in done.commits)
                    met["labels"] += sum(bool(c.label[1]) for c in done.commits)
    # Had nothing happened, nothing would have differed.
    assert met["passes"] > 3 * TABLES, met
    assert min(met["marked"], met["commits"], met["marks"], met["labels"]) > TABLES, met
    assert met["zones"] > TABLES / 10, met
