"""What a repository holds, as sources with their notations: manifests, CNI configurations, scripts, rule files, BPF objects."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from markreg.formats import by_name, detect, scope_of
from markreg.inputs import STDIN, Gathered, Known
from markreg.manifests.nodes import compose
from markreg.manifests.plain import looks_like
from markreg.source import Source

_LARGEST = 64 << 20
_SKIPPED = {".git", ".hg", ".svn", ".tox", ".venv", ".terraform", "node_modules", "__pycache__", ".mypy_cache", ".ruff_cache"}
_YAML = {".yaml", ".yml"}
_DOCUMENTS = {".json", ".conf", ".conflist", ".network", ".netdev", ".hujson"}
_SCRIPTS = {".sh", ".bash", ".ksh", ".service", ".tf", ".tftpl", ".tpl", ".hcl", ".j2", ".tmpl", ".user-data", ".cfg"}
# What may be a dump or a rule file; anything without a suffix is looked at too.
_BUILDS = {"Dockerfile", "Containerfile"}
_RULES = {"", ".txt", ".rules", ".v4", ".v6", ".nft", ".save", ".dump", ".log", ".ruleset", ".ofctl", ".flows", ".toml", ".o"}
_MANIFEST, _SCRIPT = "manifest", "script"


def gather(paths: Sequence[str], stdin: BinaryIO, notation: str | None = None) -> Gathered:
    """The sources behind ``paths``: files, ``-``, and folders with all that is below them. Links are not followed.

    What is named as a file and in no notation is a problem; what stands in a folder and is of none is counted.
    """
    gathered = Gathered(repository=True)
    for path in dict.fromkeys(paths):
        if path == STDIN:
            _named(gathered, Source(STDIN, stdin.read()), notation)
        elif Path(path).is_dir():
            for file in _files(gathered, path):
                _found(gathered, file)
        elif (data := _bytes(gathered, path)) is not None:
            _named(gathered, Source(path, data), notation)
    return gathered


def _files(gathered: Gathered, folder: str) -> Iterator[str]:
    for here, folders, files in os.walk(folder, onerror=lambda e: gathered.refuse(str(e.filename), f"cannot be read: {e.strerror}")):
        folders[:] = sorted(f for f in folders if f not in _SKIPPED)
        for name in sorted(files):
            yield str(Path(here) / name)


def _bytes(gathered: Gathered, path: str) -> bytes | None:
    try:
        file = Path(path)
        if not file.is_file():
            gathered.refuse(path, "is no file" if file.exists() else "is not there")
            return None
        if (size := file.stat().st_size) > _LARGEST:
            gathered.refuse(path, f"is larger than {_LARGEST >> 20} MB ({size >> 20} MB)")
            return None
        return file.read_bytes()
    except (OSError, ValueError) as error:
        gathered.refuse(path, f"cannot be read: {getattr(error, 'strerror', None) or error}")
        return None


def _named(gathered: Gathered, source: Source, notation: str | None) -> None:
    """Something that the user named: it is of use, or there is a problem."""
    if not source.data or source.data.isspace():
        gathered.empty = True
        gathered.refuse(source.path, "is empty")
        return
    known = _as(source, notation) if notation else _known(source) or _as(source, _MANIFEST)
    if known:
        gathered.known.append(known)
    else:
        gathered.refuse(source.path, "is in no notation that markreg knows (name one with --as)")


def _found(gathered: Gathered, path: str) -> None:
    """A file of a folder: read if its name and content are of a kind that markreg knows."""
    suffix = PurePosixPath(path).suffix.lower()
    if Path(path).is_symlink() or suffix not in _YAML | _DOCUMENTS | _SCRIPTS | _RULES:
        gathered.skipped += 1
        return
    data = _bytes(gathered, path)
    known = _known(Source(path, data)) if data else None
    if known:
        gathered.known.append(known)
    else:
        gathered.skipped += 1


def _known(source: Source) -> Known | None:
    suffix = PurePosixPath(source.path).suffix.lower()
    if suffix in _YAML:
        return _as(source, _MANIFEST)
    if suffix in _DOCUMENTS or source.path == STDIN:
        found = detect(source)
        if found:
            return Known(source, *found, scope_of(source.path))
        # Settings of anything are written like this: only what is whole is worth a look.
        good = b"\0" not in source.data[:1024] and (looks_like(source.head(4096)) or compose(source)[1] is None)
        return _as(source, _MANIFEST) if good else None
    if suffix in _SCRIPTS or PurePosixPath(source.path).name in _BUILDS or source.data.startswith(b"#!"):
        found = detect(source) if source.data.startswith(b"#!") else None
        return Known(source, *found, scope_of(source.path)) if found else _as(source, _SCRIPT)
    found = detect(source)
    return Known(source, *found, scope_of(source.path)) if found else None


def _as(source: Source, notation: str) -> Known | None:
    form = by_name(notation)
    return Known(source, form, notation, scope_of(source.path)) if form else None
