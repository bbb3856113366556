"""Loaded BPF programs as captures tell of them: markreg's own document, and what bpftool -j prints.

Our document is one object: ``markreg`` is ``bpf``, ``order`` the byte order, ``offsets`` where the kernel's structures have what programs
get at (bytes), ``programs`` a list. A program has ``id``, ``type``, ``name``, ``tag``, ``pin``, ``maps`` (id, type, name, pin),
``attached`` (hook, direction, device, priority), ``callers`` (programs that have it in a map of programs), ``insns`` (hexadecimal),
``calls`` (slot to the kernel's name of a function), ``functions`` (slot, name), ``sources`` (file, line, text) and ``lines`` (slot, number
of a source).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_COMMENT = re.compile(r"(?:\s*(?:#|\$ |//)[^\n]*(?:\n|$))*\s*")
_COMMAND = re.compile(r"bpftool\b[^\n]*\bdump[ \t]+xlated[ \t]+(id|tag|name|pinned)[ \t]+(\S+)")
_PROGRAM = re.compile(r'\{"id":\s*(\d{1,10}),\s*"type"')
_DECODER = json.JSONDecoder()
_MOST, _DEEPEST = 1 << 20, 200
# enum bpf_attach_type as bpftool cgroup prints it, old and new names.
_CGROUP_PREFIX = re.compile(r"^(?:cgroup_)?(?:inet_?)?")
MARK = "sk_buff.mark"


class DocumentError(ValueError):
    """A text that is no such document, or a damaged one: what, and on which line."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class Attached:
    """A place of a program: ``hook`` is ``tc``, ``tcx``, ``netkit`` or ``cgroup``; of two at one place the lower priority runs first.

    ``told``: the capture has the priority, not just an order.
    """

    hook: str
    direction: str = ""
    device: str = ""
    priority: int = 0
    told: bool = True


@dataclass(slots=True)
class Loaded:
    """A loaded program. ``line``: where the capture has it. ``code``: its instructions, translated by the kernel; none if only its
    name is known. ``maps``: type and name by id; ``pins``: paths of it and of its maps in the BPF file system; ``calls``: the kernel's
    functions by slot; ``lines``: slot, file, line, text."""

    id: int
    line: int
    type: str = ""
    name: str = ""
    tag: str = ""
    code: bytes = b""
    maps: dict[int, tuple[str, str]] = field(default_factory=dict)
    attached: list[Attached] = field(default_factory=list)
    callers: list[int] = field(default_factory=list)
    pins: list[str] = field(default_factory=list)
    calls: dict[int, str] = field(default_factory=dict)
    functions: dict[int, str] = field(default_factory=dict)
    lines: list[tuple[int, str, int, str]] = field(default_factory=list)


@dataclass(slots=True)
class Capture:
    """All programs by id. ``offsets`` is empty where nothing says where the kernel keeps things. ``odd``: what was not understood."""

    order: str = "little"
    offsets: dict[str, int] = field(default_factory=dict)
    programs: dict[int, Loaded] = field(default_factory=dict)
    odd: list[tuple[int, str]] = field(default_factory=list)

    def program(self, identity: int, line: int) -> Loaded:
        """The program of an id, made where it is new."""
        return self.programs.setdefault(identity, Loaded(identity, line))


def documents(text: str) -> Iterator[tuple[int, str, Any]]:
    """Every JSON document of a text: its first line, the comment lines before it, the value. Raises DocumentError."""
    at, line, counted = 0, 1, 0
    while True:
        start = match.end() if (match := _COMMENT.match(text, at)) else at
        if start >= len(text):
            return
        line, counted = line + text.count("\n", counted, start), start
        try:
            value, end = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            said = "it is nested too deeply" if isinstance(error, RecursionError) else "truncated, or no JSON"
            raise DocumentError(line, said) from None
        yield line, text[at:start], value
        at = end


