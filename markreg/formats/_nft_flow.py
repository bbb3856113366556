"""What a rule of nft does to a packet's way: its verdicts, and what is left of it beside the conditions that are followed."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import lru_cache

from markreg.flow import Flow, Outcome
from markreg.formats._nft_flow_choices import CHOICE, choices, named
from markreg.formats._nft_flow_guards import END, START, asked, concatenated, foreign, implied, narrow, restored
from markreg.formats._nft_render import RenderError, statement_text
from markreg.formats._nft_statement import comment_of, emptied
from markreg.source import blank_quoted

_COMMENT = re.compile(r"#.*")
_RULE = re.compile(
    r"\s*(?:(?:add|insert|create|replace)\s+)?rule\s+(?:(?:ip6?|inet|arp|bridge|netdev)\s+)?\S+\s+\S+\s+"
    r"(?:(?:handle|position|index)\s+\d+\s+)?"
)
_JUMP = re.compile(rf"{START}(jump|goto)\s+([^\s{{}},;]+)")
_VERDICT = re.compile(rf"{START}(accept|drop|reject|return|masquerade|snat|dnat|redirect|queue){END}")
_VERBS = {"accept": "accept", "queue": "accept", "drop": "drop", "reject": "reject", "return": "return"}
_NOTRACK = re.compile(rf"{START}notrack{END}")
# A mapping of one family does nothing to packets of the other (net/netfilter/nft_nat.c nft_nat_inet_eval).
_OF_FAMILY = re.compile(rf"{START}[sd]nat (?:ip6? to|family){END}")
# The verdict and its options; what asks nothing.
_LAST = re.compile(
    rf"{START}(?:(?:jump|goto)\s+[^\s{{}},;]+|(?:accept|drop|reject|return|masquerade|snat|dnat|redirect|queue|continue){END}.*)", re.DOTALL
)
_SILENT = re.compile(
    rf"{START}(?:counter(?:\s+(?:packets\s+\d+\s+bytes\s+\d+|name\s+\S+))?"
    r"|log(?:\s+(?:prefix(?:\s+\"\")?|level(?:\s+(?:emerg|alert|crit|err|warn|notice|info|debug|audit))?|group\s+\d+"
    r"|flags(?:\s+(?:tcp (?:sequence(?:,options)?|options)|ip options|skuid|ether|all|\"\"))*|snaplen\s+\d+|queue-threshold\s+\d+))*"
    rf"|meta\s+nftrace\s+set\s+\d+|notrack|last(?:\s+used\s+\w+)?|xt\s+match\s+\"?comment\"?)(?![\w.\0-])|[;\s]+"
)
_VMAP = re.compile(rf"{START}vmap{END}")
_NAMED = re.compile(rf"{START}vmap\s+@")
_MAP = re.compile(rf"{START}map{END}")
_WRITE = re.compile(rf"{START}(?:meta |ct )?(?:mark|label) set{END}")
# Stands where a clause was that writes.
_WRITTEN = "\1"
# What is surely of a mark alone in a clause that is as much of the rule as its line has.
_ALGEBRA = re.compile(
    rf"{START}(?:(?:meta |ct )?(?:mark|label) (?:set )?)"
    r"(?:(?:(?:meta |ct )?(?:mark|label)|[!=]=|[&|^()]|<<|>>|(?:and|or|xor)(?= )|\$[\w.-]+|0x[0-9a-f]+(?![\w.:/])|\d+(?![\w.:/])) ?)+"
)
_DECODER = json.JSONDecoder()


def flow(text: str, clauses: tuple[str, ...] = ()) -> Flow | None:
    """The rule in a line of a listing or script, or in an object of a document in JSON; None where several stand in it, or none.

    ``clauses``: what its uses say of marks already, which is no condition of the packet.
    """
    return _of(text, clauses)


@lru_cache(maxsize=8192)
def _of(line: str, clauses: tuple[str, ...]) -> Flow | None:
    written = line.lstrip()[:1] != "{"
    text = _written(line) if written else _rendered(line, ())
    if text is None or not text.strip():
        return None
    text = " ".join(text.split())
    outcomes = [Outcome(verb, target) for verb, target in _JUMP.findall(text)]
    outcomes += [Outcome(_VERBS.get(word, "nat")) for word in _VERDICT.findall(text)]
    chosen = _VMAP.search(text) is not None
    if chosen and _NAMED.search(text):
        outcomes += [Outcome("accept"), Outcome("drop"), Outcome("return")]
    if written:
        clauses = _certain(clauses, "\n" in line)
    rest = _without(text, clauses) if written else " ".join((_rendered(line, clauses) or "").split())
    rest = foreign(rest if chosen else _LAST.sub(" ", rest))
    before, _, behind = rest.partition(_WRITTEN)
    behind = _asking(behind)
    guards, others = asked(before)
    found, left = narrow(others)
    for part in concatenated(before) if " . " in before else ():
        more, part = asked(part)
        guards, found = guards + more, found + narrow(part)[0]
    others, left = (" ".join(filter(None, (_asking(t), behind))) for t in (others, left))
    # What stands behind a write does not decide whether it is done.
    needed = text[: m.start()] if behind and (m := _WRITE.search(text)) else text
    told = Flow(
        (*guards, *implied(foreign(needed))),
        restored(others),
        tuple(dict.fromkeys(outcomes)),
        chosen or _OF_FAMILY.search(text) is not None,
        found,
        bool(left),
        _NOTRACK.search(_JUMP.sub(" ", text)) is not None,
    )
    return replace(told, choices=choices(told, _unsaid(rest))) if len(_VMAP.findall(text)) == 1 else told


def _unsaid(text: str) -> str:
    """The text without what asks nothing."""
    return " ".join(_SILENT.sub(" ", text.replace(_WRITTEN, " ")).split())


def _asking(text: str) -> str:
    """The conditions of a text apart from a verdict map."""
    return _unsaid(CHOICE.sub(" ", text))


def _certain(clauses: tuple[str, ...], several: bool) -> tuple[str, ...]:
    """The clauses; where variables or line ends (``several`` lines) stand in them, what is certain of them."""
    plain = [" ".join(c.split()) for c in clauses]
    return tuple(part for c in plain for part in ([m[0] for m in _ALGEBRA.finditer(c)] if several or "$" in c else [c]))


def _without(text: str, clauses: tuple[str, ...]) -> str:
    """A rule without its clauses; those that ask something else, too, stay."""
    for clause in sorted(clauses, key=len, reverse=True):
        if clause and not _joined(clause):
            text = re.sub(rf"(?<![\w.]){re.escape(clause)}(?![\w.])", _instead(clause), text)
    return " ".join(text.split())


def _instead(clause: str) -> str:
    """What is left of a clause: where it writes, and that a map which lacks the key ends the rule (net/netfilter/nft_lookup.c)."""
    return f" {'map' if _MAP.search(clause) else ''} {_WRITTEN if _WRITE.search(clause) else ''} "


def _joined(clause: str) -> bool:
    """Whether a clause looks up a mark together with other things, of which its predicate knows nothing."""
    return " . " in clause and " set " not in clause and not _VMAP.search(clause)


def _written(line: str) -> str | None:
    """The rule of a line, without comments; None for several rules or a chain in one line."""
    line = " ".join(map(_uncommented, line.split("\n")))
    text = emptied(named(comment_of(_RULE.sub("", line, count=1))[0])).strip().rstrip(";").strip()
    outside = re.sub(r"\{[^{}]*\}", "", blank_quoted(text))
    return None if re.search(r"[;{}]", outside) else text


def _uncommented(line: str) -> str:
    """A line without its comment, and without the sign that it goes on."""
    found = _COMMENT.search(blank_quoted(line)) if "#" in line else None
    return (line[: found.start()] if found else line).rstrip().removesuffix("\\")


def _rendered(line: str, clauses: tuple[str, ...]) -> str | None:
    """A rule of a document in JSON as text, without the expressions that are ``clauses``."""
    try:
        inner = _DECODER.raw_decode(line.lstrip())[0]
        while isinstance(inner, dict) and "expr" not in inner:
            inner = next(iter(inner.values()))
        known = [json.loads(c) for c in clauses if c[:1] == "{"]
        kept: list[str] = []
        for expression in inner["expr"]:
            text = statement_text(expression)
            kept.append(text if expression not in known or _joined(text) else _instead(text))
        return emptied(" ".join(filter(None, kept)))
    except (RenderError, RecursionError, AttributeError, TypeError, LookupError, ValueError, StopIteration):
        return None
