"""Dumps of flows as `ovs-ofctl -O OpenFlow15 dump-flows` prints them, of any size and always the same.

    python -m bench.openflow flows|distinct|bare|bare-distinct LINES FILE

``flows``: a bridge as OVN fills it, 1,537 action lists of which a third concern marks. ``distinct``: every action list is another one and
writes a mark. ``bare``: the same without counters, as `ovs-ofctl parse-flows` takes them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

_DISTINCT = 1537


def _actions(n: int) -> tuple[int, str]:
    """One of the action lists, and the table where it stands."""
    kind = n % 12
    if kind == 0:
        nat = f"nat(dst=10.{n >> 8 & 255}.{n & 255}.7:{1024 + n})"
        return 20, f"ct(commit,table=21,zone=NXM_NX_REG13[0..15],{nat},exec(set_field:0x2/0x2->ct_mark))"
    if kind == 1:
        copied = "move:NXM_NX_XXREG0[0..31]->NXM_NX_CT_LABEL[96..127]"
        return 26, f"set_field:{n:#x}->reg15,ct(commit,zone=NXM_NX_REG13[0..15],exec(set_field:0/0x1->ct_mark,{copied})),resubmit(,27)"
    if kind == 2:
        return 23, f"set_field:{0x100 + n:#x}->pkt_mark,resubmit(,24)"
    if kind == 3:
        return 25, f"set_field:{n:#x}->reg15,set_field:fa:16:3e:00:{n >> 8 & 255:02x}:{n & 255:02x}->eth_dst,resubmit(,26)"
    if kind == 4:
        return 46, f"conjunction({n},{1 + n % 2}/2)"
    if kind == 5:
        return 16, "drop"
    if kind == 6:
        return 0, f"set_field:0x{n % 97 + 1:x}/0xffff->reg13,set_field:{n % 9 + 1:#x}->metadata,resubmit(,8)"
    return 8 + kind, f"move:NXM_NX_REG{n % 4}[]->NXM_NX_REG5[],set_field:{n:#x}->reg14,resubmit(,{9 + kind})"


def _line(n: int, table: int, match: str, actions: str) -> str:
    stats = f"cookie={n * 2654435761 & 0xFFFFFFFF:#x}, duration={n % 100000}.{n % 1000:03d}s, table={table}"
    return f" {stats}, n_packets={n * 7}, n_bytes={n * 911}, idle_age={n % 300}, priority={50 + n % 3},{match} actions={actions}\n"


def flows(lines: int) -> Iterator[str]:
    """``lines`` flows; a match in twenty tests a mark."""
    yield "OFPST_FLOW reply (OF1.5) (xid=0x2):\n"
    for n in range(lines):
        table, actions = _actions(n % _DISTINCT)
        mark = ("ct_mark=0/0x1,", "ct_label=0x1/0x1,", "ct_mark=0x2/0x6,")[n // 20 % 3] if n % 20 == 0 else ""
        match = f"ct_state=+est+trk,{mark}ip,metadata={n % 9 + 1:#x},nw_dst=10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"
        yield _line(n, table, match, actions)


def distinct(lines: int) -> Iterator[str]:
    """``lines`` flows with as many action lists, all with marks."""
    yield "OFPST_FLOW reply (OF1.5) (xid=0x2):\n"
    for n in range(lines):
        match = f"conj_id={n},ip,metadata={n % 9 + 1:#x},nw_dst=10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"
        nat = f"nat(dst=10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}:{1024 + n % 60000})"
        yield _line(
            n, 20, match, f"ct(commit,table=21,zone=NXM_NX_REG13[0..15],{nat},exec(set_field:0x2/0x2->ct_mark)),set_field:{n:#x}->reg9"
        )


_STATISTICS = re.compile(r"duration=[^,]*, |n_packets=\d+, n_bytes=\d+, idle_age=\d+, ")


def bare(made: Iterator[str]) -> Iterator[str]:
    """Flows without what no file for add-flows may hold."""
    next(made)
    yield from (_STATISTICS.sub("", line) for line in made)


KINDS: dict[str, Callable[[int], Iterator[str]]] = {
    "flows": flows,
    "distinct": distinct,
    "bare": lambda lines: bare(flows(lines)),
    "bare-distinct": lambda lines: bare(distinct(lines)),
}


def write(path: Path, kind: str, lines: int) -> None:
    """Writes a dump of one of the KINDS."""
    with path.open("w", encoding="ascii") as file:
        file.writelines(KINDS[kind](lines))


if __name__ == "__main__":
    write(Path(sys.argv[3]), sys.argv[1], int(sys.argv[2]))
