/* SPDX-License-Identifier: MIT - a component's way to hand codes around in a field of the mark, written for the tests */
#include "mini.h"
ARRAY_MAP(cilium_signals, u32);
struct state { u32 pad, mark; };
ARRAY_MAP(parked, struct state);
SEC("tc") int cil_from_container(struct __sk_buff *s) { MARK(s) = MARK(s) | 0x200; return 0; }
SEC("tc") int cil_to_container(struct __sk_buff *s)
{
	u32 k = 0, *seen = map_lookup(&cilium_signals, &k);
	if ((s->mark & 0xf00) == 0xf00) return 1;
	if (seen) MARK(s) = (MARK(s) & ~0xf00u) | 0x400;
	return 0;
}
SEC("tc") int park(struct __sk_buff *s) { u32 k = 0; struct state *p = map_lookup(&parked, &k); if (p) p->mark = s->len > 100 ? 0x1100 : 0x2100; return 0; }
SEC("tc") int unpark(struct __sk_buff *s) { u32 k = 0; struct state *p = map_lookup(&parked, &k); if (p) MARK(s) = (MARK(s) & 0xffff0000) | (p->mark & 0xffff); return 0; }
SEC("tc") int ladder_in(struct __sk_buff *s) { if (s->mark > 0xffff && s->mark <= 0x2ffff) return 1; return (int)s->mark < 0 ? 2 : 0; }
SEC("xdp") int nothing(struct xdp_md *x) { return 2; }
