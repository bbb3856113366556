"""Random rule sets of iptables and their meaning bit by bit, in the plainest way: what the path analysis is held against.

Every packet takes every way: conditions that are not followed hold and fail, one packet after the other of one connection.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

WIDTH = 4
HOOKS = {
    "raw": {"PREROUTING": -300, "OUTPUT": -300},
    "mangle": {"PREROUTING": -150, "INPUT": -150, "FORWARD": -150, "OUTPUT": -150, "POSTROUTING": -150},
    "nat": {"PREROUTING": -100, "INPUT": 100, "OUTPUT": -100, "POSTROUTING": 100},
    "filter": {"INPUT": 0, "FORWARD": 0, "OUTPUT": 0},
}
# State, and whether nat asks its chains: once for a connection.
CLASSES = (("NEW", True), ("NEW", False), ("RELATED", True), ("RELATED", False), ("ESTABLISHED", False))
STATES = ("NEW", "RELATED", "ESTABLISHED")
_IN, _OUT = ("PREROUTING", "INPUT"), ("OUTPUT", "POSTROUTING")
# A connection is forwarded, comes from outside and is answered, or goes out and is answered.
COURSES = (
    ((("PREROUTING", "FORWARD", "POSTROUTING"), CLASSES),),
    ((_IN, CLASSES), (_OUT, CLASSES[2:])),
    ((_OUT, CLASSES), (_IN, CLASSES[2:])),
)
DEVICES = ("eth0", "eth1", "wg0")
PROTOCOLS = ("tcp", "udp")
OWNERS = ("a", "b", "c")


@dataclass(frozen=True)
class Rule:
    """A rule; ``line`` is set when the set is written. ``test``: (field, value, mask, negated). ``maybe``: a condition on addresses."""

    table: str
    chain: str
    device: tuple[str, bool] | None = None
    protocol: str = ""
    states: tuple[str, ...] = ()
    maybe: bool = False
    test: tuple[str, int, int, bool] | None = None
    action: tuple[object, ...] = ()
    line: int = 0

    @property
    def owner(self) -> str:
        """By the first letter of the chain; rules in built-in chains only jump."""
        return self.chain[0]

    def text(self) -> str:
        """As iptables-save prints it."""
        words = [f"-A {self.chain}"]
        if self.device:
            words.append(("! " if self.device[1] else "") + f"-i {self.device[0]}")
        if self.protocol:
            words.append(f"-p {self.protocol}")
        if self.maybe:
            words.append("-m length --length 100:200")
        if self.states:
            words.append(f"-m conntrack --ctstate {','.join(self.states)}")
        if self.test:
            name, value, mask, negated = self.test
            words.append(f"-m {'mark' if name == 'm' else 'connmark'} {'! ' if negated else ''}--mark {value:#x}/{mask:#x}")
        return " ".join((*words, _action(self.action)))


def _action(action: tuple[object, ...]) -> str:
    match action:
        case ("set", "m", value, mask):
            return f"-j MARK --set-xmark {value:#x}/{mask:#x}"
        case ("set", _, value, mask):
            return f"-j CONNMARK --set-xmark {value:#x}/{mask:#x}"
        case (("save" | "restore") as what, mask):
            return f"-j CONNMARK --{what}-mark --nfmask {mask:#x} --ctmask {mask:#x}"
        case (("jump" | "goto") as what, target):
            return f"-{'j' if what == 'jump' else 'g'} {target}"
        case (verdict,):
            return f"-j {verdict}"
    raise AssertionError(action)


@dataclass
class RuleSet:
    """All rules, and where each stands in the text."""

    rules: list[Rule]
    chains: dict[str, list[str]]
    text: str = ""
    by_chain: dict[tuple[str, str], list[Rule]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lines: list[str] = []
        numbered: list[Rule] = []
        for table, names in self.chains.items():
            lines.append(f"*{table}")
            lines += [f":{n} {'ACCEPT' if n in HOOKS[table] else '-'} [0:0]" for n in names]
            for rule in self.rules:
                if rule.table == table:
                    lines.append(rule.text())
                    numbered.append(replace(rule, line=len(lines)))
            lines.append("COMMIT")
        self.rules = numbered
        self.text = "\n".join(lines) + "\n"
        for rule in numbered:
            self.by_chain.setdefault((rule.table, rule.chain), []).append(rule)


def random_set(rng: random.Random, size: int) -> RuleSet:
    """A rule set with some chains an owner, called from built-in chains and from each other."""
    chains: dict[str, list[str]] = {}
    rules: list[Rule] = []
    for table in rng.sample(list(HOOKS), rng.randint(1, 3)):
        own = [f"{owner}{n}" for owner in OWNERS for n in range(rng.randint(0, 2))]
        rng.shuffle(own)
        chains[table] = [*HOOKS[table], *own]
        for number, name in enumerate(own):
            for _ in range(rng.randint(1, max(1, size))):
                later = own[number + 1 :]
                rules.append(_rule(rng, table, name, later))
                if rng.random() < 0.1:
                    rules.append(rules[-1])
        for base in HOOKS[table]:
            called = rng.sample(own, min(len(own), rng.randint(0, 2)))
            rules += [Rule(table, base, maybe=rng.random() < 0.2, action=("jump", name)) for name in called]
    return RuleSet(rules, chains)


def _rule(rng: random.Random, table: str, chain: str, later: list[str]) -> Rule:
    rule = Rule(table, chain)
    if rng.random() < 0.2:
        rule = replace(rule, device=(rng.choice(DEVICES), rng.random() < 0.3))
    if rng.random() < 0.15:
        rule = replace(rule, protocol=rng.choice(PROTOCOLS))
    if rng.random() < 0.2 and table != "raw":
        rule = replace(rule, states=tuple(rng.sample(STATES, rng.randint(1, 2))))
    if rng.random() < 0.25:
        rule = replace(rule, maybe=True)
    if rng.random() < 0.5:
        mask = rng.randint(1, 15)
        rule = replace(rule, test=(rng.choice("mmc"), rng.randint(0, 15) & mask, mask, rng.random() < 0.3))
    kind = rng.random()
    if kind < 0.45:
        mask = rng.choice((1, 2, 4, 8, 3, 6, 12, 15, 0))
        value = rng.randint(0, 15) & (mask or 15)
        action: tuple[object, ...] = ("set", rng.choice("mmc"), value, mask)
    elif kind < 0.6:
        action = (rng.choice(("save", "restore")), rng.choice((15, 15, 3, 12, 5)))
    elif kind < 0.85 and later:
        action = (rng.choice(("jump", "jump", "goto")), rng.choice(later))
    else:
        action = (rng.choice(("ACCEPT", "RETURN", "RETURN", "DROP")),)
    return replace(rule, action=action)


NONE = -1


class Bit(NamedTuple):
    """One bit: who decided it and who moved it last (lines, 0 for nobody), and for one question (see markreg.paths.effects.Mark) what it
    would be without B, whether the carrier in question moved it, and A's lost decision."""

    value: int = 0
    origin: int = 0
    mover: int = 0
    without: int = 0
    moved: bool = False
    lost: int = NONE


