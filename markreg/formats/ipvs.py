"""IPVS services by firewall mark: ``ipvsadm -S`` (``-A -f 256 -s rr``) and ``ipvsadm -L`` (``FWM  256 rr``).

The key is the whole mark (ip_vs_ctl.c ip_vs_service_find), printed with a sign: 0xffffffff is -1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import TYPE_CHECKING, cast

from markreg.bits import BitsError, full, parse_int
from markreg.model import SKB_MARK, Hook, Opaque, Place, Reading, Scope, Use
from markreg.resources import grammar
from markreg.source import Source
from markreg.transfer import Predicate

if TYPE_CHECKING:
    from lark import Lark, Token

NAMES = ("ipvs",)

_STRICT = re.compile(r"^(?:IP Virtual Server version \d|-A -[tuf] \S+ (?:-6 )?-s \w+|-a -[tuf] \S+ -r \S+ -[gim] -w \d)", re.MULTILINE)
_FOREIGN = re.compile(r"^(?:#!|apiVersion:|kind:|```|---[ \t\r]*$|\*[a-z]+[ \t\r]*$|table \w+ \S+ \{)", re.MULTILINE)
_SERVICE = re.compile(r"[ \t]*(?:-A -[tuf]|(?:FWM|TCP|UDP|SCTP)[ \t])")
_MARKED = re.compile(r"[ \t]*(?:-A -f|FWM[ \t])")
# ip_vs.c: the hooks at which a service is looked for. A packet that is delivered here has passed mangle and filter.
_HOOKS = (Hook("input", 98), Hook("output", -98))


def detect(source: Source) -> str | None:
    """By the heading of the list, or a line of the saved form."""
    head = source.head()
    return NAMES[0] if _STRICT.search(head) and not _FOREIGN.search(head) else None


def read(source: Source, name: str, scope: Scope) -> Reading:
    """Every service that is chosen by a mark."""
    uses: list[Use] = []
    opaque: list[int] = []
    lines = [(n, line) for n, line in enumerate(source.text().split("\n"), 1) if _SERVICE.match(line)]
    marked = [(n, line) for n, line in lines if _MARKED.match(line)]
    for number, line in marked:
        try:
            uses.extend(_use(source.path, scope, number, line.strip()))
        except BitsError:
            opaque.append(number)
    refused = (Opaque(source.path, tuple(opaque), "not a service as ipvsadm prints it"),) if opaque else ()
    return Reading(source.path, name, scope, tuple(uses), opaque=refused, statements=len(lines), mark_statements=len(marked))


@cache
def _parser() -> Lark:
    from lark import Lark

    return Lark(grammar("ipvs"), parser="lalr", lexer="contextual")


@lru_cache(maxsize=4096)
def service(line: str) -> tuple[int, str, str]:
    """Mark, family and clause of a service's line. Raises BitsError."""
    from lark.exceptions import UnexpectedInput

    try:
        words = cast("list[Token]", _parser().parse(line[:500]).children)
    except UnexpectedInput:
        raise BitsError("not a service as ipvsadm prints it") from None
    text = next(str(w) for w in words if w.type == "MARK")
    value = full(SKB_MARK.width) + 1 - parse_int(text[1:]) if text.startswith("-") else parse_int(text)
    if not 0 < value <= full(SKB_MARK.width):
        raise BitsError("not a mark")
    six = any(w.type in ("SIX", "LISTED6") for w in words)
    return value, "ip6" if six else "ip", line[: words[0].end_pos] + line[words[0].end_pos : words[1].end_pos]


def _use(path: str, scope: Scope, number: int, line: str) -> Iterator[Use]:
    value, family, clause = service(line)
    mask = full(SKB_MARK.width)
    where = Scope(scope.netns, family, scope.zone)
    place = Place("ipvs", f"ipvs service by mark {value:#x}", family, hooks=_HOOKS)
    predicate = Predicate.equals(SKB_MARK.name, value, mask)
    yield Use(SKB_MARK.name, "read", mask, place, where, path, (number,), clause, predicate=predicate, statement=f"ipvs fwm {value:#x}")
