"""The text of one nft rule: comment, target, and what equal rules have in common. Every expression here takes linear time."""

from __future__ import annotations

import re

from markreg.flow import NARROW

_COMMENT = re.compile(r'(?<![\w.-])comment\s+("[^"]*"|[^\s"]+)|"[^"]*"')
# Strings that say something of marks or of where packets come from; all others are emptied.
_STRING = re.compile(r'((?:iifname|oifname|iif|oif)\s+(?:[!=]=\s*)?(?:"[^"]*"|\{[^{}]*\})|xt\s+\w+\s+"[^"]*")|"[^"]*"')
_COUNTER = re.compile(r"(?<![\w.-])counter(?:\s+packets\s+[0-9]+\s+bytes\s+[0-9]+|\s+name\s+[^\s;]+)?(?![\w.-])\s*")
_SPACES = re.compile(r"\s\s+|[\t\n]")
_LAST = re.compile(r"(?<![\w.-])last\s+used\s+(?:never|[0-9][\w]*)(?![\w.-])")
_VALUE = r"(?:\{[^{}]*\}|[0-9a-fA-F:][0-9a-fA-F:.]*(?:/[0-9]+|-[0-9a-fA-F:.]+)?(?![^\s,]))(?!\s*[.&|^<:])"
_ADDRESS = re.compile(rf"(?<![\w.-])(?<!\.\s)((?:ip6?|ether|arp)\s+[sd]addr(?:\s+ip)?\s+(?:[!=]=\s*)?){_VALUE}")
_PORT = re.compile(rf"(?<![\w.-])(?<!\.\s)((?:tcp|udp|th|sctp|dccp|udplite)\s+[sd]port\s+(?:[!=]=\s*)?){_VALUE}")
_TARGET = re.compile(r"(?<![\w.-])(?:jump|goto)\s+([^\s{},;]+)")
_VERDICT = re.compile(r"(?<![\w.-])(accept|drop|reject|return|masquerade|snat|dnat|redirect|queue)(?![\w.-])")
_DEVICE = re.compile(r"((?:iifname|oifname|iif|oif)\s+(?:[!=]=\s*)?)(?:\"[^\"]*\"|\{[^{}]*\})")
_VARIABLE = re.compile(r'"[^"]*"|\$([A-Za-z_][\w.-]*)')
_NESTED = re.compile(r"(\{[^{}]*)\{([^{}]*)\}")
_OPERATION = re.compile(r"[|&^]|<<|>>|(?<![\w.-])(?:and|or|xor)(?![\w.-])")
_REWRITE = re.compile(
    r"(?<![\w.@$-])(?:ip6?\s+([sd])addr|(?:tcp|udp|udplite|sctp|dccp|th)\s+([sd])port|@[nti]h\s*,\s*[0-9]+\s*,\s*[0-9]+)\s+set\s"
)
# A mark, or a set of some.
_GROWTH = 512


def comment_of(text: str) -> tuple[str, str]:
    """A rule without its comment, and the comment."""
    if "comment" not in text:
        return text, ""
    found = next((m for m in _COMMENT.finditer(text) if m[1]), None)
    return (text[: found.start()] + text[found.end() :], found[1].strip('"')) if found else (text, "")


def emptied(text: str) -> str:
    """A rule with its quoted strings empty, except names of devices and extensions."""
    return _STRING.sub(lambda m: m[1] or '""', text) if '"' in text else text


def common(text: str) -> str:
    """A rule without what differs between equal ones: addresses, ports, counters."""
    text = _COUNTER.sub("", text) if "counter" in text else text
    text = _SPACES.sub(" ", text)
    text = _LAST.sub("last", text) if "used" in text else text
    text = _ADDRESS.sub(r"\1_", text) if "addr" in text else text
    return (_PORT.sub(r"\1_", text) if "port" in text else text).strip()


def plain(text: str) -> str:
    """A rule as the grammar takes it, the same for all devices."""
    return _DEVICE.sub(r"\1_", text) if "if" in text else text


def rewritten(text: str) -> set[str]:
    """What of a packet's addresses and ports statements change, by flow.NARROW."""
    found: set[str] = set()
    for side, end in _REWRITE.findall(text) if "set" in text else ():
        found.update([{"s": "src", "d": "dst"}[side]] if side else [f"{end}port"] if end else NARROW)
    return found


def target_of(text: str) -> str:
    """Where a rule jumps, or else its verdict."""
    if match := _TARGET.search(text):
        return match[1]
    verdicts = _VERDICT.findall(text)
    return verdicts[-1] if verdicts else ""


def substituted(text: str, values: dict[str, str]) -> str:
    """A text with its variables replaced; one that nobody defined, or that grows without end, stays as it is."""
    if "$" not in text or not values:
        return text
    result = _VARIABLE.sub(lambda m: values.get(m[1], m[0]) if m[1] else m[0], text)
    if len(result) > len(text) + _GROWTH:
        return text
    for _ in range(8):
        result, count = _NESTED.subn(r"\1\2", result) if "{" in result else (result, 0)
        if not count:
            break
    return result


def defined(value: str, values: dict[str, str]) -> str:
    """What ``define`` gives a variable: an operation keeps together wherever the variable stands."""
    value = substituted(value.strip(), values)
    return f"({value})" if value[:1] not in ("{", "(") and '"' not in value and _OPERATION.search(value) else value
