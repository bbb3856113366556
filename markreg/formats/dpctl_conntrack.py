"""What marks connections carry now, as Open vSwitch lists them: ``ovs-appctl dpctl/dump-conntrack`` (also -m, -s).

An entry is no statement: somebody wrote its mark before. Marks are decimal there, labels hexadecimal (lib/ct-dpif.c
ct_dpif_format_entry); a zone of 0 is not printed.
"""

from __future__ import annotations

import re

from markreg.bits import full
from markreg.model import CT_LABEL, CT_MARK, Opaque, Problem, Reading, Scope, Seen
from markreg.source import Source

NAMES = ("dpctl-conntrack",)

_ENTRY = re.compile(r"[ \t]*(?:[a-z][\w-]*|\d+|unspec \d+),orig=\(src=")
_DETECT = re.compile(rf"^{_ENTRY.pattern}", re.MULTILINE)
_GROUP = re.compile(r"\([^()]*\)")
_WORD = re.compile(r"(?:^|,)(zone|mark|labels)=([^,]*)")
_MENTION = re.compile(r"(?<![\w-])(?:mark|labels)=")
_NUMBERS = {"zone": re.compile(r"[0-9]{1,5}"), "mark": re.compile(r"[0-9]{1,10}"), "labels": re.compile(r"0x[0-9a-fA-F]{1,32}")}
_FIELDS = {"mark": CT_MARK, "labels": CT_LABEL}


def detect(source: Source) -> str | None:
    """By a protocol and ``orig=(src=``."""
    return NAMES[0] if _DETECT.search(source.head()) else None


def read(source: Source, name: str, scope: Scope) -> Reading:
    """The distinct marks and labels of the entries, by zone."""
    counts: dict[tuple[str, int, str | None], list[int]] = {}
    opaque: list[int] = []
    entries = marked = 0
    lines = source.text().split("\n")
    cut = len(lines) if lines[-1].strip() else 0
    problems: list[Problem] = []
    for number, line in enumerate(lines, 1):
        if not _ENTRY.match(line):
            if _MENTION.search(line) and not line.lstrip().startswith(("$", "#")):
                opaque.append(number)
            continue
        if number == cut and (line.count("(") != line.count(")") or line.endswith((",", "=", "|", "orig", "reply"))):
            problems.append(Problem(source.path, number, "truncated"))
            continue
        entries += 1
        if "mark=" not in line and "labels=" not in line:
            continue
        said = dict(_WORD.findall(_GROUP.sub("", line.rstrip("\r"))))
        # A fixture's "<cleared>" is a zone that is not known; one that is not printed is the default zone.
        zone = said.get("zone", "0")
        where = zone if _NUMBERS["zone"].fullmatch(zone) else None
        for key, field in _FIELDS.items():
            if key not in said:
                continue
            value = int(said[key], 0) if _NUMBERS[key].fullmatch(said[key]) and said[key] != "00" else -1
            if 0 <= value <= full(field.width):
                counts.setdefault((field.name, value, where), [0, number])[0] += 1
                marked += bool(value)
            else:
                opaque.append(number)
    reason = "mentions a mark and is no entry as Open vSwitch lists connections"
    return Reading(
        source.path,
        name,
        scope,
        opaque=(Opaque(source.path, tuple(dict.fromkeys(opaque)), reason),) if opaque else (),
        problems=tuple(problems),
        statements=entries,
        mark_statements=marked + len(set(opaque)),
        seen=tuple(
            Seen(field, value, full(CT_LABEL.width if field == CT_LABEL.name else CT_MARK.width), zone, count, source.path, line)
            for (field, value, zone), (count, line) in counts.items()
        ),
    )
