"""Traffic control: what ``tc filter show``, ``tc actions ls``, ``tc qdisc show``, ``tc monitor`` print (also -s, -d, -o), and their JSON.

Which way the packets go is in the header of a filter, else in the command above it, else in the file's name; otherwise both are taken.
"""

from __future__ import annotations

import re

from markreg.model import Reading, Scope
from markreg.source import Source, decode

NAMES = ("tc", "tc-json")

_HEAD = 65536
_FILTER = r"(?:added |replaced |deleted )?filter (?:(?:dev|block|parent) \S+ |root |ingress |egress )*protocol \S+ pref \d+ \S"
_QDISC = r"(?:added |replaced |deleted )?qdisc \w+ [0-9a-f]+: (?:\[\w+\] )?(?:dev \S+ )?(?:root|parent \S|ingress|clsact)"
_ACTION = r"total acts \d|[ \t]+action order \d+:[ \t]"
_STRICT = re.compile(rf"^(?:{_FILTER}|{_QDISC}|{_ACTION})", re.MULTILINE)
_FOREIGN = re.compile(r"^(?:#!|apiVersion:|kind:|```|---[ \t\r]*$|\*\w+\s*$|table \w+ \S+ \{)", re.MULTILINE)
_JSON_HEAD = re.compile(r"\s*\[\s*(?:\{\s*\}\s*,\s*)*\{([^{}]*)")
_JSON_KEYS = (
    re.compile(r'"protocol"\s*:[^:]*"pref"\s*:[^:]*"kind"\s*:'),
    re.compile(r'^\s*"kind"\s*:\s*"\w+"\s*,\s*"handle"\s*:\s*"[0-9a-f]+:"'),
    re.compile(r'^\s*"total acts"\s*:'),
)
COLOUR = re.compile(r"\x1b\[[0-9;]*[mK]")


def detect(source: Source) -> str | None:
    """JSON by the keys of the first object, text by a line that begins a filter, a queue or a list of actions."""
    head = COLOUR.sub("", decode(source.data[:_HEAD]))
    if first := _JSON_HEAD.match(head):
        return NAMES[1] if any(keys.search(first[1]) for keys in _JSON_KEYS) else None
    return NAMES[0] if _STRICT.search(head) and not _FOREIGN.search(head) else None


def read(source: Source, name: str, scope: Scope) -> Reading:
    """Every classifier, action and queue that concerns marks."""
    from markreg.formats import _tc_listing

    return _tc_listing.read(source, name, scope)
