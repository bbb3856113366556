"""nftables: what ``nft list ruleset`` prints as text and as JSON, and rulesets as people write them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from markreg.model import Reading, Scope
from markreg.source import Source

if TYPE_CHECKING:
    from markreg.flow import Flow

NAMES = ("nft", "nft-json")

_FAMILY = r"(?:ip6?|inet|arp|bridge|netdev)"
_TEXT = re.compile(
    rf"^[ \t]*(?:(?:add|create)[ \t]+)?(?:table[ \t]+(?:{_FAMILY}[ \t]+)?[^\s{{}};=]+[ \t]*(?:\{{|;|\r?$)"
    rf"|chain[ \t]+[^\s{{}};=]+[ \t]*\{{|(?:add|insert)[ \t]+rule[ \t]+{_FAMILY}[ \t]|flush[ \t]+ruleset[ \t]*;?\r?$)",
    re.MULTILINE,
)
_SCRIPT = re.compile(r"#![ \t]*\S*(?:/|env[ \t]+(?:-S[ \t]+)?)nft\b")
_OTHER_SCRIPT = re.compile(r"#![ \t]*/")
_JSON = re.compile(r'\s*\{\s*"nftables"\s*:\s*\[')


def detect(source: Source) -> str | None:
    """By the first table, rule or ``flush ruleset`` of a text, or by the one key of the JSON."""
    head = source.head()
    if _JSON.match(head):
        return NAMES[1]
    if _OTHER_SCRIPT.match(head):
        return NAMES[0] if _SCRIPT.match(head) else None
    return NAMES[0] if _TEXT.search(head) else None


def read(source: Source, name: str, scope: Scope) -> Reading:
    """Every statement of a ruleset that concerns marks, and its tables."""
    from markreg.formats._nft_reading import reading

    if name == NAMES[1]:
        from markreg.formats._nft_json import ruleset_of

        ruleset = ruleset_of(source)
    else:
        from markreg.formats._nft_text import Scanner

        ruleset = Scanner(source.data).read()
    for line, (start, end) in ruleset.long.items():
        source.stretch(line, start, end)
    return reading(ruleset, source.path, name, scope)


def flow(line: str, clauses: tuple[str, ...] = ()) -> Flow | None:
    """The rule in a line (`Source.statement`); None if there is none. ``clauses``: what its uses say already."""
    from markreg.formats import _nft_flow

    return _nft_flow.flow(line, clauses)
