/* Programs that tests attach and run: tests/live/test_bpf_live.py, tests/oracle/test_bpf_objects_kernel.py. */
typedef unsigned int u32;
#define SEC(n) __attribute__((section(n), used))
struct __sk_buff {
	u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto, priority;
	u32 ingress_ifindex, ifindex, tc_index, cb[5], hash, tc_classid, data, data_end;
};
struct bpf_sock { u32 bound_dev_if, family, type, protocol, mark, priority; };
static void *(*lookup)(void *, const void *) = (void *)1;
static long (*tail_call)(void *, void *, u32) = (void *)12;
struct { int (*type)[2]; u32 *key; u32 *value; int (*max_entries)[1]; } rules SEC(".maps");
struct { int (*type)[3]; int (*key_size)[4]; int (*value_size)[4]; int (*max_entries)[4]; } jumps SEC(".maps");

SEC("one") int set_field(struct __sk_buff *s)
{
	s->mark = (s->mark & 0xfffff0ffu) | 0x300;
	return -1;
}

static __attribute__((noinline)) int marked(struct __sk_buff *s, u32 mask)
{
	return (s->mark & mask) == 0x10000;
}

SEC("two") int calls(struct __sk_buff *s)
{
	if (marked(s, 0xff0000))
		s->cb[2] = s->mark >> 24;
	return -1;
}

SEC("three") int from_map(struct __sk_buff *s)
{
	u32 key = 0, *value = lookup(&rules, &key);

	if (value && (s->mark & 0xf))
		s->mark = (s->mark & 0xffff) | (*value << 16);
	return -1;
}

SEC("four") int jumper(struct __sk_buff *s)
{
	s->mark |= 0x40;
	tail_call(s, &jumps, 1);
	return -1;
}

SEC("cgroup/sock_create") int of_socket(struct bpf_sock *k)
{
	k->mark = 0x1000;
	return 1;
}

SEC("five") int no_mark(struct __sk_buff *s)
{
	s->priority = 8;
	return -1;
}
char _license[] SEC("license") = "GPL";
