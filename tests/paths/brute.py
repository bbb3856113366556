"""What the kernel does with packets under a random rule set, bit by bit and in the plainest way: what the path analysis is held against.

Every packet takes every way: conditions that are not followed hold and fail, one packet after the other of one connection. A packet has a
device, a protocol, addresses and a connection as the kernel has them (net/netfilter/nf_conntrack_core.c, net/ipv4/ip_output.c,
drivers/net/loopback.c, net/ipv4/ip_tunnel_core.c); nothing here knows how the walk goes about it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from tests.paths.brute_bits import START, Asked, Word
from tests.paths.random_rules import HOOKS, LO, TUNNEL, Rule, RuleSet, concerns

# State, and whether nat asks its chains, which it does for the first packet of a connection.
_FIRST = ("NEW", True)
CLASSES = (_FIRST, ("NEW", False), ("RELATED", False), ("ESTABLISHED", False))
_ANSWERS = CLASSES[2:]
_CONNTRACK = -200
# One address for each of the conditions on them, and one that fits none.
_SENDERS = ("10.0.0.1", "10.0.0.9", "192.0.2.1", "198.51.100.7")
_NO_ENDS = ("", "")


class Packet(NamedTuple):
    """A packet under way. ``tracked``: it has a connection (``yes``), none yet (empty), or never one (``no``). ``shown``: the way that it
    came is one that the inputs show, or a rule on it named the device; ``leaving``: a rule named the tunnel that it leaves by. ``flow``:
    the protocol of its connection, which is another one's for an error about it."""

    kind: str
    mapped: bool
    device: str
    out: str
    protocol: str
    flow: str
    ends: tuple[str, str]
    mark: Word
    entry: Word
    tracked: str = ""
    shown: bool = True
    leaving: bool = False
    rerouted: bool = False


class Entry(NamedTuple):
    """What is left on a connection, and of which packets; ``early``: no answer was seen, so that the next may be new again."""

    protocol: str = ""
    word: Word = START
    shown: bool = True
    early: bool = True


