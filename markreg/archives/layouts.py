"""Captures that other tools make, by how they name their files: rules/captures/*.toml.

A file belongs to a layout when the end of its path fits; what stands before it is where the capture was put.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath

from markreg.model import HOST
from markreg.resources import rules

# Folders before a capture: the archive's own, and what its maker puts around it.
_WRAPPERS = 2


@dataclass(frozen=True, slots=True)
class Pattern:
    """Files of a layout: an expression for each folder and one for the name.

    ``family``: of which the file is, None if it is not said. ``archive``: the file is an archive to be read in its turn.
    ``unless``: names of files of the same folder that say the same.
    """

    segments: tuple[re.Pattern[str], ...]
    wrapper: re.Pattern[str]
    family: str | None
    archive: bool
    unless: re.Pattern[str] | None


@dataclass(frozen=True, slots=True)
class Placed:
    """What a file's place in a layout says. ``node`` tells nodes of one capture apart; ``family`` None: as the name says."""

    pattern: Pattern
    node: str
    netns: str = HOST
    family: str | None = None


@cache
def patterns() -> tuple[Pattern, ...]:
    """Those of every layout."""
    return tuple(p for file in sorted(rules("captures").glob("*.toml")) for p in _layout(file.read_text(encoding="utf-8")))


def _layout(text: str) -> Iterator[Pattern]:
    data = tomllib.loads(text)
    wrapper = re.compile(data["wrapper"])
    for entry in data["files"]:
        segments = tuple(re.compile(segment) for segment in _split(entry["path"]))
        unless = re.compile(entry["unless"]) if "unless" in entry else None
        yield Pattern(segments, wrapper, entry.get("family"), entry.get("archive", False), unless)


def _split(path: str) -> list[str]:
    """The segments of an expression; the "/" of a set of characters is none between folders."""
    return re.findall(r"(?:\[[^\]]*\]|[^/\[])+", path)


def place(path: str) -> Placed | None:
    """The place of a file, by its path from the root of what was named."""
    parts = path.split("/")
    for pattern in patterns():
        before = len(parts) - len(pattern.segments)
        if not 0 <= before <= _WRAPPERS:
            continue
        # From the name on: it is what most files fail by.
        matches = [s.fullmatch(p) for s, p in zip(reversed(pattern.segments), reversed(parts), strict=False)]
        if all(matches):
            said = {key: value for m in matches if m for key, value in m.groupdict().items() if value is not None}
            node = "/".join((*parts[:before], *([said["node"]] if "node" in said else [])))
            family = pattern.family or ("ip6" if "ip6" in said else None)
            return Placed(pattern, node, said.get("netns", HOST), family)
    return None


def leads_on(folder: str) -> bool:
    """Whether a folder, by its path from what was named, can hold a file of a layout."""
    parts = folder.split("/")
    for pattern in patterns():
        wrapped = 0
        while wrapped < min(len(parts), _WRAPPERS) and pattern.wrapper.fullmatch(parts[wrapped]):
            wrapped += 1
        for before in range(wrapped + 1):
            rest = parts[before:]
            if len(rest) < len(pattern.segments) and all(s.fullmatch(p) for s, p in zip(pattern.segments, rest, strict=False)):
                return True
    return False


def repeats(path: str, unless: re.Pattern[str] | None, others: set[str]) -> bool:
    """Whether another file of the same folder says the same."""
    if unless is None:
        return False
    folder = PurePosixPath(path).parent
    return any(PurePosixPath(o).parent == folder and unless.fullmatch(PurePosixPath(o).name) for o in others)
