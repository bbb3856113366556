"""Calls a function in a child process, in another network namespace if wanted: what hangs or breaks there ends there.

The namespace of a process is not changed, only that of the child, which does one thing and ends.
"""

from __future__ import annotations

import os
import select
import signal
import struct
from collections.abc import Callable

from markreg.collect.limits import Budget

_CLONE_NEWNET = 0x40000000
_CHUNK = 1 << 16
_DONE, _FAILED = b"0", b"1"
_LENGTH = struct.Struct("=Q")


class IsolatedError(Exception):
    """Why the call gave nothing."""


def call(function: Callable[[], bytes], budget: Budget, netns: str = "") -> bytes:
    """What ``function`` gives in a child. ``netns``: the path of a network namespace. Raises IsolatedError."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _child(function, writing, netns)
    os.close(writing)
    try:
        data = _read(reading, budget)
    finally:
        os.close(reading)
        # The child is the leader of its group: what it started ends with it.
        for end in (os.killpg, os.kill):
            try:
                end(child, signal.SIGKILL)
            except ProcessLookupError:
                continue
        os.waitpid(child, 0)
    kind, said = data[:1], data[1 + _LENGTH.size :]
    if kind not in (_DONE, _FAILED) or len(data) < 1 + _LENGTH.size or len(said) != _LENGTH.unpack_from(data, 1)[0]:
        raise IsolatedError("it ended before it was done")
    if kind == _FAILED:
        raise IsolatedError(said.decode("utf-8", "replace"))
    return said


def _child(function: Callable[[], bytes], writing: int, netns: str) -> None:
    """Never returns: nothing of the parent may go on here, not even its cleaning up."""
    kind, data = _FAILED, b"it ended before it was done"
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        silence = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silence, stream)
        if netns:
            _enter(netns)
        kind, data = _DONE, function()
    except OSError as error:
        data = str(error.strerror or error).encode()
    except BaseException as error:  # noqa: BLE001 (whatever it is, the parent is to hear of it)
        data = (str(error) or type(error).__name__).encode("utf-8", "replace")
    finally:
        try:
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(kind + _LENGTH.pack(len(data)) + data)
        finally:
            os._exit(0)


def _enter(path: str) -> None:
    """This process goes into a namespace (os.setns came with Python 3.12)."""
    import ctypes

    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(handle, _CLONE_NEWNET):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
    finally:
        os.close(handle)


def _read(handle: int, budget: Budget) -> bytes:
    data = bytearray()
    while True:
        if not select.select([handle], [], [], budget.left)[0]:
            raise IsolatedError(f"it was not done when the {budget.seconds:g} seconds of this run were over (--timeout)")
        chunk = os.read(handle, _CHUNK)
        if not chunk:
            return bytes(data)
        data += chunk
        if len(data) > 2 * max(budget.bytes, _CHUNK):
            raise IsolatedError(f"it gives more than the {budget.bytes >> 20} MB that are left of this run")
