"""What a rule of nft does to a packet's way: its devices, protocol and connection state, its verdicts."""

from __future__ import annotations

import json
import re
from functools import lru_cache

from markreg.flow import Flow, Guard, Outcome
from markreg.formats._nft_render import RenderError, statement_text
from markreg.formats._nft_statement import comment_of, emptied
from markreg.source import blank_quoted

_COMMENT = re.compile(r"#.*")
_RULE = re.compile(
    r"\s*(?:(?:add|insert|create|replace)\s+)?rule\s+(?:(?:ip6?|inet|arp|bridge|netdev)\s+)?\S+\s+\S+\s+"
    r"(?:(?:handle|position|index)\s+\d+\s+)?"
)
_W, _E = r"(?<![\w.@$-])", r"(?![\w.-])"
_LIST = r"(\{[^{}]*\}|\"[^\"]*\"(?:\s*,\s*\"[^\"]*\")*|[\w.*-]+(?:\s*,\s*[\w-]+)*)"
_SIGN = r"(!=\s*|==\s*)?"
_DEVICE = re.compile(rf"{_W}(?:meta\s+)?(iif|oif)(?:name)?\s+{_SIGN}{_LIST}")
# Names, and numbers that stand alone: a range is no protocol. Several states without braces are a mask, whose != is another thing.
_NAMES = r"(\{\s*[\w\s,-]*\}|[a-z][\w-]*(?:\s*,\s*[a-z][\w-]*)*|\d+(?![\w-]))"
_PROTO = re.compile(rf"{_W}(?:meta\s+l4proto|ip6?\s+(?:protocol|nexthdr))\s+(?!vmap){_SIGN}{_NAMES}")
_STATE = re.compile(rf"{_W}ct\s+state\s+(?!vmap)(?![^{{]*!=\s*\w+\s*,){_SIGN}(\{{[a-z,\s]*\}}|[a-z]+(?:\s*,\s*[a-z]+)*)")
_FAMILY = re.compile(rf"{_W}meta\s+(?:nfproto|protocol)\s+{_SIGN}(ipv4|ipv6|ip6?){_E}")
_PORT = re.compile(rf"{_W}(tcp|udp|sctp|dccp)\s+(?:[sd]port|flags)")
_ADDRESS = re.compile(rf"{_W}(ip6?)\s+[a-z]")
_JUMP = re.compile(rf"{_W}(jump|goto)\s+([^\s{{}},;]+)")
_VERDICT = re.compile(rf"{_W}(accept|drop|reject|return|masquerade|snat|dnat|redirect|queue){_E}")
_VERBS = {"accept": "accept", "queue": "accept", "drop": "drop", "reject": "drop", "return": "return"}
# The verdict and its options; what asks nothing.
_LAST = re.compile(
    rf"{_W}(?:(?:jump|goto)\s+[^\s{{}},;]+|(?:accept|drop|reject|return|masquerade|snat|dnat|redirect|queue|continue){_E}.*)", re.DOTALL
)
_SILENT = re.compile(
    rf"{_W}(?:counter(?:\s+(?:packets\s+\d+\s+bytes\s+\d+|name\s+\S+))?"
    r"|log(?:\s+(?:prefix\s+\"\"|level\s+\w+|group\s+\d+|flags\s+[\w,\s]+?|snaplen\s+\d+|queue-threshold\s+\d+))*"
    rf"|meta\s+nftrace\s+set\s+\d+|notrack|last(?:\s+used\s+\w+)?|xt\s+match\s+\"comment\"){_E}|[;\s]+"
)
_MAP = re.compile(rf"{_W}map{_E}")
_PROTOCOLS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6", "ipv6-icmp": "icmpv6", "132": "sctp", "50": "esp", "47": "gre"}
_FAMILIES = {"ipv4": "ip", "ip": "ip", "ipv6": "ip6", "ip6": "ip6"}


