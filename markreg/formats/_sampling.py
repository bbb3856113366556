"""Samples that flows emit: ``sample(…)`` of OpenFlow and of OVN's logical flows, with its application, set of collectors and point."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from markreg.bits import full
from markreg.source import Source

_SAMPLE = re.compile(rb"(?<![\w.])sample\(probability=\d+, ?([^()]{1,300})\)")
_PART = re.compile(rb"(collector_set(?:_id)?|obs_domain(?:_id)?|obs_point(?:_id)?)=([^,\s]+)")
_COOKIE = re.compile(rb"cookie=(0x[0-9a-fA-F]{1,16})")
_KEY_BITS = 24
# How far before a sample the cookie of its flow stands at most.
_HEAD = 4096


@dataclass(frozen=True, slots=True)
class Emitted:
    """A sample action. ``app``: the application id, None where the domain is no constant. ``drop``: of a dropped packet."""

    app: int | None
    set_id: int | None
    drop: bool
    path: str
    line: int


def emitted(source: Source) -> Iterator[Emitted]:
    """One sample action of each kind (application, set, whether it is for drops), at the first line that has it."""
    data = source.data
    if b"sample(" not in data:
        return
    seen: set[tuple[int | None, int | None, bool]] = set()
    line, counted = 1, 0
    for match in _SAMPLE.finditer(data):
        parts = {key.removesuffix(b"_id"): value for key, value in _PART.findall(match[1])}
        domain, point = parts.get(b"obs_domain", b""), parts.get(b"obs_point", b"")
        logical = b"obs_domain_id=" not in match[1]
        begin = data.rfind(b"\n", max(0, match.start() - _HEAD), match.start()) + 1
        cookie = _COOKIE.search(data, begin, match.start())
        number = _number(domain)
        app = number if logical or number is None else number >> _KEY_BITS
        said = _number(point)
        # What ovn-controller itself drops is of no logical datapath (key 0), and its point is the number of the table.
        physical = not logical and number is not None and not number & full(_KEY_BITS)
        own = bool(cookie and said is not None and said == int(cookie[1], 16) & 0xFFFFFFFF)
        drop = point == b"$cookie" or said == 0 or physical or own
        key = (app, _number(parts.get(b"collector_set", b"")), drop)
        if key in seen:
            continue
        seen.add(key)
        line, counted = line + data.count(b"\n", counted, match.start()), match.start()
        yield Emitted(*key, source.path, line)


def _number(text: bytes) -> int | None:
    return int(text) if text.isdigit() and len(text) < 12 else None
