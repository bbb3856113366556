"""The kernel routes packets by rules with selectors; what markreg says of those selectors must keep to it.

A rule that the kernel takes is none that `asked` excludes for the packet, none that is `apart` from another which it would take
as well, and none that `Order` calls unreached; and where all selectors can be told, it is the rule that they foretell.
"""

from __future__ import annotations

import random
import re
from ipaddress import ip_address

import pytest

from markreg.flow import Guard
from markreg.formats import ip_rule
from markreg.model import Rule, Scope
from markreg.paths.selectors import Order, apart, asked, span
from markreg.source import Source
from tests.oracle.test_ip_rule_kernel import ip, namespace

pytestmark = pytest.mark.oracle

FIRST, RULES, PACKETS = 1000, 40, 400
TO = "192.0.2.1"
OWN, OTHERS = ("10.0.0.1", "10.0.1.1"), ("10.0.0.9", "10.0.1.9")
PROTOCOLS = ("tcp", "udp")


def selectors(rng: random.Random) -> str:
    """Up to three selectors beside the mark."""
    choices = (
        f"from {rng.choice((*OWN, *OTHERS, '10.0.1.0/24', '10.0.0.0/16'))}",
        f"to {rng.choice((TO, '192.0.2.0/24', '198.51.100.0/24'))}",
        f"iif {rng.choice(('d0', 'd1', 'lo'))}",
        f"ipproto {rng.choice(PROTOCOLS)}",
        f"dport {rng.choice(('80', '80-90', '443'))}",
        f"sport {rng.choice(('53', '50-60', '99'))}",
        f"uidrange {rng.choice(('0-0', '0-1000', '1000-1000'))}",
    )
    return " ".join(rng.sample(choices, rng.choice((0, 1, 1, 2, 2, 3))))


def batch(rng: random.Random) -> str:
    lines = ["link set lo up", "link add d0 type veth peer name d1"]
    lines += [f"link set d{number} up" for number in (0, 1)]
    lines += [f"address add {source}/24 dev d{number}" for number, source in enumerate(OWN)]
    for number in range(RULES):
        table = FIRST + number
        action = f"lookup {table}" if rng.random() < 0.9 else "unreachable"
        mark = f"{rng.getrandbits(3):#x}/{rng.choice((1, 3, 5, 7)):#x}"
        negated = "not " if number > RULES // 2 and rng.random() < 0.1 else ""
        lines.append(f"rule add priority {table} {negated}{selectors(rng)} fwmark {mark} {action}")
        lines.append(f"route add {TO} dev d1 table {table}")
    return "\n".join([*lines, f"route add {TO} dev d1 table main"]) + "\n"


class Packet:
    """A packet that is sent, or that d0 brings."""

    def __init__(self, rng: random.Random) -> None:
        self.sent = rng.random() < 0.5
        self.mark = rng.getrandbits(3)
        self.source, self.proto = rng.choice(OWN if self.sent else OTHERS), rng.choice(PROTOCOLS)
        self.sport, self.dport = rng.choice((53, 55, 99, 7)), rng.choice((80, 85, 443, 7))
        self.uid = rng.choice((0, 1000)) if self.sent else 0

    def query(self) -> str:
        """How to ask ip for its route."""
        way = f"uid {self.uid}" if self.sent else "iif d0"
        ports = f"ipproto {self.proto} sport {self.sport} dport {self.dport}"
        return f"route get {TO} from {self.source} {way} mark {self.mark:#x} {ports}\n"

    def fits(self, guard: Guard) -> bool:
        """Whether a condition holds for it."""
        if guard.kind == "iif":
            return not self.sent and guard.values == ("d0",)
        if guard.kind == "proto":
            return guard.values == (self.proto,)
        low, high = span(guard)
        numbers = {"src": int(ip_address(self.source)), "dst": int(ip_address(TO)), "sport": self.sport, "dport": self.dport}
        return low <= numbers[guard.kind] <= high

    def meets(self, rule: Rule) -> bool:
        """Whether it satisfies what a rule is said to ask, and its mark."""
        said = asked(rule)
        assert rule.use
        assert rule.use.predicate
        by_users = all(span(g)[0] <= self.uid <= span(g)[1] for g in rule.asks if g.kind == "uid")
        here = said.local in (None, self.sent) and all(self.fits(g) for g in (*said.guards, *said.narrow))
        return here and by_users and rule.use.predicate.holds(self.mark)


@pytest.mark.parametrize("seed", range(6))
def test_the_rule_that_the_kernel_takes_is_the_one_foretold(seed: int) -> None:
    rng = random.Random(f"selectors {seed}")
    packets = [Packet(rng) for _ in range(PACKETS)]
    with namespace() as name:
        built = ip("-n", name, "-b", "-", text=batch(rng))
        assert built.returncode == 0, built.stderr
        for key in ("ip_forward=1", "conf.all.rp_filter=0", "conf.d0.rp_filter=0"):
            assert ip("netns", "exec", name, "sysctl", f"net.ipv4.{key}").returncode == 0
        listed = ip("-n", name, "rule").stdout
        answers = [ip("-n", name, "-d", "-o", *packet.query().split()) for packet in packets]
    rules = [r for r in ip_rule.read(Source("rules", listed.encode()), "ip-rule", Scope(family="ip")).rules if r.use]
    order = Order(rules)
    taken = 0
    for packet, answer in zip(packets, answers, strict=True):
        table = re.search(r" table (\d+)", answer.stdout)
        mine = [r for r in rules if packet.meets(r)]
        told = next((r for r in mine if not r.selectors.startswith("not ")), None)
        if table:
            kernel = next(r for r in rules if r.table == table[1])
            taken += 1
            assert kernel in mine
            assert order.reached(kernel, packet.mark, 7)
            if told is not kernel:
                assert told is None or kernel.priority < told.priority, "only a `not` of which nothing is told comes before"
                assert kernel.selectors.startswith("not ")
        elif "unreachable" in answer.stderr.lower():
            assert any(r.action == "unreachable" for r in mine)
        else:
            assert told is None, (packet.query(), answer.stdout, answer.stderr)
        assert not any(apart(a, b) for a in mine for b in mine)
    assert taken > PACKETS // 4
