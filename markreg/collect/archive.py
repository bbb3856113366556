"""Captures as one archive, that `markreg audit` reads elsewhere: the same captures give the same bytes."""

from __future__ import annotations

import gzip
import io
import os
import re
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markreg.archives.manifest import NAME, Entry, Failed, Manifest, write
from markreg.collect.captured import Capture, Failure
from markreg.collect.limits import Budget
from markreg.collect.programs import find, run
from markreg.model import HOST

FOLDER = "markreg-collect"
_MODE = 0o600
_UNSAFE = re.compile(r"[^\w.+-]+", re.ASCII)
_VERSION_SECONDS = 5.0
# The options that make programs say their version; all others take the first.
_VERSION = "-V"
_SAYS_VERSION = {"nft": "--version", "conntrack": "--version", "wg": "--version", "ipset": "--version"}


@dataclass(frozen=True, slots=True)
class About:
    """What an archive says of the run: the node's name, the time in ISO 8601, markreg's version."""

    version: str
    host: str
    time: str
    anonymized: bool


def pack(captures: Sequence[Capture], failures: Sequence[Failure], about: About) -> bytes:
    """The archive: a manifest, then the captures in their order."""
    names = _files(captures)
    told = Manifest(
        about.version,
        about.host,
        about.time,
        os.uname().release,
        about.anonymized,
        _tools(captures),
        tuple(Entry(c.name, file, c.notation, c.netns, c.family, c.command) for c, file in zip(captures, names, strict=True)),
        tuple(Failed(f.name, f.why) for f in failures),
    )
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, data in ((NAME, write(told)), *zip(names, (c.data for c in captures), strict=True)):
            entry = tarfile.TarInfo(f"{FOLDER}/{name}")
            entry.size, entry.mode = len(data), _MODE
            tar.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


def save(path: Path, data: bytes) -> None:
    """Writes the archive as a whole or not at all, for its owner only. What is there and no file is written to. Raises OSError."""
    path = path.resolve()
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)  # mode 0600 from the start
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _files(captures: Sequence[Capture]) -> list[str]:
    """A file's name for each: what was captured, and of which namespace, as a name of a file can say it."""
    names: dict[str, None] = {}
    for capture in captures:
        stem = _UNSAFE.sub("_", capture.name.partition(" (netns ")[0]).strip("_.") or "capture"
        where = "" if capture.netns == HOST else f".netns-{_UNSAFE.sub('_', capture.netns)}"
        name, number = f"{stem[:80]}{where[:100]}.txt", 2
        while name in names:
            name, number = f"{stem[:80]}-{number}{where[:100]}.txt", number + 1
        names[name] = None
    return list(names)


def _tools(captures: Sequence[Capture]) -> tuple[tuple[str, str], ...]:
    """The programs that were run, and what they say of their version."""
    programs = sorted({words[0] for c in captures if (words := c.command.split()) and find(words[0])} - {"cat", "sysctl"})
    budget = Budget(_VERSION_SECONDS, 1 << 20)
    said = ((name, run((name, _SAYS_VERSION.get(name, _VERSION)), budget)) for name in programs)
    return tuple((name, (out.data.decode("utf-8", "replace") or out.said).strip().split("\n")[0]) for name, out in said)