def own(value: dict[str, Any], text: str) -> Capture:
    """The programs of our own document; ``text`` is the whole of it, for the lines."""
    capture = Capture("big" if value.get("order") == "big" else "little")
    capture.offsets = {k: v for k, v in _object(value.get("offsets")).items() if isinstance(v, int) and 0 <= v < _MOST}
    lines: dict[int, int] = {}
    line, counted = 1, 0
    for match in _PROGRAM.finditer(text):
        line, counted = line + text.count("\n", counted, match.start()), match.start()
        lines.setdefault(int(match[1]), line)
    for entry in _objects(value.get("programs")):
        identity = _number(entry.get("id"))
        program = capture.program(identity, lines.get(identity, 1))
        program.type, program.name, program.tag = (_text(entry.get(k)) for k in ("type", "name", "tag"))
        try:
            program.code = bytes.fromhex(_text(entry.get("insns")))
        except ValueError:
            capture.odd.append((program.line, f"the instructions of program {identity} are no hexadecimal digits"))
        program.maps = {_number(m.get("id")): (_text(m.get("type")), _text(m.get("name"))) for m in _objects(entry.get("maps"))}
        pinned = (entry, *_objects(entry.get("maps")))
        program.pins = [pin for named in pinned if (pin := _text(named.get("pin")))]
        program.attached = [
            Attached(_text(a.get("hook")), _text(a.get("direction")), _text(a.get("device")), _number(a.get("priority")))
            for a in _objects(entry.get("attached"))
        ]
        program.callers = [_number(c) for c in _list(entry.get("callers"))]
        program.calls = {int(k): _text(v) for k, v in _object(entry.get("calls")).items() if k.isascii() and k.isdigit() and len(k) < 8}
        program.functions = {_number(f[0]): _text(f[1]) for f in _rows(entry.get("functions"), 2)}
        sources = [(_text(s[0]), _number(s[1]), _text(s[2])) for s in _rows(entry.get("sources"), 3)]
        program.lines = [
            (_number(r[0]), *sources[_number(r[1])]) for r in _rows(entry.get("lines"), 2) if 0 <= _number(r[1]) < len(sources)
        ]
    return capture


def bpftool(text: str) -> Capture:
    """What several commands of ``bpftool -j`` printed, one behind the other: prog show, net show, map show, cgroup tree, btf dump, and prog
    dump xlated … opcodes under a comment with the command, which alone says which program it is. Raises DocumentError."""
    capture = Capture()
    maps: dict[int, tuple[str, str]] = {}
    used: dict[int, list[int]] = {}
    dumps: list[tuple[int, str, list[dict[str, Any]]]] = []
    for line, before, value in documents(text):
        rows = list(_objects(value))
        if isinstance(value, dict) and isinstance(value.get("types"), list):
            capture.offsets |= _offsets(list(_objects(value["types"])))
        elif isinstance(value, dict) and "id" in value:
            rows = [value]
        if rows and "disasm" in rows[0]:
            dumps.append((line, before, rows))
        elif rows and ("bytes_key" in rows[0] or "max_entries" in rows[0]):
            maps |= {_number(r.get("id")): (_text(r.get("type")), _text(r.get("name"))) for r in rows}
        elif rows and "type" in rows[0] and "id" in rows[0]:
            for row in rows:
                program = capture.program(_number(row.get("id")), line)
                program.type, program.name, program.tag = (_text(row.get(k)) for k in ("type", "name", "tag"))
                used[program.id] = [_number(m) for m in _list(row.get("map_ids"))]
        else:
            _attachments(capture, line, rows)
    for line, before, rows in dumps:
        _dump(capture, line, before, rows)
    for identity, ids in used.items():
        capture.programs[identity].maps = {i: maps.get(i, ("", "")) for i in ids}
    return capture


def _attachments(capture: Capture, line: int, rows: list[dict[str, Any]]) -> None:
    """bpftool net show and cgroup tree. Neither tells priorities: the order is that of the entries."""
    for row in rows:
        for order, entry in enumerate(_objects(row.get("tc"))):
            hook, _, direction = _text(entry.get("kind")).partition("/")
            hook = {"clsact": "tc", "ingress": "tc", "sch_ingress": "tc"}.get(hook, hook)
            place = Attached(hook, direction or "ingress", _text(entry.get("devname")), order, told=False)
            capture.program(_number(entry.get("id", entry.get("prog_id"))), line).attached.append(place)
        for order, entry in enumerate(_objects(row.get("programs"))):
            direction = _CGROUP_PREFIX.sub("", _text(entry.get("attach_type")))
            place = Attached("cgroup", direction, _text(row.get("cgroup")), order, told=False)
            capture.program(_number(entry.get("id")), line).attached.append(place)


