"""Tables of iptables-nft as nft lists them: right translations are uses, lossy ones and bare names are not understood."""

from __future__ import annotations

import pytest

from markreg.model import Reading
from tests.formats.nft_support import as_json, read


def listed(*rules: str, table: str = "ip mangle", chain: str = "PREROUTING", hook: str = "prerouting priority mangle") -> Reading:
    body = "".join(f"\t\t{rule}\n" for rule in rules)
    return read(f"table {table} {{\n\tchain {chain} {{\n\t\ttype filter hook {hook}; policy accept;\n{body}\t}}\n}}\n")


@pytest.mark.parametrize(
    ("table", "chain", "hook"),
    [
        ("ip mangle", "PREROUTING", "prerouting priority mangle"),
        ("ip6 filter", "FORWARD", "forward priority filter"),
        ("ip raw", "OUTPUT", "output priority raw"),
        ("ip nat", "POSTROUTING", "postrouting priority srcnat"),
        ("ip security", "INPUT", "input priority security"),
        ("arp filter", "INPUT", "input priority filter"),
        ("bridge filter", "FORWARD", "forward priority filter"),
        ("bridge nat", "PREROUTING", "prerouting priority dstnat"),
    ],
)
def test_tables_that_iptables_makes(table: str, chain: str, hook: str) -> None:
    reading = listed("counter packets 0 bytes 0 meta mark set mark or 0x10", table=table, chain=chain, hook=hook)
    assert [t.backend for t in reading.tables] == ["nft"]
    assert [u.place.backend for u in reading.uses] == ["nft"]


@pytest.mark.parametrize(
    ("table", "chain", "hook"),
    [
        ("inet mangle", "PREROUTING", "prerouting priority mangle"),
        ("ip mangle", "prerouting", "prerouting priority mangle"),
        ("ip mangle", "PREROUTING", "prerouting priority filter"),
        ("ip mangle", "PREROUTING", "output priority mangle"),
        ("ip filter", "PREROUTING", "prerouting priority filter"),
        ("ip mine", "PREROUTING", "prerouting priority mangle"),
        ("netdev filter", "INPUT", "ingress device eth0 priority filter"),
    ],
)
def test_tables_that_it_does_not_make(table: str, chain: str, hook: str) -> None:
    reading = listed("meta mark set ct mark and 0xff", table=table, chain=chain, hook=hook)
    assert [u.place.backend for u in reading.uses] == ["native", "native"]
    assert not reading.opaque


def test_the_warning_tells_where_chains_do_not() -> None:
    warning = "# Warning: table ip filter is managed by iptables-nft, do not touch!\n"
    text = f"{warning}table ip filter {{\n\tchain mine {{\n\t\tmeta mark set mark or 1\n\t}}\n}}\n"
    assert [u.place.backend for u in read(text).uses] == ["nft"]


RIGHT = [
    "meta mark set mark and 0xffffff0f xor 0x10",
    "meta mark set mark or 0x4000",
    "meta mark set 0x0",
    "meta mark set ct mark",
    "ct mark set mark",
    "ct mark set ct mark or 0x80",
    "ct mark set 0x10",
    "meta mark & 0x00000003 == 0x00000001 accept",
    "ct mark and 0x80000 != 0x80000 accept",
    "ct label 5",
    "ct mark set ct mark & 0xffffff0f ^ 0x00000010",
]
WRONG = [
    "ct mark set ct mark xor 0x10 and 0xffffff0f",
    "ct mark set mark and 0xff00",
    "meta mark set ct mark and 0xff00",
    "ct mark set ( ct mark xor 0x10 and 0xffffff0f ) << 8",
    "xt target CONNMARK",
    'xt target "MARK"',
    "xt target HMARK",
    "xt match connmark drop",
]


def test_what_is_listed_right_is_a_use() -> None:
    reading = listed(*[f"counter packets 0 bytes 0 {rule}" for rule in RIGHT])
    assert not reading.opaque
    assert {u.lines[0] for u in reading.uses} == set(range(4, 4 + len(RIGHT)))


def test_what_is_listed_wrong_is_not_understood() -> None:
    reading = listed(*[f"counter packets 0 bytes 0 {rule}" for rule in WRONG])
    assert not reading.uses
    assert sorted(line for o in reading.opaque for line in o.lines) == list(range(4, 4 + len(WRONG)))
    assert all("capture iptables-nft-save" in o.reason for o in reading.opaque)
    assert {o.table for o in reading.opaque} == {"ip mangle"}


def test_the_same_rules_in_a_table_of_nfts_own_are_what_they_say() -> None:
    reading = listed(*WRONG[:4], table="ip mine")
    assert not reading.opaque
    assert {u.lines[0] for u in reading.uses} == {4, 5, 6, 7}


def test_json_shows_names_alone() -> None:
    rule = {"family": "ip", "table": "mangle", "chain": "PREROUTING"}
    hook = {"type": "filter", "hook": "prerouting", "prio": -150, "policy": "accept"}
    reading = as_json(
        {"chain": {"family": "ip", "table": "mangle", "name": "PREROUTING", **hook}},
        {"rule": {**rule, "expr": [{"xt": {"type": "match", "name": "comment"}}, {"xt": {"type": "target", "name": "MARK"}}]}},
        {
            "rule": {
                **rule,
                "expr": [
                    {"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 5}},
                    {"xt": {"type": "match", "name": "addrtype"}},
                ],
            }
        },
        {"rule": {**rule, "expr": [{"xt": {"type": "match", "name": "comment"}}, {"jump": {"target": "x"}}]}},
    )
    assert [u.place.backend for u in reading.uses] == ["nft"]
    assert [len(o.lines) for o in reading.opaque] == [1]
