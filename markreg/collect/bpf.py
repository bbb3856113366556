"""Loaded BPF programs: those that act in this network namespace, with what is needed to read them elsewhere.

Nothing is loaded, pinned or attached. The capture is one JSON document; formats/bpf_xlated.py says what it holds.
"""

from __future__ import annotations

import errno
import json
import os
import struct
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from markreg.collect import bpf_attached as attached
from markreg.collect import bpf_programs as loaded
from markreg.collect import bpf_types as types
from markreg.collect.bpf_attached import Attachment
from markreg.collect.bpf_pins import pins
from markreg.collect.bpf_programs import Code, Map, Program

if TYPE_CHECKING:
    from markreg.collect.tools import Live

NAME = "bpf programs"
NOTATION = "bpf-xlated"
COMMAND = "bpf(2)"
_SYMBOLS = Path("/proc/kallsyms")
_BASE = "__bpf_call_base"
_PROGRAMS, _SLOTS, _INSTRUCTIONS = 20_000, 4096, 4_000_000
_CALL = 0x85
# Attached by what bpf(2) does not show: the routes of a tunnel.
_ROUTES = ("lwt_in", "lwt_out", "lwt_xmit", "lwt_seg6local")


def read(node: Live) -> None:
    """Every program that is attached here or that one of these may call."""
    try:
        known = {p.id: p for p in loaded.programs(_PROGRAMS)}
    except OSError as error:
        # A kernel without bpf(2) has no programs.
        if error.errno != errno.ENOSYS:
            needed = "; this takes root (CAP_SYS_ADMIN)" if error.errno == errno.EPERM else ""
            node.unread(NAME, f"{error.strerror or error}{needed}", advise=False)
        return
    if len(known) == _PROGRAMS:
        node.unread(f"a part of the {NAME}", f"there are more than {_PROGRAMS}")
    if not any(p.type for p in known.values()):
        return
    places: list[Attachment] = []
    for what, found in (("devices", attached.devices(node.budget)), ("cgroups", attached.cgroups(known.values(), node.budget))):
        try:
            places += found
        except OSError as error:
            node.unread(f"{NAME} of {what}", error.strerror or str(error))
    for program in known.values():
        if program.type in _ROUTES:
            node.unread(f"BPF program id {program.id} ({program.type} {program.name})", "the kernel does not say on which routes it is")
    _Capture(node, known, places).take()


