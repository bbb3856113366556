"""What rules of iptables say of addresses, ports, connections and flowtables; first what must not be told."""

from __future__ import annotations

import pytest

from markreg.flow import Guard, Outcome
from markreg.formats import iptables
from markreg.formats._narrow import address, every, port
from markreg.model import Reading, Scope
from markreg.source import Source
from tests.formats.flow_support import shown

UNTOLD = (
    "-s example.com",
    "-s 10.0.0.0/255.0.0.255",
    "-s 10.0.0.0/0.0.0.255",
    "-s 10.0.0.1-10.0.0.9",
    "! -s 10.0.0.1,10.0.0.2",
    "-s 10.0.0.1,host",
    "-s fe80::1%eth0",
    "-s 00:11:22:33:44:55",
    "-s 10.0.0.0/33",
    "-p tcp --dport http",
    "-p tcp --dport 90:80",
    "-p tcp --dport :",
    "-p tcp --dport 65536",
    "-p tcp --dport 80,443",
    "-p tcp -m multiport --ports 80,443",
    "-p tcp -m multiport --dports 80,http",
    "-m iprange --src-range 10.0.0.9-10.0.0.1",
    "-m iprange --src-range 10.0.0.0/8",
    "-m set --match-set known src",
    "-m conntrack --ctorigdst 10.0.0.1",
    "-m addrtype --dst-type LOCAL",
    "-p tcp --syn",
    "-p IPv4",
)
TOLD = {
    "-s 10.0.0.1/32": "src 10.0.0.1",
    "-s 10.1.2.3/16": "src 10.1.0.0/16",
    "-d 10.0.0.0/255.255.0.0": "dst 10.0.0.0/16",
    "! -s 10.0.0.1": "! src 10.0.0.1",
    "-s ! 10.0.0.1": "! src 10.0.0.1",
    "-s 10.0.0.1,10.0.0.2": "src 10.0.0.1,10.0.0.2",
    "-s10.0.0.1": "src 10.0.0.1",
    "--source 10.0.0.1 --destination 10.0.0.2": "src 10.0.0.1; dst 10.0.0.2",
    "-p tcp --dport=80": "dport 80",
    "-d FD00:0::1/128": "dst fd00::1",
    "-p tcp -m tcp --sport 1:1024 --dport 80": "sport 1-1024; dport 80",
    "-p udp --sport :1024": "sport 0-1024",
    "-p udp ! --dport 1024:": "! dport 1024-65535",
    "-p tcp -m multiport --dports 80,443,1000:2000": "dport 80,443,1000-2000",
    "-p tcp -m multiport ! --sports 22,80": "! sport 22,80",
    "-m iprange --src-range 10.0.0.1-10.0.0.9": "src 10.0.0.1-10.0.0.9",
    "-m iprange ! --dst-range 10.0.0.1-10.0.0.1": "! dst 10.0.0.1",
    "-i eth0 -p tcp -m conntrack --ctstate NEW": "",
    "-p tcp -m tcp --dport 80 --tcp-flags SYN SYN": "dport 80; +",
    "-s 10.0.0.1 -m addrtype --dst-type LOCAL": "src 10.0.0.1; +",
    '-s 10.0.0.1 -m comment --comment "-d 10.0.0.2"': "src 10.0.0.1",
    "-s 10.0.0.1 -m comment --comment -d10.0.0.2": "src 10.0.0.1",
    "-s 10.0.0.1 -m mark --mark 0x1/0x1": "src 10.0.0.1",
}


@pytest.mark.parametrize("written", UNTOLD)
def test_what_is_not_told(written: str) -> None:
    flow = iptables.flow(f"-A c {written} -j ACCEPT")
    assert flow
    assert (flow.narrow, flow.loose) == ((), True)
    assert flow.others


@pytest.mark.parametrize("written", TOLD)
def test_addresses_and_ports(written: str) -> None:
    flow = iptables.flow(f"-A c {written} -j ACCEPT")
    assert shown(flow) == TOLD[written]
    assert flow
    assert bool(flow.others) == bool(TOLD[written])


def test_conditions_may_stand_behind_the_target() -> None:
    flow = iptables.flow("-I c -j MARK --set-mark 1 -s 10.0.0.1 -i eth0 -m set --match-set known src")
    assert flow
    assert (flow.guards, shown(flow)) == ((Guard("iif", ("eth0",)),), "src 10.0.0.1; +")


def test_a_bridge_calls_other_things_protocols() -> None:
    flow = iptables.flow("-A c -p IPv4 -j mark --mark-set 0x1 --mark-target ACCEPT")
    assert flow
    assert (flow.guards, flow.others) == ((), "-p IPv4")


