"""Generated nodes for the oracle of paths: two to four components' rules with random bits, and what else stands on the node."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tests.paths import notation

PROTOCOL = 253  # for experiments
# What a node may have besides plain rules for packets that are forwarded, delivered and sent; each brings packets of its own.
KINDS = ("devices", "addresses", "equal", "loopback", "vxlan", "notrack", "nat", "related", "bridge", "bridge-nf")
# Those of which the analysis knows; the tests run no others.
FOLLOWED = KINDS
_TABLES = ("mangle", "mangle", "filter", "nat")
# A masked copy into a word that keeps its other bits, of which nft before 1.1.1 knows nothing: there it is one into the whole word.
_MASKED = re.compile(r"(ct|meta) mark set \1 mark & \w+ \| ((?:meta|ct) mark & \w+)")
_BRIDGE = {"prerouting": -300, "input": -200, "forward": -200, "output": 100, "postrouting": 300}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule in a chain of its own, which a built-in chain calls. ``table`` may be ``bridge``, with a hook for ``base``.

    ``contrary``: it asks for a device or an address that not all packets of the node's main connection have.
    """

    table: str
    base: str
    chain: str
    guards: tuple[str, ...]
    action: str
    contrary: bool = False

    @property
    def text(self) -> str:
        """Conditions and target, as iptables prints them."""
        return " ".join((*self.guards, self.action))

    @property
    def reads(self) -> bool:
        """Whether it is its component's match."""
        return self.chain.endswith("-r")

    @property
    def lines(self) -> tuple[str, str]:
        """In the notation of the controls."""
        return f"{self.table} {self.base} > {self.chain}", f"{self.table} {self.chain} | {self.text}"


@dataclass(frozen=True, slots=True)
class Component:
    """One owner's rules; its reader counts in the chain ``NAME-r``, or is a routing rule for the mark ``lookup``."""

    name: str
    backend: str
    rules: tuple[Rule, ...]
    lookup: str = ""

    @property
    def field(self) -> str:
        """What its reader looks at."""
        return "ct_mark" if any(r.reads and "-m connmark" in r.text for r in self.rules) else "skb_mark"

    @property
    def names_lo(self) -> bool:
        """Whether its rules show that packets go over loopback."""
        return any("lo" in guard.split() for rule in self.rules for guard in rule.guards)

    @property
    def silenced(self) -> Component:
        """Its match without its writes."""
        return replace(self, rules=tuple(r for r in self.rules if r.reads))


@dataclass(frozen=True, slots=True)
class Generated:
    """A node. ``settings``: rules of nobody (notrack, nat), each with its back end, in the notation of the controls or, of nft, as nft has
    them: hook, priority, rule."""

    parts: tuple[Component, ...]
    kinds: frozenset[str] = frozenset()
    settings: tuple[tuple[str, str], ...] = ()

    def without(self, gone: str) -> Generated:
        """The node without what a component writes."""
        return replace(self, parts=tuple(p.silenced if p.name == gone else p for p in self.parts))

    def __str__(self) -> str:
        lines = [f"kinds: {' '.join(sorted(self.kinds)) or 'none'}", *(f"{backend}: {text}" for backend, text in self.settings)]
        for part in self.parts:
            lines += [
                f"{part.name} {part.backend} {part.lookup}".rstrip(),
                *(f"  {r.table} {r.base} {r.chain} | {r.text}" for r in part.rules),
            ]
        return "\n".join(lines)

    def legacy(self) -> str:
        """What iptables-legacy-restore takes."""
        lines = [text for backend, text in self.settings if backend == "legacy"]
        lines += [x for p in self.parts if p.backend == "legacy" for r in p.rules if r.table != "bridge" for x in r.lines]
        return notation.iptables("\n".join(lines)) if lines else ""

    def nft(self, backwards: bool = False) -> str:
        """What nft takes. Where priorities are equal, ``backwards`` is the other order of registration."""
        lines = [x for p in self.parts if p.backend == "nft" for r in p.rules if r.table != "bridge" for x in r.lines]
        text = _MASKED.sub(r"\1 mark set \2", notation.nft("\n".join(lines)))
        if "equal" in self.kinds:  # the notation counts up what jumps from one chain
            text = re.sub(r"(\w+put|\w+ing|forward)(\d+) \{\n(.*priority )(-?\d+);", _as_one, text)
        else:  # some steps behind iptables: of equal priorities the order would not be known
            text = re.sub(r"priority (-?\d+);", lambda m: f"priority {int(m[1]) + 5};", text)
        tables = [t for t in re.split(r"(?m)^(?=table )", text) if t]
        for number, part in enumerate(self.parts):
            chains = [_bridge(r, 10 * number + n) for n, r in enumerate(part.rules) if r.table == "bridge"]
            tables += [f"table bridge {part.name} {{\n" + "".join(chains) + "}\n"] if chains else []
        for number, (backend, setting) in enumerate(self.settings):
            if backend == "nft":
                tables.append(f"table ip nn{number} {{\n {setting}\n}}\n")
        return "".join(map(_backwards, reversed(tables)) if backwards else tables)


