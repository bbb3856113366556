"""Members of a tar stream. Nothing is unpacked: a member's name is only text, and only regular files have content.

The standard reader keeps headers of any size in memory and follows chains of them by recursion; archives come from strangers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from markreg.archives.limits import ArchiveError, Member
from markreg.archives.magic import TAR, TAR_AT

BLOCK = 512
_CHECKSUM = slice(148, 156)
# A long name or a pax header is this long at most; PATH_MAX is 4096.
_LONGEST_HEADER = 1 << 16
_REGULAR = (b"0", b"\0", b"7")
_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL = b"L", b"K", b"x", b"g"

Read = Callable[[int], bytes]
Skip = Callable[[int], None]


def is_tar(head: bytes) -> bool:
    """Whether the first block is a header: the sum of its bytes stands in it."""
    return len(head) >= BLOCK and head.startswith(TAR, TAR_AT) and _sum_holds(head[:BLOCK])


def members(read: Read, skip: Skip) -> Iterator[Member]:
    """Every regular file, in the stream's order. A member's content is to be read before the next is asked for.

    ``read(n)`` gives n bytes or fewer at the end of the stream. Raises ArchiveError where it is no tar, or cut off.
    """
    name, size = "", -1
    while header := _header(read):
        length = _number(header[124:136])
        kind = header[156:157]
        if kind in (_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL):
            said = _whole(read, length)
            if kind == _LONG_NAME:
                name = _text(said.rstrip(b"\0"))
            elif kind == _PAX:
                records = _records(said)
                name = _text(records.get(b"path", b"")) or name
                size = int(records[b"size"]) if records.get(b"size", b"").isdigit() else size
            continue
        length = size if size >= 0 else length
        left = [length]

        def content(most: int, left: list[int] = left) -> bytes:
            data = read(min(most, left[0]))
            if len(data) < min(most, left[0]):
                raise ArchiveError("is truncated")
            left[0] -= len(data)
            return data

        if kind in _REGULAR:
            yield Member(name or _name(header), length, content)
        skip(left[0] + -length % BLOCK)
        name, size = "", -1


def _header(read: Read) -> bytes:
    """The next header; empty at the end of the archive."""
    block = read(BLOCK)
    if len(block) < BLOCK:  # the end is a block of zeros, not that of the stream
        raise ArchiveError("is truncated")
    if not block.strip(b"\0"):
        return b""
    if not _sum_holds(block):
        raise ArchiveError("is corrupt: the sum of a tar header is wrong")
    return block


def _sum_holds(block: bytes) -> bool:
    said = block[_CHECKSUM].split(b"\0")[0].strip()
    try:
        return int(said, 8) == sum(block) - sum(block[_CHECKSUM]) + 8 * ord(" ")
    except ValueError:
        return False


def _number(field: bytes) -> int:
    """An octal number, or where its first bit is set one of base 256."""
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big")
    try:
        return int(field.split(b"\0")[0].strip() or b"0", 8)
    except ValueError:
        raise ArchiveError("is corrupt: a size in a tar header is no number") from None


def _whole(read: Read, length: int) -> bytes:
    if length > _LONGEST_HEADER:
        raise ArchiveError("is corrupt: a name or an extended header is longer than any")
    padded = length + -length % BLOCK
    data = read(padded)
    if len(data) < padded:
        raise ArchiveError("is truncated")
    return data[:length]


def _records(data: bytes) -> dict[bytes, bytes]:
    """The records of a pax header, each ``LENGTH KEY=VALUE`` and a line end."""
    found = {}
    while data:
        said, _, rest = data.partition(b" ")
        length = int(said) if said.isdigit() and len(said) < 8 else 0
        if length <= len(said) + 1 or length > len(data):
            break
        key, _, value = rest[: length - len(said) - 1].rstrip(b"\n").partition(b"=")
        found[key] = value
        data = data[length:]
    return found


def _name(header: bytes) -> str:
    name, prefix = header[:100].split(b"\0")[0], header[345:500].split(b"\0")[0]
    # Only POSIX headers have a prefix there; GNU's hold times.
    return _text(prefix + b"/" + name if prefix and header[257:263] == b"ustar\0" else name)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
