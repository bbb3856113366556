"""Kernel settings as ``sysctl -a`` prints them. Those about marks let marks do more than they do by themselves; none is a bit's use."""

from __future__ import annotations

import re

from markreg.model import Reading, Scope
from markreg.source import Source

NAMES = ("sysctl",)

_LINE = re.compile(r"(?:abi|crypto|debug|dev|fs|kernel|net|sunrpc|user|vm)[./][\w./:@-]+ = ?.*")
_MARKS = re.compile(r"[./](?:fwmark_reflect|tcp_fwmark_accept|src_valid_mark) = ?[1-9]")


def detect(source: Source) -> str | None:
    """By the first line, which is a setting."""
    return NAMES[0] if _LINE.fullmatch(source.head(4096).split("\n")[0].rstrip("\r")) else None


def read(source: Source, name: str, scope: Scope) -> Reading:
    """How many settings there are, and how many of those about marks are on."""
    lines = [line for line in source.text().split("\n") if _LINE.fullmatch(line.rstrip("\r"))]
    return Reading(source.path, name, scope, statements=len(lines), mark_statements=sum(bool(_MARKS.search(line)) for line in lines))
