"""ELF64 relocatable files of machine BPF, both byte orders: sections, symbols, relocations.

A reader of the few parts that are needed, which checks every offset and count. pyelftools, which the tests hold this against, takes
longer to be imported than this takes for an object of 40,000 instructions.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import calcsize, iter_unpack, unpack_from
from typing import NamedTuple

from markreg.bpf.errors import BpfError
from markreg.bpf.insn import ByteOrder

MAGIC = b"\x7fELF"
EM_BPF = 247
PROGBITS, SYMTAB, NOBITS, REL = 1, 2, 8, 9
EXECINSTR = 4
NOTYPE, OBJECT, FUNC, SECTION = 0, 1, 2, 3
# Relocations of code (llvm ELFRelocs/BPF.def): lddw of maps, data and functions; calls.
R_64_64, R_64_32 = 1, 10
_HEADER = "HHIQQQIHHHHHH"
_SECTION = "IIQQQQIIQQ"
_LONGEST = 1024


class Section(NamedTuple):
    """One section. ``link`` and ``info`` as the ELF header has them."""

    number: int
    name: str
    type: int
    flags: int
    data: bytes
    size: int
    link: int
    info: int


class Symbol(NamedTuple):
    """One symbol: ``type`` is FUNC, OBJECT …, ``section`` the index of its section (0: undefined)."""

    name: str
    type: int
    local: bool
    section: int
    value: int
    size: int


class Relocation(NamedTuple):
    """A place in a section whose content depends on a symbol."""

    offset: int
    type: int
    symbol: Symbol


@dataclass(frozen=True, slots=True)
class Elf:
    """What an object file holds. ``relocations``: by the index of the section that they are about."""

    order: ByteOrder
    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]
    relocations: dict[int, tuple[Relocation, ...]]

    def section(self, name: str) -> Section | None:
        """The first section of that name."""
        return next((s for s in self.sections if s.name == name), None)


def is_bpf(data: bytes) -> bool:
    """Whether bytes begin like a BPF object."""
    if data[:5] != MAGIC + b"\x02" or data[5:6] not in (b"\x01", b"\x02") or len(data) < 20:
        return False
    return int.from_bytes(data[18:20], "little" if data[5] == 1 else "big") == EM_BPF


def read(data: bytes) -> Elf:
    """The object in ``data``. Raises BpfError for anything else and for a damaged one."""
    if data[:4] != MAGIC:
        raise BpfError("is no ELF file")
    if data[4:5] != b"\x02" or data[5:6] not in (b"\x01", b"\x02"):
        raise BpfError("is no 64-bit ELF file")
    order: ByteOrder = "little" if data[5] == 1 else "big"
    end = "<" if order == "little" else ">"
    if len(data) < 16 + calcsize(end + _HEADER):
        raise BpfError("the ELF header is cut short")
    kind, machine, _, _, _, start, _, _, _, _, entry, count, names = unpack_from(end + _HEADER, data, 16)
    if machine != EM_BPF:
        raise BpfError(f"is an ELF file of machine {machine}, not of BPF (247)")
    if kind != 1:
        raise BpfError(f"is no relocatable file (type {kind})")
    if entry != calcsize(end + _SECTION) or not start or start + count * entry > len(data):
        raise BpfError("the section headers are outside the file")
    headers = [unpack_from(end + _SECTION, data, start + i * entry) for i in range(count)]
    if names >= count:
        raise BpfError("the section names are in no section")
    if sum(h[5] for h in headers if h[1] not in (0, NOBITS)) > 2 * len(data):
        raise BpfError("the sections overlap")
    texts = _content(data, headers[names], names)
    sections = tuple(Section(i, _name(texts, h[0]), h[1], h[2], _content(data, h, i), h[5], h[6], h[7]) for i, h in enumerate(headers))
    symbols = _symbols(sections, end)
    return Elf(order, sections, symbols, _relocations(sections, symbols, end))


def _content(data: bytes, header: tuple[int, ...], index: int) -> bytes:
    kind, start, size = header[1], header[4], header[5]
    if kind in (0, NOBITS):
        return b""
    if start + size > len(data):
        raise BpfError(f"section {index} is outside the file")
    return data[start : start + size]


def _name(texts: bytes, start: int) -> str:
    if start > len(texts):
        raise BpfError("a name is outside the string table")
    stop = texts.find(b"\0", start, start + _LONGEST)
    return texts[start : stop if stop >= 0 else start + _LONGEST].decode("utf-8", "surrogateescape")


def _symbols(sections: tuple[Section, ...], end: str) -> tuple[Symbol, ...]:
    table = next((s for s in sections if s.type == SYMTAB), None)
    if table is None:
        return ()
    layout = end + "IBBHQQ"
    if len(table.data) % calcsize(layout):
        raise BpfError("the symbol table is no whole number of symbols")
    if table.link >= len(sections):
        raise BpfError("the symbol names are in no section")
    texts = sections[table.link].data
    found = []
    for name, info, _, section, value, size in iter_unpack(layout, table.data):
        if section < 0xFF00 and section >= len(sections):
            raise BpfError(f"a symbol is in section {section} of {len(sections)}")
        label = _name(texts, name)
        if not label and info & 15 == SECTION and section < len(sections):
            label = sections[section].name
        found.append(Symbol(label, info & 15, info >> 4 == 0, section, value, size))
    return tuple(found)


def _relocations(sections: tuple[Section, ...], symbols: tuple[Symbol, ...], end: str) -> dict[int, tuple[Relocation, ...]]:
    """Those of code; what is about debugging information (R_BPF_64_ABS64, ABS32, NODYLD32) is left out."""
    found: dict[int, list[Relocation]] = {}
    layout = end + "QQ"
    for table in (s for s in sections if s.type == REL and s.info < len(sections)):
        about = sections[table.info]
        if about.type != PROGBITS or not about.flags & EXECINSTR:
            continue
        if len(table.data) % calcsize(layout):
            raise BpfError(f"the relocations of {about.name} are no whole number of entries")
        entries = found.setdefault(about.number, [])
        for offset, info in iter_unpack(layout, table.data):
            if info >> 32 >= len(symbols):
                raise BpfError(f"a relocation of {about.name} names symbol {info >> 32} of {len(symbols)}")
            entries.append(Relocation(offset, info & 0xFFFFFFFF, symbols[info >> 32]))
    return {number: tuple(entries) for number, entries in found.items()}
