"""A large BPF object in the manner of a CNI: many programs with packet parsing, state on the stack, maps, and marks.

python -m bench.bpf PROGRAMS FILE   (about 450 instructions a program, three of which write the mark)
"""

from __future__ import annotations

import gc
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from markreg.bpf import analyse_all
from markreg.bpf.objects import read

_HEAD = """
typedef unsigned char u8; typedef unsigned short u16; typedef unsigned int u32; typedef unsigned long long u64;
#define SEC(n) __attribute__((section(n), used))
#define INLINE static inline __attribute__((always_inline))
struct __sk_buff { u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto, priority;
  u32 ingress_ifindex, ifindex, tc_index, cb[5], hash, tc_classid, data, data_end; };
static void *(*lookup)(void *map, const void *key) = (void *)1;
static long (*update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static u32 (*prandom)(void) = (void *)7;
static long (*tail_call)(void *ctx, void *map, u32 slot) = (void *)12;
static long (*redirect)(u32 device, u64 flags) = (void *)23;
static long (*load_bytes)(const void *skb, u32 at, void *to, u32 length) = (void *)26;
#define MAP(name, kind, k, v) struct { int (*type)[kind]; k *key; v *value; int (*max_entries)[1024]; } name SEC(".maps")
struct tuple { u32 saddr, daddr; u16 sport, dport; u8 protocol, flags; u16 pad; };
struct entry { u64 packets, bytes; u32 mark, mask, state, device; u16 identity, node; u32 pad[4]; };
MAP(flows, 1, struct tuple, struct entry);
MAP(identities, 1, u32, struct entry);
MAP(jumps, 3, u32, u32);
struct work { struct __sk_buff *skb; struct tuple tuple, reverse; struct entry fresh; u32 verdict, identity, offset, seen; u64 bytes[6]; };
volatile const u32 CONFIG_MARK = 0x00500000;
INLINE int parse(struct work *w) {
  void *data = (void *)(u64)w->skb->data, *end = (void *)(u64)w->skb->data_end;
  if (data + 54 > end) return 0;
  u8 *p = data;
  if (*(u16 *)(p + 12) != 8) return 0;
  w->offset = 14 + (p[14] & 15) * 4;
  w->tuple.protocol = p[23];
  w->tuple.saddr = *(u32 *)(p + 26); w->tuple.daddr = *(u32 *)(p + 30);
  if (w->tuple.protocol != 6 && w->tuple.protocol != 17) return 0;
  u16 ports[2];
  if (load_bytes(w->skb, w->offset, ports, 4)) return 0;
  w->tuple.sport = ports[0]; w->tuple.dport = ports[1];
  w->reverse.saddr = w->tuple.daddr; w->reverse.daddr = w->tuple.saddr;
  w->reverse.sport = ports[1]; w->reverse.dport = ports[0]; w->reverse.protocol = w->tuple.protocol;
  return 1;
}
INLINE void account(struct work *w, struct entry *e) {
  e->packets++; e->bytes += w->skb->len;
  for (int i = 0; i < 6; i++) w->bytes[i] += e->bytes >> i;
  if (e->state & 1) w->seen |= 1u << (e->state >> 4 & 7);
}
INLINE void put(struct __sk_buff *s, u32 mask, u32 value) { *(volatile u32 *)&s->mark = (s->mark & ~mask) | value; }
char _license[] __attribute__((section("license"), used)) = "GPL";
"""

_PROGRAM = """
SEC("tc") int program_%(n)d(struct __sk_buff *skb) {
  struct work w = { .skb = skb };
  u32 mark = skb->mark;
  if ((mark & 0x0f00) == 0x%(a)x00) { w.identity = mark >> 16; skb->cb[1] = w.identity | 0x%(a)x00; }
  if (!parse(&w)) return 0;
  struct entry *e = lookup(&flows, &w.tuple), *r = lookup(&flows, &w.reverse);
  if (e) account(&w, e);
  if (r) { account(&w, r); w.fresh.packets = r->bytes - r->packets; w.fresh.device = r->device ^ w.tuple.saddr; }
  if (!e) {
    struct entry *id = lookup(&identities, &w.tuple.saddr);
    w.fresh.state = prandom() & 7; w.fresh.identity = id ? id->identity : 2; w.fresh.node = w.tuple.daddr >> 24;
    if (id) account(&w, id);
    for (int i = 0; i < 4; i++) w.fresh.pad[i] = (w.tuple.saddr >> 8 * i) ^ (w.seen << i);
    if (update(&flows, &w.tuple, &w.fresh, 0)) return 2;
    if (w.tuple.protocol == 6 && w.fresh.identity > 255) w.verdict = 3; else w.verdict = w.fresh.state;
  } else {
    w.verdict = e->state & 0xf;
    if (e->device && e->packets > 1000 && e->bytes / e->packets < 64) w.verdict |= 8;
    if (e->node != w.fresh.node) w.seen |= 0x100;
  }
  u32 sum = 0;
  for (int i = 0; i < 6; i++) sum += (u32)w.bytes[i] + (u32)(w.bytes[i] >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  if (w.skb->protocol == 8) w.fresh.bytes = sum; else w.fresh.bytes = ~sum & 0xffff;
  struct entry *second = lookup(&identities, &sum);
  if (second) { account(&w, second); second->state |= w.seen; second->bytes = w.fresh.bytes; second->identity = w.tuple.dport; }
  switch (w.verdict) {
  case 1: put(skb, 0xff0000, CONFIG_MARK & 0xff0000); break;
  case 2: put(skb, 0x0f00, 0x%(b)x00); break;
  case 3: skb->cb[2] = w.seen; tail_call(skb, &jumps, %(n)d %% 8); return 2;
  case 4: skb->mark = w.fresh.identity << 16 | 0x0f00; return redirect(w.offset & 15, 0);
  }
  return sum & 1 ? 2 : 0;
}
"""


def source(programs: int) -> str:
    """The C text."""
    return _HEAD + "".join(_PROGRAM % {"n": n, "a": n % 15 + 1, "b": (n + 3) % 15 + 1} for n in range(programs))


def build(path: Path, programs: int) -> None:
    """Compiles it."""
    subprocess.run(
        ["clang", "-O2", "-g", "--target=bpf", "-mcpu=v3", "-Wno-everything", "-x", "c", "-c", "-", "-o", path],
        input=source(programs),
        text=True,
        check=True,
    )


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of processor time for reading and for analysing an object, its instructions, and how many were visited."""

    reading: float
    analysis: float
    instructions: int
    visits: int


def best_of(path: Path, times: int) -> Cost:
    """The quickest of some runs, without the garbage collector, as the command runs."""
    gc.disable()
    try:
        return min((_once(path) for _ in range(times)), key=lambda c: c.analysis)
    finally:
        gc.enable()


def _once(path: Path) -> Cost:
    data = path.read_bytes()
    began = time.process_time()
    held = read(data)
    between = time.process_time()
    visits = sum(facts.visits for facts in analyse_all(held))
    return Cost(between - began, time.process_time() - between, len(held.image.code), visits)


if __name__ == "__main__":
    build(Path(sys.argv[2]), int(sys.argv[1]))
