"""Kernel settings as ``sysctl -a`` prints them. Those about marks let marks do more than they do by themselves, those about bridges
let bridged packets meet rules; none is a bit's use."""

from __future__ import annotations

import re

from markreg.devices import Sysctl
from markreg.model import Reading, Scope
from markreg.source import Source

NAMES = ("sysctl",)

_LINE = re.compile(r"(?:abi|crypto|debug|dev|fs|kernel|net|sunrpc|user|vm)[./][\w./:@-]+ = ?.*")
_MARKS = re.compile(r"[./](?:fwmark_reflect|tcp_fwmark_accept|src_valid_mark) = ?[1-9]")
_KEPT = re.compile(
    r"(net[./](?:ipv[46][./]fwmark_reflect|ipv4[./]tcp_fwmark_accept|ipv4[./]conf[./][\w./:@-]+[./]src_valid_mark"
    r"|bridge[./]bridge-nf-call-(?:ip|ip6|arp)tables)) = ?(\d{1,9})[ \t]*"
)
_SWAPPED = str.maketrans("./", "/.")


def detect(source: Source) -> str | None:
    """By the first line, which is a setting."""
    return NAMES[0] if _LINE.fullmatch(source.head(4096).lstrip("\r\n").split("\n")[0].rstrip("\r")) else None


def read(source: Source, name: str, scope: Scope) -> Reading:
    """How many settings there are, how many of those about marks are on, and the value of each that sends packets another way."""
    lines = [(n, line.rstrip("\r")) for n, line in enumerate(source.text().split("\n"), 1)]
    lines = [(number, line) for number, line in lines if _LINE.fullmatch(line)]
    return Reading(
        source.path,
        name,
        scope,
        statements=len(lines),
        mark_statements=sum(bool(_MARKS.search(line)) for _, line in lines),
        sysctls=tuple(
            Sysctl(scope.netns, _dotted(kept[1]), int(kept[2]), source.path, number)
            for number, line in lines
            if (kept := _KEPT.fullmatch(line))
        ),
    )


def _dotted(name: str) -> str:
    """A name with dots between its parts: sysctl(8) takes ``net/ipv4/…`` as well, where a device's dots are dots."""
    return name.translate(_SWAPPED) if name.startswith("net/") else name
