"""What sockets put on their packets now: ``ss -e``. A socket is no statement: somebody set its mark before."""

from __future__ import annotations

import re

from markreg.bits import full
from markreg.model import SKB_MARK, Opaque, Reading, Scope, Seen
from markreg.source import Source

NAMES = ("ss",)

_STATE = r"(?:ESTAB|SYN-SENT|SYN-RECV|FIN-WAIT-[12]|TIME-WAIT|UNCONN|CLOSE-WAIT|LAST-ACK|LISTEN|CLOSING|CLOSE)"
_LINE = re.compile(rf"^(?:[a-z][\w-]*[ \t]+)?{_STATE}[ \t]+\d+[ \t]+\d+[ \t]+\S+:\S+[ \t]", re.MULTILINE)
_MARK = re.compile(r"(?<![\w-])fwmark:(\S+)")
_NUMBER = re.compile(r"0x[0-9a-f]{1,8}")


def detect(source: Source) -> str | None:
    """By a line that is a socket: its state, its queues, its address."""
    return NAMES[0] if _LINE.search(source.head(4096)) else None


def read(source: Source, name: str, scope: Scope) -> Reading:
    """The distinct marks of the sockets."""
    counts: dict[int, list[int]] = {}
    strange: list[int] = []
    sockets = marked = 0
    for number, line in enumerate(source.text().split("\n"), 1):
        sockets += bool(_LINE.match(line))
        if found := _MARK.search(line):
            marked += 1
            if _NUMBER.fullmatch(found[1]):
                counts.setdefault(int(found[1], 16), [0, number])[0] += 1
            else:
                strange.append(number)
    return Reading(
        source.path,
        name,
        scope,
        opaque=(Opaque(source.path, tuple(strange), "the mark of a socket is no number of 32 bits"),) if strange else (),
        statements=max(sockets, marked),
        mark_statements=marked,
        seen=tuple(
            Seen(SKB_MARK.name, value, full(SKB_MARK.width), None, count, source.path, line) for value, (count, line) in counts.items()
        ),
    )
