"""python-iptables in the place of iptables-legacy-save: the same rules, and no table that was not there.

Needs the extra ``live``; where it is not installed, what the fallback then gives is tested: nothing.
"""

from __future__ import annotations

import json
import os
import re
import sys
from importlib.util import find_spec

import pytest

from markreg.collect import legacy
from markreg.collect.limits import Budget
from tests.live.test_live import inside, netns  # noqa: F401 (the fixture)
from tests.support import ROOT

pytestmark = pytest.mark.oracle

RULES = (
    "iptables -t mangle -A PREROUTING -s 10.1.0.0/16 ! -i eth0 -p tcp -m tcp --dport 80 -m mark ! --mark 0x10/0xff"
    " -m comment --comment two_words -j MARK --set-xmark 0x1/0xff",
    "iptables -t mangle -N FOO",
    "iptables -t mangle -A PREROUTING -g FOO",
    "iptables -t mangle -A FOO -j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff",
    "ip6tables -t mangle -A OUTPUT -d 2001:db8::/32 -j MARK --or-mark 0x2",
)
DUMP = """
import json, sys
from markreg.collect import legacy
from markreg.collect.limits import Budget
print(json.dumps([legacy.text(family, ("mangle",), Budget()).decode() for family in ("ip", "ip6")]))
"""


def test_it_says_what_the_program_says_and_makes_no_table(netns: str) -> None:  # noqa: F811
    for rule in RULES:
        program, _, words = rule.partition(" ")
        inside(netns, f"{program}-legacy", *words.split())
    names = inside(netns, "cat", "/proc/net/ip_tables_names", "/proc/net/ip6_tables_names")
    said = inside(netns, "env", f"PYTHONPATH={ROOT}", sys.executable, "-c", DUMP)
    assert inside(netns, "cat", "/proc/net/ip_tables_names", "/proc/net/ip6_tables_names") == names == "mangle\nmangle\n"
    if find_spec("iptc") is None:
        assert json.loads(said) == ["", ""]
        return
    for text, program in zip(json.loads(said), ("iptables", "ip6tables"), strict=True):
        kept = [re.sub(r"/255\.255\.0\.0|/ffff:ffff::", lambda m: "/16" if "255" in m[0] else "/32", x) for x in text.splitlines()]
        saved = inside(netns, f"{program}-legacy-save", "-t", "mangle").splitlines()
        assert [x for x in kept if x[:1] in "-*"] == [x for x in saved if x[:1] in "-*"]


def test_without_a_table_there_is_nothing() -> None:
    assert legacy.text("ip", ("no-such-table",), Budget()) == b""
    assert os.getpid()
