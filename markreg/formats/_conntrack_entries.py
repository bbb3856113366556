"""The entries of a connection table, as `conntrack` knows them."""

from __future__ import annotations

import re

from markreg.bits import full
from markreg.formats.conntrack import ENTRY, SAVE
from markreg.model import CT_LABEL, CT_MARK, Opaque, Problem, Reading, Scope, Seen
from markreg.source import Source

_LINE = re.compile(rf"{ENTRY}|{SAVE}")
_USUAL = re.compile(r"(?:ipv[46] +\d+ +)?[a-z]+ +\d+ (?:\d+ (?:[A-Z_]+ )?)?src=\S+ dst=")
_MARK = re.compile(r"mark(?:(?<![\w-]mark)=(\S*)|>([^<]*)<)")
_ZONE = re.compile(r"zone(?:-orig|-reply)?(?:=(\d+)|>(\d+)<)")
_LABELS = re.compile(r"(?<![\w-])labels=(\S+)|<label>([^<]+)</label>")
# A label as one number, bit 0 last, as Open vSwitch writes it.
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]{1,32}")
_OPEN = re.compile(r"(?<![\w-])mark=\d*$")


def read(source: Source, name: str, scope: Scope) -> Reading:
    """The distinct marks and labels of the entries, by zone."""
    counts: dict[tuple[str, int, str | None], list[int]] = {}
    opaque: dict[str, list[int]] = {}
    entries = marked = strange = 0
    lines = source.text().split("\n")
    cut = len(lines) if lines[-1].strip() else 0
    for number, raw in enumerate(lines, 1):
        line = raw.rstrip("\r")
        mark = _MARK.search(line) if "mark" in line else None
        if not (_USUAL.match(line) or "<flow" in line or _LINE.match(line)):
            if mark:
                marked += 1
                opaque.setdefault("mentions a mark and is no entry of conntrack", []).append(number)
            elif line.strip():
                strange = strange or number
            continue
        entries += 1
        if mark is None and "label" not in line:
            continue
        said = _ZONE.search(line) if "zone" in line else None
        zone = said[1] or said[2] if said else None
        if mark:
            value = _number(mark[1] if mark[1] is not None else mark[2])
            if value is None:
                marked += 1
                opaque.setdefault("the mark of an entry is no number of 32 bits", []).append(number)
            elif number == cut and _OPEN.search(line):
                entries -= 1
            else:
                marked += bool(value)
                counts.setdefault((CT_MARK.name, value, zone), [0, number])[0] += 1
        if "label" in line and (labels := [a or b for a, b in _LABELS.findall(line)]):
            bits = [_number(word) for text in labels for word in text.split(",")]
            if len(labels) == 1 and _HEXADECIMAL.fullmatch(labels[0]):
                counts.setdefault((CT_LABEL.name, int(labels[0], 16), zone), [0, number])[0] += 1
            elif all(bit is not None and bit < CT_LABEL.width for bit in bits):
                value = sum(1 << bit for bit in {b for b in bits if b is not None})
                counts.setdefault((CT_LABEL.name, value, zone), [0, number])[0] += 1
            else:
                marked += not mark
                opaque.setdefault("labels by name: connlabel.conf says which bits they are", []).append(number)
    widths = {CT_MARK.name: CT_MARK.width, CT_LABEL.name: CT_LABEL.width}
    truncated = cut and not lines[-1].startswith("<") and (not _LINE.match(lines[-1]) or bool(_OPEN.search(lines[-1])))
    problems = [Problem(source.path, cut, "truncated")] if truncated and entries else []
    if strange and not entries:
        problems.append(Problem(source.path, strange, "no entry as conntrack prints it"))
    return Reading(
        source.path,
        name,
        scope,
        opaque=tuple(Opaque(source.path, tuple(where), reason) for reason, where in opaque.items()),
        problems=tuple(problems),
        statements=entries,
        mark_statements=marked,
        seen=tuple(
            Seen(field, value, full(widths[field]), zone, count, source.path, line)
            for (field, value, zone), (count, line) in counts.items()
        ),
    )


def _number(text: str) -> int | None:
    """A decimal number of 32 bits."""
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        return None
    return value if (value := int(text)) <= full(CT_MARK.width) else None
