"""Random nft rule sets: tables of several families, chains at random places, and the algebra of marks in every way to write it."""

from __future__ import annotations

import random
from collections.abc import Callable

OUTPUT, OTHER = "output", ("postrouting", "prerouting", "input")
_OPERATORS = {"&": ("&", "and"), "|": ("|", "or"), "^": ("^", "xor")}
_KEYS = {"meta mark": ("meta mark", "mark"), "ct mark": ("ct mark",)}
# Priorities that have a name, by hook; others are numbers or offsets from them.
_NAMED = ("raw", "mangle", "filter", "security")


def constant(rng: random.Random, narrow: bool = False) -> int:
    """A number of few bits, mostly low ones, so that tests of it hold now and then."""
    if narrow or rng.random() < 0.6:
        return rng.getrandbits(4) << rng.choice((0, 0, 0, 4, 8))
    return rng.choice((rng.getrandbits(32), 0xFFFFFFFF ^ rng.getrandbits(8), 0xFFFFFF00, 0xF0, 0))


def spelled(rng: random.Random, value: int) -> str:
    """A number as people write it."""
    return rng.choice((f"{value:#x}", f"{value:#010x}", str(value), f"0{value:o}"))


def key(rng: random.Random) -> str:
    """A mark, by one of its names."""
    return rng.choice(_KEYS[rng.choice(("meta mark", "meta mark", "ct mark"))])


def expression(rng: random.Random, depth: int) -> str:
    """Nested operations on one mark and constants, with and without parentheses."""
    if not depth:
        return key(rng)
    left = expression(rng, depth - 1)
    kind = rng.random()
    if kind < 0.15:
        return f"({left}) {rng.choice(('<<', '>>'))} {rng.randint(1, 12)}"
    operator = rng.choice("&&|^")
    if " " in left.removeprefix("meta ").removeprefix("ct ") and rng.random() < 0.5:
        left = f"({left})"
    return f"{left} {rng.choice(_OPERATORS[operator])} {spelled(rng, constant(rng))}"


def target(rng: random.Random) -> str:
    """A mark that a rule writes."""
    return rng.choice(("meta mark", "meta mark", "mark", "ct mark"))


def masked(rng: random.Random, name: str) -> str:
    """What programs write: keep some bits, set others."""
    mask, value = constant(rng, True), constant(rng, True)
    return rng.choice(
        (
            f"{name} set {name} & {0xFFFFFFFF & ~mask:#x} | {value:#x}",
            f"{name} set {name} or {value:#x}",
            f"{name} set {name} xor {value:#x}",
        )
    )


def write(rng: random.Random) -> str:
    """A statement that writes a mark or label."""
    name = target(rng)
    made: tuple[Callable[[], str], ...] = (
        lambda: masked(rng, name),
        lambda: f"{name} set {spelled(rng, constant(rng))}",
        lambda: f"{name} set {expression(rng, rng.randint(0, 3))}",
        lambda: f"{name} set {expression(rng, rng.randint(1, 3))}",
        lambda: f"{name} set {key(rng)} & 3 map {{ 0 : {constant(rng):#x}, 1 : {constant(rng):#x}, 2-3 : {constant(rng):#x} }}",
        lambda: f"{name} set {key(rng)} & 0xf map @values",
        lambda: f"{name} set numgen inc mod {rng.randint(1, 3)} offset {rng.randint(0, 64)}",
        lambda: f"ct label set {rng.randrange(128)}",
    )
    # What a map or counter gives is open, and with it what follows: seldom.
    return rng.choices(made, (5, 3, 5, 5, 1, 1, 1, 2))[0]()


def match(rng: random.Random) -> str:
    """A test of a mark or label."""
    name, value = key(rng), constant(rng, True)
    masked_key = f"{name} & {rng.choice((1, 3, 0xF, 0xF0, 0xFF)):#x}"
    low = rng.randrange(200)
    # No `<=`: after a `>=` nft lists the two as one range.
    made: tuple[Callable[[], str], ...] = (
        lambda: f"{masked_key} {rng.choice(('==', '!='))} {value & 0xFF:#x}",
        lambda: f"{expression(rng, rng.randint(1, 2))} {rng.choice(('==', '!='))} {spelled(rng, value)}",
        lambda: f"{name} {rng.choice(('', '!= '))}{spelled(rng, value)}",
        lambda: f"{name} {rng.choice(('<', '>', '>=', 'lt', 'ge'))} {rng.choice((value, 0x80000000))}",
        lambda: f"{name} {rng.choice(('', '!= '))}{low}-{low + rng.randrange(5000)}",
        lambda: f"{name} {rng.choice(('', '!= '))}{{ {value}, 0x10-0xff, 0x8000/17 }}",
        lambda: f"{masked_key} {rng.choice(('', '!= '))}{{ 0, 1, {rng.randrange(2, 16)} }}",
        lambda: f"{name} {rng.choice(('', '!= '))}@marks",
        lambda: f"{name} {value:#x}/{rng.randint(1, 32)}",
        lambda: f"ct label {rng.randrange(128)}",
        lambda: f"ct label != {rng.randrange(128)}",
        lambda: "meta mark & 3 . ct mark & 1 { 0 . 0, 1 . 1, 3 . 0 }",
        lambda: "ct state new",
        lambda: "meta l4proto udp",
    )
    return rng.choices(made, [8] * (len(made) - 3) + [1, 1, 8])[0]()


