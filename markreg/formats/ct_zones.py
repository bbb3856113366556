"""What conntrack zone numbers are for: ``ovn-appctl -t ovn-controller ct-zone-list`` (controller/ovn-controller.c ct_zone_list)."""

from __future__ import annotations

import re

from markreg.model import Reading, Scope
from markreg.source import Source

NAMES = ("ct-zones",)

_LINE = re.compile(r"[ \t]*(\S{1,300}) (\d{1,5})(?: \(pending\))?[ \t]*")
_LARGEST = 65535


def detect(source: Source) -> str | None:
    """By its name where it says so: a line is no more than a name and a number. Else by zones of routers, which are named so."""
    named = re.search(r"ct[-_.]zone", source.path.rpartition("/")[2])
    lines = [line for line in source.head(4096).splitlines()[:-1] or source.head(4096).splitlines() if line.strip()]
    if not lines or not all(_LINE.fullmatch(line) or line.lstrip().startswith(("$", "#")) for line in lines):
        return None
    return NAMES[0] if named or any(re.search(r"_[ds]nat \d+$", line.rstrip()) for line in lines) else None


def read(source: Source, name: str, scope: Scope) -> Reading:
    """Every zone with its name."""
    from markreg.rows import ZoneName

    zones = []
    for number, line in enumerate(source.text().splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match and int(match[2]) <= _LARGEST:
            zones.append(ZoneName(scope.netns, int(match[2]), match[1], source.path, number))
    return Reading(source.path, name, scope, statements=len(zones), zones=tuple(zones))
