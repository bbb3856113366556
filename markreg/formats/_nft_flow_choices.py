"""Verdict maps of nft as the rules that they stand for: one for each verdict, with its keys as a condition."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from markreg.flow import Flow, Outcome
from markreg.formats._nft_flow_guards import KEY, START, asked, narrow, restored

CHOICE = re.compile(rf"{START}(?:{KEY}(?: \. {KEY})* )?vmap (?:@\S+|\{{[^{{}}]*\}})")
_MAP = re.compile(rf"{START}({KEY}) vmap \{{([^{{}}]*)\}}")
_ELEMENT = re.compile(r"([^\s,][^,]*?) ?: ?(accept|drop|return|continue|break|(?:jump|goto) [^\s{},;]+)")
# Strings, but for those that may name devices in a map or concatenation.
_NAMES = re.compile(r'([io]if(?:name)?\s[^{}"]{1,80}\{[^{}]*\})|"[^"]*"')
_NAME = re.compile(r'"([\w*][\w.*-]*)"')
_STATES = ("new", "established", "related")
_EVERY = "*"


def named(text: str) -> str:
    """A rule in which the devices of a map or concatenation stand without quotes."""
    return _NAMES.sub(lambda m: _NAME.sub(r"\1", m[1]) if m[1] else m[0], text) if "{" in text and '"' in text else text


def choices(flow: Flow, text: str) -> tuple[Flow, ...]:
    """The rules that a rule with a verdict map stands for, of which at most one holds; none where its keys are not followed.

    ``text``: the rule without its clauses and without what stands behind the map, which only runs for ``continue``.
    """
    match = _MAP.search(text)
    return tuple(_branches(flow, match[1], match[2])) if match and match.end() == len(text) else ()


def _branches(flow: Flow, key: str, inner: str) -> Iterator[Flow]:
    verdicts: dict[str, list[str]] = {}
    for part in inner.strip().rstrip(",").split(","):
        element = _ELEMENT.fullmatch(part.strip())
        if not element:
            return
        verdicts.setdefault(element[2], []).append(element[1])
    found: list[Flow] = []
    # Where nothing decides between the keys, those come first of which more is known.
    for verdict, keys in sorted(verdicts.items(), key=lambda v: key == "ct state" and not set(v[1]) <= set(_STATES)):
        every = _EVERY in keys
        # What fits no key of another verdict: the element for all.
        wanted = [k for other in verdicts.values() if other is not keys for k in other] if every else keys
        condition = f"{key} {'!= ' if every else ''}{{ {', '.join(wanted)} }}" if wanted else ""
        guards, rest = asked(condition)
        ends, rest = narrow(rest)
        if rest.strip():
            return
        verb, _, target = verdict.partition(" ")
        if verb in ("continue", "break"):
            continue
        others = " ".join(filter(None, (flow.others, restored(condition) if ends else "")))
        branch = replace(flow, guards=(*flow.guards, *guards), others=others, narrow=(*flow.narrow, *ends))
        found.append(replace(branch, outcomes=(Outcome(verb, target),), stays=False))
    yield from found