class Walker(Asked):
    """Takes packets on their ways. ``a``, ``b``, ``carrier`` and ``requests`` ask a question. ``rng``: one way at random instead of all.

    ``wide``: what only the packets' routes decide may be so: any packet may get another route where one may, and any rule that names a
    device shows it. ``addressed``: packets have addresses; else conditions on them may hold.
    """

    def __init__(
        self,
        rules: RuleSet,
        a: str = "",
        b: str = "",
        carrier: str = "",
        rng: random.Random | None = None,
        wide: bool = False,
        addressed: bool = False,
        requests: frozenset[tuple[str, str, int]] = frozenset(),
    ) -> None:
        super().__init__(rules, a, b, carrier, requests)
        self.rng, self.wide, self.addressed = rng, wide, addressed
        self.steps = 0
        named = {d[0] for r in rules.rules for d in (r.device, r.out) if d and not d[1]}
        self.listed = "listed" in rules.ways
        self.looped = LO in named
        self.tunnelled = self.listed or TUNNEL in named
        # Devices that lead out of the node, and protocols; those that nobody names are all alike. What goes by lo is followed where a rule
        # names it, else it is a device like others.
        every = {d[0] for r in rules.rules for d in (r.device, r.out) if d} | ({TUNNEL} if self.tunnelled else set())
        self.devices = (*sorted(every - ({LO} if self.looped else set())), "other")
        protocols = (
            {r.protocol for r in rules.rules} | ({"udp"} if self.tunnelled else set()) | ({"tcp"} if "accept" in rules.ways else set())
        )
        self.protocols = (*sorted(protocols - {""}), "other")
        self._ways: dict[tuple[str, str, Packet], list[tuple[str, Packet]]] = {}
        self.inside: set[tuple[Word, bool]] = set()
        self.outside: set[tuple[Word, bool]] = set()
        # How many packets came back in which way.
        self.taken: dict[str, int] = {}

    def connections(self, packets: int) -> None:
        """So many packets of one connection, by all lives; as long as tunnels bring something new."""
        before = -1
        while before != (before := len(self.inside) + len(self.outside)):
            for course in (self._forwarded, self._inward, self._outward, self._looped, self._outer):
                self._connection(course, packets)
            if self.rng:
                break

    def _connection(self, course: object, packets: int) -> None:
        assert callable(course)
        entries = {Entry()}
        done: set[Entry] = set()
        for _ in range(packets):
            following: set[Entry] = set()
            for entry in sorted(entries - done):
                course(entry, bool(done), following)
            done |= entries
            entries = following

    def _forwarded(self, entry: Entry, later: bool, left: set[Entry]) -> None:
        """Through this node; by a flowtable without most of its hooks, when the connection is known."""
        marks = {(START, True, d) for d in self.devices} | {(m, s, TUNNEL) for m, s in self.inside}
        for packets in self._begun(CLASSES, entry, later, marks, "in"):
            packets = self._hooks(("ingress", "PREROUTING"), packets, left)
            packets = self._any({p._replace(out=d) for p in packets for d in self.devices})
            self._sent(self._hooks(("FORWARD", "POSTROUTING", "egress"), packets, left))
        if later and "offload" in self.rules.ways:
            for packets in self._begun(CLASSES[-1:], entry, later, {(START, True, d) for d in self.devices}, "in"):
                # No connection is looked up for it: net/netfilter/nf_flow_table_ip.c nf_flow_offload_ip_hook.
                self._count("offload", self._hooks(("ingress", "egress"), {p._replace(tracked="none") for p in packets}, left))

    def _inward(self, entry: Entry, later: bool, left: set[Entry]) -> None:
        """To this node, and what it answers."""
        marks = {(START, True, d) for d in self.devices} | {(m, s, TUNNEL) for m, s in self.inside}
        for packets in self._begun(CLASSES, entry, later, marks, "in"):
            self._delivered(packets, left, True)
        if later:
            self._from_socket(_ANSWERS, entry, later, left)

    def _outward(self, entry: Entry, later: bool, left: set[Entry]) -> None:
        """From this node, and what is answered; what is answered to that by the kernel, too."""
        self._from_socket(CLASSES, entry, later, left)
        if later:
            marks = {(START, True, d) for d in self.devices} | {(m, s, TUNNEL) for m, s in self.inside}
            for packets in self._begun(_ANSWERS, entry, later, marks, "in"):
                self._delivered(packets, left, True)

    def _from_socket(self, kinds: Iterable[tuple[str, bool]], entry: Entry, later: bool, left: set[Entry]) -> None:
        marks = {(START, True, d) for d in self.devices}
        for packets in self._begun(kinds, entry, later, marks, "out"):
            self._sent(self._output(packets, left))

    def _looped(self, entry: Entry, later: bool, left: set[Entry]) -> None:
        """From this node to itself: the same packet with its mark and connection comes in by lo."""
        if not self.looped:
            return
        starts = (LO, *self.devices) if self._may_reroute() else (LO,)
        # A connection over which something was left by a packet that was shown to go there goes there.
        for packets in self._begun(CLASSES, entry, later, {(START, _written(entry.word), d) for d in starts}, "out"):
            sent = self._hooks(("OUTPUT", "rerouted", "POSTROUTING"), packets, left)
            back = {p._replace(device=LO, out="", mapped=False) for p in sent if p.out == LO}
            self._count("lo", back)
            self._hooks(("PREROUTING", "INPUT"), back, left)

    def _outer(self, entry: Entry, later: bool, left: set[Entry]) -> None:
        """The packets of the tunnel itself."""
        marks = {(m, s, d) for m, s in self.outside for d in (LO, *self.devices)}
        for packets in self._begun(CLASSES, entry, later, marks, "out"):
            self._count("tunnel", packets)
            self._sent(self._output({p for p in packets if p.protocol == "udp"}, left))
        marks = {(START, True, d) for d in self.devices} | {(m, s, TUNNEL) for m, s in self.inside}
        for packets in self._begun(CLASSES, entry, later, marks, "in"):
            self._delivered(packets, left, False)

    def _begun(
        self, kinds: Iterable[tuple[str, bool]], entry: Entry, later: bool, marks: Iterable[tuple[Word, bool, str]], way: str
    ) -> Iterator[set[Packet]]:
        """Packets of a connection that begin: all together, or one."""
        found: set[Packet] = set()
        ends = [(s, d) for s in _SENDERS for d in _SENDERS] if self.addressed else [_NO_ENDS]
        for kind in kinds:
            # The first packet is new, and so are others until an answer is seen.
            if (kind == _FIRST) is later or (kind[0] == "NEW" and not entry.early):
                continue
            for mark, shown, device in marks:
                for flow in (entry.protocol,) if entry.protocol else self.protocols:
                    # An error about a connection has the protocol of errors.
                    for protocol in dict.fromkeys((flow, "other") if kind[0] == "RELATED" else (flow,)):
                        there = (device, "") if way == "in" else ("", device)
                        new = (Packet(*kind, *there, protocol, flow, e, mark, entry.word, "", shown and entry.shown) for e in ends)
                        found.update(new)
        if found:
            yield self._any(found)

    def _any(self, packets: set[Packet]) -> set[Packet]:
        return {self.rng.choice(sorted(packets))} if self.rng and packets else packets

    def _delivered(self, packets: set[Packet], left: set[Entry], answered: bool) -> None:
        here = self._hooks(("ingress", "PREROUTING", "INPUT"), packets, left)
        if self.tunnelled:
            self.inside |= {(p.mark, p.shown and self.listed) for p in here if p.protocol == "udp" and _written(p.mark)}
        if not answered:
            return
        ways = self.rules.ways
        # A socket has the mark of the packet that opened it (include/net/inet_sock.h inet_request_mark), any answer without one that of
        # the packet that it answers (IP4_REPLY_MARK). conntrack sees an answer.
        replied = {p for p in here if "reflect" in ways or ("accept" in ways and p.protocol == "tcp" and p.kind != "ESTABLISHED")}
        replies = {
            p._replace(kind="ESTABLISHED", mapped=False, device="", out=d, ends=e, tracked="no" if p.tracked == "no" else "")
            for p in replied
            for d in self.devices
            for e in ([(s, d_) for s in _SENDERS for d_ in _SENDERS] if self.addressed else [_NO_ENDS])
        }
        if replies:
            self._count("answered", replies)
            self._sent(self._output(self._any(replies), left))

    def _output(self, packets: set[Packet], left: set[Entry]) -> set[Packet]:
        return self._hooks(("OUTPUT", "rerouted", "POSTROUTING", "egress"), packets, left)

    def _sent(self, packets: Iterable[Packet]) -> None:
        """What the tunnel takes, it sends again: with the mark, as a packet of its own."""
        if self.tunnelled:
            sent = (p for p in packets if p.out == TUNNEL and _written(p.mark))
            self.outside |= {(p.mark, p.shown and (self.listed or p.leaving)) for p in sent}

    def _count(self, way: str, packets: set[Packet]) -> None:
        self.taken[way] = self.taken.get(way, 0) + len(packets)

    @staticmethod
    def _left(packet: Packet) -> Entry:
        return Entry(packet.flow, packet.entry, packet.shown, packet.kind == "NEW")

    def _may_reroute(self) -> bool:
        mangled = any(concerns(r) for r in self.rules.rules if r.table == "mangle")
        return mangled or any(r.action[0] in ("DNAT", "SNAT") for r in self.rules.rules)

    def _hooks(self, names: Iterable[str], packets: set[Packet], left: set[Entry]) -> set[Packet]:
        """Hooks in a row; at each what may stay on the connection."""
        for name in names:
            if name == "rerouted":
                every = {p for p in packets if p.rerouted or (self.wide and self._may_reroute())}
                new = {p._replace(out=d, leaving=False) for p in every for d in (LO, *self.devices)}
                packets = self._any(packets - every | new)
                continue
            packets = self._hook(name, packets, left)
            left.update(self._left(p) for p in packets if p.tracked == "yes")
        return packets

    def _hook(self, hook: str, packets: set[Packet], left: set[Entry]) -> set[Packet]:
        steps = [(priority, table) for table, hooks in HOOKS.items() for h, priority in hooks.items() if h == hook]
        steps += [(_CONNTRACK, "conntrack")] if hook in ("PREROUTING", "OUTPUT") else []
        for _, table in sorted(steps):
            if table == "conntrack":
                packets = {p if p.tracked else p._replace(tracked="yes") for p in packets}
            elif table in self.rules.chains:
                packets = self._base(table, hook, packets, left)
        return packets

    def _base(self, table: str, hook: str, packets: set[Packet], left: set[Entry]) -> set[Packet]:
        after: set[Packet] = set()
        for packet in packets:
            if table == "nat" and (not packet.mapped or packet.tracked != "yes"):
                after.add(packet)
                continue
            for verdict, then in self.chain(table, hook, packet):
                if hook == "OUTPUT" and ((table == "mangle" and _value(then.mark) != _value(packet.mark)) or verdict == "DNAT"):
                    then = then._replace(rerouted=True)
                if verdict == "DNAT" and self.addressed:
                    then = then._replace(ends=(then.ends[0], "10.0.0.1"))
                if verdict == "SNAT" and self.addressed:
                    then = then._replace(ends=("192.0.2.1", then.ends[1]))
                if verdict == "DROP" or (verdict == "RETURN" and (table, hook) in self.rules.policies):
                    left.add(self._left(then))
                else:
                    after.add(then)
        return self._any(after)

    def chain(self, table: str, name: str, packet: Packet) -> list[tuple[str, Packet]]:
        """(verdict, packet) for every way through a chain, or one; RETURN at its end."""
        if self.rng:
            return self._through(table, name, packet)
        key = (table, name, packet)
        if key not in self._ways:
            self._ways[key] = self._through(table, name, packet)
        return self._ways[key]

    def _through(self, table: str, name: str, packet: Packet) -> list[tuple[str, Packet]]:
        states = {packet}
        exits: set[tuple[str, Packet]] = set()
        for rule in self.rules.by_chain.get((table, name), []):
            after: set[Packet] = set()
            for here in states:
                self.steps += 1
                for verdict, then in self.rule(rule, here):
                    if verdict == "next":
                        after.add(then)
                    else:
                        exits.add((verdict, then))
            states = self._any(after)
        return sorted(exits | {("RETURN", s) for s in states})

    def rule(self, rule: Rule, packet: Packet) -> Iterator[tuple[str, Packet]]:
        """What one rule does with a packet."""
        if rule.maybe or (rule.ends and not self.addressed):
            yield "next", packet
        if rule.ends and self.addressed and not _fits(packet.ends, rule.ends):
            yield "next", packet
            return
        for device, asked in ((packet.device, rule.device), (packet.out, rule.out)):
            if asked and (device == asked[0]) is asked[1]:
                yield "next", packet
                return
            if asked and asked[0] in (LO, TUNNEL) and not asked[1] and self._names(rule):
                packet = packet._replace(shown=True, leaving=packet.leaving or asked is rule.out)
        if rule.protocol and packet.protocol != rule.protocol:
            yield "next", packet
            return
        if rule.states and (packet.tracked != "yes" or packet.kind not in rule.states):
            yield "next", packet
            return
        alive = packet.tracked == "yes"
        if rule.test:
            name, value, mask, negated = rule.test
            if name == "c" and not alive:
                yield "next", packet
                return
            word = packet.mark if name == "m" else packet.entry
            held = (_value(word) & mask == value) is not negated
            self.met(rule, name, word, held, packet.shown)
            if not held:
                yield "next", packet
                return
        yield from self._acted(rule, packet, alive)

    def _names(self, rule: Rule) -> bool:
        """Whether a rule that names a device counts: it says something of marks, or leads to rules that do."""
        called = str(rule.action[1]) if rule.action[0] in ("jump", "goto") else ""
        return self.wide or concerns(rule) or bool(called and self.rules.marks(rule.table, called))

    def _acted(self, rule: Rule, packet: Packet, alive: bool) -> Iterator[tuple[str, Packet]]:
        match rule.action:
            case ("jump", str(target)):
                for verdict, then in self.chain(rule.table, target, packet):
                    yield ("next" if verdict == "RETURN" else verdict), then
            case ("goto", str(target)):
                yield from self.chain(rule.table, target, packet)
            case ("notrack",):
                if not packet.tracked:
                    self._count("untracked", {packet})
                yield "next", packet._replace(tracked=packet.tracked or "no")
            case ("set", what, int(value), int(mask)):
                if what == "m":
                    yield "next", packet._replace(mark=self.set(rule, "m", packet.mark, value, mask))
                else:
                    yield "next", packet._replace(entry=self.set(rule, "c", packet.entry, value, mask)) if alive else packet
            case ("save", int(mask)):
                yield "next", packet._replace(entry=self.copy(rule, packet.entry, packet.mark, mask)) if alive else packet
            case ("restore", int(mask)):
                yield "next", packet._replace(mark=self.copy(rule, packet.mark, packet.entry, mask)) if alive else packet
            case (verdict,):
                yield str(verdict), packet


def _written(word: Word) -> bool:
    return any(bit.origin for bit in word)


def _value(word: Word) -> int:
    return sum(bit.value << n for n, bit in enumerate(word))


def _fits(ends: tuple[str, str], asked: tuple[str, str, bool]) -> bool:
    side, address, negated = asked
    return (ip_address(ends[side == "dst"]) in ip_network(address)) is not negated