def rule(rng: random.Random, below: list[str]) -> str:
    """A rule; ``below``: the chains that it may go to."""
    parts = [match(rng) for _ in range(rng.choice((0, 0, 1, 1, 2)))]
    parts += [write(rng) for _ in range(rng.choice((1, 1, 1, 2)))]
    rng.shuffle(parts)
    end = rng.random()
    if below and end < 0.25:
        parts.append(f"{rng.choice(('jump', 'jump', 'goto'))} {rng.choice(below)}")
    elif below and end < 0.4:
        verdicts = ("accept", "return", "continue", f"jump {rng.choice(below)}", f"goto {rng.choice(below)}")
        name = rng.choice((f"{key(rng)} & 3", key(rng)))
        parts.append(f"{name} vmap {{ 0 : {rng.choice(verdicts)}, 1 : {rng.choice(verdicts)}, 2-3 : {rng.choice(verdicts)} }}")
    elif below and end < 0.45:
        parts.append(f"{key(rng)} & 7 vmap @ways")
    elif end < 0.6:
        parts.append(rng.choice(("accept", "return", "counter")))
    if rng.random() < 0.1:
        parts.append('comment "meta mark set 0xdead"')
    return " ".join(parts)


def table(rng: random.Random, family: str, name: str, taken: set[tuple[str, int]]) -> str:
    """A table with its sets, its base chains at places that no other has, and its other chains."""
    users = [f"u{n}" for n in range(3)]
    elements = sorted({rng.getrandbits(4) for _ in range(4)})
    out = [
        f"table {family} {name} {{",
        f"\tset marks {{ type mark; flags interval; elements = {{ {', '.join(map(str, elements))}, 0x100-0x1ff }}; }}",
        f"\tmap values {{ type mark : mark; elements = {{ {', '.join(f'{e} : {constant(rng):#x}' for e in elements)} }}; }}",
        f"\tmap ways {{ type mark : verdict; elements = {{ 0 : jump u2, 1 : goto u2, {rng.randint(2, 7)} : accept }}; }}",
    ]
    for number, user in enumerate(users):
        rules = [rule(rng, users[number + 1 :]) for _ in range(rng.randint(1, 3))]
        out.insert(4, "\n".join((f"\tchain {user} {{", *(f"\t\t{r}" for r in rules), "\t}")))
    for number in range(rng.randint(1, 3)):
        hook = rng.choice((OUTPUT, *OTHER))
        level = base = 0
        while (hook, level) in taken or level == -200:
            word = rng.choice(_NAMED)
            base = {"raw": -300, "mangle": -150, "filter": 0, "security": 50}[word]
            level = base + rng.randint(-40, 40)
        taken.add((hook, level))
        priority = rng.choice((str(level), f"{word} {'+' if level >= base else '-'} {abs(level - base)}"))
        kind = "route" if hook == OUTPUT and rng.random() < 0.3 else "filter"
        rules = [rule(rng, users) for _ in range(rng.randint(1, 4))]
        out += [
            f"\tchain b{number} {{",
            f"\t\ttype {kind} hook {hook} priority {priority}; policy accept;",
            *(f"\t\t{r}" for r in rules),
            "\t}",
        ]
    return "\n".join((*out, "}"))


def ruleset(rng: random.Random, family: str) -> str:
    """One or two tables that packets of ``family`` meet, and one that makes the kernel look for connections."""
    taken: set[tuple[str, int]] = {(OUTPUT, 0), *((hook, 0) for hook in OTHER)}
    watch = f"table {family} watch {{\n\tchain seen {{\n\t\ttype filter hook output priority 0;\n\t\tct state established counter\n\t}}\n}}"
    tables = [table(rng, rng.choice((family, "inet")), f"t{n}", taken) for n in range(rng.randint(1, 2))]
    return "\n".join((watch, *tables)) + "\n"
