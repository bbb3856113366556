"""What a program is given in r1, by the type of the program: where the words are that carry marks (include/uapi/linux/bpf.h)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from markreg.model import SKB_MARK

MARK = SKB_MARK.name
WORD = 4


@dataclass(frozen=True, slots=True)
class Context:
    """The structure behind r1.

    ``cells``: symbol and offset of the 32-bit words that are followed bit by bit, the mark first if there is one. ``pointers``: what a
    load at an offset yields (``sock``, ``pkt``, ``mem``). ``names``: members at offsets, for saying where data comes from.
    ``prefix``: what stands before those names.
    """

    name: str
    cells: tuple[tuple[str, int], ...] = ()
    pointers: Mapping[int, str] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)
    prefix: str = "ctx"

    @property
    def marked(self) -> bool:
        """Whether the structure itself carries a mark."""
        return bool(self.cells) and self.cells[0][0] == MARK


def _members(words: str) -> dict[int, str]:
    """Offsets of members of four bytes, ``name*n`` for n of them."""
    found: dict[int, str] = {}
    at = 0
    for word in words.split():
        name, _, count = word.partition("*")
        for _ in range(int(count or 1)):
            found[at] = name
            at += WORD
    return found


_SKB = _members(
    "len pkt_type mark queue_mapping protocol vlan_present vlan_tci vlan_proto priority ingress_ifindex ifindex tc_index cb*5 hash "
    "tc_classid data data_end napi_id family remote_ip4 local_ip4 remote_ip6*4 local_ip6*4 remote_port local_port data_meta "
    "flow_keys*2 tstamp*2 wire_len gso_segs sk*2 gso_size tstamp_type hwtstamp*2"
)
CB = tuple(f"cb{i}" for i in range(5))
SK_BUFF = Context(
    "__sk_buff",
    ((MARK, 8), *((name, 48 + WORD * i) for i, name in enumerate(CB))),
    {76: "pkt", 80: "pkt", 140: "pkt", 144: "mem", 168: "sock"},
    _SKB,
    "skb",
)
SOCK = Context(
    "bpf_sock", ((MARK, 16),), {}, _members("bound_dev_if family type protocol mark priority src_ip4 src_ip6*4 src_port"), "sock"
)
SOCK_ADDR = Context("bpf_sock_addr", (), {64: "sock"}, {}, "addr")
SOCK_OPS = Context("bpf_sock_ops", (), {168: "pkt", 176: "pkt", 184: "sock"}, {}, "ops")
SK_REUSEPORT = Context("sk_reuseport_md", (), {0: "pkt", 8: "pkt", 40: "sock", 48: "sock"}, {}, "md")
SK_LOOKUP = Context("bpf_sk_lookup", (), {0: "sock"}, {}, "md")
XDP = Context("xdp_md", (), {0: "pkt", 4: "pkt", 8: "pkt"}, {}, "xdp")
# Everything else: what tracing programs are given has no fixed members.
OTHER = Context("")
CONTEXTS = {c.name: c for c in (SK_BUFF, SOCK, SOCK_ADDR, SOCK_OPS, SK_REUSEPORT, SK_LOOKUP, XDP)}

# Where a socket has its mark: struct bpf_sock.
SOCK_MARK = 16

_SECTIONS: tuple[tuple[Context, tuple[str, ...]], ...] = (
    (SOCK, ("cgroup/sock", "cgroup/post_bind")),
    (SK_BUFF, ("cgroup_skb", "cgroup/skb", "sk_skb", "socket", "lwt_", "flow_dissector")),
    (SOCK_OPS, ("sockops", "sock_ops")),
    (SK_LOOKUP, ("sk_lookup",)),
    (SK_REUSEPORT, ("sk_reuseport",)),
    (XDP, ("xdp",)),
    (SOCK_ADDR, ("cgroup/connect", "cgroup/bind", "cgroup/sendmsg", "cgroup/recvmsg", "cgroup/getpeername", "cgroup/getsockname")),
    (
        OTHER,
        (
            "kprobe", "kretprobe", "uprobe", "uretprobe", "usdt", "tracepoint", "tp", "raw_tp", "raw_tracepoint", "fentry", "fexit",
            "fmod_ret", "lsm", "iter", "perf_event", "struct_ops", "syscall", "cgroup/", "sk_msg", "netfilter", "freplace", "ksyscall",
            "lirc",
        ),
    ),
)  # fmt: skip


def by_section(name: str) -> Context:
    """The type that a section's name promises; a name that promises nothing (``from-container``, ``2/16``) is taken for tc."""
    plain = name.removeprefix("?")
    return next((context for context, prefixes in _SECTIONS if plain.startswith(prefixes)), SK_BUFF)


def kernel_sk_buff(mark: int, cb: int | None = None) -> Context:
    """The kernel's own ``struct sk_buff``, which translated instructions work on.

    ``mark``: the offset of its mark; ``cb``: of the first word that ``__sk_buff.cb`` became, None where it is not followed.
    """
    words = () if cb is None else tuple((name, cb + WORD * i) for i, name in enumerate(CB))
    return Context("sk_buff", ((MARK, mark), *words), {}, {}, "sk_buff")
