"""Random rule sets of iptables, and of nft at devices, for `brute`: a few owners, four bits, and by turns each way of a packet."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

WIDTH = 4
HOOKS = {
    "raw": {"PREROUTING": -300, "OUTPUT": -300},
    "mangle": {"PREROUTING": -150, "INPUT": -150, "FORWARD": -150, "OUTPUT": -150, "POSTROUTING": -150},
    "nat": {"PREROUTING": -100, "INPUT": 100, "OUTPUT": -100, "POSTROUTING": 100},
    "filter": {"INPUT": 0, "FORWARD": 0, "OUTPUT": 0},
    "netdev": {"ingress": -10, "egress": 0},
}
STATES = ("NEW", "RELATED", "ESTABLISHED")
DEVICES = ("eth0", "eth1", "wg0")
LO, TUNNEL = "lo", "vxlan0"
PROTOCOLS = ("tcp", "udp")
ADDRESSES = ("10.0.0.1", "10.0.0.0/24", "192.0.2.1")
OWNERS = ("a", "b", "c")
# What a set may have besides marks, devices, protocols and states: each way is in every so many sets.
WAYS = ("lo", "tunnel", "listed", "notrack", "reflect", "accept", "offload", "policy", "nat", "ends")
# A rule of nft is in another file: its line is told from iptables' lines by this.
NFT = 1000
Action = tuple[object, ...]


@dataclass(frozen=True)
class Rule:
    """A rule; ``line`` is set when the set is written. ``test``: (field, value, mask, negated). ``maybe``: a condition that nobody
    follows. ``ends``: (``src`` or ``dst``, address, negated)."""

    table: str
    chain: str
    device: tuple[str, bool] | None = None
    out: tuple[str, bool] | None = None
    protocol: str = ""
    states: tuple[str, ...] = ()
    maybe: bool = False
    ends: tuple[str, str, bool] | None = None
    test: tuple[str, int, int, bool] | None = None
    action: Action = ()
    line: int = 0

    @property
    def owner(self) -> str:
        """By the first letter of the chain; rules in built-in chains only jump."""
        return self.chain[0]

    def text(self) -> str:
        """As iptables-save prints it."""
        words = [f"-A {self.chain}"]
        if self.ends:
            words.append(("! " if self.ends[2] else "") + f"-{self.ends[0][0]} {self.ends[1]}")
        for option, device in (("-i", self.device), ("-o", self.out)):
            if device:
                words.append(("! " if device[1] else "") + f"{option} {device[0]}")
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

    def nft(self) -> str:
        """In nft's words; of conditions only those on marks, and the one that nobody follows."""
        words = ["meta length 100-200"] if self.maybe else []
        if self.test:
            name, value, mask, negated = self.test
            words.append(f"{_NFT[name]} & {mask:#x} {'!=' if negated else '=='} {value:#x}")
        return " ".join((*words, _statement(self.action)))


_NFT = {"m": "meta mark", "c": "ct mark"}


def _action(action: Action) -> str:
    match action:
        case ("set", "m", value, mask):
            return f"-j MARK --set-xmark {value:#x}/{mask:#x}"
        case ("set", _, value, mask):
            return f"-j CONNMARK --set-xmark {value:#x}/{mask:#x}"
        case (("save" | "restore") as what, mask):
            return f"-j CONNMARK --{what}-mark --nfmask {mask:#x} --ctmask {mask:#x}"
        case (("jump" | "goto") as what, target):
            return f"-{'j' if what == 'jump' else 'g'} {target}"
        case ("notrack",):
            return "-j CT --notrack"
        case ("DNAT",):
            return "-j DNAT --to-destination 10.0.0.1"
        case ("SNAT",):
            return "-j SNAT --to-source 192.0.2.1"
        case (verdict,):
            return f"-j {verdict}"
    raise AssertionError(action)


def _statement(action: Action) -> str:
    match action:
        case ("set", str(name), int(value), int(mask)):
            return f"{_NFT[name]} set {_NFT[name]} & {0xFFFFFFFF & ~mask:#010x} ^ {value:#x}"
        case (("save" | "restore") as what, int(mask)):
            into, out = ("c", "m") if what == "save" else ("m", "c")
            return f"{_NFT[into]} set {_NFT[into]} & {0xFFFFFFFF & ~mask:#010x} | {_NFT[out]} & {mask:#x}"
        case (("jump" | "goto") as what, target):
            return f"{what} {target}"
        case (verdict,):
            return str(verdict).lower()
    raise AssertionError(action)


