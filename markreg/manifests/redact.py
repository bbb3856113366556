"""Manifests as reports may show them: what is secret in them is starred, and every column stays where it is."""

from __future__ import annotations

import re
from itertools import pairwise

from markreg.source import Source, decode

_SECRET_OBJECT = re.compile(r"""(?<![\w-])["']?kind["']?[ \t]*:[ \t]*["']?Secret["']?[ \t]*(?=[,}\r\n]|\Z)""")
_DOCUMENT = re.compile(r"^---(?:[ \t].*)?$", re.MULTILINE)
_WORDS = r"(?:passw(?:or)?d|passphrase|secret|token|credential|private_?key|preshared_?key|auth_?key|join_?key|api_?key)"
_SETTING = re.compile(
    rf"""((?<![\w.-])[\w.-]{{0,80}}?{_WORDS}[\w-]{{0,40}}["']?[ \t]{{0,9}}[:=][ \t]{{0,9}})([^\s,{{}}\[\]]+)""", re.IGNORECASE
)
_NAMED = rf"""name:[ \t]{{0,9}}["']?\w{{0,80}}?{_WORDS}\w{{0,40}}["']?[ \t]{{0,9}}(?:,|\n)[ \t]{{0,80}}"""
_VARIABLE = re.compile(rf"""({_NAMED}["']?value["']?:[ \t]{{0,9}})([^\n,}}]+)""", re.IGNORECASE)
_KEY_VALUE = re.compile(r"""^([ \t{,-]*["']?[\w.-]+["']?[ \t]*:[ \t]*)(.*)$""")
_HEADS = re.compile(r"""["']?(?:apiVersion|kind|metadata|type|name|namespace|data|stringData|labels|annotations|immutable)["']?[ \t]*:""")
_INLINE = re.compile(r"""((?<![\w-])(?:stringD|d)ata["']?[ \t]*:[ \t]*\{)(.*)""")
_NO_SECRET = {"true", "false", "null", '""', "''", "|", "|-", ">", ">-"}


def redacted(source: Source) -> Source:
    """The source with the values of Secrets, and of settings named like passwords and keys, starred out."""
    text = decode(source.data)
    starred = _VARIABLE.sub(_starred, _SETTING.sub(_starred, text))
    if _SECRET_OBJECT.search(starred):
        cuts = [0, *(m.start() for m in _DOCUMENT.finditer(starred)), len(starred)]
        parts = [starred[a:b] for a, b in pairwise(cuts)]
        starred = "".join(_secret(part) if _SECRET_OBJECT.search(part) else part for part in parts)
    return source if starred == text else Source(source.path, starred.encode("utf-8", "surrogateescape"))


def _starred(match: re.Match[str]) -> str:
    return match[1] + (match[2] if match[2].strip() in _NO_SECRET else _stars(match[2]))


def _stars(text: str) -> str:
    return re.sub(r"\S", "*", text)


def _secret(part: str) -> str:
    """The object of kind Secret without its values: all but its heads is starred."""
    lines: list[str] = []
    for line in part.split("\n"):
        found = _KEY_VALUE.match(line)
        if line.startswith(("---", "#")) or _HEADS.match(line.lstrip(" {,-")):
            lines.append(_INLINE.sub(lambda m: m[1] + _stars(m[2]), line))
        elif found:
            lines.append(found[1] + (found[2] if found[2].strip() in _NO_SECRET else _stars(found[2])))
        else:
            lines.append(_stars(line))
    return "\n".join(lines)
