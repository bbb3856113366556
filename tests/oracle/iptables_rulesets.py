"""Random rule sets about marks, as people would type them, for any table, hook, family and back end."""

from __future__ import annotations

import random

HOOKS = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}
# No loopback packet is forwarded: these only keep conntrack and its labels at work when no other rule asks for them.
KEEPERS = ("-A FORWARD -m connmark --mark 0x1", "-A FORWARD -m connlabel --label 127")
_COMMENTS = (
    "plain",
    "-j MARK --set-xmark 0x1/0x1",
    'a "quoted" -m mark --mark 0x5 word',
    r"back\slash \" -g u0",
    " --restore-mark ",
    "-j",
    "--mark",
    "zürich à la -j CONNMARK --save-mark",
)
_LABELS = (0, 5, 31, 32, 64, 127)


def word(rng: random.Random) -> int:
    """A mark: dense, sparse, or with the ends of the word set."""
    kind = rng.randrange(5)
    if kind == 0:
        return rng.getrandbits(32)
    if kind == 1:
        return rng.getrandbits(8) << rng.randrange(25)
    if kind == 2:
        return 1 << rng.randrange(32)
    if kind == 3:
        return rng.choice((0, 0, 1, 0x80000000, 0xFFFFFFFF, 0x7FFFFFFF))
    return rng.getrandbits(32) & rng.getrandbits(32) & rng.getrandbits(32)


def spelled(rng: random.Random, value: int) -> str:
    """A number in one of the bases that iptables takes."""
    return rng.choice((f"{value:#x}", f"{value:#x}", f"{value:#X}", str(value), f"0{value:o}"))


def _few_bits(rng: random.Random) -> int:
    return sum({1 << rng.randrange(32) for _ in range(rng.choice((1, 1, 1, 2, 2, 3)))})


def _pair(rng: random.Random) -> str:
    """A value with or without a mask; the mask has few bits, for then both outcomes are common, and may leave value bits out."""
    kind = rng.randrange(12)
    if kind == 0:
        return spelled(rng, word(rng))
    if kind == 1:
        return f"{spelled(rng, word(rng))}/{spelled(rng, word(rng))}"
    mask = _few_bits(rng)
    value = rng.getrandbits(32) & mask
    if kind == 2:
        value |= _few_bits(rng)
    return f"{spelled(rng, value)}/{spelled(rng, mask)}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def match(rng: random.Random) -> str:
    """One match."""
    kind = rng.randrange(20)
    bang = rng.choice(("", "", "! "))
    if kind < 9:
        return f"{rng.choice(('-m', '--match'))} mark {bang}--mark {_pair(rng)}"
    if kind < 15:
        return f"-m connmark {bang}--mark {_pair(rng)}"
    if kind < 17:
        return f"-m connlabel {bang}--label {rng.choice(_LABELS)}"
    if kind == 17:
        return f"-m connlabel --label {rng.choice(_LABELS)} --set"
    if kind == 18:
        return "-p udp"
    return f"-m comment --comment {_quoted(rng.choice(_COMMENTS))}"


def _operation(rng: random.Random) -> str:
    option = rng.choice(("--set-mark", "--set-xmark", "--set-xmark", "--and-mark", "--or-mark", "--xor-mark"))
    value = spelled(rng, word(rng))
    if option in ("--set-mark", "--set-xmark") and rng.random() < 0.8:
        value += f"/{spelled(rng, word(rng))}"
    return f"{option} {value}"


def _connmark(rng: random.Random) -> str:
    mode = rng.choice(("set", "--save-mark", "--restore-mark"))
    text = _operation(rng) if mode == "set" else mode
    if mode != "set":
        kind = rng.randrange(4)
        if kind == 1:
            text += f" --mask {spelled(rng, word(rng))}"
        elif kind > 1:
            text += f" --nfmask {spelled(rng, word(rng))} --ctmask {spelled(rng, word(rng))}"
    elif rng.random() < 0.1:
        text += f" {rng.choice(('--mask', '--ctmask'))} {spelled(rng, word(rng))}"
    if rng.random() < 0.4:
        text += f" --{rng.choice(('left', 'right'))}-shift-mark {rng.choice((0, 1, 8, 16, 31, rng.randrange(32)))}"
    return text


def target(rng: random.Random, table: str, chains: list[str]) -> str:
    """One target, or none. ``chains``: the chains that may be jumped to."""
    kind = rng.randrange(30)
    if kind < 11:
        return f"{rng.choice(('-j', '--jump'))} MARK {_operation(rng)}"
    if kind < 20:
        return f"-j CONNMARK {_connmark(rng)}"
    if kind < 26 and chains:
        return f"{rng.choice(('-j', '-j', '-j', '-g'))} {rng.choice(chains)}"
    if kind == 26:
        return "-j RETURN"
    if kind == 27:
        return "-j ACCEPT"
    if kind == 28 and table == "raw":
        return "-j CT --notrack"
    return "" if kind == 29 else f"-j MARK {_operation(rng)}"


def rule(rng: random.Random, table: str, chains: list[str]) -> str:
    """One rule without its chain."""
    while True:
        # iptables takes several matches of one kind only side by side.
        matches = sorted((match(rng) for _ in range(rng.choice((0, 0, 1, 1, 1, 2, 3)))), key=lambda text: text.split()[1])
        if sum(m == "-p udp" for m in matches) < 2:
            return " ".join(filter(None, (*matches, target(rng, table, chains))))


def ruleset(rng: random.Random) -> str:
    """All tables, as ``iptables-restore`` takes them. A user chain jumps to later ones only, for the kernel refuses loops."""
    lines: list[str] = []
    for table, hooks in HOOKS.items():
        users = [f"u{n}" for n in range(rng.choice((0, 1, 2, 4)))]
        lines += [f"*{table}", *(f":{hook} ACCEPT [0:0]" for hook in hooks), *(f":{name} - [0:0]" for name in users)]
        for hook in hooks:
            lines += [f"-A {hook} {rule(rng, table, users)}".strip() for _ in range(rng.choice((0, 1, 2, 3)))]
        for number, name in enumerate(users):
            lines += [f"-A {name} {rule(rng, table, users[number + 1 :])}".strip() for _ in range(rng.choice((0, 1, 2, 3)))]
        lines += [*(KEEPERS if table == "filter" else ()), "COMMIT"]
    return "\n".join(lines) + "\n"
