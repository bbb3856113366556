"""Archives and folders of captures: which of their files are a node's captures, and what is known of each.

Read as streams with limits, never unpacked to disk: a name is only text. Links, devices and names with ``..`` have no content.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from markreg.archives import layouts, manifest
from markreg.archives.limits import DEPTH, KEPT, MEMBER, ArchiveError
from markreg.archives.magic import HEAD, is_archive
from markreg.archives.streams import members
from markreg.model import HOST


@dataclass(frozen=True, slots=True)
class Held:
    """A file that may be a capture. ``path``: inside the archive or folder. ``node`` is empty where nothing tells nodes apart.

    ``notation`` is what a manifest says, empty without one; ``netns`` and ``family`` None: as the name says. ``unless``: names of
    files beside it that say the same.
    """

    path: str
    data: bytes
    node: str = ""
    netns: str | None = None
    family: str | None = None
    notation: str = ""
    unless: re.Pattern[str] | None = None


@dataclass(slots=True)
class Found:
    """What an archive or a folder holds. ``problems``: path inside it (empty: itself) and why that cannot be read.

    ``unread``: name and reason of what its maker could not capture. ``others`` counts files that nobody would look for here.
    """

    held: list[Held] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)
    others: int = 0


def in_archive(file: BinaryIO) -> Found:
    """The captures of an archive: of known layouts, of a manifest, else the files directly in it or in its only folder."""
    found = Found()
    shallow: dict[str, bytes] = {}
    _stream(found, shallow, file, "", DEPTH, [KEPT])
    tops = {path.partition("/")[0] if "/" in path else "" for path in shallow}
    direct = min(tops) if len(tops) == 1 or "" in tops else None
    chosen = {p: d for p, d in shallow.items() if direct is not None and p.rpartition("/")[0] == direct}
    found.others += len(shallow) - len(chosen)
    if len(tops) > 1 and direct is None and not found.held:
        folders = ", ".join(sorted(tops)[:5])
        found.problems.append(("", f"holds {len(tops)} folders ({folders}) and no files beside them; a node is one folder"))
    _direct(found, chosen)
    _once(found)
    return found


def in_folder(folder: Path) -> Found:
    """The captures of a folder: the files directly in it, and those of known layouts below it. Raises OSError for the folder."""
    found = Found()
    direct = {}
    name = folder.resolve().name  # a folder of a capture may be named itself
    for path in _files(found, folder, name, ""):
        placed = layouts.place(path) or layouts.place(f"{name}/{path}")
        if placed is None and "/" in path:
            found.others += 1
            continue
        try:
            file = folder / path
            if (size := file.stat().st_size) > KEPT:
                found.problems.append((path, f"is larger than {KEPT >> 20} MB ({size >> 20} MB)"))
                continue
            if placed and placed.pattern.archive:
                _nested(found, path, file.read_bytes(), DEPTH - 1, [KEPT])
            elif placed:
                found.held.append(_held(path, file.read_bytes(), placed))
            else:
                direct[path] = file.read_bytes()
        except (OSError, ValueError) as error:
            found.problems.append((path, f"cannot be read: {getattr(error, 'strerror', None) or error}"))
    _direct(found, direct)
    _once(found)
    return found


def _files(found: Found, folder: Path, name: str, below: str) -> Iterator[str]:
    """The files directly in a folder, and those of folders that lead to a layout's; links to folders are not followed."""
    try:
        with os.scandir(folder / below) as listed:
            entries = sorted(listed, key=lambda e: e.name)
    except OSError as error:
        if not below:
            raise
        found.problems.append((below, f"cannot be read: {error.strerror}"))
        return
    for entry in entries:
        path = f"{below}/{entry.name}" if below else entry.name
        if entry.is_file():
            yield path
        elif entry.is_dir(follow_symlinks=False) and (layouts.leads_on(path) or layouts.leads_on(f"{name}/{path}")):
            yield from _files(found, folder, name, path)


def _stream(found: Found, shallow: dict[str, bytes], file: BinaryIO, prefix: str, depth: int, left: list[int]) -> None:
    """One archive; ``left``: bytes that may still be kept."""
    try:
        for member in members(file):
            path = _path(member.name)
            placed = layouts.place(path) if path else None
            if placed is None and (not path or path.count("/") > 1 or prefix):
                found.others += 1
                continue
            if member.size > left[0]:
                raise ArchiveError(f"holds captures of more than {KEPT >> 20} MB")
            try:
                data = member.content()
            except ArchiveError as error:
                if member.size <= MEMBER:
                    raise
                found.problems.append((prefix + path, str(error)))
                continue
            left[0] -= len(data)
            if placed and placed.pattern.archive:
                _nested(found, prefix + path, data, depth - 1, left)
            elif placed:
                found.held.append(_held(prefix + path, data, placed))
            else:
                shallow[path] = data
    except ArchiveError as error:
        found.problems.append((prefix.rstrip("/"), str(error)))


def _nested(found: Found, path: str, data: bytes, depth: int, left: list[int]) -> None:
    if depth < 0 or not is_archive(data[:HEAD]):
        found.problems.append((path, "is no archive, or one too deep in others"))
    else:
        _stream(found, {}, io.BytesIO(data), path + "/", depth, left)


def _path(name: str) -> str:
    """A member's name as a path inside the archive; empty for one that leads out of it."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return "" if ".." in parts or len(name) > 4096 else "/".join(parts)


def _held(path: str, data: bytes, placed: layouts.Placed) -> Held:
    netns = placed.netns if placed.netns != HOST else None
    return Held(path, _unfenced(path, data), placed.node, netns, placed.family, unless=placed.pattern.unless)


def _unfenced(path: str, data: bytes) -> bytes:
    """What a file of Markdown has in its one fence, on the same lines: cilium-bugtool writes so if it is told to."""
    if not path.endswith(".md") or data.count(b"\n```") != 2 or not data.startswith(b"# "):
        return data
    before, inside, _ = data.split(b"\n```")
    return b"\n" * (before.count(b"\n") + 1) + inside.removeprefix(b"\n").join((b"\n", b"\n"))


def _direct(found: Found, files: dict[str, bytes]) -> None:
    """Files of no layout: by their manifest where there is one."""
    where = next((path for path in files if path.rpartition("/")[2] == manifest.NAME and manifest.is_manifest(files[path])), None)
    if where is None:
        found.held += [Held(path, data) for path, data in sorted(files.items())]
        return
    folder = where.removesuffix(manifest.NAME)
    try:
        told = manifest.read(files.pop(where))
    except manifest.ManifestError as error:
        found.problems.append((where, str(error)))
        return
    for entry in told.captures:
        data = files.pop(folder + entry.file, None)
        if data is None:
            found.problems.append((folder + entry.file, "is named by the manifest and is not there"))
        else:
            found.held.append(Held(folder + entry.file, data, "", entry.netns or HOST, entry.family, entry.notation))
    found.unread += [(entry.name, entry.why) for entry in told.failed]
    found.others += len(files)


def _once(found: Found) -> None:
    """Leaves out files of a layout that repeat others."""
    there = {held.path for held in found.held if held.data.strip()}
    kept = [held for held in found.held if not layouts.repeats(held.path, held.unless, there)]
    found.others += len(found.held) - len(kept)
    found.held = kept
