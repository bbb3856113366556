"""The BPF programs that this kernel holds: what they are, their maps, and their instructions as the kernel translated them.

Layouts: include/uapi/linux/bpf.h struct bpf_prog_info, bpf_map_info, bpf_btf_info. A program may go away between two questions.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from markreg.collect import bpf_syscall as bpf
from markreg.collect.bpf_types import Types

# enum bpf_prog_type: the types whose programs can see or set the mark of a packet or a socket.
TYPES = {
    1: "socket_filter",
    3: "sched_cls",
    4: "sched_act",
    8: "cgroup_skb",
    9: "cgroup_sock",
    10: "lwt_in",
    11: "lwt_out",
    12: "lwt_xmit",
    13: "sock_ops",
    18: "cgroup_sock_addr",
    19: "lwt_seg6local",
    25: "cgroup_sockopt",
}
PROG_ARRAY = 3
# enum bpf_map_type, as bpftool prints them; others by their number.
_MAPS = {
    1: "hash",
    2: "array",
    PROG_ARRAY: "prog_array",
    4: "perf_event_array",
    5: "percpu_hash",
    6: "percpu_array",
    9: "lru_hash",
    11: "lpm_trie",
}
_INFO = 232
_NAME, _MAP_IDS, _BTF, _LINES = 64, 52, 128, 148
_BTF_INFO, _MAP_INFO = 32, 88
_LARGEST_BTF = 16 << 20


@dataclass(frozen=True, slots=True)
class Program:
    """A loaded program. ``type`` is empty for a type that has nothing to do with marks; ``maps`` are ids."""

    id: int
    type: str
    name: str
    tag: str
    maps: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Code:
    """A program's instructions as the kernel shows them.

    ``lines``: of an instruction, by its slot: file, line and text of the source; ``functions``: their names by their first slot.
    """

    instructions: bytes
    lines: tuple[tuple[int, str, int, str], ...]
    functions: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Map:
    """A map, and for one of programs what is in it: program ids by slot."""

    id: int
    type: str
    name: str
    programs: tuple[tuple[int, int], ...] = ()


def programs(most: int) -> Iterator[Program]:
    """Every program, by id, at most so many. Raises OSError where that may not be asked."""
    at = 0
    for _ in range(most):
        try:
            _, said = bpf.call(bpf.PROG_GET_NEXT_ID, struct.pack("=III", at, 0, 0))
        except FileNotFoundError:
            return
        at = int(struct.unpack_from("=I", said, 4)[0])
        try:
            with bpf.opened(bpf.PROG_GET_FD_BY_ID, at) as handle:
                yield _program(handle)
        except FileNotFoundError:
            continue


def _program(handle: int) -> Program:
    said = bpf.info(handle, bytes(_INFO))
    kind, identity, tag = struct.unpack_from("=II8s", said)
    (count,) = struct.unpack_from("=I", said, _MAP_IDS)
    ids: tuple[int, ...] = ()
    if count:
        buffer = ctypes.create_string_buffer(4 * count)
        asked = bytearray(_INFO)
        struct.pack_into("=IQ", asked, _MAP_IDS, count, ctypes.addressof(buffer))
        bpf.info(handle, bytes(asked))
        ids = struct.unpack(f"={count}I", buffer.raw)
    return Program(identity, TYPES.get(kind, ""), _text(said, _NAME), tag.hex(), ids)


def _text(said: bytes, at: int, size: int = 16) -> str:
    return said[at : at + size].split(b"\0")[0].decode("utf-8", "replace")


def code(identity: int) -> Code | None:
    """The instructions of a program; None where it has gone. Raises OSError, also where the kernel keeps them to itself."""
    try:
        with bpf.opened(bpf.PROG_GET_FD_BY_ID, identity) as handle:
            return _code(handle)
    except FileNotFoundError:
        return None


def _code(handle: int) -> Code:
    said = bpf.info(handle, bytes(_INFO))
    (size,) = struct.unpack_from("=I", said, 20)
    (btf,) = struct.unpack_from("=I", said, _BTF)
    function_size, functions, lines = struct.unpack_from("=I8xII", said, _BTF + 4)
    line_size = struct.unpack_from("=I", said, 172)[0]
    if not size:
        raise PermissionError(errno.EPERM, "the kernel does not show its instructions: Operation not permitted")
    insns = ctypes.create_string_buffer(size)
    asked = bytearray(_INFO)
    struct.pack_into("=I8xQ", asked, 20, size, ctypes.addressof(insns))
    function_info = ctypes.create_string_buffer(functions * function_size or 1)
    line_info = ctypes.create_string_buffer(lines * line_size or 1)
    if btf:
        if functions:
            struct.pack_into("=IQII", asked, _BTF + 4, function_size, ctypes.addressof(function_info), functions, 0)
        if lines:
            struct.pack_into("=IQ", asked, _LINES, lines, ctypes.addressof(line_info))
            struct.pack_into("=I", asked, 172, line_size)
    done = bpf.info(handle, bytes(asked))
    if not struct.unpack_from("=Q", done, 32)[0]:
        raise PermissionError(errno.EPERM, "the kernel does not show its instructions: Operation not permitted")
    types = Types(_btf(btf) if btf and (functions or lines) else b"")
    said_lines = types.lines(line_info.raw, line_size) if lines else ()
    said_functions = types.functions(function_info.raw, function_size) if functions else ()
    return Code(insns.raw, tuple(said_lines), tuple(said_functions))


def _btf(identity: int) -> bytes:
    """The types of a program as bytes; none where they have gone."""
    try:
        with bpf.opened(bpf.BTF_GET_FD_BY_ID, identity) as handle:
            size = struct.unpack_from("=I", bpf.info(handle, bytes(_BTF_INFO)), 8)[0]
            if not 0 < size <= _LARGEST_BTF:
                return b""
            buffer = ctypes.create_string_buffer(size)
            asked = struct.pack("=QI20x", ctypes.addressof(buffer), size)
            bpf.info(handle, asked)
            return buffer.raw
    except OSError:
        return b""


def map_of(identity: int, most: int) -> Map | None:
    """A map; of one of programs at most so many slots are asked. None where it has gone. Raises OSError."""
    try:
        with bpf.opened(bpf.MAP_GET_FD_BY_ID, identity) as handle:
            said = bpf.info(handle, bytes(_MAP_INFO))
            kind, _, _, _, entries = struct.unpack_from("=5I", said)
            inside = tuple(_slots(handle, min(entries, most))) if kind == PROG_ARRAY else ()
            return Map(identity, _MAPS.get(kind, str(kind)), _text(said, 24), inside)
    except FileNotFoundError:
        return None


def _slots(handle: int, count: int) -> Iterator[tuple[int, int]]:
    """The programs in a map of programs: read from outside, an element is the program's id (kernel/bpf/arraymap.c)."""
    key, value = ctypes.create_string_buffer(4), ctypes.create_string_buffer(4)
    asked = struct.pack("=IIQQQ", handle, 0, ctypes.addressof(key), ctypes.addressof(value), 0)
    for number in range(count):
        struct.pack_into("=I", key, 0, number)
        try:
            bpf.call(bpf.MAP_LOOKUP_ELEM, asked)
        except OSError as error:
            if error.errno == errno.ENOENT:
                continue
            raise
        yield number, int(struct.unpack("=I", value.raw)[0])
