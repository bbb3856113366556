"""Commands in scripts and manifests: what each does to marks, on which line, and what is left open."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markreg.bits import format_mask
from markreg.formats import manifest, script
from markreg.manifests.shell import commands
from markreg.model import Reading, Scope, Use
from markreg.source import Source


def of(text: str) -> Reading:
    return script.read(Source("x.sh", text.encode()), "script", Scope())


def told(use: Use) -> str:
    value = "?" if use.value is None else format_mask(use.value)
    return f"{use.lines[0]} {use.scope.netns} {use.scope.family} {use.field} {use.access} {value}/{format_mask(use.mask)} {use.place.text}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("iptables -t mangle -A PREROUTING -j MARK --set-xmark 0x1/0xff", ["1 host ip skb_mark write 0x1/0xff iptables mangle PREROUTING"]),
        ("iptables -w 5 -I FORWARD 1 -m mark --mark 0x2/0x2 -j DROP", ["1 host ip skb_mark read 0x2/0x2 iptables filter FORWARD"]),
        (
            "sudo /usr/sbin/ip6tables --table=mangle --append OUTPUT --jump MARK --or-mark 0x4",
            ["1 host ip6 skb_mark write 0x4/0x4 ip6tables mangle OUTPUT"],
        ),
        ("iptables -C INPUT -m mark --mark 1 -j DROP || true", []),
        ("iptables -t mangle -D INPUT -j MARK --set-mark 1", []),
        ("echo iptables -t mangle -A PREROUTING -j MARK --set-mark 1", []),
        ("# iptables -t mangle -A PREROUTING -j MARK --set-mark 1", []),
        (
            "ip netns exec blue iptables -t mangle -A INPUT -j CONNMARK --restore-mark --mask 0xf",
            ["1 blue ip skb_mark copy ?/0xf iptables mangle INPUT"],
        ),
        ("ip rule add fwmark 0x10/0xf0 lookup 7 pref 40", ["1 host ip skb_mark read 0x10/0xf0 ip rule 40"]),
        ("ip -6 rule add not from all fwmark 9 table 7", ["1 host ip6 skb_mark read 0x9/0xffffffff ip -6 rule 32765"]),
        ("ip rule del fwmark 1", []),
        (
            "nft add table inet t\nnft add chain inet t c '{ type filter hook input priority 0; }'\n"
            "nft add rule inet t c meta mark set mark or 8",
            ["3 host inet skb_mark write 0x8/0x8 nft inet t c"],
        ),
        ("wg set wg0 private-key /x fwmark 0x33", ["1 host inet skb_mark write 0x33/0xffffffff wireguard wg0"]),
        ("conntrack -U -s 10.0.0.1 --mark 2/3", ["1 host inet ct_mark write 0x2/0x3 conntrack --update"]),
        ("conntrack -L --mark 2", []),
        ("sysctl -w net.ipv4.fwmark_reflect=1", []),
        (
            "bash -c 'iptables -t mangle -A INPUT -j MARK --set-xmark 2/2'",
            ["1 host ip skb_mark write 0x2/0x2 iptables mangle INPUT"],
        ),
    ],
)
def test_one_command(text: str, expected: list[str]) -> None:
    reading = of(text)
    assert not reading.opaque
    assert [told(u) for u in reading.uses if not (u.access == "read" and u.field == "ct_mark")] == expected


def test_a_filter_of_tc() -> None:
    reading = of(
        "tc filter add dev eth0 parent ffff: protocol ip prio 1 u32 match u32 0 0 action skbedit mark 5/0xf action connmark zone 1\n"
    )
    assert [(u.access, u.value, u.mask) for u in reading.uses if u.field == "skb_mark"][:1] == [("write", 5, 0xF)]


def test_here_documents_and_continued_lines_have_their_lines() -> None:
    reading = of(
        "#!/bin/sh\n"
        "iptables-restore --noflush <<'EOF' || exit 1\n"
        "*mangle\n"
        "-A PREROUTING -i eth0 -j MARK --set-xmark 0x1/0x1\n"
        "COMMIT\n"
        "EOF\n"
        "nft -f - <<-EOT\n"
        "\ttable ip t {\n"
        "\t  chain c { type filter hook output priority 0; meta mark 0x2 drop; }\n"
        "\t}\n"
        "\tEOT\n"
        "iptables -A FORWARD \\\n"
        "  -m mark \\\n"
        "  --mark 0x4/0x4 -j ACCEPT\n"
    )
    assert sorted((u.lines[0], u.value) for u in reading.uses) == [(4, 1), (9, 2), (13, 4)]


@pytest.mark.parametrize(
    ("words", "mask", "possible"),
    [
        ("--set-mark $MARK/0xff", 0xFF, False),
        ('--set-xmark "${MARK}/0xff00"', 0xFF00, False),
        ("--set-mark $MARK", 0xFFFFFFFF, True),
        ("--or-mark $(cat /etc/bit)", 0xFFFFFFFF, True),
    ],
)
def test_an_open_value_is_unknown_within_its_mask(words: str, mask: int, possible: bool) -> None:
    (use,) = of(f"iptables -t mangle -A PREROUTING -j MARK {words}").uses
    assert use.effect is not None
    assert (use.mask, use.effect.other, use.possible, use.value) == (mask, mask, possible, None)
    assert use.effect.keeps("skb_mark") == 0xFFFFFFFF & ~mask


def test_an_open_match_examines_its_mask() -> None:
    (use,) = of("iptables -A INPUT -m mark --mark $MARK/0xf0 -j DROP").uses
    assert (use.mask, use.predicate, use.possible) == (0xF0, None, False)


def test_a_variable_with_one_value_is_that_value() -> None:
    assert [u.value for u in of("M=0x10\niptables -t mangle -A INPUT -j MARK --set-mark $M/0xff\n").uses] == [0x10]
    assert [u.value for u in of("M=1\nM=2\niptables -t mangle -A INPUT -j MARK --set-mark $M/0xff\n").uses] == [None]


def test_what_is_not_understood_is_said() -> None:
    reading = of("x=1\niptables -t $TABLE -A INPUT -j MARK --set-mark 1\niptables -A INPUT -m newmatch --markish 4 --mark bad\n")
    assert sorted(line for o in reading.opaque for line in o.lines) == [2, 3]


def test_containers() -> None:
    text = """\
