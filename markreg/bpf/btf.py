"""BTF: types of an object or of the kernel, and what .BTF.ext says of its instructions (Documentation/bpf/btf.rst)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import calcsize, iter_unpack, unpack_from
from typing import NamedTuple

from markreg.bpf.errors import BpfError
from markreg.bpf.insn import ByteOrder

INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST = range(1, 11)
RESTRICT, FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64 = range(11, 20)
_MODIFIERS = frozenset((TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG))
# Bytes that follow a type's head: fixed, and for each of its members.
_TAIL = {
    INT: (4, 0), PTR: (0, 0), ARRAY: (12, 0), STRUCT: (0, 12), UNION: (0, 12), ENUM: (0, 8), FWD: (0, 0), TYPEDEF: (0, 0),
    VOLATILE: (0, 0), CONST: (0, 0), RESTRICT: (0, 0), FUNC: (0, 0), FUNC_PROTO: (0, 8), VAR: (4, 0), DATASEC: (0, 12),
    FLOAT: (0, 0), DECL_TAG: (4, 0), TYPE_TAG: (0, 0), ENUM64: (0, 12),
}  # fmt: skip
_MAGIC = 0xEB9F
_DEEPEST = 32
_MOST_INSIDE = 500
_LONGEST = 512
_LONGEST_NAME = 128


class Type(NamedTuple):
    """One type: ``ref`` is a size or another type's number; `: the offsets of members carry a size; ``at`` where its tail begins."""

    name: int
    kind: int
    vlen: int
    bitfields: bool
    ref: int
    at: int


class Member(NamedTuple):
    """A member of a structure or union, at ``offset`` bits, or a parameter of a function."""

    name: str
    type: int
    offset: int = 0


class Line(NamedTuple):
    """Where an instruction comes from: ``text`` is the source line, where the object has it."""

    file: str
    number: int
    text: str


class Access(NamedTuple):
    """A CO-RE record: the structure, the members gone through, and what is asked (linux/bpf.h bpf_core_relo_kind; 0: byte offset)."""

    type: str
    members: tuple[str, ...]
    kind: int

    @property
    def path(self) -> str:
        """``sk_buff.mark``; a structure's flavour after ``___`` is left out."""
        return ".".join((self.type.partition("___")[0], *self.members))


@dataclass(slots=True)
class Btf:
    """The types of one object. Type 0 is void."""

    order: str
    data: bytes
    types: list[Type]
    strings: bytes
    _names: dict[tuple[str, int], int] = field(default_factory=dict)
    _members: dict[int, list[Member]] = field(default_factory=dict)

    def string(self, offset: int) -> str:
        """A name; empty for one outside the table."""
        if not 0 <= offset < len(self.strings):
            return ""
        stop = self.strings.find(b"\0", offset, offset + _LONGEST)
        return self.strings[offset : stop if stop >= 0 else offset + _LONGEST].decode("utf-8", "surrogateescape")

    def type(self, number: int) -> Type:
        """A type by its number. Raises BpfError for one that is not there."""
        if not 0 <= number < len(self.types):
            raise BpfError(f"BTF type {number} of {len(self.types)}")
        return self.types[number]

    def resolve(self, number: int) -> int:
        """The type behind typedefs and qualifiers; void where they go round in a circle."""
        for _ in range(_DEEPEST):
            kind = self.type(number)
            if kind.kind not in _MODIFIERS:
                return number
            number = kind.ref
        return 0

    def find(self, name: str, kind: int) -> int | None:
        """The number of the last type with that name and kind."""
        if not self._names:
            self._names = {(self.string(t.name)[:_LONGEST_NAME], t.kind): i for i, t in enumerate(self.types) if t.name}
        return self._names.get((name, kind))

    def members(self, number: int) -> list[Member]:
        """The members of a structure or union, the parameters of a function prototype; none of another type."""
        if (known := self._members.get(number)) is None:
            known = self._members[number] = self._read_members(number)
        return known

    def _read_members(self, number: int) -> list[Member]:
        kind = self.type(number)
        if kind.kind in (STRUCT, UNION):
            rows = iter_unpack(self.order + "III", self.data[kind.at : kind.at + 12 * kind.vlen])
            low = 0xFFFFFF if kind.bitfields else 0xFFFFFFFF
            return [Member(self.string(name), ref, offset & low) for name, ref, offset in rows]
        if kind.kind == FUNC_PROTO:
            rows = iter_unpack(self.order + "II", self.data[kind.at : kind.at + 8 * kind.vlen])
            return [Member(self.string(name), ref) for name, ref in rows]
        return []

    def array(self, number: int) -> tuple[int, int]:
        """Element type and length of an array; (0, 0) for another type."""
        kind = self.type(number)
        if kind.kind != ARRAY:
            return 0, 0
        element, _, count = unpack_from(self.order + "III", self.data, kind.at)
        return element, count

    def size(self, number: int, deep: int = 0) -> int:
        """The bytes of a value of a type; 0 where that is unknown."""
        kind = self.type(self.resolve(number))
        if kind.kind in (INT, STRUCT, UNION, ENUM, ENUM64, FLOAT, DATASEC):
            return kind.ref
        if kind.kind == PTR:
            return 8
        if kind.kind == ARRAY and deep < _DEEPEST:
            element, count = self.array(self.resolve(number))
            return min(self.size(element, deep + 1) * count, 1 << 32)
        return 0

    def pointed(self, number: int) -> str:
        """The name of the structure that a type points to; ``*`` for a pointer to something else, empty for no pointer."""
        kind = self.type(self.resolve(number))
        if kind.kind != PTR:
            return ""
        inner = self.type(self.resolve(kind.ref))
        return (self.string(inner.name) or "*") if inner.kind in (STRUCT, UNION, FWD) else "*"

    def offset_of(self, structure: str, member: str) -> int | None:
        """The offset in bytes of a member, also inside anonymous structures and unions; None where there is none."""
        number = self.find(structure, STRUCT)
        found = None if number is None else self._offset(number, member, set())
        return None if found is None else found // 8

    def _offset(self, number: int, member: str, seen: set[int]) -> int | None:
        if number in seen or len(seen) > _MOST_INSIDE:
            return None
        seen.add(number)
        for entry in self.members(number):
            if entry.name == member:
                return entry.offset
            if not entry.name:
                inner = self._offset(self.resolve(entry.type), member, seen)
                if inner is not None:
                    return entry.offset + inner
        return None


