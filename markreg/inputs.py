"""What the user named, as sources with their notations: files, folders, standard input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from markreg.formats import Format, by_name, detect, scope_of
from markreg.model import Problem, Scope
from markreg.source import Source

STDIN = "-"
_LARGEST = 1 << 30


@dataclass(frozen=True, slots=True)
class Known:
    """A source whose notation is known."""

    source: Source
    format: Format
    name: str
    scope: Scope


@dataclass(slots=True)
class Gathered:
    """The sources that can be read, what was named and cannot be, and how many files of folders no notation fits.

    ``unread``: what a live node holds that could not be captured. ``empty``: something named holds nothing, which is a
    capture that failed and never a clean node.
    """

    known: list[Known] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unread: list[Problem] = field(default_factory=list)
    skipped: int = 0
    empty: bool = False

    def refuse(self, path: str, why: str) -> None:
        """Notes that something named is of no use."""
        self.problems.append(Problem(path, 0, why))


def gather(paths: Sequence[str], stdin: BinaryIO, notation: str | None = None) -> Gathered:
    """The sources behind ``paths``; ``notation`` is the one to read them by, whatever they look like.

    A folder is one node: the files directly in it. Nothing here raises for what a path holds.
    """
    gathered = Gathered()
    for path in dict.fromkeys(paths):
        if path == STDIN:
            _add(gathered, Source(STDIN, stdin.read()), notation, named=True)
        elif Path(path).is_dir():
            _folder(gathered, Path(path), notation)
        elif (source := _load(gathered, path)) is not None:
            _add(gathered, source, notation, named=True)
    return gathered


def _load(gathered: Gathered, path: str) -> Source | None:
    try:
        file = Path(path)
        if file.is_char_device() or file.is_block_device():
            gathered.refuse(path, "is a device")
            return None
        if (size := file.stat().st_size) > _LARGEST:
            gathered.refuse(path, f"is larger than {_LARGEST >> 20} MB ({size >> 20} MB)")
            return None
        return Source(path, file.read_bytes())
    except (OSError, ValueError) as error:
        gathered.refuse(path, f"cannot be read: {getattr(error, 'strerror', None) or error}")
        return None


def _folder(gathered: Gathered, folder: Path, notation: str | None) -> None:
    try:
        files = sorted(f for f in folder.iterdir() if f.is_file())
    except OSError as error:
        gathered.refuse(str(folder), f"cannot be read: {error.strerror}")
        return
    before = len(gathered.known)
    for file in files:
        if (source := _load(gathered, str(file))) is not None:
            _add(gathered, source, notation, named=False)
    if len(gathered.known) == before:
        gathered.refuse(str(folder), f"holds nothing that markreg reads ({len(files)} files)" if files else "holds no files")


def _add(gathered: Gathered, source: Source, notation: str | None, *, named: bool) -> None:
    scope = scope_of(source.path)
    if not source.data or source.data.isspace():
        if named:
            gathered.empty = True
            gathered.refuse(source.path, "is empty")
        else:
            gathered.skipped += 1
        return
    found = detect(source)
    if notation and named:
        forced = by_name(notation)
        found = (forced, notation) if forced else None
    if found:
        gathered.known.append(Known(source, found[0], found[1], scope))
    elif named:
        gathered.refuse(source.path, "is in no notation that markreg knows (name one with --as)")
    else:
        gathered.skipped += 1
