"""Policy routing rules: what ``ip rule`` and ``ip -6 rule`` print, as text (also -o, -d, -N, -c) and as JSON.

A JSON rule is turned into the words that the text form has, so one grammar gives both their meaning. Rules are parsed by shape,
that is without their addresses: a node with a rule for every pod has few shapes.
"""

from __future__ import annotations

import re

from markreg.model import Reading, Scope
from markreg.source import Source, decode

NAMES = ("ip-rule", "ip-rule-json")

_HEAD = 65536
_STRICT = re.compile(
    r"^[ \t]*[0-9]{1,10}:[ \t]+(?:not )?from \S+ (?:\S[^\n]*)?\b(?:lookup|goto|nop|unreachable|blackhole|prohibit|[678])\b", re.MULTILINE
)
# What other notations begin with; a rule quoted in a script, a manifest or a page is not a listing.
_FOREIGN = re.compile(r"^(?:#!|\*\w+\s*$|table \w+ \S+ \{|apiVersion:|kind:|```|---\s*$|:\w+ (?:ACCEPT|DROP|-) )", re.MULTILINE)
_JSON_HEAD = re.compile(r"\s*\[\s*(?:\{\s*\}\s*,\s*)*\{([^{}]*)")
_JSON_ACTIONS = re.compile(r'"(?:table|action|goto|nop|l3mdev)"\s*:')
COLOUR = re.compile(r"\x1b\[[0-9;]*[mK]")


def detect(source: Source) -> str | None:
    """JSON by the keys of the first rule, text by a line that is a whole rule."""
    head = COLOUR.sub("", decode(source.data[:_HEAD]))
    if first := _JSON_HEAD.match(head):
        known = '"priority"' in first[1] and '"src"' in first[1] and _JSON_ACTIONS.search(first[1])
        return NAMES[1] if known else None
    return NAMES[0] if _STRICT.search(head) and not _FOREIGN.search(head) else None


def read(source: Source, name: str, scope: Scope) -> Reading:
    """Every rule with its selector; those that select by mark have a use."""
    from markreg.formats import _ip_rule_listing

    return _ip_rule_listing.read(source, name, scope)
