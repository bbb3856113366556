"""Runs one of the node's own programs: no shell, no input, no more time or output than there is left."""

from __future__ import annotations

import os
import selectors
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from markreg.collect.limits import Budget

# Where these programs are although the PATH of who is not root may not say so.
_PLACES = ("/usr/sbin", "/sbin", "/usr/local/sbin")
_CHUNK = 1 << 16
_SAID = 4096


@dataclass(frozen=True, slots=True)
class Output:
    """What a program printed. ``error`` says why it is of no use, empty if it is; ``said`` is what stood on standard error.

    ``cut``: it had more lines than were wanted.
    """

    data: bytes = b""
    said: str = ""
    error: str = ""
    cut: bool = False


def find(program: str) -> str | None:
    """The path of a program."""
    return shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", os.defpath), *_PLACES)))


def run(words: Sequence[str], budget: Budget, lines: int = 0) -> Output:
    """Runs a program to its end, or until it has printed ``lines`` lines. The words are fixed: nothing of an input may become one
    but a device's name behind ``dev``."""
    name, path = words[0], find(words[0])
    if path is None:
        return Output(error=f"{name} is not installed")
    # Without the other variables: XTABLES_LIBDIR, IPTABLES_LOCK and the like change what the programs do.
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    try:
        process = subprocess.Popen(
            [path, *words[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
    except OSError as error:
        return Output(error=f"{name}: {error.strerror}")
    with process:
        try:
            data, said, fault = _read(process, name, budget, lines)
            status = process.wait(None if fault else budget.left)
        except subprocess.TimeoutExpired:
            data, said, fault, status = b"", b"", _late(name, budget), 0
        finally:
            process.kill()  # for an interrupted run; nothing happens to a process that has ended
    text = said.decode("utf-8", "replace").strip()
    kept = data
    if lines and data.count(b"\n") > lines:
        kept = b"\n".join(data.split(b"\n", lines)[:lines]) + b"\n"
    elif status and not fault:
        fault = text.split("\n")[-1] or f"{name} exited with {status}"
    return Output(kept, text, fault, kept is not data)


def _late(name: str, budget: Budget) -> str:
    return f"{name} was not done when the {budget.seconds:g} seconds of this run were over (--timeout)"


def _read(process: subprocess.Popen[bytes], name: str, budget: Budget, lines: int) -> tuple[bytes, bytes, str]:
    """Both outputs until they are closed, and why they are not whole."""
    data, said = bytearray(), bytearray()
    printed = 0
    with selectors.DefaultSelector() as selector:
        for stream, kept in ((process.stdout, data), (process.stderr, said)):
            if stream:
                selector.register(stream, selectors.EVENT_READ, kept)
        while selector.get_map():
            if not budget.left:
                process.kill()
                return b"", bytes(said), _late(name, budget)
            for key, _ in selector.select(budget.left):
                chunk = os.read(key.fd, _CHUNK)
                if not chunk:
                    selector.unregister(key.fileobj)
                elif key.data is data:
                    data += chunk
                    printed += chunk.count(b"\n") if lines else 0
                elif len(said) < _SAID:
                    said += chunk
            if lines and printed > lines:
                process.kill()
                break
            if len(data) > budget.bytes:
                process.kill()
                return b"", bytes(said), f"{name} prints more than the {budget.bytes >> 20} MB that are left of this run"
    budget.bytes -= len(data)
    return bytes(data), bytes(said), ""
