"""Tables of Open vSwitch: what a packet carries from flow to flow, against packets that are walked one by one."""

from __future__ import annotations

import os

import pytest

from tests.paths.switch_support import Read
from tests.paths.switching import Walk, case

CASES = int(os.environ.get("MARKREG_TABLES", "300"))


@pytest.mark.parametrize("rich", [False, True])
def test_whatever_a_packet_carries_into_a_flow_is_said(rich: bool) -> None:
    """And of the pairs on one bridge that no packet shows most are excluded, where tables alone tell."""
    met = carried = said = possible = 0
    for seed in range(CASES // 2):
        made = case(seed + 100_000 * rich, rich)
        read = Read.of(made)
        seen = set()
        for packet in made.packets:
            seen |= Walk(made).run(packet).met
        for one in sorted(seen, key=repr):
            missing = read.missing(one)
            assert not missing, f"seed {seed}: {missing:#x} of {one}\n{made.text()}{made.buckets()}"
            met += 1
        readers = [u for u in read.uses if u.effect is None and u.predicate is not None]
        writers = [u for u in read.uses if u.effect is not None]
        shown = {(m.writer.line, m.writer.group, m.line, m.name) for m in seen if m.acts is None}
        for reader in readers:
            for writer in writers:
                if writer.field == reader.field and writer.mask & reader.mask:
                    possible += 1
                    said += bool(read.zones.reach(writer, reader) & reader.mask)
                    name = reader.field.replace("skb_mark", "pkt_mark").removeprefix("ovs.")
                    lines = [(w, writer.place.table == "", r, name) for w in writer.lines for r in reader.lines]
                    carried += any(s in shown for s in lines)
    print(f"{met} meetings; {possible} pairs, {said} said, {carried} shown by packets")
    assert met > 3 * CASES