def _as_one(match: re.Match[str]) -> str:
    return f"{match[1]}{match[2]} {{\n{match[3]}{int(match[4]) - int(match[2])};"


def _backwards(table: str) -> str:
    head, *chains = re.split(r"(?m)^(?= +chain )", table.removesuffix("}\n"))
    return "".join((head, *reversed(chains), "}\n"))


def _bridge(rule: Rule, step: int) -> str:
    head = f"type filter hook {rule.base} priority {_BRIDGE[rule.base] + step}; policy accept;"
    return f" chain {rule.chain.replace('-', '_')} {{\n  {head}\n  {notation.translated('filter', rule.text)}\n }}\n"


@dataclass(frozen=True, slots=True)
class Profile:
    """The connection that conditions of a node ask for: its devices, addresses and ports."""

    into: str = ""
    out: str = ""
    source: str = ""
    target: str = ""


_PROFILES = {
    "": (
        Profile("in0", "out0", "10.1.0.2", "10.2.0.2"),
        Profile("in0", "", "10.1.0.2", "10.1.0.1"),
        Profile("", "out0", "10.2.0.1", "10.2.0.2"),
    ),
    "loopback": (Profile("lo", "lo", "127.0.0.2", "127.0.0.3"), Profile("lo", "lo", "10.1.0.1", "10.2.0.1")),
    "vxlan": (
        Profile("in0", "vx0", "10.1.0.7", "10.9.0.2"),
        Profile("", "vx0", "10.9.0.1", "10.9.0.2"),
        Profile("vx0", "", "10.9.0.2", "10.9.0.1"),
    ),
    "bridge": (Profile("br0", "br0", "10.3.0.2", "10.3.0.3"), Profile("br0", "", "10.3.0.2", "10.3.0.1")),
}


