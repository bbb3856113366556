"""What marks connections carry now: ``conntrack -L`` and ``-E`` (also -o extended, labels, id, xml, save), /proc/net/nf_conntrack.

An entry is no statement: somebody wrote its mark before. Marks are decimal there, and not printed by ``-o save``.
"""

from __future__ import annotations

import re

from markreg.model import Reading, Scope
from markreg.source import Source

NAMES = ("conntrack",)

ENTRY = (
    r"[ \t]*(?:\[[0-9.]+\][ \t]*)?(?:\[(?:NEW|UPDATE|DESTROY)\][ \t]+)?(?:ipv[46][ \t]+\d+[ \t]+)?"
    r"[a-z][\w-]*[ \t]+\d+[ \t]+(?:[^\s=]+[ \t]+|(?:stream_)?timeout=\S+[ \t]+){0,4}src=\S+ dst=\S+ "
)
SAVE = r"-A -t \d+ -u \S+ (?:-\w \S+ )*-s \S+ -d \S+ -r \S+"
_STRICT = re.compile(rf"^(?:{ENTRY}|{SAVE}|<conntrack>)", re.MULTILINE)
_FOREIGN = re.compile(r"^(?:#!|apiVersion:|kind:|```|---[ \t\r]*$|\*[a-z]+[ \t\r]*$|table \w+ \S+ \{)", re.MULTILINE)


def detect(source: Source) -> str | None:
    """By a line that is an entry: a protocol, its number, two addresses."""
    head = source.head()
    return NAMES[0] if _STRICT.search(head) and not _FOREIGN.search(head) else None


def read(source: Source, name: str, scope: Scope) -> Reading:
    """The distinct marks and labels of the entries, by zone."""
    from markreg.formats import _conntrack_entries

    return _conntrack_entries.read(source, name, scope)