def flow(line: str, clauses: tuple[str, ...] = ()) -> Flow | None:
    """The rule in a line of a listing, of a script, or of a document in JSON; None where several stand in it, or none.

    ``clauses``: what its uses say of marks already, which is no condition of the packet.
    """
    return _of(line, clauses)


@lru_cache(maxsize=8192)
def _of(line: str, clauses: tuple[str, ...]) -> Flow | None:
    written = line.lstrip()[:1] != "{"
    text = _written(line) if written else _rendered(line, ())
    if text is None or not text.strip():
        return None
    outcomes = [Outcome(verb, target) for verb, target in _JUMP.findall(text)]
    outcomes += [Outcome(_VERBS.get(word, "nat")) for word in _VERDICT.findall(text)]
    chosen = re.search(rf"{_W}vmap{_E}", text) is not None
    if chosen and re.search(rf"{_W}vmap\s+@", text):
        outcomes += [Outcome("accept"), Outcome("drop"), Outcome("return")]
    guards = [*_guards(text)]
    rest = text if written else _rendered(line, clauses) or ""
    if not chosen:
        rest = _LAST.sub(" ", rest)
    for clause in clauses if written else ():
        # A map that lacks the key ends the rule (net/netfilter/nft_lookup.c).
        rest = rest.replace(clause, " map " if _MAP.search(clause) else " ", 1)
    for pattern in (_DEVICE, _PROTO, _STATE, _FAMILY):
        rest = pattern.sub(" ", rest)
    if chosen:
        rest = re.sub(r"(?:[\w-]+\s+)*vmap\s+(?:@\S+|\{[^{}]*\})", " ", rest)
    others = " ".join(_SILENT.sub(" ", rest).split())
    return Flow(tuple(guards), others, tuple(dict.fromkeys(outcomes)), chosen)


def _written(line: str) -> str | None:
    """The rule of a line, without comments; None for several rules or a chain in one line."""
    blanked = blank_quoted(line)
    if hash_ := _COMMENT.search(blanked):
        line = line[: hash_.start()]
    text = emptied(comment_of(_RULE.sub("", line, count=1))[0]).strip().rstrip(";").strip()
    outside = re.sub(r"\{[^{}]*\}", "", blank_quoted(text))
    return None if re.search(r"[;{}]", outside) else text


def _rendered(line: str, clauses: tuple[str, ...]) -> str | None:
    """A rule of a document in JSON as text, without the expressions that are ``clauses``."""
    try:
        inner = json.loads(line)
        while isinstance(inner, dict) and "expr" not in inner:
            inner = next(iter(inner.values()))
        known = [json.loads(c) for c in clauses if c[:1] == "{"]
        kept = [statement_text(e) for e in inner["expr"] if e not in known]
        kept += ["map" for e in inner["expr"] if e in known and '"map"' in json.dumps(e)]
        return emptied(" ".join(filter(None, kept)))
    except (RenderError, RecursionError, AttributeError, TypeError, LookupError, ValueError, StopIteration):
        return None


def _guards(text: str) -> list[Guard]:
    found = [Guard(kind, _names(names), _no(sign)) for kind, sign, names in _DEVICE.findall(text) if not names.startswith("@")]
    found += [Guard("proto", tuple(_PROTOCOLS.get(v, v) for v in _names(names)), _no(sign)) for sign, names in _PROTO.findall(text)]
    found += [Guard("state", _names(names), _no(sign)) for sign, names in _STATE.findall(text)]
    found += [Guard("family", (_FAMILIES[v],), _no(sign)) for sign, v in _FAMILY.findall(text) if v in _FAMILIES]
    found += [Guard("proto", (name,)) for name in dict.fromkeys(_PORT.findall(text)) if f"{name} option" not in text]
    found += [Guard("family", (name,)) for name in dict.fromkeys(_ADDRESS.findall(text))]
    return [g for g in found if g.values]


def _no(sign: str) -> bool:
    return sign.startswith("!")


def _names(values: str) -> tuple[str, ...]:
    return tuple(v for part in values.strip("{} ").split(",") if (v := part.strip().strip('"')))
