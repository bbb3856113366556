"""Programs of object files in the kernel, loaded one by one by libbpf, so that one which is refused does not keep out its neighbours."""

from __future__ import annotations

import contextlib
import ctypes
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.support import ROOT

SOURCE = ROOT / "tests" / "bpf" / "programs.c"


def built(folder: Path) -> Path:
    """Our own programs, compiled."""
    path = folder / "programs.o"
    options = ("-O2", "-g", "-mcpu=v3", "-target", "bpf", f"-fdebug-prefix-map={SOURCE.parent}=.")
    subprocess.run(["clang", *options, "-c", SOURCE.name, "-o", path], check=True, cwd=SOURCE.parent)
    return path


def identity(handle: int) -> int:
    """The id of a program by its descriptor."""
    rows = Path(f"/proc/self/fdinfo/{handle}").read_text(encoding="ascii").splitlines()
    return int(next(row.split()[1] for row in rows if row.startswith("prog_id:")))


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL("libbpf.so.1", use_errno=True)
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    for name, result, arguments in (
        ("bpf_object__open_file", pointer, (text, pointer)),
        ("bpf_object__next_program", pointer, (pointer, pointer)),
        ("bpf_object__load", ctypes.c_int, (pointer,)),
        ("bpf_object__close", None, (pointer,)),
        ("bpf_program__name", text, (pointer,)),
        ("bpf_program__fd", ctypes.c_int, (pointer,)),
        ("bpf_program__set_autoload", ctypes.c_int, (pointer, ctypes.c_bool)),
        ("bpf_program__set_type", ctypes.c_int, (pointer, ctypes.c_int)),
        ("libbpf_set_print", pointer, (pointer,)),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, list(arguments)
    library.libbpf_set_print(None)
    return library


def _programs(opened: int) -> Iterator[tuple[str, int]]:
    at = None
    while at := _library().bpf_object__next_program(opened, at):
        yield _library().bpf_program__name(at).decode(), at


@contextlib.contextmanager
def program(path: Path, name: str, kind: int) -> Iterator[int | None]:
    """The descriptor of a program loaded as type ``kind``; None where libbpf does not know it or the kernel refuses it."""
    library = _library()
    opened = library.bpf_object__open_file(str(path).encode(), None)
    if not opened:
        yield None
        return
    try:
        wanted = None
        for called, at in _programs(opened):
            library.bpf_program__set_autoload(at, called == name)
            if called == name:
                library.bpf_program__set_type(at, kind)
                wanted = at
        done = wanted is not None and library.bpf_object__load(opened) == 0
        yield library.bpf_program__fd(wanted) if done else None
    finally:
        library.bpf_object__close(opened)
