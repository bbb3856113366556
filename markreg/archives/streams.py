"""What is packed in an archive, as a stream with limits: tar, plain or by gzip, bzip2, xz, zstd; and zip."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import BinaryIO, Protocol

from markreg.archives import tar
from markreg.archives.limits import MEMBERS, TOTAL, ArchiveError, Member
from markreg.archives.magic import BZIP2, GZIP, HEAD, XZ, ZIP, ZSTD

_CHUNK = 1 << 18
_XZ_MEMORY = 128 << 20
_BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OverflowError)


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def members(file: BinaryIO) -> Iterator[Member]:
    """The regular files of an archive in their order; ``file`` can be sought. Raises ArchiveError, also after some members."""
    head = file.read(HEAD)
    file.seek(0)
    if head.startswith(ZIP):
        found = _zipped(file)
    else:
        stream = _Chunks(_unpacked(file, head))
        if not tar.is_tar(stream.peek(HEAD)):
            raise ArchiveError("is compressed and holds no tar archive")
        found = tar.members(stream.read, stream.skip)
    try:
        for number, member in enumerate(found):
            if number >= MEMBERS:
                raise ArchiveError(f"holds more than {MEMBERS} files")
            yield member
    except _BROKEN as error:
        raise ArchiveError(_why(error)) from error


def _why(error: BaseException) -> str:
    return "is truncated" if isinstance(error, EOFError) else f"is corrupt: {error}"


def _unpacked(file: BinaryIO, head: bytes) -> Iterator[bytes]:
    if head.startswith(GZIP):
        with gzip.GzipFile(fileobj=file) as packed:
            yield from iter(lambda: packed.read(_CHUNK), b"")
    elif head.startswith(XZ):
        yield from _decompressed(file, lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY))
    elif head.startswith(BZIP2):
        yield from _decompressed(file, bz2.BZ2Decompressor)
    elif head.startswith(ZSTD):
        yield from _decompressed(file, _zstd())
    else:
        yield from iter(lambda: file.read(_CHUNK), b"")


def _zstd() -> Callable[[], _Decompressor]:
    try:
        found: Callable[[], _Decompressor] = import_module("compression.zstd").ZstdDecompressor
    except ImportError:
        raise ArchiveError("is packed by zstd, which Python reads from 3.14 on; zstd -d unpacks it") from None
    return found


def _decompressed(file: BinaryIO, make: Callable[[], _Decompressor]) -> Iterator[bytes]:
    """Packed streams one after the other, in pieces of a limited size whatever they unpack to."""
    data = file.read(_CHUNK)
    while data:
        one = make()
        while not one.eof:
            if one.needs_input and not data and not (data := file.read(_CHUNK)):
                raise EOFError
            yield one.decompress(data, _CHUNK)
            data = b""
        data = one.unused_data or file.read(_CHUNK)


class _Chunks:
    """Reads and skips in a stream that comes in pieces, up to the limit of all that an archive may hold."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._piece = b""
        self._at = 0
        self._seen = 0

    def _next(self) -> bool:
        """Goes on to the next piece; False at the end."""
        try:
            self._piece = next((p for p in self._pieces if p), b"")
        except _BROKEN as error:
            raise ArchiveError(_why(error)) from error
        self._at = 0
        self._seen += len(self._piece)
        if self._seen > TOTAL:
            raise ArchiveError(f"holds more than {TOTAL >> 30} GB")
        return bool(self._piece)

    def peek(self, size: int) -> bytes:
        """The next bytes, which are read again."""
        self._piece, self._at = self.read(size) + self._piece[self._at :], 0
        return self._piece[:size]

    def read(self, size: int) -> bytes:
        """``size`` bytes, fewer at the end."""
        parts = []
        while size and (self._at < len(self._piece) or self._next()):
            part = self._piece[self._at : self._at + size]
            self._at += len(part)
            size -= len(part)
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def skip(self, size: int) -> None:
        """Goes on by ``size`` bytes; not beyond the end."""
        while size and (self._at < len(self._piece) or self._next()):
            step = min(size, len(self._piece) - self._at)
            self._at += step
            size -= step


def _zipped(file: BinaryIO) -> Iterator[Member]:
    with zipfile.ZipFile(file) as packed:
        total = 0
        for info in packed.infolist():
            total += info.file_size
            if total > TOTAL:
                raise ArchiveError(f"holds more than {TOTAL >> 30} GB")
            # The upper half is a Unix mode where a Unix wrote it: only regular files.
            mode = info.external_attr >> 16 & 0o170000
            if info.is_dir() or mode not in (0, 0o100000):
                continue
            with packed.open(info) as content:
                yield Member(info.filename, info.file_size, _guarded(content.read))


def _guarded(read: Callable[[int], bytes]) -> Callable[[int], bytes]:
    def guarded(most: int) -> bytes:
        try:
            return read(most)
        except _BROKEN as error:
            raise ArchiveError(_why(error)) from error

    return guarded
