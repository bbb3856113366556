"""Object files made by hand, for code that no compiler makes."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from markreg.bpf.insn import Insn

_NAMES = b"\0tc\0.symtab\0.strtab\0program\0"


def assembled(code: Iterable[Insn]) -> bytes:
    """Instructions as they stand in a little-endian object."""
    return b"".join(struct.pack("<BBhi", i.op, i.dst | i.src << 4, i.off, i.imm) for i in code)


def built(code: bytes, name: bytes = b"tc", entries: Sequence[int] = (0,)) -> bytes:
    """A little-endian object with one section of programs, without types; ``entries``: where they begin."""
    names = _NAMES.replace(b"tc", name, 1)
    program = names.index(b"program")
    symbols = bytes(24) + b"".join(struct.pack("<IBBHQQ", program, 0x12, 0, 1, 8 * at, len(code) - 8 * at) for at in entries)
    contents = [b"", code, symbols, names]
    at = [64]
    for content in contents:
        at.append(at[-1] + len(content))
    headers = bytes(64)
    headers += struct.pack("<IIQQQQIIQQ", 1, 1, 6, 0, at[1], len(code), 0, 0, 8, 0)
    headers += struct.pack("<IIQQQQIIQQ", names.index(b".symtab"), 2, 0, 0, at[2], len(symbols), 3, 1, 8, 24)
    headers += struct.pack("<IIQQQQIIQQ", names.index(b".strtab"), 3, 0, 0, at[3], len(names), 0, 0, 1, 0)
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 1, 247, 1, 0, 0, at[4], 0, 64, 0, 0, 64, 4, 3)
    return head + b"".join(contents) + headers
