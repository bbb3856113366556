"""The running kernel as a BPF machine: programs are loaded by bpf(2) and run on one packet by BPF_PROG_TEST_RUN."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import struct
from collections.abc import Iterable, Iterator

from markreg.collect.bpf_syscall import MAP_GET_FD_BY_ID, call, info
from tests.bpf.generator import Generated
from tests.bpf.interpreter import CB, CONTEXT_SIZE, MARK, Outcome, Packet

SCHED_CLS = 3
_MAP_CREATE, _MAP_LOOKUP, _MAP_UPDATE, _PROG_LOAD, _TEST_RUN = 0, 1, 2, 5, 10
_ARRAY, _PROG_ARRAY = 2, 3
_FRAME = bytes(12) + b"\x08\x00" + bytes(50)
_LOG = 1 << 20
_MAP_INFO, _ENTRIES = 88, 4


class RefusedError(Exception):
    """What the verifier says."""


def _address(buffer: ctypes.Array[ctypes.c_char]) -> int:
    return ctypes.addressof(buffer)


def map_create(kind: int, key: int, value: int, entries: int) -> int:
    """Gives the descriptor."""
    return call(_MAP_CREATE, struct.pack("=5I", kind, key, value, entries, 0))[0]


def map_write(handle: int, key: bytes, value: bytes) -> None:
    k, v = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value, len(value))
    call(_MAP_UPDATE, struct.pack("=IIQQQ", handle, 0, _address(k), _address(v), 0))


def map_read(handle: int, key: bytes, size: int) -> bytes:
    k, v = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(size)
    call(_MAP_LOOKUP, struct.pack("=IIQQQ", handle, 0, _address(k), _address(v), 0))
    return v.raw


def load(code: bytes, kind: int = SCHED_CLS, name: bytes = b"markreg") -> int:
    """Gives the descriptor. Raises RefusedError."""
    insns, licence = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(b"GPL")
    log = ctypes.create_string_buffer(_LOG)

    def attributes(level: int) -> bytes:
        place = (level, _LOG, _address(log)) if level else (0, 0, 0)
        return struct.pack("=IIQQIIQII16s", kind, len(code) // 8, _address(insns), _address(licence), *place, 0, 0, name)

    try:
        return call(_PROG_LOAD, attributes(0))[0]
    except OSError as error:
        with contextlib.suppress(OSError):
            os.close(call(_PROG_LOAD, attributes(1))[0])
        raise RefusedError(f"{error}: {log.value.decode('utf-8', 'replace')[-600:]}") from error


def test_run(handle: int, packet: Packet, frame: bytes = _FRAME) -> tuple[int, bytes]:
    """Return value and ``__sk_buff`` after a run of a program."""
    context = bytearray(CONTEXT_SIZE)
    for offset, value in {**packet.others, MARK: packet.mark, **{CB + 4 * i: v for i, v in enumerate(packet.cb)}}.items():
        struct.pack_into("=I", context, offset, value)
    given, data = ctypes.create_string_buffer(bytes(context), len(context)), ctypes.create_string_buffer(frame, len(frame))
    left = ctypes.create_string_buffer(CONTEXT_SIZE)
    head = struct.pack("=4I2Q", handle, 0, len(frame), 0, _address(data), 0)
    tail = struct.pack("=4I2Q4I", 0, 0, len(context), CONTEXT_SIZE, _address(given), _address(left), 0, 0, 0, 0)
    _, said = call(_TEST_RUN, head + tail)
    return int(struct.unpack_from("=I", said, 4)[0]), left.raw


test_run.__test__ = False  # type: ignore[attr-defined]


class Loaded:
    """A generated program in the kernel, with its maps."""

    def __init__(self, program: Generated) -> None:
        self.handles: list[int] = []
        self.maps = [self._kept(map_create(_ARRAY, 4, len(value), 1)) for value in program.maps]
        self.contents = program.maps
        code = bytearray(program.code)
        places = dict(enumerate(self.maps))
        if program.programs is not None:
            places[program.programs] = self._kept(map_create(_PROG_ARRAY, 4, 4, 4))
        for at in range(0, len(code), 8):
            if code[at] == 0x18 and code[at + 1] >> 4 == 1:
                struct.pack_into("=i", code, at + 4, places[struct.unpack_from("=i", code, at + 4)[0]])
        try:
            self.handle = self._kept(load(bytes(code)))
        except RefusedError:
            self.close()
            raise

    def _kept(self, handle: int) -> int:
        self.handles.append(handle)
        return handle

    def run(self, packet: Packet) -> Outcome:
        """One packet, on maps as they were generated."""
        for handle, value in zip(self.maps, self.contents, strict=True):
            map_write(handle, bytes(4), value)
        returned, context = test_run(self.handle, packet)
        cb = struct.unpack_from("=5I", context, CB)
        values = tuple(map_read(handle, bytes(4), len(value)) for handle, value in zip(self.maps, self.contents, strict=True))
        return Outcome(returned, struct.unpack_from("=I", context, MARK)[0], cb, values)

    def close(self) -> None:
        while self.handles:
            os.close(self.handles.pop())


class Running:
    """A program of an object file in the kernel, with the contents of its arrays."""

    def __init__(self, handle: int, maps: Iterable[int]) -> None:
        self.handle = handle
        self._arrays: list[tuple[int, int, int]] = []
        for number in maps:
            slots, _ = call(MAP_GET_FD_BY_ID, struct.pack("=III", number, 0, 0))
            kind, _, key, value, entries = struct.unpack_from("=5I", info(slots, bytes(_MAP_INFO)))
            if kind == _ARRAY and key == 4:
                self._arrays.append((slots, value, min(entries, _ENTRIES)))
            else:
                os.close(slots)
        self._contents: list[tuple[int, bytes, bytes]] = []

    def fill(self, choose: random.Random) -> None:
        """Other contents for the arrays, but for those that are frozen."""
        self._contents = [
            (slots, struct.pack("=I", key), choose.randbytes(size)) for slots, size, entries in self._arrays for key in range(entries)
        ]

    def run(self, packet: Packet) -> Outcome:
        """One packet, on maps as they were filled."""
        for slots, key, value in self._contents:
            with contextlib.suppress(PermissionError):
                map_write(slots, key, value)
        returned, context = test_run(self.handle, packet)
        mark, cb = struct.unpack_from("=I", context, MARK)[0], struct.unpack_from("=5I", context, CB)
        return Outcome(returned, mark, cb, tuple(map_read(slots, key, len(value)) for slots, key, value in self._contents))

    def close(self) -> None:
        while self._arrays:
            os.close(self._arrays.pop()[0])


@contextlib.contextmanager
def loaded(program: Generated) -> Iterator[Loaded]:
    """A program that is unloaded afterwards."""
    one = Loaded(program)
    try:
        yield one
    finally:
        one.close()
