"""What an archive begins with; to see that a file is none, none of the libraries that read them is needed."""

from __future__ import annotations

HEAD = 512
GZIP, BZIP2, XZ, ZSTD, ZIP = b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"
TAR_AT, TAR = 257, b"ustar"


def is_archive(head: bytes) -> bool:
    """Whether a file that begins so is to be read as an archive. ``head``: its first `HEAD` bytes."""
    if not head.startswith(TAR, TAR_AT):
        return head.startswith((GZIP, BZIP2, XZ, ZSTD, ZIP))
    from markreg.archives.tar import is_tar

    return is_tar(head)
