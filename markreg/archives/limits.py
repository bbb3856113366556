"""How much of an archive is read: more is no capture of a node, and would be a way to exhaust whoever reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MEMBERS = 200_000
# Bytes: of one member, of all members that are kept, of everything that an archive unpacks to.
MEMBER = 256 << 20
KEPT = 1 << 30
TOTAL = 4 << 30
# An archive inside an archive: a sysdump holds one for each node.
DEPTH = 1


class ArchiveError(Exception):
    """Why an archive, or the rest of it, cannot be read; follows its name in a report."""


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file of an archive. ``read(n)`` gives its next n bytes at most; valid until the next member is asked for."""

    name: str
    size: int
    read: Callable[[int], bytes]

    def content(self) -> bytes:
        """All of it. Raises ArchiveError where that is more than a member may have."""
        if self.size > MEMBER:
            raise ArchiveError(f"is larger than {MEMBER >> 20} MB ({self.size >> 20} MB)")
        return self.read(self.size) if self.size else b""