@pytest.mark.parametrize("target", ["NOTRACK", "CT --notrack", "CT --zone 5 --notrack"])
def test_packets_without_a_connection(target: str) -> None:
    flow = iptables.flow(f"-A c -p tcp -m tcp --dport 80 -j {target}")
    assert flow
    assert (flow.untracks, flow.outcomes, shown(flow)) == (True, (), "dport 80")


@pytest.mark.parametrize("target", ["CT --zone 5", "ACCEPT", "NOTRACKED", "MARK --set-xmark 0x1/0x1"])
def test_packets_that_keep_theirs(target: str) -> None:
    flow = iptables.flow(f"-A c -j {target}")
    assert flow
    assert not flow.untracks


def read(*lines: str, thorough: bool = False) -> Reading:
    text = "\n".join(("*raw", ":PREROUTING ACCEPT [0:0]", ":CT-user - [0:0]", *lines, "COMMIT", ""))
    return iptables.read(Source("save", text.encode()), "iptables-save", Scope(), thorough=thorough)


@pytest.mark.parametrize("thorough", [False, True])
def test_tables_know_such_rules(thorough: bool) -> None:
    reading = read(
        "-A PREROUTING -p udp -m udp --dport 53 -j CT --notrack",
        "-A PREROUTING -j CT --zone 5",
        "-A PREROUTING -j CT-user",
        '-A PREROUTING -m comment --comment "a --notrack b" -j CT --zone 5',
        "-A CT-user -j NOTRACK",
        "-A CT-user -j ACCEPT",
        thorough=thorough,
    )
    (table,) = reading.tables
    assert ({c: sorted(lines) for c, lines in table.ends.items()}, table.offloads) == ({"PREROUTING": [4], "CT-user": [8, 9]}, False)


@pytest.mark.parametrize("thorough", [False, True])
def test_flowtables(thorough: bool) -> None:
    (table,) = read("-A PREROUTING -m conntrack --ctstate ESTABLISHED -j FLOWOFFLOAD --hw", thorough=thorough).tables
    assert (table.offloads, table.ends) == (True, {})
    flow = iptables.flow("-A FORWARD -j FLOWOFFLOAD --hw")
    assert flow
    assert (flow.outcomes, flow.others) == ((), "")


def test_a_chain_may_be_called_like_a_target() -> None:
    (table,) = read(":NOTRACK - [0:0]", ":FLOWOFFLOAD - [0:0]", "-A PREROUTING -j NOTRACK", "-A PREROUTING -j FLOWOFFLOAD").tables
    assert (table.offloads, table.ends, table.steps["PREROUTING"][1]) == (False, {}, ["NOTRACK", "FLOWOFFLOAD"])


def test_quoted_values_are_told() -> None:
    told = {
        '-m u32 --u32 "0>>22&0x3C@12&0xFFFF=0x0102"': 'u32 --u32 "0>>22&0x3C@12&0xFFFF=0x0102"',
        '-m string --string "a -j DROP" --algo bm -m comment --comment "b \\" c"': 'string --string "a -j DROP" --algo bm',
        '-m comment --comment "a" -m string --hex-string="|00 01|"': 'string --hex-string "|00 01|"',
        f'-m u32 --u32 "{"0" * 500}"': f'u32 --u32 "{"0" * 80}…"',
    }
    for written, others in told.items():
        flow = iptables.flow(f"-A c {written} -j ACCEPT")
        assert flow
        assert (flow.others, flow.outcomes) == (others, (Outcome("accept"),))


@pytest.mark.parametrize("thorough", [False, True])
def test_prefixes_that_are_rewritten(thorough: bool) -> None:
    line = "-A PREROUTING -s fd00::/64 -j SNPT --src-pfx fd00::/64 --dst-pfx fd01::/64"
    (table,) = read(line, thorough=thorough).tables
    assert (table.rewrites, table.ends) == (("src",), {})
    assert read("-A PREROUTING -j DNPT --src-pfx fd00::/64 --dst-pfx fd01::/64", thorough=thorough).tables[0].rewrites == ("dst",)
    assert read("-A PREROUTING -j NETMAP --to 10.0.0.0/24", thorough=thorough).tables[0].rewrites == ()


def test_values() -> None:
    assert [address(t, 4) for t in ("10.0.0.1", "fd00::1", "10.0.0.1/0", "010.0.0.1", "", "10.0.0.1/", "1-2")] == [
        *("10.0.0.1", None, "0.0.0.0/0", None, None, None, None)
    ]
    assert [port(t) for t in ("0", "80", "080", "1-65535", "-1", "1-", "80-80", "٣")] == [
        "0",
        "80",
        None,
        "1-65535",
        None,
        None,
        "80",
        None,
    ]
    assert every(["a", None]) == every([]) == ()