class Maker:
    """Makes one node."""

    def __init__(self, rng: random.Random, kinds: frozenset[str]) -> None:
        self.rng, self.kinds = rng, kinds
        names = [k for k in sorted(kinds) if k in _PROFILES] + (["bridge"] if "bridge-nf" in kinds else [])
        self.profile = rng.choice(_PROFILES[rng.choice(["", *names, *names])])

    def node(self) -> Generated:
        """Its components and what stands beside them."""
        rng = self.rng
        names = ("aa", "bb", "cc", "dd")[: rng.randint(2, 4)]
        carrier = rng.choice((*names, ""))  # what several save over each other nobody alone is to blame for
        parts: list[Component] = []
        for name in names:
            # Two rules into one table would count together.
            parts.append(self._component(name, name == carrier, not any(p.lookup for p in parts)))
        return Generated(tuple(parts), self.kinds, tuple(self._settings()))

    def _component(self, name: str, carries: bool, may_look_up: bool) -> Component:
        """One or two writers, a save and a restore where it ``carries``, and a match."""
        rng = self.rng
        rules = []
        for number in range(rng.randint(1, 2)):
            table, base = self._place(_TABLES)
            rules.append(self._rule(table, base, f"{name}-w{number}", self._write(table)))
        if carries:
            mask = rng.choice(("0xff", "0xffffffff"))
            masks = f"--nfmask {mask} --ctmask {mask}"
            rules.append(
                self._rule("mangle", rng.choice(("PREROUTING", "PREROUTING", "OUTPUT")), f"{name}-c", f"-j CONNMARK --restore-mark {masks}")
            )
            rules.append(
                self._rule("mangle", rng.choice(("POSTROUTING", "FORWARD", "INPUT")), f"{name}-s", f"-j CONNMARK --save-mark {masks}")
            )
        value, mask_ = self._code()
        lookup = ""
        if may_look_up and rng.random() < 0.2:
            lookup = f"{value:#x}/{mask_:#x}"
        else:
            table, base = self._place(("mangle", "filter"))
            what = rng.choice(("mark", "mark", "connmark")) if table != "bridge" else "mark"
            rules.append(self._rule(table, base, f"{name}-r", f"-m {what} --mark {value:#x}/{mask_:#x} -j RETURN"))
        return Component(name, "nft" if "equal" in self.kinds else rng.choice(("legacy", "nft")), tuple(rules), lookup)

    def _place(self, tables: tuple[str, ...]) -> tuple[str, str]:
        rng = self.rng
        if self.kinds & {"bridge", "bridge-nf"} and rng.random() < 0.4:
            return "bridge", rng.choice(tuple(_BRIDGE))
        table = rng.choice(tables)
        return table, rng.choice([chain for t, chain in notation.PRIORITIES if t == table])

    def _rule(self, table: str, base: str, chain: str, action: str) -> Rule:
        guards, contrary = [], False
        if table != "bridge":
            for text, against in self._guards(base):
                guards.append(text)
                contrary |= against
        return Rule(table, base, chain, tuple(guards), action, contrary)

    def _guards(self, base: str) -> Iterator[tuple[str, bool]]:
        """Conditions, and whether not all packets of the main connection meet them."""
        rng, profile = self.rng, self.profile
        states = ["NEW", "ESTABLISHED"]
        states += ["RELATED"] * 2 if "related" in self.kinds else []
        states += ["UNTRACKED"] if "notrack" in self.kinds else []
        if "loopback" in self.kinds and base != "FORWARD" and rng.random() < 0.4:
            yield "-o lo" if base in ("OUTPUT", "POSTROUTING") else "-i lo", False
        elif "devices" in self.kinds and rng.random() < 0.5:
            yield from self._device(base)
        protocols = ["-p udp", f"-p {PROTOCOL}"] + (["-p icmp"] if "related" in self.kinds else [])
        if "addresses" in self.kinds and rng.random() < 0.5 and profile.source:
            yield from self._address()
        elif rng.random() < 0.25:
            yield rng.choice(protocols), False
        if rng.random() < 0.25:
            yield f"-m conntrack --ctstate {rng.choice(states)}", False

    def _device(self, base: str) -> Iterator[tuple[str, bool]]:
        rng, profile = self.rng, self.profile
        options = [("-i", profile.into)] if base in ("PREROUTING", "INPUT", "FORWARD") else []
        options += [("-o", profile.out)] if base in ("FORWARD", "OUTPUT", "POSTROUTING") else []
        option, device = rng.choice(options)
        kind = rng.random()
        if device and kind < 0.65:
            yield f"{option} {device}", False
        elif device and kind < 0.8:
            yield f"! {option} {device}", True
        else:
            yield f"{option} {rng.choice(('in0', 'out0', 'eth9', 'lo', 'vx0', 'br0'))}", True

    def _address(self) -> Iterator[tuple[str, bool]]:
        rng, profile = self.rng, self.profile
        against = rng.random() < 0.3 or "nat" in self.kinds or "vxlan" in self.kinds
        source, target = (profile.target, profile.source) if against and rng.random() < 0.7 else (profile.source, profile.target)
        kind = rng.random()
        if kind < 0.3:
            yield f"-s {source}{rng.choice(('', '/24'))}", against
        elif kind < 0.6:
            yield f"-d {target}{rng.choice(('', '/24'))}", against
        else:
            ports = ("--dport 6001", "--sport 5001") if against else ("--dport 5001", "--sport 6001", "--dport 5000:5002")
            yield f"-p udp -m udp {rng.choice(ports)}", against

    def _code(self) -> tuple[int, int]:
        mask = self.rng.choice((0x1, 0x1, 0x2, 0x3, 0x3, 0x4, 0x6, 0x7))
        return self.rng.choice([v for v in range(1, 8) if v & mask == v]), mask

    def _write(self, table: str) -> str:
        rng = self.rng
        value, mask = self._code()
        kind = rng.random()
        target = "CONNMARK" if table != "bridge" and rng.random() < 0.2 else "MARK"
        if kind < 0.65:
            return f"-j {target} --set-xmark {value:#x}/{mask:#x}"
        return f"-j {target} --set-xmark {'0x0' if kind < 0.85 else f'{value:#x}'}/{'0xffffffff' if kind > 0.75 else f'{mask:#x}'}"

    def _settings(self) -> Iterator[tuple[str, str]]:
        """The rules of nobody."""
        rng = self.rng
        if "notrack" in self.kinds:
            for base in rng.choice((("PREROUTING",), ("OUTPUT",), ("PREROUTING", "OUTPUT"))):
                guard = rng.choice(("", "", "-p udp ", f"-p {PROTOCOL} "))
                if rng.random() < 0.5:
                    yield "legacy", f"raw {base} | {guard}-j CT --notrack"
                else:
                    head = f"type filter hook {base.lower()} priority -300; policy accept;"
                    yield "nft", f"chain c {{\n  {head}\n  {notation.translated('raw', guard)} notrack\n }}"
        if "nat" in self.kinds:
            to, source = "10.2.0.2:5001", "10.1.0.2"
            if rng.random() < 0.5:
                yield "legacy", f"nat PREROUTING | -d 10.1.0.1 -p udp -m udp --dport 5003 -j DNAT --to-destination {to}"
            else:
                head = "type nat hook prerouting priority -100; policy accept;"
                yield "nft", f"chain c {{\n  {head}\n  ip daddr 10.1.0.1 udp dport 5003 dnat to {to}\n }}"
            if rng.random() < 0.5:
                yield "legacy", f"nat POSTROUTING | -s {source} -o out0 -j MASQUERADE"
        if "related" in self.kinds:
            helper = 'ct helper tftp {\n  type "tftp" protocol udp\n  l3proto ip\n }\n'
            for base in ("prerouting", "output"):
                head = f"type filter hook {base} priority -190; policy accept;"
                yield "nft", f'{helper} chain c {{\n  {head}\n  udp dport 69 ct helper set "tftp"\n }}'


def smaller(node: Generated) -> Iterator[Generated]:
    """The node with one thing less."""
    for number in range(len(node.parts)):
        yield replace(node, parts=(*node.parts[:number], *node.parts[number + 1 :]))
    for number in range(len(node.settings) if "nat" not in node.kinds else 0):  # a connection there needs its mapping
        yield replace(node, settings=(*node.settings[:number], *node.settings[number + 1 :]))
    for kind in sorted(node.kinds):
        yield replace(node, kinds=node.kinds - {kind}, settings=() if kind == "nat" else node.settings)
    for at, part in enumerate(node.parts):

        def changed(new: Component, at: int = at) -> Generated:
            return replace(node, parts=(*node.parts[:at], new, *node.parts[at + 1 :]))

        if part.lookup:
            yield changed(replace(part, lookup=""))
        for number, rule in enumerate(part.rules):
            before, after = part.rules[:number], part.rules[number + 1 :]
            yield changed(replace(part, rules=(*before, *after)))
            for guard in rule.guards:
                yield changed(replace(part, rules=(*before, replace(rule, guards=tuple(g for g in rule.guards if g != guard)), *after)))