Word = tuple[Bit, ...]
START: Word = tuple(Bit() for _ in range(WIDTH))


class Packet(NamedTuple):
    """A packet under way."""

    kind: str
    mapped: bool
    device: str
    protocol: str
    mark: Word
    entry: Word


class Walker:
    """Takes packets on their ways. ``a``, ``b`` and ``carrier`` ask a question. ``rng``: one way at random instead of all."""

    def __init__(self, rules: RuleSet, a: str = "", b: str = "", carrier: str = "", rng: random.Random | None = None) -> None:
        self.rules, self.a, self.b, self.carrier, self.rng = rules, a, b, carrier, rng
        self.owners = {r.line: r.owner for r in rules.rules}
        self.read: set[tuple[int, str, int, int, int, int]] = set()
        self.hits: set[tuple[str, int]] = set()
        self.steps = 0

    def connection(self, packets: int) -> None:
        """So many packets of one connection, by all lives."""
        for course in COURSES:
            entries = {("", START)}
            done: set[tuple[str, Word]] = set()
            for _ in range(packets):
                following: set[tuple[str, Word]] = set()
                for entry in sorted(entries - done):
                    for life, kinds in course:
                        # The first packet of a connection is new.
                        following |= self.life(life, kinds if done else tuple(k for k in kinds if k == CLASSES[0]), entry)
                done |= entries
                entries = following

    def life(self, life: tuple[str, ...], kinds: tuple[tuple[str, bool], ...], entry: tuple[str, Word]) -> set[tuple[str, Word]]:
        """All that may be left on the connection by a packet."""
        devices = ("",) if life[0] == "OUTPUT" else (*DEVICES, "other")
        if not kinds:
            return set()
        starts = [Packet(*k, d, p, START, entry[1]) for k in kinds for d in devices for p in (*PROTOCOLS, "other") if _fits(k, entry[0], p)]
        packets = {self.rng.choice(starts)} if self.rng else set(starts)
        left: set[tuple[str, Word]] = set()
        for hook in life:
            tables = sorted((p, t) for t, hooks in HOOKS.items() if t in self.rules.chains for h, p in hooks.items() if h == hook)
            for priority, table in tables:
                after: set[Packet] = set()
                for packet in packets:
                    if table == "nat" and not packet.mapped:
                        after.add(packet)
                        continue
                    for verdict, then in self.chain(table, hook, packet, priority >= -200 or hook not in ("PREROUTING", "OUTPUT")):
                        if verdict == "DROP":
                            left.add((then.protocol, then.entry))
                        else:
                            after.add(then)
                packets = {self.rng.choice(sorted(after))} if self.rng and after else after
            left |= {(p.protocol, p.entry) for p in packets}
        return left

    def chain(self, table: str, name: str, packet: Packet, alive: bool) -> Iterator[tuple[str, Packet]]:
        """(verdict, packet) for every way through a chain; RETURN at its end."""
        states = {packet}
        exits: set[tuple[str, Packet]] = set()
        for rule in self.rules.by_chain.get((table, name), []):
            after: set[Packet] = set()
            for here in states:
                self.steps += 1
                for verdict, then in self.rule(rule, here, alive):
                    if verdict == "next":
                        after.add(then)
                    else:
                        exits.add((verdict, then))
            states = {self.rng.choice(sorted(after))} if self.rng and after else after
        yield from sorted(exits)
        yield from (("RETURN", s) for s in sorted(states))

    def rule(self, rule: Rule, packet: Packet, alive: bool) -> Iterator[tuple[str, Packet]]:
        """What one rule does with a packet."""
        if rule.maybe:
            yield "next", packet
        if rule.device and ((packet.device == rule.device[0]) is rule.device[1] or (not packet.device and not rule.device[1])):
            yield "next", packet
            return
        if (rule.protocol and packet.protocol != rule.protocol) or (rule.states and packet.kind not in rule.states):
            yield "next", packet
            return
        if rule.test:
            name, value, mask, negated = rule.test
            if name == "c" and not alive:
                yield "next", packet
                return
            word = packet.mark if name == "m" else packet.entry
            self.met(rule, name, word, value, mask, negated)
            if (_number(word) & mask == value) is negated:
                yield "next", packet
                return
        match rule.action:
            case ("jump", str(target)):
                for verdict, then in self.chain(rule.table, target, packet, alive):
                    yield ("next" if verdict == "RETURN" else verdict), then
            case ("goto", str(target)):
                yield from self.chain(rule.table, target, packet, alive)
            case (("ACCEPT" | "DROP" | "RETURN") as verdict,):
                yield str(verdict), packet
            case ("set", what, int(value), int(mask)):
                if what == "m":
                    yield "next", packet._replace(mark=self.set(rule, packet.mark, value, mask))
                else:
                    yield "next", packet._replace(entry=self.set(rule, packet.entry, value, mask)) if alive else packet
            case ("save", int(mask)):
                yield "next", packet._replace(entry=self.copy(rule, packet.entry, packet.mark, mask)) if alive else packet
            case ("restore", int(mask)):
                yield "next", packet._replace(mark=self.copy(rule, packet.mark, packet.entry, mask)) if alive else packet

    def met(self, rule: Rule, name: str, word: Word, value: int, mask: int, negated: bool) -> None:
        """Notes what a test saw, and asks the question."""
        for number, bit in enumerate(word):
            if mask >> number & 1:
                self.read.add((rule.line, name, number, bit.origin, bit.mover, bit.value))
        if rule.owner != self.a or (mask == 0):
            return
        held = (_number(word) & mask == value) is not negated
        if not self.carrier and any(b.lost == 1 and not b.value and mask >> n & 1 for n, b in enumerate(word)):
            before = tuple(b if b.lost == NONE else b._replace(value=b.lost) for b in word)
            if ((_number(before) & mask == value) is not negated) is not held:
                self.hits.add(("MK102", rule.line))
                return
        theirs = [self.theirs(b) and b.moved is bool(self.carrier) for b in word]
        otherwise = tuple(b._replace(value=b.without) if t else b for b, t in zip(word, theirs, strict=True))
        turned = ((_number(otherwise) & mask == value) is not negated) is not held
        ones = (t and b.value > b.without and mask >> n & 1 for n, (b, t) in enumerate(zip(word, theirs, strict=True)))
        if turned and any(ones):
            self.hits.add(("MK104" if self.carrier else "MK101", rule.line))

    def theirs(self, bit: Bit) -> bool:
        """Whether B decided a bit."""
        return self.owners.get(bit.origin) == self.b

    def set(self, rule: Rule, word: Word, value: int, mask: int) -> Word:
        """The word after a constant write."""
        return tuple(
            self.decided(rule, old, (0 if mask >> n & 1 else old.value) ^ (value >> n & 1)) if (mask | value) >> n & 1 else old
            for n, old in enumerate(word)
        )

    def decided(self, rule: Rule, old: Bit, new: int) -> Bit:
        """A bit after a rule decided it anew."""
        without = 0
        if rule.owner == self.b:
            without = old.without if self.theirs(old) else old.value
        lost = old.lost
        if rule.owner == self.a:
            lost = NONE
        elif rule.owner == self.b and lost == NONE and self.owners.get(old.origin) == self.a and old.value != new:
            lost = old.value
        return Bit(new, rule.line, 0, without, False, NONE if lost == new else lost)

    def copy(self, rule: Rule, target: Word, source: Word, mask: int) -> Word:
        """The word after bits of another were copied into it."""
        return tuple(self.copied(rule, old, source[n]) if mask >> n & 1 else old for n, old in enumerate(target))

    def copied(self, rule: Rule, old: Bit, came: Bit) -> Bit:
        """A bit after a copy."""
        origin = came.origin or rule.line
        foreign = rule.owner == self.carrier if self.carrier else rule.owner not in (self.a, self.b)
        before = old.without if self.theirs(old) else old.value
        if foreign and self.carrier:
            without = before
        elif came.origin:
            without = came.without
        else:
            without = before if rule.owner == self.b else 0
        lost = came.lost
        if rule.owner == self.b and lost == NONE:
            lost = old.lost
            if lost == NONE and self.owners.get(old.origin) == self.a and old.value != came.value:
                lost = old.value
        moved = came.moved or foreign
        new = Bit(came.value, origin, rule.line if came.origin else 0, without, moved, NONE if lost == came.value else lost)
        return new if self.theirs(new) else new._replace(without=0, moved=False)


def _fits(kind: tuple[str, bool], connections: str, protocol: str) -> bool:
    """Whether a packet may belong to a connection: those of one have one protocol, except errors about it."""
    return connections in ("", protocol) or kind[0] == "RELATED"


def _number(word: Word) -> int:
    return sum(bit.value << n for n, bit in enumerate(word))