def parse(data: bytes, order: ByteOrder = "little") -> Btf:
    """The types in a .BTF section or in /sys/kernel/btf/vmlinux. Raises BpfError where it is damaged."""
    end = "<" if order == "little" else ">"
    if len(data) < 24:
        raise BpfError("BTF is cut short")
    magic, _, _, head, type_off, type_len, str_off, str_len = unpack_from(end + "HBBIIIII", data)
    if magic != _MAGIC:
        raise BpfError("BTF does not begin with its magic number")
    start, stop = head + type_off, head + type_off + type_len
    if stop > len(data) or head + str_off + str_len > len(data):
        raise BpfError("BTF is cut short")
    types = [Type(0, 0, 0, False, 0, 0)]
    heads = end + "III"
    at = start
    while at < stop:
        if at + 12 > stop:
            raise BpfError("a BTF type is cut short")
        name, info, ref = unpack_from(heads, data, at)
        kind, count = info >> 24 & 31, info & 0xFFFF
        if kind not in _TAIL:
            raise BpfError(f"BTF kind {kind} is not known")
        fixed, each = _TAIL[kind]
        types.append(Type(name, kind, count, bool(info >> 31) and kind in (STRUCT, UNION), ref, at + 12))
        at += 12 + fixed + each * count
    if at != stop:
        raise BpfError("a BTF type is cut short")
    return Btf(end, data, types, data[head + str_off : head + str_off + str_len])


@dataclass(frozen=True, slots=True)
class Extension:
    """What .BTF.ext says, by section name and byte offset in it."""

    lines: dict[str, list[tuple[int, Line]]] = field(default_factory=dict)
    functions: dict[str, dict[int, int]] = field(default_factory=dict)
    accesses: dict[str, dict[int, Access]] = field(default_factory=dict)


def extension(data: bytes, btf: Btf) -> Extension:
    """The records of a .BTF.ext section. Raises BpfError where it is damaged."""
    if len(data) < 24:
        raise BpfError(".BTF.ext is cut short")
    magic, _, _, head, func_off, func_len, line_off, line_len = unpack_from(btf.order + "HBBIIIII", data)
    if magic != _MAGIC:
        raise BpfError(".BTF.ext does not begin with its magic number")
    found = Extension()
    for name, rows in _records(data, head + func_off, func_len, "II", btf):
        found.functions.setdefault(name, {}).update(rows)  # type: ignore[arg-type]
    for name, rows in _records(data, head + line_off, line_len, "IIII", btf):
        lines = found.lines.setdefault(name, [])
        lines += [(at, Line(btf.string(file), number >> 10, btf.string(text).strip())) for at, file, text, number in rows]
    for lines in found.lines.values():
        lines.sort(key=lambda row: row[0])
    if head >= 32 and len(data) >= 32:
        core_off, core_len = unpack_from(btf.order + "II", data, 24)
        for name, rows in _records(data, head + core_off, core_len, "IIII", btf):
            accesses = found.accesses.setdefault(name, {})
            for at, number, text, kind in rows:
                accesses[at] = _access(btf, number, btf.string(text), kind)
    return found


def _records(data: bytes, start: int, length: int, layout: str, btf: Btf) -> Iterator[tuple[str, list[tuple[int, ...]]]]:
    """The rows of one part, by section. The size of a row stands before them and may be larger than what is known of it."""
    if not length:
        return
    if length < 4 or start + length > len(data):
        raise BpfError(".BTF.ext is cut short")
    (row,) = unpack_from(btf.order + "I", data, start)
    known = calcsize(btf.order + layout)
    at, stop = start + 4, start + length
    if row < known or row > 1024:
        raise BpfError(f".BTF.ext has records of {row} bytes")
    while at < stop:
        if at + 8 > stop:
            raise BpfError(".BTF.ext is cut short")
        name, count = unpack_from(btf.order + "II", data, at)
        at += 8
        if at + count * row > stop:
            raise BpfError(".BTF.ext is cut short")
        yield btf.string(name), list(iter_unpack(f"{btf.order}{layout}{row - known}x", data[at : at + count * row]))
        at += count * row


def _access(btf: Btf, number: int, text: str, kind: int) -> Access:
    """An access string such as ``0:1:2`` as names: the first index is into an array, the others are members or elements."""
    number = btf.resolve(number)
    name = btf.string(btf.type(number).name)
    members: list[str] = []
    for index in text.split(":")[1 : _DEEPEST + 1]:
        if not index.isascii() or not index.isdigit() or len(index) > 6:
            break
        if btf.type(number).kind == ARRAY:
            number = btf.resolve(btf.array(number)[0])
            continue
        inside = btf.members(number)
        if int(index) >= len(inside):
            break
        if inside[int(index)].name:
            members.append(inside[int(index)].name)
        number = btf.resolve(inside[int(index)].type)
    return Access(name, tuple(members), kind)