class _Capture:
    def __init__(self, node: Live, known: dict[int, Program], places: Sequence[Attachment]) -> None:
        self.node, self.known = node, known
        self.places = [p for p in places if p.program in known and known[p.program].type]
        self.maps: dict[int, Map] = {}
        self.failed: dict[str, list[str]] = {}
        self.pins: dict[tuple[str, int], str] = {}

    def take(self) -> None:
        """Adds the capture, if there is anything to read."""
        if not self.places:
            return
        callers = self._reached()
        codes: dict[int, Code] = {}
        total = 0
        for identity in sorted(callers):
            try:
                code = loaded.code(identity) if self.node.budget.left and total < _INSTRUCTIONS else None
            except OSError as error:
                self._fail(self.known[identity], error.strerror or str(error))
                continue
            if code is None:
                if not self.node.budget.left or total >= _INSTRUCTIONS:
                    self._fail(self.known[identity], "there was no time or room left for it (--timeout)")
                continue
            codes[identity] = code
            total += len(code.instructions) // 8
        for why, names in self.failed.items():
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            self.node.unread(f"BPF {'program' if len(names) == 1 else 'programs'} {shown}", why)
        if not codes:
            return
        try:
            offsets = types.kernel_offsets()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            self.node.unread("marks in BPF programs", f"{types.KERNEL}: {why}; only the kernel's types say where a packet keeps its mark")
            return
        symbols = _names(code.instructions for code in codes.values())
        self.pins = pins(self.node.budget)
        head = {"markreg": "bpf", "kernel": os.uname().release, "order": sys.byteorder, "offsets": offsets}
        programs = (_json(self._program(self.known[i], code, callers[i], symbols)) for i, code in codes.items())
        # A line for each, so that reports can say where one stands.
        text = f'{_json(head)[:-1]},"programs":[\n' + ",\n".join(programs) + "\n]}\n"
        self.node.add(NAME, NOTATION, "inet", text.encode(), COMMAND)

    def _fail(self, program: Program, why: str) -> None:
        self.failed.setdefault(why, []).append(f"id {program.id} ({program.type} {program.name})")

    def _reached(self) -> dict[int, list[int]]:
        """The programs that are attached, and those that they reach by tail calls; of each, who has it in a map."""
        callers: dict[int, list[int]] = {place.program: [] for place in self.places}
        queue = list(callers)
        while queue:
            identity = queue.pop()
            for target in self._targets(self.known[identity]):
                if target not in callers:
                    callers[target] = []
                    queue.append(target)
                if identity not in callers[target]:
                    callers[target].append(identity)
        return callers

    def _targets(self, program: Program) -> Iterable[int]:
        for number in program.maps:
            if number not in self.maps:
                try:
                    found = loaded.map_of(number, _SLOTS)
                except OSError as error:
                    self._fail(program, f"its map {number}: {error.strerror}")
                    found = None
                self.maps[number] = found or Map(number, "", "")
            yield from (target for _, target in self.maps[number].programs if target in self.known)

    def _program(self, program: Program, code: Code, callers: list[int], symbols: dict[int, str]) -> dict[str, object]:
        maps = [self.maps[m] for m in program.maps if m in self.maps]
        # Many instructions come from one line.
        sources = {source: number for number, source in enumerate(dict.fromkeys((f, n, t) for _, f, n, t in code.lines))}
        return {
            "id": program.id,
            "type": program.type,
            "name": program.name,
            "tag": program.tag,
            "pin": self.pins.get(("prog", program.id), ""),
            "maps": [{"id": m.id, "type": m.type, "name": m.name, "pin": self.pins.get(("map", m.id), "")} for m in maps],
            "attached": [
                {"hook": p.hook, "direction": p.direction, "device": p.device, "priority": p.priority}
                for p in self.places
                if p.program == program.id
            ],
            "callers": callers,
            "insns": code.instructions.hex(),
            "calls": {str(at): symbols[to] for at, to in _calls(code.instructions) if to in symbols},
            "functions": [list(f) for f in code.functions],
            "sources": [list(source) for source in sources],
            "lines": [[at, sources[f, n, t]] for at, f, n, t in code.lines],
        }


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _calls(instructions: bytes) -> Iterable[tuple[int, int]]:
    """The calls of the kernel's functions: slot, and the function's distance from ``__bpf_call_base``, 0 where it is not shown."""
    for at, (op, registers, _, target) in enumerate(struct.iter_unpack("=BBhi", instructions)):
        source = registers >> 4 if sys.byteorder == "little" else registers & 15
        if op == _CALL and source != 1 and target:
            yield at, target


def _names(codes: Iterable[bytes]) -> dict[int, str]:
    """The names of the functions that programs call, where this process may see addresses."""
    wanted = {target for code in codes for _, target in _calls(code)}
    if not wanted:
        return {}
    try:
        rows = _SYMBOLS.read_bytes().splitlines()
    except OSError:
        return {}
    marker = f" {_BASE}".encode()
    base = next((int(row.split()[0], 16) for row in rows if row.endswith(marker)), 0)
    if not base:
        return {}
    addresses = {f"{(base + target) & (1 << 64) - 1:016x}".encode(): target for target in wanted}
    names: dict[int, str] = {}
    for row in rows:
        if (target := addresses.get(row[:16])) is not None:
            names.setdefault(target, row.split()[2].decode("utf-8", "replace"))
    return names
