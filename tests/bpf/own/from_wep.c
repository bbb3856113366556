/* SPDX-License-Identifier: MIT - a program that overwrites the mark with its flags, written for the tests */
#include "mini.h"
ARRAY_MAP(cali_v4_signals, u32);
SEC("tc") int cali_accept(struct __sk_buff *s)
{
	u32 k = 0, *seen = map_lookup(&cali_v4_signals, &k);
	if ((s->mark & 0x1ff00000) == 0x03000000) return 0;
	s->mark = seen ? 0x03000000 : 0x01000000;
	return 0;
}
