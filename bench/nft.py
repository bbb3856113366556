"""nft rulesets of any size, always the same: many rules of which some concern marks, or one map with many elements.

python -m bench.nft rules|elements COUNT FILE
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

_RULES_OF_A_CHAIN = 100


def rules(count: int) -> Iterator[str]:
    """``count`` rules in chains of a hundred, a mark in every twentieth, as `nft list ruleset` prints them."""
    yield "table inet big {\n"
    chains = max(1, count // _RULES_OF_A_CHAIN)
    for chain in range(chains):
        yield f"\tchain c{chain} {{\n"
        for rule in range(_RULES_OF_A_CHAIN):
            address = f"ip daddr 10.{chain // 250}.{chain % 250}.{rule} tcp dport {1024 + rule}"
            if rule % 20 == 0:
                yield f"\t\t{address} meta mark set meta mark & 0xffffff00 | 0x{rule:08x}\n"
            elif rule % 20 == 1:
                yield f"\t\t{address} meta mark & 0x000000ff == 0x{rule:08x} counter packets 0 bytes 0 accept\n"
            else:
                yield f"\t\t{address} counter packets 0 bytes 0 accept\n"
        yield "\t}\n\n"
    yield "\tchain forward {\n\t\ttype filter hook forward priority filter; policy accept;\n"
    yield from (f"\t\tjump c{chain}\n" for chain in range(chains))
    yield "\t}\n}\n"


def elements(count: int) -> Iterator[str]:
    """A map from addresses to marks with ``count`` elements, and the rule that uses it."""
    yield "table inet big {\n\tmap m {\n\t\ttype ipv4_addr : mark\n\t\telements = { "
    yield ",\n\t\t\t     ".join(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255} : 0x{n % 251:08x}" for n in range(count))
    yield " }\n\t}\n\n\tchain prerouting {\n\t\ttype filter hook prerouting priority mangle; policy accept;\n"
    yield "\t\tmeta mark set ip saddr map @m\n\t}\n}\n"


KINDS = {"rules": rules, "elements": elements}


def write(path: Path, kind: str, count: int) -> None:
    """Writes a ruleset of one of the KINDS."""
    with path.open("w", encoding="ascii") as file:
        file.writelines(KINDS[kind](count))


if __name__ == "__main__":
    write(Path(sys.argv[3]), sys.argv[1], int(sys.argv[2]))
