"""bpf(2) without a library: a command and its attributes, as include/uapi/linux/bpf.h lays them out."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Iterator
from contextlib import contextmanager

MAP_LOOKUP_ELEM, OBJ_GET, PROG_GET_NEXT_ID, PROG_GET_FD_BY_ID, MAP_GET_FD_BY_ID = 1, 7, 11, 13, 14
OBJ_GET_INFO_BY_FD, PROG_QUERY, BTF_GET_FD_BY_ID = 15, 16, 19

# __NR_bpf: arch/*/…/syscall*.tbl, and asm-generic/unistd.h for those that have no table of their own.
_NUMBERS = {
    "x86_64": 321,
    "i386": 357,
    "i686": 357,
    "aarch64": 280,
    "riscv64": 280,
    "riscv32": 280,
    "loongarch64": 280,
    "arm": 386,
    "armv6l": 386,
    "armv7l": 386,
    "armv8l": 386,
    "ppc64": 361,
    "ppc64le": 361,
    "s390x": 351,
    "mips64": 5315,
}
# A 32-bit Python on a 64-bit kernel makes the calls of the 32-bit machine.
_HALVES = {"x86_64": "i686", "aarch64": "armv7l"}
# A kernel takes more bytes than it knows if the rest is zero (kernel/bpf/syscall.c bpf_check_uarg_tail_zero).
_SIZE = 144


def call(command: int, attributes: bytes) -> tuple[int, bytes]:
    """What the call returned, and the attributes as the kernel left them. Raises OSError."""
    size = max(_SIZE, len(attributes))
    buffer = ctypes.create_string_buffer(attributes, size)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    result = libc.syscall(ctypes.c_long(_number()), ctypes.c_int(command), ctypes.byref(buffer), ctypes.c_uint(size))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(result), buffer.raw


@contextmanager
def opened(command: int, identity: int) -> Iterator[int]:
    """The descriptor of the program, map or BTF of an id, by one of the commands …_GET_FD_BY_ID. Raises OSError."""
    handle, _ = call(command, struct.pack("=III", identity, 0, 0))
    try:
        yield handle
    finally:
        os.close(handle)


def info(handle: int, asked: bytes) -> bytes:
    """What the kernel says of an object; ``asked``: its structure with the addresses and sizes of buffers filled in. Raises OSError."""
    buffer = ctypes.create_string_buffer(asked, len(asked))
    call(OBJ_GET_INFO_BY_FD, struct.pack("=IIQ", handle, len(asked), ctypes.addressof(buffer)))
    return buffer.raw


def _number() -> int:
    machine = platform.machine()
    if ctypes.sizeof(ctypes.c_void_p) == 4:
        machine = _HALVES.get(machine, machine)
    if machine not in _NUMBERS:
        raise OSError(0, f"the number of the system call bpf on {machine} is not known")
    return _NUMBERS[machine]
