"""What the user named, as sources with their notations: files, folders, archives, standard input."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from markreg.archives.magic import HEAD, is_archive
from markreg.formats import Format, by_name, detect, scope_of
from markreg.model import Problem, Scope
from markreg.source import Source

if TYPE_CHECKING:
    from markreg.archives.held import Found, Held

STDIN = "-"
_LARGEST = 1 << 30


def unreadable(notation: str) -> str:
    """Why a capture in a notation that has no reader is of no use."""
    return f"this markreg has no reader for {notation}"


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
    capture that failed and never a clean node. ``repository``: it is what a repository deploys, to the nodes of the plan's ``pool``.
    """

    known: list[Known] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unread: list[Problem] = field(default_factory=list)
    skipped: int = 0
    empty: bool = False
    repository: bool = False
    pool: str = ""

    def refuse(self, path: str, why: str) -> None:
        """Notes that something named is of no use."""
        self.problems.append(Problem(path, 0, why))


def gather(paths: Sequence[str], stdin: BinaryIO, notation: str | None = None) -> Gathered:
    """The sources behind ``paths``; ``notation`` is the one to read them by, whatever they look like.

    A folder or an archive is one node: the files directly in it, and below it those of captures whose layout is known. Nothing
    here raises for what a path holds.
    """
    gathered = Gathered()
    for path in dict.fromkeys(paths):
        if path == STDIN:
            data = stdin.read()
            if is_archive(data[:HEAD]):
                _archive(gathered, STDIN, io.BytesIO(data))
            else:
                _add(gathered, Source(STDIN, data), notation)
        elif Path(path).is_dir():
            _folder(gathered, path)
        elif _is_archive(path):
            _packed(gathered, path)
        elif (source := _load(gathered, path)) is not None:
            _add(gathered, source, notation)
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


def _is_archive(path: str) -> bool:
    try:
        if not Path(path).is_file():  # to open a pipe would wait for it
            return False
        with Path(path).open("rb") as file:
            return is_archive(file.read(HEAD))
    except (OSError, ValueError):
        return False


def _packed(gathered: Gathered, path: str) -> None:
    try:
        with Path(path).open("rb") as file:
            _archive(gathered, path, file)
    except OSError as error:
        gathered.refuse(path, f"cannot be read: {error.strerror}")


def _archive(gathered: Gathered, path: str, file: BinaryIO) -> None:
    from markreg.archives.held import in_archive

    _node(gathered, path, in_archive(file))


def _folder(gathered: Gathered, path: str) -> None:
    from markreg.archives.held import in_folder

    try:
        _node(gathered, path, in_folder(Path(path)))
    except OSError as error:
        gathered.refuse(path, f"cannot be read: {error.strerror}")


def _node(gathered: Gathered, path: str, found: Found) -> None:
    """What an archive or a folder holds, if it is of one node."""
    gathered.skipped += found.others
    gathered.unread += [Problem(name, 0, why) for name, why in found.unread]
    for inside, why in found.problems:
        gathered.refuse(_inside(path, inside), why)
    usable = [(held, known) for held in found.held if (known := _known(gathered, path, held))]
    nodes = sorted({held.node for held, _ in usable})
    if len(nodes) > 1:
        shown = ", ".join(nodes[:3]) + (", …" if len(nodes) > 3 else "")
        gathered.refuse(path, f"holds {len(nodes)} nodes ({shown}); one node is audited at a time: unpack it and name the files of one")
        return
    gathered.known += [known for _, known in usable]
    if not usable and not found.problems:
        count = len(found.held) + found.others
        gathered.refuse(path, f"holds nothing that markreg reads ({count} files)" if count else "holds no files")


def _inside(path: str, inside: str) -> str:
    return str(Path(path) / inside) if inside else path


def _known(gathered: Gathered, path: str, held: Held) -> Known | None:
    source = Source(_inside(path, held.path), held.data)
    guess = scope_of(held.path)
    scope = Scope(held.netns or guess.netns, held.family or guess.family)
    if held.notation:
        form = by_name(held.notation)
        if form is None:
            gathered.unread.append(Problem(held.path, 0, unreadable(held.notation)))
            return None
        return Known(source, form, held.notation, scope)
    found = None if not source.data or source.data.isspace() else detect(source)
    if found is None:
        gathered.skipped += 1
        return None
    return Known(source, found[0], found[1], scope)


def _add(gathered: Gathered, source: Source, notation: str | None) -> None:
    """Something that was named as a file: it is of use, or there is a problem."""
    if not source.data or source.data.isspace():
        gathered.empty = True
        gathered.refuse(source.path, "is empty")
        return
    found = detect(source)
    if notation:
        forced = by_name(notation)
        found = (forced, notation) if forced else None
    if found:
        gathered.known.append(Known(source, found[0], found[1], scope_of(source.path)))
    else:
        gathered.refuse(source.path, "is in no notation that markreg knows (name one with --as)")