def _dump(capture: Capture, line: int, before: str, rows: list[dict[str, Any]]) -> None:
    """The instructions of one program."""
    said = list(_COMMAND.finditer(before))
    program = None
    if said:
        key, word = said[-1][1], said[-1][2]
        found = [p for p in capture.programs.values() if word in {"id": (str(p.id),), "tag": (p.tag,), "name": (p.name,)}.get(key, ())]
        program = found[0] if len(found) == 1 else None
    if program is None:
        capture.odd.append((line, "which program these instructions are of is not said (by the command above them and prog show)"))
        return
    program.line = line
    code = bytearray()
    for row in rows:
        slot = len(code) // 8
        if proto := re.search(r"(\w+)\s*\(", _text(row.get("proto"))):
            program.functions[slot] = proto[1]
        if row.get("src"):
            program.lines.append((slot, _text(row.get("file")), _number(row.get("line_num")), _text(row.get("src"))))
        if called := re.search(r"\bcall (\w+)#", _text(row.get("disasm"))):
            program.calls[slot] = called[1]
        try:
            code += _slots(_object(row.get("opcodes")), capture.order)
        except (ValueError, OverflowError):
            capture.odd.append(
                (line, f"instruction {slot} of program {program.id} has no opcodes: bpftool prints them when it is asked for opcodes")
            )
            return
    program.code = bytes(code)


def _slots(said: dict[str, Any], order: str) -> bytes:
    """An instruction of eight or sixteen bytes. bpftool prints the bytes of offset and immediate as they lie in memory."""
    op, source, target = (int(_text(said.get(k)), 16) for k in ("code", "src_reg", "dst_reg"))
    offset, immediate = (bytes(int(_text(b), 16) for b in _list(said.get(k))) for k in ("off", "imm"))
    if len(offset) != 2 or len(immediate) not in (4, 12):
        raise ValueError("neither eight nor sixteen bytes")
    registers = target | source << 4 if order == "little" else target << 4 | source
    return bytes((op, registers)) + offset + immediate


def _offsets(types: list[dict[str, Any]]) -> dict[str, int]:
    """Where the mark and the words of cb are, from bpftool -j btf dump of the kernel's types."""
    known = {_number(t.get("id")): t for t in types}
    found = {}
    for name, parts in {MARK: (("sk_buff", "mark"),), "sk_buff.cb": (("sk_buff", "cb"), ("qdisc_skb_cb", "data"))}.items():
        at = [_member(known, next((t for t in types if t.get("name") == s and t.get("kind") == "STRUCT"), {}), m, set()) for s, m in parts]
        if None not in at:
            found[name] = sum(offset for offset in at if offset is not None) // 8
    return found


def _member(known: dict[int, dict[str, Any]], structure: dict[str, Any], name: str, seen: set[int]) -> int | None:
    """The offset of a member in bits, also inside those without a name."""
    for member in _objects(structure.get("members")):
        at, inside = _number(member.get("bits_offset")), _number(member.get("type_id"))
        if member.get("name") == name:
            return at
        if member.get("name") in ("", "(anon)", None) and inside not in seen and len(seen) < _DEEPEST:
            seen.add(inside)
            inner = _member(known, known.get(inside, {}), name, seen)
            if inner is not None:
                return at + inner
    return None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> Iterator[dict[str, Any]]:
    return (entry for entry in _list(value) if isinstance(entry, dict))


def _rows(value: object, size: int) -> Iterator[list[Any]]:
    return (row for row in _list(value) if isinstance(row, list) and len(row) >= size)


def _number(value: object) -> int:
    return value if isinstance(value, int) and abs(value) < 1 << 63 else -1


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
