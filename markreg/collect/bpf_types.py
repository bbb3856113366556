"""What the kernel's own types and those of a loaded program say: where words are, and which source line an instruction comes from."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

KERNEL = Path("/sys/kernel/btf/vmlinux")
# What programs get at, by the name under which a capture has it. The words of __sk_buff's cb lie behind those of queues.
_WANTED = {
    "sk_buff.mark": (("sk_buff", "mark"),),
    "sk_buff.cb": (("sk_buff", "cb"), ("qdisc_skb_cb", "data")),
    "sk_buff.sk": (("sk_buff", "sk"),),
    "sock.sk_mark": (("sock", "sk_mark"),),
    "bpf_sock_addr_kern.sk": (("bpf_sock_addr_kern", "sk"),),
    "bpf_sock_ops_kern.sk": (("bpf_sock_ops_kern", "sk"),),
    "sk_reuseport_kern.sk": (("sk_reuseport_kern", "sk"),),
}


@cache
def kernel_offsets() -> dict[str, int]:
    """Offsets in bytes in this kernel's structures. Raises OSError where there are none, ValueError where they have no mark."""
    from markreg.bpf import btf

    types = btf.parse(KERNEL.read_bytes(), sys.byteorder)
    found: dict[str, int] = {}
    for name, parts in _WANTED.items():
        offsets = [types.offset_of(*part) for part in parts]
        if None not in offsets:
            found[name] = sum(offset for offset in offsets if offset is not None)
    if "sk_buff.mark" not in found:
        raise ValueError("sk_buff has no member mark")
    return found


class Types:
    """The types of a program; nothing is known of its lines and functions where they are missing or damaged."""

    def __init__(self, data: bytes) -> None:
        from markreg.bpf import btf

        try:
            self._btf = btf.parse(data, sys.byteorder) if data else None
        except ValueError:
            self._btf = None

    def lines(self, records: bytes, size: int) -> Iterator[tuple[int, str, int, str]]:
        """Slot, file, line and text of each record (struct bpf_line_info)."""
        if self._btf and size >= 16:
            for slot, file, text, number in struct.iter_unpack(f"=4I{size - 16}x", records):
                yield slot, self._btf.string(file), number >> 10, self._btf.string(text).strip()

    def functions(self, records: bytes, size: int) -> Iterator[tuple[int, str]]:
        """First slot and name of each function (struct bpf_func_info)."""
        if self._btf and size >= 8:
            for slot, number in struct.iter_unpack(f"=2I{size - 8}x", records):
                if number < len(self._btf.types):
                    yield slot, self._btf.string(self._btf.types[number].name)
