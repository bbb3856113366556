"""Routing rules that can never select one packet, and those that an earlier rule never lets one come to."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markreg.flow import Guard
from markreg.formats import ip_rule, ip_xfrm
from markreg.model import Rule, Scope
from markreg.paths.selectors import Order, apart, asked
from markreg.source import Source


def rules(*lines: str) -> list[Rule]:
    """The rules of a listing; those without a priority follow each other."""
    text = "".join(f"{line if line[0].isdigit() else f'{number}: {line}'}\n" for number, line in enumerate(lines, 100))
    return list(ip_rule.read(Source("rules", text.encode()), "ip-rule", Scope(family="ip")).rules)


def rule(selectors: str) -> Rule:
    return rules(f"{selectors} fwmark 0x1/0xf lookup 7")[0]


def show(guards: tuple[Guard, ...]) -> str:
    return " ".join(f"{guard.kind} {','.join(guard.values)}" for guard in guards)


@pytest.mark.parametrize(
    ("selectors", "guards", "narrow", "local"),
    [
        ("from all", "", "", None),
        ("from all to all", "", "", None),
        ("from all iif eth0", "iif eth0", "", False),
        ("from all iif eth0 [detached]", "iif eth0", "", False),
        # Only packets that are sent have lo as the device by which they come in.
        ("from all iif lo", "", "", True),
        ("from all oif eth1", "oif eth1", "", True),
        ("from all ipproto tcp", "proto tcp", "", None),
        ("from all ipproto 17", "proto udp", "", None),
        ("from all ipproto ipv6-icmp", "proto icmpv6", "", None),
        ("from 10.0.0.1", "", "src 10.0.0.1", None),
        ("from 10.0.0.0/8 to 192.0.2.0/24", "", "src 10.0.0.0/8 dst 192.0.2.0/24", None),
        ("from all ipproto udp sport 53 dport 1000-2000", "proto udp", "sport 53 dport 1000-2000", None),
        # What a device brings is looked up as root's.
        ("from all uidrange 1000-1999", "", "", True),
        ("from all uidrange 0-99", "", "", None),
        ("from all iif lo ipproto tcp uidrange 0-0", "proto tcp", "", True),
        # Of these nothing is told.
        ("from all tos 0x10", "", "", None),
        ("from all tun_id 7", "", "", None),
        ("from all dport 80/0xf0", "", "", None),
        ("from host.example", "", "", None),
        ("from all iif eth*", "", "", None),
        # `not` inverts all of it together.
        ("not from 10.0.0.1 iif eth0 ipproto tcp", "", "", None),
    ],
)
def test_what_a_rule_asks(selectors: str, guards: str, narrow: str, local: bool | None) -> None:
    said = asked(rule(selectors))
    assert (show(said.guards), show(said.narrow), said.local) == (guards, narrow, local)


def test_a_rule_that_asks_of_no_mark_need_not_say_more() -> None:
    (plain,) = rules("from 10.0.0.1 iif eth0 lookup 7")
    assert asked(plain) == ((), (), None)


def test_with_vrfs_a_device_may_stand_for_its_ports() -> None:
    of_master, of_node = rules(
        "from all lookup [l3mdev-table]", "from all fwmark 0x1 iif red lookup 7", "from all fwmark 0x1 iif lo lookup 7"
    )[1:]
    assert asked(of_master) == ((), (), None)
    assert asked(of_node) == ((), (), True)


APART = [
    ("from 10.0.0.1", "from 10.0.0.2"),
    ("from 10.0.0.0/24", "from 10.0.1.0/24"),
    ("from all to 10.0.0.1", "from all to 10.0.2.0/24"),
    ("from all iif eth0", "from all iif eth1"),
    ("from all iif lo", "from all iif eth0"),
    ("from all oif eth0", "from all oif eth1"),
    ("from all oif eth0", "from all iif eth1"),
    ("from all uidrange 1000-1999", "from all iif eth1"),
    ("from all ipproto tcp", "from all ipproto udp"),
    ("from all ipproto tcp", "from all ipproto 17"),
    ("from all sport 53", "from all sport 54"),
    ("from all dport 1000-2000", "from all dport 2001-3000"),
    ("from all uidrange 0-0", "from all uidrange 1000-1000"),
]
TOGETHER = [
    ("from all", "from 10.0.0.2"),
    ("from 10.0.0.0/8", "from 10.0.0.2"),
    ("from 10.0.0.1", "from all to 10.0.0.2"),
    ("from all iif eth0", "from all iif eth0 ipproto tcp"),
    ("from all iif eth0", "from all ipproto tcp"),
    ("from all iif lo", "from all oif eth0"),
    ("from all iif lo", "from all uidrange 1000-1999"),
    ("from all iif eth0", "from all uidrange 0-99"),
    ("from all ipproto tcp", "from all ipproto 6"),
    ("from all dport 1000-2000", "from all dport 2000"),
    ("from all dport 80", "from all sport 81"),
    ("from all tos 0x10", "from all tos 0x08"),
    ("from all uidrange 0-1000", "from all uidrange 1000-2000"),
    ("not from 10.0.0.1", "from 10.0.0.2"),
    ("not from 10.0.0.1", "not from 10.0.0.2"),
    ("not from all iif eth0", "from all iif eth1"),
]


@pytest.mark.parametrize(("one", "other", "never"), [(*p, True) for p in APART] + [(*p, False) for p in TOGETHER])
def test_which_rules_can_select_one_packet(one: str, other: str, never: bool) -> None:
    assert apart(rule(one), rule(other)) is never
    assert apart(rule(other), rule(one)) is never


PREFIX = st.builds(
    lambda n, size: ip_network((n & 0xFFFFFFFF << 32 - size & 0xFFFFFFFF, size)), st.integers(0, 0xFFFFFFFF), st.integers(1, 32)
)
RANGE = st.tuples(st.integers(1, 40), st.integers(0, 9)).map(lambda r: (r[0], r[0] + r[1]))


@given(PREFIX, PREFIX, RANGE, RANGE)
def test_addresses_and_ports_are_compared_as_sets(a: object, b: object, p: tuple[int, int], q: tuple[int, int]) -> None:
    first, second = ip_network(str(a)), ip_network(str(b))
    assert apart(rule(f"from {first}"), rule(f"from {second}")) is not first.overlaps(second)
    disjoint = set(range(p[0], p[1] + 1)).isdisjoint(range(q[0], q[1] + 1))
    assert apart(rule(f"from all dport {p[0]}-{p[1]}"), rule(f"from all dport {q[0]}-{q[1]}")) is disjoint


def test_an_address_of_the_other_family_is_another_address() -> None:
    assert apart(rule("from 10.0.0.1"), rule(f"from {ip_address('::a00:1')}"))


def policies(text: str) -> list[Rule]:
    return list(ip_xfrm.read(Source("policies", text.encode()), "ip-xfrm-policy", Scope()).rules)


def test_policies_of_ipsec_ask_of_addresses_and_ports() -> None:
    head = "src 10.{0}.0.0/16 dst 0.0.0.0/0 {1}\n\tdir out priority {0} ptype main\n\tmark 0x1/0x1\n"
    one, other, masked = policies(head.format(1, "proto tcp dport 80") + head.format(2, "") + head.format(1, "sport 1024 mask 0xfc00"))
    assert show(one.asks) == "src 10.1.0.0/16 dst 0.0.0.0/0 proto tcp dport 80"
    assert show(masked.asks) == "src 10.1.0.0/16 dst 0.0.0.0/0"
    assert apart(one, other)
    assert not apart(one, masked)


MINE = "300: from all fwmark 0x1/0xf lookup 7"
TAKEN = [
    ["200: from all unreachable"],
    ["200: from all fwmark 0x1/0xf blackhole"],
    ["200: from all fwmark 0x1/0x1 prohibit"],
    ["200: not from all fwmark 0x2/0xf unreachable"],
    ["300: from all fwmark 0x1/0xf unreachable"],
    ["100: from all goto 150", "150: from all nop", "200: from all unreachable"],
]
LEFT = [
    [],
    ["200: from all lookup 5"],
    ["200: from 10.0.0.0/8 unreachable"],
    ["200: from all iif eth0 blackhole"],
    ["200: from all fwmark 0x2/0xf unreachable"],
    ["200: from all fwmark 0x11/0xff unreachable"],
    ["200: not from all fwmark 0x1/0xf unreachable"],
    ["200: not from all unreachable"],
    ["200: from all nop"],
    ["100: from all iif eth0 goto 250", "200: from all unreachable", "250: from all nop"],
    ["200: from all unreachable", "300: from all fwmark 0x80/0xf0 lookup 8", "0: from all lookup local"],
]


@pytest.mark.parametrize(("earlier", "reached"), [(e, False) for e in TAKEN] + [(e, True) for e in LEFT])
def test_what_earlier_rules_leave(earlier: list[str], reached: bool) -> None:
    listed = rules(*earlier, MINE, "400: from all unreachable")
    assert Order(listed).reached(listed[-2], 0x1, 0xF) is reached


def test_a_rule_may_take_only_some_of_the_packets() -> None:
    listed = rules("200: from all fwmark 0x11/0xff unreachable", MINE)
    order = Order(listed)
    assert order.reached(listed[1], 0x1, 0xF)
    assert not order.reached(listed[1], 0x11, 0xFF)
    assert order.reached(listed[1], 0x21, 0xFF)
    assert order.reached(listed[1], 0x11, 0xFF, beside=listed[0])


def test_each_listing_has_an_order_of_its_own() -> None:
    first = rules("200: from all unreachable")
    (mine,) = ip_rule.read(Source("others", f"{MINE}\n".encode()), "ip-rule", Scope(family="ip")).rules
    assert Order([*first, mine]).reached(mine, 0x1, 0xF)
    assert Order([]).reached(mine, 0x1, 0xF)
