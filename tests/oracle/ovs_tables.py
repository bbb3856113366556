"""Random flow tables of one bridge: writes of marks, registers and metadata, moves, the stack, ct with exec, clone, resubmit forward."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

TABLES = 5
# Name, bits, the name that load and move take, and where a range may lie.
_FIELDS = (
    ("pkt_mark", 32, "NXM_NX_PKT_MARK"),
    ("reg0", 32, "NXM_NX_REG0"),
    ("reg1", 32, "NXM_NX_REG1"),
    ("reg2", 32, "NXM_NX_REG2"),
    ("reg3", 32, "NXM_NX_REG3"),
    ("reg5", 32, "NXM_NX_REG5"),
    ("xreg0", 64, "OXM_OF_PKT_REG0"),
    ("xreg4", 64, "OXM_OF_PKT_REG4"),
    ("xxreg0", 128, "NXM_NX_XXREG0"),
    ("metadata", 64, "OXM_OF_METADATA"),
)
_CT = (("ct_mark", 32, "NXM_NX_CT_MARK"), ("ct_label", 128, "NXM_NX_CT_LABEL"))
_MATCHED = (*_FIELDS[:5], _FIELDS[8], _FIELDS[9], *_CT)


@dataclass(frozen=True)
class Case:
    """The flows as ovs-ofctl takes them, and packets to trace."""

    flows: str
    packets: tuple[dict[str, int], ...]


def case(seed: int) -> Case:
    """A random table."""
    random = Random(seed)
    # After a ct_clear in what a clone calls, OVS 3.1 takes the packet for untracked and leaves its fields: no case has both.
    clears = random.random() < 0.5
    lines = []
    for table in range(TABLES):
        for priority in random.sample(range(1, 30), random.randint(1, 3)):
            match = ",".join(["ip", *(_match(random) for _ in range(random.choice((0, 0, 1, 1, 2))))])
            lines.append(f"table={table},priority={priority},{_once(match)},actions={_actions(random, table, clears)}")
    return Case("\n".join(lines) + "\n", tuple(_packet(random) for _ in range(2)))


def _once(match: str) -> str:
    """A field is matched once, and the words of a register too."""
    seen: set[str] = set()
    kept = []
    for part in match.split(","):
        name = part.split("=")[0]
        word = "reg" if name.endswith(("reg0", "reg1", "reg2", "reg3")) else name
        if word not in seen:
            seen.add(word)
            kept.append(part)
    return ",".join(kept)


def _bits(random: Random, width: int) -> int:
    """Few bits, many, a run of them, all."""
    kind = random.randrange(4)
    if kind == 0:
        return 1 << random.randrange(width)
    if kind == 1:
        return random.getrandbits(width) or 1
    if kind == 2:
        length = random.randint(1, width)
        return ((1 << length) - 1) << random.randint(0, width - length)
    return (1 << width) - 1


def _match(random: Random) -> str:
    name, width, _ = random.choice(_MATCHED)
    mask = _bits(random, min(width, 6))
    value = random.getrandbits(width) & mask
    return f"{name}={value:#x}/{mask:#x}"


def _packet(random: Random) -> dict[str, int]:
    packet = {name: random.getrandbits(width) for name, width, _ in (*_FIELDS[:6], _FIELDS[9]) if random.random() < 0.7}
    if random.random() < 0.5:
        packet |= {name: random.getrandbits(width) for name, width, _ in _CT}
    return packet


def _set(random: Random, field: tuple[str, int, str]) -> str:
    name, width, nxm = field
    if random.random() < 0.5:
        mask = _bits(random, width)
        value = random.getrandbits(width) & mask
        return f"set_field:{value:#x}->{name}" if mask == (1 << width) - 1 else f"set_field:{value:#x}/{mask:#x}->{name}"
    low, length = _range(random, min(width, 64))
    return f"load:{random.getrandbits(length):#x}->{nxm}[{low}..{low + length - 1}]"


def _range(random: Random, width: int) -> tuple[int, int]:
    length = random.randint(1, width)
    return random.randint(0, width - length), length


def _move(random: Random, source: tuple[str, int, str], to: tuple[str, int, str]) -> str:
    low, length = _range(random, min(source[1], to[1]))
    start = random.randint(0, source[1] - length)
    low = random.randint(0, to[1] - length)
    return f"move:{source[2]}[{start}..{start + length - 1}]->{to[2]}[{low}..{low + length - 1}]"


def _exec(random: Random) -> str:
    inner = []
    for _ in range(random.randint(1, 3)):
        to = random.choice(_CT)
        if random.random() < 0.6:
            inner.append(_set(random, to))
        else:
            inner.append(_move(random, random.choice((*_FIELDS, *_CT)), to))
    return f"exec({','.join(inner)})"


def _ct(random: Random, table: int) -> str:
    words = []
    if random.random() < 0.7:
        words.append(random.choice((f"zone={random.randint(0, 9)}", "zone=NXM_NX_REG5[0..15]", "zone=NXM_NX_REG1[16..31]")))
    if table + 1 < TABLES and random.random() < 0.5:
        words.append(f"table={random.randint(table + 1, TABLES - 1)}")
    if random.random() < 0.8:
        words += ["commit", *([_exec(random)] if random.random() < 0.85 else [])]
    random.shuffle(words)
    return f"ct({','.join(words)})"


def _actions(random: Random, table: int, clears: bool, depth: int = 0) -> str:
    found = []
    for _ in range(random.randint(1, 5)):
        kind = random.random()
        if kind < 0.4:
            found.append(_set(random, random.choice(_FIELDS)))
        elif kind < 0.55:
            found.append(_move(random, random.choice((*_FIELDS, *_CT)), random.choice(_FIELDS)))
        elif kind < 0.62:
            source, to = random.choice((*_FIELDS, *_CT)), random.choice(_FIELDS)
            low, length = _range(random, min(source[1], to[1]))
            found.append(f"push:{source[2]}[{low}..{low + length - 1}]")
            found += [_set(random, to)] * random.randint(0, 1)
            found.append(f"pop:{to[2]}[{low}..{low + length - 1}]")
        elif kind < 0.78:
            found.append(_ct(random, table))
        elif kind < 0.86 and clears:
            found.append("ct_clear")
        elif kind < 0.86 and depth < 2:
            found.append(f"clone({_actions(random, table, clears, depth + 1)})")
        elif kind < 0.94 and table + 1 < TABLES:
            found.append(f"resubmit(,{random.randint(table + 1, TABLES - 1)})")
        else:
            found.append("output:2")
    if table + 1 < TABLES and depth == 0 and random.random() < 0.85:
        found.append(f"resubmit(,{table + 1})")
    return ",".join(found)
