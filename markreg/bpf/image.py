"""Code with everything that it refers to: what an object file or the kernel's translated instructions are brought to before analysis."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from markreg.bpf.btf import Access, Line
from markreg.bpf.context import SOCK_MARK, Context
from markreg.bpf.insn import ByteOrder, Insn


class Ref(NamedTuple):
    """What an lddw loads. ``kind``: ``map``, ``value`` (in a map's value), ``data`` (a section), ``func`` (``offset`` is its entry)."""

    kind: str
    name: str
    offset: int = 0


class Variable(NamedTuple):
    """A named word of a data section."""

    name: str
    offset: int
    size: int


class MapInfo(NamedTuple):
    """A map: its type number and the bytes of its keys and values; 0 where unknown."""

    name: str
    type: int = 0
    key: int = 0
    value: int = 0


@dataclass(frozen=True, slots=True)
class Image:
    """All code of one object, one function behind the other; positions are indices of instructions.

    ``calls``: the entry of the function that a bpf-to-bpf call goes to, or the name of the kfunc. ``functions``: names by entry.
    ``data``: the bytes of data sections, ``variables`` what is in them. ``lines``: ascending. ``ct_mark``: the offset of
    ``nf_conn.mark``, None where it is not known. ``kfuncs``: how many arguments each takes. ``sock_mark``: the offset of a
    socket's mark.
    """

    code: list[Insn]
    order: ByteOrder = "little"
    calls: Mapping[int, int | str] = field(default_factory=dict)
    refs: Mapping[int, Ref] = field(default_factory=dict)
    functions: Mapping[int, str] = field(default_factory=dict)
    maps: Mapping[str, MapInfo] = field(default_factory=dict)
    data: Mapping[str, bytes] = field(default_factory=dict)
    variables: Mapping[str, tuple[Variable, ...]] = field(default_factory=dict)
    lines: list[tuple[int, Line]] = field(default_factory=list)
    accesses: Mapping[int, Access] = field(default_factory=dict)
    ct_mark: int | None = None
    kfuncs: Mapping[str, int] = field(default_factory=dict)
    sock_mark: int = SOCK_MARK

    def line(self, pc: int) -> Line | None:
        """The source line of an instruction: the last one noted at or before it that has a number."""
        at = bisect_right(self.lines, pc, key=lambda row: row[0]) - 1
        while at >= 0 and not self.lines[at][1].number:
            at -= 1
        return self.lines[at][1] if at >= 0 else None

    def variable(self, section: str, offset: int) -> Variable | None:
        """The variable of a data section that holds a byte."""
        rows = self.variables.get(section, ())
        at = bisect_right(rows, offset, key=lambda v: v.offset) - 1
        return rows[at] if at >= 0 and offset < rows[at].offset + max(rows[at].size, 1) else None


@dataclass(frozen=True, slots=True)
class Program:
    """One program: where it begins in its image, its section and the type of its context."""

    name: str
    image: Image
    entry: int
    context: Context
    section: str = ""