kind: Pod
spec:
  initContainers:
  - name: a
    command: [iptables, -t, mangle]
    args:
    - -A
    - PREROUTING
    - -j
    - MARK
    - --set-xmark
    - 0x1/0x1
  - name: b
    command: [sh, -c]
    args:
    - |
      set -e
      ip rule add fwmark 0x2/0x2 table 9
  containers:
  - name: c
    command: ["/bin/sh", "-c", "iptables -A INPUT -m mark --mark 0x4/0x4 -j DROP"]
"""
    reading = manifest.read(Source("x.yaml", text.encode()), "manifest", Scope())
    assert sorted((u.lines[0], u.value) for u in reading.uses) == [(10, 1), (18, 2), (21, 4)]


@given(st.text(alphabet=st.sampled_from(list("iptables mark$'\"\\\n;|&<>(){}`#=-A0x/EOF ")), max_size=300))
def test_no_text_is_too_much(text: str) -> None:
    list(commands(text))
    of(f"iptables -A INPUT -m mark --mark {text}\nnft {text}")


@pytest.mark.parametrize("piece", ["$(", "${", "`", "'", '"', "<<EOF\n", "\\\n", "M=$M$M\n", "iptables -A mark $x{{ ", "( "])
def test_time_grows_with_the_text(piece: str) -> None:
    began = time.monotonic()
    of("iptables mark\n" + piece * (200_000 // len(piece)))
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('IPT="iptables -w"\n$IPT -t mangle -A INPUT -j MARK --set-xmark 1/1', "2 host ip skb_mark write 0x1/0x1 iptables mangle INPUT"),
        ('"$IP6TABLES" -t mangle -A INPUT -j MARK --set-xmark 1/1', "1 host ip6 skb_mark write 0x1/0x1 ip6tables mangle INPUT"),
        ("NFT=$(which nft)\n$NFT add rule inet t c meta mark set mark or 8", "2 host inet skb_mark write 0x8/0x8 nft inet t c"),
        ("${IP_BIN:-ip} rule add fwmark 0x10/0xf0 lookup 7 pref 40", "1 host ip skb_mark read 0x10/0xf0 ip rule 40"),
        ("$(command -v ip) rule add fwmark 0x10/0xf0 lookup 7 pref 40", "1 host ip skb_mark read 0x10/0xf0 ip rule 40"),
        (
            'ipt() { iptables -w "$@"; }\nipt -t mangle -A INPUT -j MARK --set-xmark 1/1',
            "2 host ip skb_mark write 0x1/0x1 iptables mangle INPUT",
        ),
        (
            "kubectl exec -n kube-system ds/x -- iptables -t mangle -A INPUT -j MARK --set-xmark 1/1",
            "1 host ip skb_mark write 0x1/0x1 iptables mangle INPUT",
        ),
        ('ssh node "iptables -t mangle -A INPUT -j MARK --set-xmark 1/1"', "1 host ip skb_mark write 0x1/0x1 iptables mangle INPUT"),
        ("sudo sh -ec 'iptables -t mangle -A INPUT -j MARK --set-xmark 1/1'", "1 host ip skb_mark write 0x1/0x1 iptables mangle INPUT"),
        ("echo 'add rule inet t c meta mark set mark or 8' | nft -f -", "1 host inet skb_mark write 0x8/0x8 nft inet t c"),
    ],
)
def test_a_program_by_another_name(text: str, expected: str) -> None:
    reading = of(text)
    assert not reading.opaque
    assert [told(u) for u in reading.uses] == [expected]


def test_a_units_line_goes_on_in_the_next() -> None:
    text = "[Service]\nExecStart=/sbin/iptables -t mangle -A OUTPUT \\\n# in between\n    -j MARK \\\n    --set-xmark=0x7/0x7\nUser=root\n"
    reading = script.read(Source("x.service", text.encode()), "script", Scope())
    assert [told(u) for u in reading.uses] == ["2 host ip skb_mark write 0x7/0x7 iptables mangle OUTPUT"]
    assert not reading.opaque
