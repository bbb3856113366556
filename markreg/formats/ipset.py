"""IP sets with marks: what ``ipset save`` and ``ipset list`` print.

A set touches nothing by itself: iptables rules match its elements (``hash:ip,mark``) or write their marks (``--map-mark``), so a
reading holds sets and no uses. Sets have millions of elements; the scan works on bytes and keeps distinct marks only.
"""

from __future__ import annotations

import re

from markreg.model import Reading, Scope
from markreg.source import Source

NAMES = ("ipset-save",)

_HEAD = 65536
TYPE = rb"(?:hash|bitmap|list):[a-z0-9,]++"
_DETECT = re.compile(rb"^(?:(?:create|-N)[ \t]+\S+[ \t]+%b|Name: \S+\r?\nType: %b)" % (TYPE, TYPE), re.MULTILINE)
_FOREIGN = re.compile(rb"^(?:#!|```|\*\w+[ \t]*\r?$|apiVersion:)", re.MULTILINE)


def detect(source: Source) -> str | None:
    """By a line that creates a set, or the head of a set in a listing."""
    head = source.data[:_HEAD]
    return NAMES[0] if _DETECT.search(head) and not _FOREIGN.search(head) else None


def read(source: Source, name: str, scope: Scope) -> Reading:
    """The sets with marks, each with the distinct marks of its elements."""
    from markreg.formats import _ipset_sets

    return _ipset_sets.read(source, name, scope)
