"""Under which names in the BPF file system programs and maps are pinned: who made them often shows in that alone."""

from __future__ import annotations

import ctypes
import os
import re
import struct
from pathlib import Path

from markreg.collect import bpf_syscall as bpf
from markreg.collect.kernel import mounted
from markreg.collect.limits import Budget

_READ_ONLY = 1 << 3
_MOST = 20_000
_ID = re.compile(r"^(prog|map)_id:\s*(\d+)$", re.MULTILINE)


def pins(budget: Budget) -> dict[tuple[str, int], str]:
    """Paths by kind (``prog``, ``map``) and id, as far as they can be seen. Asking for one needs no more than reading it."""
    found: dict[tuple[str, int], str] = {}
    count = 0
    for root in mounted("bpf"):
        for folder, _, files in os.walk(root):
            for name in sorted(files):
                count += 1
                if count > _MOST or not budget.left:
                    return found
                path = os.path.join(folder, name)  # noqa: PTH118 (os.walk gives texts)
                if identity := _identity(path):
                    found.setdefault(identity, path)
    return found


def _identity(path: str) -> tuple[str, int] | None:
    """What is pinned; None for a link and for what may not be read."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    try:
        handle, _ = bpf.call(bpf.OBJ_GET, struct.pack("=QII", ctypes.addressof(name), 0, _READ_ONLY))
    except OSError:
        return None
    try:
        said = _ID.search(Path(f"/proc/self/fdinfo/{handle}").read_text(encoding="ascii", errors="replace"))
    except OSError:
        return None
    finally:
        os.close(handle)
    return (said[1], int(said[2])) if said else None