@dataclass
class RuleSet:
    """All rules, and where each stands in the text. ``ways``: of WAYS. ``policies``: built-in chains that drop."""

    rules: list[Rule]
    chains: dict[str, list[str]]
    ways: frozenset[str] = frozenset()
    policies: frozenset[tuple[str, str]] = frozenset()
    text: str = ""
    nft: str = ""
    by_chain: dict[tuple[str, str], list[Rule]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        numbered: list[Rule] = []
        self.text = "".join(f"{line}\n" for line in self._iptables(numbered))
        if "netdev" in self.chains:
            self.nft = "".join(f"{line}\n" for line in self._nft(numbered))
        self.rules = numbered
        for rule in numbered:
            self.by_chain.setdefault((rule.table, rule.chain), []).append(rule)

    def _iptables(self, numbered: list[Rule]) -> list[str]:
        lines = ["# Generated by iptables-save v1.8.9"]
        for table, names in self.chains.items():
            if table == "netdev":
                continue
            lines.append(f"*{table}")
            lines += [f":{n} {('DROP' if (table, n) in self.policies else 'ACCEPT') if n in HOOKS[table] else '-'} [0:0]" for n in names]
            for rule in self.rules:
                if rule.table == table:
                    lines.append(rule.text())
                    numbered.append(replace(rule, line=len(lines)))
            lines.append("COMMIT")
        return lines

    def _nft(self, numbered: list[Rule]) -> list[str]:
        devices = f"{{ {', '.join((*DEVICES, TUNNEL))} }}"
        lines = [
            "table ip fw {",
            f"\tflowtable ft {{\n\t\thook ingress priority 0\n\t\tdevices = {devices}\n\t}}",
            "\tchain fwd {",
            "\t\ttype filter hook forward priority 10; policy accept;",
            "\t\tflow add @ft\n\t}",
            "}",
            "table netdev dev {",
        ]
        lines = "\n".join(lines).splitlines()
        # What is jumped to stands first.
        for name in sorted(self.chains["netdev"], key=lambda n: n in HOOKS["netdev"]):
            lines.append(f"\tchain {name} {{")
            if name in HOOKS["netdev"]:
                lines.append(f"\t\ttype filter hook {name} devices = {devices} priority {HOOKS['netdev'][name]}; policy accept;")
            for rule in self.rules:
                if (rule.table, rule.chain) == ("netdev", name):
                    lines.append(f"\t\t{rule.nft()}")
                    numbered.append(replace(rule, line=NFT + len(lines)))
            lines.append("\t}")
        return [*lines, "}"]

    def marks(self, table: str, chain: str, seen: Iterable[str] = ()) -> bool:
        """Whether rules of a chain, or of those that it calls, say something of marks."""
        rules = [r for r in self.by_chain.get((table, chain), []) if chain not in seen]
        called = [str(r.action[1]) for r in rules if r.action[0] in ("jump", "goto")]
        return any(concerns(r) for r in rules) or any(self.marks(table, c, (*seen, chain)) for c in called)


def concerns(rule: Rule) -> bool:
    """Whether a rule itself says something of marks."""
    return rule.test is not None or rule.action[0] in ("set", "save", "restore")


def random_set(rng: random.Random, size: int, ways: Iterable[str] = ()) -> RuleSet:
    """A rule set with some chains an owner, called from built-in chains and from each other, with these WAYS."""
    on = frozenset(ways)
    chains: dict[str, list[str]] = {}
    rules: list[Rule] = []
    policies: set[tuple[str, str]] = set()
    tables = rng.sample([t for t in HOOKS if t != "netdev"], rng.randint(1, 3))
    tables += [t for t, way in (("raw", "notrack"), ("nat", "nat"), ("filter", "policy"), ("netdev", "offload")) if way in on]
    for table in dict.fromkeys(tables):
        own = [f"{owner}{n}" for owner in OWNERS for n in range(rng.randint(0, 2))]
        rng.shuffle(own)
        chains[table] = [*HOOKS[table], *own]
        for number, name in enumerate(own):
            for _ in range(rng.randint(1, max(1, size))):
                later = own[number + 1 :]
                rules.append(_rule(rng, table, name, later, on))
                if rng.random() < 0.1:
                    rules.append(rules[-1])
        for base in HOOKS[table]:
            rules += _base(rng, table, base, own, on)
            if table == "filter" and "policy" in on and rng.random() < 0.6:
                policies.add((table, base))
                rules += [Rule(table, base, protocol=rng.choice(PROTOCOLS), action=("ACCEPT",)) for _ in range(rng.randint(0, 1))]
                rules.append(_asking(rng, Rule(table, base, action=("ACCEPT",)), base, on))
    return RuleSet(rules, chains, on, frozenset(policies))


def _base(rng: random.Random, table: str, base: str, own: list[str], ways: frozenset[str]) -> list[Rule]:
    """What a built-in chain calls."""
    rules = []
    for name in rng.sample(own, min(len(own), rng.randint(1, 3))):
        rule = Rule(table, base, maybe=rng.random() < 0.2, action=("jump", name))
        special = ways & {"lo", "tunnel"} and table != "netdev"
        rules.append(_asking(rng, rule, base, ways) if special and rng.random() < 0.7 else rule)
    if table == "raw" and "notrack" in ways and rng.random() < 0.7:
        rule = Rule(table, base, protocol=rng.choice(("", *PROTOCOLS)), maybe=rng.random() < 0.3, action=("notrack",))
        rules.insert(rng.randint(0, len(rules)), rule)
    if table == "nat" and "nat" in ways and rng.random() < 0.6:
        action: Action = ("DNAT",) if base in ("PREROUTING", "OUTPUT") else ("SNAT",)
        rules.insert(rng.randint(0, len(rules)), Rule(table, base, protocol=rng.choice(("", *PROTOCOLS)), maybe=True, action=action))
    return rules


def _asking(rng: random.Random, rule: Rule, base: str, ways: frozenset[str]) -> Rule:
    """A rule that asks for the device that a hook knows."""
    known = _devices(ways)
    wanted = (rng.choice((*known, *known[len(DEVICES) :] * 2)), rng.random() < 0.15)
    return replace(rule, out=wanted) if base in ("OUTPUT", "POSTROUTING") else replace(rule, device=wanted)


def _devices(ways: frozenset[str]) -> tuple[str, ...]:
    return (*DEVICES, *((LO,) if "lo" in ways else ()), *((TUNNEL,) if "tunnel" in ways else ()))


def _rule(rng: random.Random, table: str, chain: str, later: list[str], ways: frozenset[str]) -> Rule:
    rule = Rule(table, chain)
    if table != "netdev":
        rule = _conditions(rng, rule, ways)
    if rng.random() < 0.2:
        rule = replace(rule, maybe=True)
    if rng.random() < 0.5:
        mask = rng.choice(_MASKS)
        rule = replace(rule, test=(rng.choice("mmc"), rng.choice((mask, rng.randint(0, 15) & mask)), mask, rng.random() < 0.3))
    kind = rng.random()
    if kind < 0.45:
        mask = rng.choice((*_MASKS, 0))
        value = rng.choice((mask, rng.randint(0, 15) & (mask or 15)))
        action: Action = ("set", rng.choice("mmc"), value, mask)
    elif kind < 0.6:
        action = (rng.choice(("save", "restore")), rng.choice((15, 15, 3, 12, 5)))
    elif kind < 0.85 and later:
        action = (rng.choice(("jump", "jump", "goto")), rng.choice(later))
    else:
        action = (rng.choice(("ACCEPT", "RETURN", "RETURN", "DROP")),)
    return replace(rule, action=action)


# Mostly the same bits, or few would meet.
_MASKS = (1, 1, 1, 2, 2, 3, 3, 6, 12, 15)


def _conditions(rng: random.Random, rule: Rule, ways: frozenset[str]) -> Rule:
    if rng.random() < 0.12:
        rule = replace(rule, device=(rng.choice(_devices(ways)), rng.random() < 0.3))
    if rng.random() < (0.2 if ways & {"lo", "tunnel", "nat"} else 0.05):
        rule = replace(rule, out=(rng.choice(_devices(ways)), rng.random() < 0.3))
    if rng.random() < 0.1:
        rule = replace(rule, protocol=rng.choice(PROTOCOLS))
    if rng.random() < 0.15 and rule.table != "raw":
        rule = replace(rule, states=tuple(rng.sample(STATES, rng.randint(1, 2))))
    if "ends" in ways and rng.random() < 0.6:
        rule = replace(rule, ends=(rng.choice(("src", "dst")), rng.choice(ADDRESSES), rng.random() < 0.2))
    return rule
