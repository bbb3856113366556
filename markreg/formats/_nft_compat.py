"""Tables that iptables-nft manages, as nft lists them: by translations that lose masks and their order."""

from __future__ import annotations

import re

from markreg.formats._iptables_clauses import Clause
from markreg.formats._nft_hooks import priority
from markreg.model import CT_MARK, Chain

# Base chains of the tables that iptables, arptables and ebtables make, and the names of their priorities (iptables/nft.c).
_INET = {
    "raw": ("raw", "PREROUTING OUTPUT"),
    "mangle": ("mangle", "PREROUTING INPUT FORWARD OUTPUT POSTROUTING"),
    "nat": ("", "PREROUTING INPUT OUTPUT POSTROUTING"),
    "filter": ("filter", "INPUT FORWARD OUTPUT"),
    "security": ("security", "INPUT FORWARD OUTPUT"),
}
_BRIDGE = {"filter": ("filter", "INPUT FORWARD OUTPUT"), "nat": ("", "PREROUTING OUTPUT POSTROUTING"), "broute": ("", "BROUTING")}
_TABLES = {"ip": _INET, "ip6": _INET, "arp": {"filter": ("filter", "INPUT OUTPUT")}, "bridge": _BRIDGE}
# nft prints its own expressions with symbols; the translations of iptables have words.
_WORDS = re.compile(r"(?<![\w.-])(and|or|xor)(?![\w.-])")

WHY = "a table of iptables-nft, whose CONNMARK nft lists without masks or in the wrong order: capture iptables-nft-save"


def managed(family: str, name: str, chains: dict[str, Chain]) -> bool:
    """Whether a table has a name of iptables' and base chains as iptables makes them, and no others."""
    known = _TABLES.get(family, {}).get(name)
    bases = [(chain, c) for chain, c in chains.items() if c.hooks]
    if known is None or not bases:
        return False
    level, names = known
    number = priority(level, family) if level else None
    return all(
        chain in names.split()
        and all(h.hook == chain.lower().replace("brouting", "prerouting") and number in (None, h.priority) for h in c.hooks)
        for chain, c in bases
    )


def untrusted(clause: Clause) -> bool:
    """Whether nft may have lost what a translated clause does (libxt_CONNMARK.c connmark_tg_xlate).

    A masked save or restore is listed without the bits that it keeps, a masked set with its operations the wrong way round.
    """
    words = set(_WORDS.findall(clause.text))
    if clause.access == "copy":
        return bool(words)
    return clause.access == "write" and clause.field == CT_MARK.name and words >= {"and", "xor"}
