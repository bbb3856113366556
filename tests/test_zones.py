"""Where two statements about a connection can meet when one is a flow: in one conntrack zone, by the numbers in zone registers."""

from __future__ import annotations

import pytest

from markreg.model import CT_MARK, Place, Scope, Use
from markreg.paths.openflow import Zones
from markreg.pipelines import Hop, Pipeline
from markreg.rows import ZoneName
from markreg.transfer import Word

ROUTER = ZoneName("host", 0, "r1_snat", "zones", 1)


def bridge(name: str = "br-int", **zones: frozenset[int] | None) -> Pipeline:
    return Pipeline(name, "flows", "host", 15, (Hop("0", "resubmit", "8"),), zones, {}, frozenset(), frozenset())


def use(
    zone: str | None, kind: str = "openflow", at: str = "br-int", netns: str = "host", field: str = "ct_mark", datapath: str = ""
) -> Use:
    effect = Word.const(1, CT_MARK.width).masked_into(Word.entry(field, CT_MARK.width), 1)
    place = Place(kind, "somewhere", bridge=at if kind == "openflow" else "", datapath=datapath)
    return Use(field, "write", 1, place, Scope(netns, "inet", zone), "flows", (1,), "", effect)


OVN = bridge(reg11=frozenset({0, 2, 4}), reg12=frozenset({0, 1, 3}), reg13=frozenset({0, 5, 6}))


@pytest.mark.parametrize(
    ("first", "second", "meet", "separate"),
    [
        (use("reg13"), use("reg13"), True, False),
        (use("reg13"), use("reg11"), False, True),
        (use("reg13"), use("5"), True, False),
        (use("reg13"), use("64000"), False, True),
        (use("64000"), use("64000", at="breth0"), True, False),
        # Nothing was tracked: the connection's fields read 0.
        (use(""), use("reg13"), False, True),
        # What is not known neither accuses nor excuses.
        (use(None), use("reg13"), False, False),
        (use("reg6"), use("reg13"), False, False),
        (use("reg13", netns="pod"), use("reg13"), False, False),
        # netfilter looks connections up in zone 0; the 0 in a register is what resets it.
        (use(None, "netfilter"), use("reg12"), False, True),
        (use(None, "netfilter"), use("0"), True, False),
    ],
)
def test_zones_are_one_where_their_numbers_are(first: Use, second: Use, meet: bool, separate: bool) -> None:
    zones = Zones([OVN])
    assert zones.meet(first, second) is zones.meet(second, first) is meet
    assert zones.separate(first, second) is zones.separate(second, first) is separate


def test_a_router_may_translate_in_the_hosts_own_zone() -> None:
    zones = Zones([OVN], [ROUTER])
    assert zones.meet(use(None, "netfilter"), use("reg12"))
    assert not zones.meet(use(None, "netfilter"), use("reg11"))


def test_a_register_of_another_bridge_is_another_register() -> None:
    zones = Zones([OVN, bridge("br-ex", reg13=frozenset({7})), bridge("br-2", reg13=None)])
    assert not zones.meet(use("reg13"), use("reg13", at="br-ex"))
    assert zones.separate(use("reg13"), use("reg13", at="br-ex"))
    assert not zones.meet(use("reg13"), use("reg13", at="br-2"))
    assert not zones.separate(use("reg13"), use("reg13", at="br-2"))


def test_a_dump_of_groups_says_nothing_of_what_registers_hold() -> None:
    groups = Pipeline("br-int", "groups", "host", 15, (Hop("group 1", "ct", "21"),), {"reg13": None}, {}, frozenset({"1"}), frozenset())
    assert Zones([OVN, groups]).meet(use("reg13"), use("6"))


@pytest.mark.parametrize(("field", "meet"), [("skb_mark", True), ("ovs.reg0", False)])
def test_registers_do_not_go_from_a_switch_to_a_router(field: str, meet: bool) -> None:
    zones = Zones([OVN])
    switch, router = (use(None, field=field, datapath=d) for d in ("switch", "router"))
    assert zones.meet(switch, router) is meet
    assert zones.meet(switch, use(None, field=field, datapath="switch"))
    assert not zones.meet(switch, use(None, field=field, at="br-ex"))
    assert not zones.meet(switch, use(None, "netfilter", field=field))
