"""What the text of an iptables rule says besides its clauses: where it jumps, its comments, and what equal rules have in common.

Every expression here takes linear time on any text: quantifiers are possessive, and a quote that nobody closes is no string.
"""

from __future__ import annotations

import re

# Targets after which the next rule is run (net/netfilter/xt_*.c and net/ipv4/netfilter/ipt_*.c returning XT_CONTINUE).
GOES_ON = frozenset(
    {
        *("MARK", "CONNMARK", "CONNSECMARK", "SECMARK", "HMARK", "IPMARK", "LOG", "NFLOG", "ULOG", "TRACE", "AUDIT", "CT", "NOTRACK"),
        *("CLASSIFY", "DSCP", "TOS", "TTL", "HL", "SET", "TCPMSS", "TCPOPTSTRIP", "ECN", "CHECKSUM", "RATEEST", "LED", "IDLETIMER", "TEE"),
        # OpenWrt's: xt_FLOWOFFLOAD.c flowoffload_tg.
        "FLOWOFFLOAD",
        # net/ipv6/netfilter/ip6t_NPT.c
        *("SNPT", "DNPT"),
        *("CONTINUE", "mark", "ftos", "arpreply-continue"),
    }
)
_STRING = re.compile(r'"((?:[^"\\]|\\.)*+)("?)', re.DOTALL)
_COMMENT = re.compile(r'--comment[ \t]+("(?:[^"\\]|\\.)*+"|[^ \t]+)', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
# A comment of one word stands without quotes and may be any word.
_TARGET = re.compile(r"(?<![^ \t])(?:--comment[ \t]++[^ \t]+|(-j|--jump|-g|--goto)[ \t]*+([^ \t]+))")
_DIFFERENCE = re.compile(
    r"(?<![^ \t])(?:(-[sd]|--(?:source|destination|sport|dport|sports|dports|ports|src-range|dst-range|to-destination|to-source|to-ports"
    r"|ctorigdst|ctorigsrc|ctorigdstport|probability|every|packet|comment))[ \t]++[^ \t]+|(-c)[ \t]++\d++[ \t]++\d++(?![^ \t]))"
)
_EMPTY = re.compile('""')
_LONG = 80
# The grammar asks for the content of these.
_WANTED = ("--bytecode ", "--label ")


def blank(text: str, wanted: tuple[str, ...] = ()) -> str:
    """The text with quoted strings emptied, except those that stand after one of ``wanted``."""
    if '"' not in text:
        return text
    return _STRING.sub(lambda m: '""' if m[2] and not text.endswith(wanted, 0, m.start()) else m[0], text)


def words_of(text: str) -> list[str]:
    """The words of a rule, as many as when quoted strings are emptied; those strings cut short."""
    strings = (m[1] for m in _STRING.finditer(text) if m[2])
    return [_EMPTY.sub(lambda m: _cut(next(strings, "")), w) for w in blank(text).split()]


def _cut(string: str) -> str:
    return f'"{string[:_LONG]}{"…" if len(string) > _LONG else ""}"'


def target_of(rest: str) -> tuple[str, str]:
    """Option and name of where a rule jumps, quoted strings left aside; empty for a rule that goes on."""
    found = [pair for pair in _TARGET.findall(blank(rest)) if pair[0]]
    return found[-1] if found else ("", "")


def statement_of(rest: str) -> str:
    """A rule without what differs between equal ones: quoted strings, addresses, ports and counters."""
    return _DIFFERENCE.sub(lambda m: f"{m[1] or m[2]} _", blank(rest, _WANTED)).strip()


def comment_of(rest: str) -> str:
    """The comments of a rule, one a line, as they were before iptables-save quoted them."""
    if "--comment" not in rest:
        return ""
    return "\n".join(_ESCAPE.sub(r"\1", c[1:-1]) if c[:1] == '"' else c for c in _COMMENT.findall(rest))
