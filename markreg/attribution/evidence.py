"""What a use, a rule or a table shows of its owner: the words that signatures are held against."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from typing import get_args

from markreg.bits import full
from markreg.model import FIELDS, HOST, Place, Reading, Rule, Table, Use
from markreg.registry.model import Recognise
from markreg.registry.patterns import written
from markreg.registry.signatures import Facts, Signature, kinds_of, test_keys
from markreg.registry.words import Kind

# The chains that iptables makes itself (net/ipv4/netfilter/iptable_*.c): base chains with these names and no others.
_BUILT_IN = frozenset({"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"})
_TABLES = frozenset({"raw", "mangle", "nat", "filter", "security"})
_FAMILIES = {"inet": ("inet", "ip", "ip6")}
_DEVICE = re.compile(r"(?<!\S)(?:-i|-o|--in-interface|--out-interface|iifname|oifname|iif|oif|dev)\s+(?:!=?\s*)?\"?([^\s\"]+)")
_SET = re.compile(r"(?:--match-set|--add-set|--map-set)\s+(\S+)|(?<!\S)@([\w.-]+)")
_COOKIE = re.compile(r"\bcookie=(0x[0-9a-fA-F]+|[0-9]+)")
_BRIDGE = re.compile(r"\b(br[\w.-]*)")
# How statements of BPF programs say which maps they use and where they are pinned.
_MAP = re.compile(r"(?<!\S)map (\S+)")
_PIN = re.compile(r"(?<!\S)pin (\S+)")
_NO_PLACE = frozenset({"kind", "name", "type", "image", "config_map"})


def compat(table: Table) -> bool:
    """Whether an nft table is one of iptables-nft: its names, and no base chain that iptables would not make."""
    named = table.family in ("ip", "ip6") and table.name in _TABLES
    return named and all(name in _BUILT_IN for name, chain in table.chains.items() if chain.hooks)


def table_kinds(reading: Reading, table: Table) -> frozenset[str]:
    """What a table counts as: one of iptables-nft that nft listed is both. Commands in a script make tables of either kind."""
    kinds = kinds_of(reading.format)
    if not kinds & {"iptables", "nft"}:
        kinds |= {"nft" if table.backend == "native" else "iptables"}
    return kinds | {"iptables"} if "nft" in kinds and compat(table) else kinds


def table_facts(table: Table) -> dict[str, Sequence[str]]:
    """What a table shows before any chain of it is looked at."""
    families = _families(table.family)
    return {"family": families, "table": (table.name, *(f"{f} {table.name}" for f in families))}


def _families(family: str) -> tuple[str, ...]:
    return _FAMILIES.get(family, (family,))


def comments(use: Use) -> tuple[str, ...]:
    """The comments of a use's rules."""
    return tuple(c for c in use.comment.split("\n") if c.strip())


def rule_facts(rule: Rule) -> dict[str, Sequence[str]]:
    """What a policy routing rule or xfrm policy shows."""
    facts: dict[str, Sequence[str]] = {"priority": (str(rule.priority),), "family": _families(rule.scope.family)}
    if rule.table:
        facts["table"] = (rule.table,)
    if rule.use:
        facts["fwmark"] = marks(rule.use)
    return facts


def marks(use: Use) -> tuple[str, ...]:
    """The mark that a use compares with or writes, as signatures spell it; none for one that is no constant."""
    return () if use.value is None else (written(use.value, use.mask),)


def use_kinds(use: Use, reading: Reading) -> frozenset[str]:
    """What a use counts as, beside what its input is."""
    kind = use.place.kind
    return kinds_of(reading.format) | ({kind} if kind in get_args(Kind) else frozenset())


def use_facts(use: Use) -> dict[str, Sequence[str]]:
    """What a use shows."""
    place = use.place
    families = _families(place.family)
    facts: dict[str, Sequence[str]] = {
        "family": families,
        "table": (place.table, *(f"{f} {place.table}" for f in families)) if place.table else (),
        "chain": (place.chain,) if place.chain else (),
        "comment": comments(use),
        "set": (*_sets(use.statement), *((use.set_name,) if use.set_name else ())),
        "device": _devices(use.statement),
        "fwmark": marks(use),
    }
    if place.priority is not None:
        facts["priority"] = (str(place.priority),)
    if place.kind == "openflow":
        facts["cookie"] = tuple(_COOKIE.findall(use.statement))
        facts["bridge"] = tuple(_BRIDGE.findall(place.text))
    if place.kind == "lflow":
        facts["stage"] = (place.table,)
    if use.scope.zone:
        facts["zone"] = (use.scope.zone,)
    facts["object"] = (use.path, use.path.rpartition("/")[2])
    if place.program:
        facts["map"] = tuple(_MAP.findall(use.statement))
        facts["pin"] = tuple(_PIN.findall(use.statement))
    facts.update(_said(place))
    return facts


def _said(place: Place) -> Iterator[tuple[str, Sequence[str]]]:
    """What a place says under a signature key's own name, such as a program, where its notation gives one."""
    for _, key, _ in test_keys(Recognise):
        value = getattr(place, key, None) if key not in _NO_PLACE else None
        if isinstance(value, str) and value and key not in ("family", "table", "chain"):
            yield key, (value,)


@lru_cache(maxsize=8192)
def _devices(statement: str) -> tuple[str, ...]:
    return tuple(_DEVICE.findall(statement))


@lru_cache(maxsize=8192)
def _sets(statement: str) -> tuple[str, ...]:
    return tuple(a or b for a, b in _SET.findall(statement))


def describe(signature: Signature, facts: Facts, kinds: Collection[str]) -> str:
    """What a signature saw, for people: ``chain cali-PREROUTING``, ``comment cali:…``, ``ip rule priority 5210``."""
    keys = dict(signature.tests)
    if patterns := keys.get("comment"):
        hit = next((p for p in patterns for w in facts.get("comment", ()) if p.matches(w)), patterns[0])
        if "chain" not in keys:
            return f"comment {hit.text.replace('*', '…')}"
    for key in ("chain", "priority", "fwmark", "stage", "cookie", "zone", "program", "map", "pin", "set", "device", "table"):
        if key in keys:
            word = next((w for w in reversed(facts.get(key, ())) if any(p.matches(w) for p in keys[key])), "")
            before = {"ip-rule": "ip rule ", "xfrm": "xfrm ", "nft": "nft "}
            kind = next((k for k in before if k in kinds), "")
            return f"{before.get(kind, '') if key in ('priority', 'fwmark', 'table') else ''}{key} {_short(key, word)}"
    key = next(iter(keys), "")
    return f"{key} {next(iter(facts.get(key, ())), '')}".strip()


def _short(key: str, word: str) -> str:
    return word.removesuffix(f"/{full(32):#x}") if key == "fwmark" else word


def mark_keys(use: Use) -> tuple[tuple[int, int, int], ...]:
    """What joins a writer and a reader of one mark: field width, mask and value; none for no constant, or one without any bit.

    ``--set-mark 1`` and ``fwmark 0x1/0x1`` are one, as in the kernel's own recipe (Documentation/networking/tproxy.rst). A native nft
    table's whole mark is one with a routing rule's or a filter's, but its maker could have said which bits he means.
    """
    if not use.value:
        return ()
    width = FIELDS[use.field].width if use.field in FIELDS else 0
    if use.mask != full(width) or use.place.backend == "native":
        return ((width, use.mask, use.value),)
    return ((width, use.value, use.value), (width, use.mask, use.value))


def suffix(netns: str) -> str:
    """What tells the groups of one network namespace from those of the host."""
    return "" if netns == HOST else f"@{netns}"
