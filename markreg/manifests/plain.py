"""Configuration files without brackets as nodes: INI and systemd units, WireGuard's files, OpenWrt's UCI, shell assignments.

A section is a list of tables, for it may be there several times: ``Interface[].fwmark``. Keys of WireGuard's files are in lower case,
as its tools compare them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yaml import Mark
    from yaml.nodes import MappingNode, ScalarNode

_SECTION = re.compile(r"[ \t]*\[([\w.:@-]+)\][ \t\r]*$")
_SETTING = re.compile(r"[ \t]*([\w.:-]+)[ \t]*=[ \t]*(.*)$")
_UCI_SECTION = re.compile(r"[ \t]*config[ \t]+['\"]?([\w.-]+)['\"]?(?:[ \t]+['\"]?([^'\"\s]+)['\"]?)?[ \t\r]*$")
_UCI_OPTION = re.compile(r"[ \t]*(?:option|list)[ \t]+['\"]?([\w.-]+)['\"]?[ \t]+(?:'([^']*)'|\"([^\"]*)\"|(\S+))[ \t\r]*$")
_COMMENT = re.compile(r"[ \t]*(?:[#;].*)?\r?$")
_WIREGUARD = {"interface", "peer"}
_TAG = "tag:yaml.org,2002:str"


def looks_like(text: str) -> str:
    """``ini``, ``uci``, ``assignments`` or nothing, by the first line that says something."""
    for line in text.split("\n", 200)[:200]:
        if _COMMENT.fullmatch(line):
            continue
        if _SECTION.match(line):
            return "ini"
        if _UCI_SECTION.match(line):
            return "uci"
        return "assignments" if re.match(r"[A-Za-z_]\w*=\S", line) else ""
    return ""


def read(text: str, form: str) -> tuple[MappingNode, str]:
    """The text as a mapping of sections (or of settings), and the kind of file that its sections tell."""
    if form == "uci":
        return _uci(text), ""
    root = _mapping(0)
    sections: dict[str, MappingNode] = {}
    here = root
    for number, line in _joined(text):
        if found := _SECTION.match(line):
            name = found[1].lower() if found[1].lower() in _WIREGUARD else found[1]
            here = _open(sections, root, name, number, found.start(1))
        elif (found := _SETTING.match(line)) and not _COMMENT.fullmatch(line):
            key = found[1].lower() if sections.keys() & _WIREGUARD else found[1]
            said = found[2].rstrip()
            quoted = len(said) > 1 and said[0] in "'\"" and said[-1] == said[0]
            value = said[1:-1] if quoted else said
            here.value.append((_scalar(key, number, found.start(1)), _scalar(value, number, found.start(2))))
    kinds = {"WireGuard": "interface" in sections, "Unit": bool(sections.keys() & {"Service", "Unit", "Socket"})}
    return root, next((k for k, there in kinds.items() if there), "")


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """Lines with the number of the first (from 0); one that ends with a backslash goes on in the next, as systemd.syntax(7) has it."""
    parts: list[str] = []
    first = 0
    for number, line in enumerate(text.split("\n")):
        if parts and line.strip() and _COMMENT.fullmatch(line):
            continue  # comments in between do not end it
        first = first if parts else number
        ends = line.rstrip()
        if ends.endswith("\\") and not _COMMENT.fullmatch(line):
            parts.append(ends[:-1].strip() if parts else ends[:-1].rstrip())
            continue
        yield first, " ".join((*parts, line.strip())) if parts else line
        parts = []
    if parts:
        yield first, " ".join(parts)


def _uci(text: str) -> MappingNode:
    root = _mapping(0)
    sections: dict[str, MappingNode] = {}
    here = root
    for number, line in enumerate(text.split("\n")):
        if found := _UCI_SECTION.match(line):
            here = _open(sections, root, found[1], number, found.start(1))
            if found[2] and found[2] not in sections:
                root.value.append((_scalar(found[2], number, found.start(2)), here))
        elif found := _UCI_OPTION.match(line):
            group = next((g for g in (2, 3, 4) if found[g] is not None), 4)
            here.value.append((_scalar(found[1], number, found.start(1)), _scalar(found[group], number, found.start(group))))
    return root


def _open(sections: dict[str, MappingNode], root: MappingNode, name: str, line: int, column: int) -> MappingNode:
    from yaml.nodes import SequenceNode

    table = _mapping(line)
    if name not in sections:
        sequence = SequenceNode("tag:yaml.org,2002:seq", [], _mark(line, column))
        root.value.append((_scalar(name, line, column), sequence))
        sections[name] = sequence  # type: ignore[assignment]
    sections[name].value.append(table)
    return table


def _mapping(line: int) -> MappingNode:
    from yaml.nodes import MappingNode

    return MappingNode("tag:yaml.org,2002:map", [], _mark(line, 0))


def _scalar(value: str, line: int, column: int) -> ScalarNode:
    from yaml.nodes import ScalarNode

    return ScalarNode(_TAG, value, _mark(line, column), _mark(line, column + len(value)))


def _mark(line: int, column: int) -> Mark:
    from yaml import Mark

    return Mark("", 0, line, column, None, 0)


def unit_words(root: MappingNode) -> Iterator[tuple[str, ScalarNode]]:
    """The settings of a unit's [Service] that start or configure its process, in order."""
    for name, sections in ((k.value, v) for k, v in root.value):
        if name == "Service":
            for table in sections.value:
                yield from ((k.value, v) for k, v in table.value)
