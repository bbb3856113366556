"""What routing rules and IPsec policies ask of a packet beside its mark, in the form in which conditions are compared."""

from __future__ import annotations

import re
from collections.abc import Iterable

from markreg.flow import Guard
from markreg.formats._narrow import address, port, protocol

_KINDS = {"from": "src", "src": "src", "to": "dst", "dst": "dst", "iif": "iif", "oif": "oif", "dev": "iif"}
_KINDS |= {"ipproto": "proto", "proto": "proto", "sport": "sport", "dport": "dport", "uidrange": "uid"}
_UIDS = re.compile(r"(\d{1,10})-(\d{1,10})")


def asks(selectors: Iterable[str]) -> tuple[Guard, ...]:
    """The conditions of selectors (``iif eth0``, ``to 10.0.0.0/8``) that can be compared; of others nothing is told."""
    found = []
    for selector in selectors:
        word, *values = selector.split()
        kind = _KINDS.get(word, "")
        if kind and values and (value := _value(kind, values[0])):
            found.append(Guard(kind, (value,)))
    return tuple(found)


def _value(kind: str, text: str) -> str | None:
    match kind:
        case "src" | "dst":
            return address(text)
        case "sport" | "dport":
            return port(text)
        case "uid":
            ends = _UIDS.fullmatch(text)
            return text if ends and int(ends[1]) <= int(ends[2]) else None
        case "proto":
            return protocol(text)
    # A `*` is a wildcard to conditions and a letter to the kernel.
    return None if text.endswith("*") else text
