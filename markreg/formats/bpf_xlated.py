"""Loaded BPF programs, as markreg collect or bpftool -j tell of them: what those that are attached do to marks, and where.

The kernel's translated code has a packet's mark where the kernel's ``struct sk_buff`` has it. Where a capture does not say where that
is, its programs are not read, and that is said.
"""

from __future__ import annotations

import re

from markreg.model import CONTROL_BLOCK, Reading, Scope
from markreg.source import Source

NAMES = ("bpf-xlated",)
ON_DEMAND = frozenset(f.name for f in CONTROL_BLOCK)

OWN = re.compile(r'\s*\{\s*"markreg"\s*:\s*"bpf"')
_BEGINS = re.compile(r"(?:\s*(?:#|\$ |//)[^\n]*\n)*\s*[\[{]")
# Keys that only bpftool prints: of prog dump, prog show, net show.
_KEYS = ('"disasm":', '"bytes_xlated":', '"flow_dissector":')


def detect(source: Source) -> str | None:
    """Our own document by its first key, bpftool's by the keys of its first object."""
    head = source.head()
    if OWN.match(head):
        return NAMES[0]
    plain = head.replace('": ', '":')
    return NAMES[0] if any(key in plain for key in _KEYS) and _BEGINS.match(head) else None


def read(source: Source, name: str, scope: Scope, *, fields: frozenset[str] = frozenset()) -> Reading:
    """Every program that is attached, or that an attached one may call. ``fields``: words of ``cb`` that are read as marks are."""
    from markreg.formats import _bpf_attached

    return _bpf_attached.read(source, name, scope, fields=fields)
