"""Kernel helpers by their numbers (include/uapi/linux/bpf.h): how many arguments, and what concerns marks."""

from __future__ import annotations

# The arguments of helpers 0 to 209, as the header's prototypes have them; the variable ones of printk count.
_ARITY = (
    "02423050055533002131442215435333231032322103231125434424352242243254544444434141024255132244311111155433344421"
    "5533332104451130531243222211111444342335414212420203154534132311113414543321011445332314422553332204"
)
MAP_LOOKUP, TAIL_CALL, CLONE_REDIRECT, SETSOCKOPT, GETSOCKOPT, FIB_LOOKUP = 1, 12, 13, 49, 57, 69
LOOKUPS = frozenset((MAP_LOOKUP, 195))
SOCKETS = frozenset((84, 85, 95, 98, 99))
# Helpers that only read the memory they are given: arguments that are keys or values of a map (bpf_map_update_elem …).
KEYS = {1: (2,), 2: (2,), 3: (2,), 195: (2,)}
VALUES = {2: (3,), 87: (2,)}
READ_ONLY = frozenset((1, 2, 3, 6, 9, 10, 11, 21, 25, 28, 30, 49, 73, 87, 126, 127, 130, 195))
# Helpers that call a function of the program: the register of its address, and those that the function gets as its own arguments
# (0: something that is not known). bpf_for_each_map_elem, bpf_timer_set_callback, bpf_find_vma, bpf_loop, bpf_user_ringbuf_drain.
CALLBACKS = {164: (2, (0, 0, 0, 3)), 170: (2, (0, 0, 0)), 180: (3, (0, 0, 4)), 181: (2, (0, 3)), 209: (2, (0, 3))}
SOL_SOCKET, SO_MARK = 1, 36
# struct bpf_fib_lookup: its mark, which counts with BPF_FIB_LOOKUP_MARK in the flags.
FIB_MARK, FIB_LOOKUP_MARK = 52, 32
# Those for which a program without a mark in its context is looked at.
INTERESTING = frozenset((SETSOCKOPT, GETSOCKOPT, FIB_LOOKUP, *SOCKETS))


def arity(number: int) -> int:
    """The arguments that a helper takes; five where it is not known, so that nothing read is missed."""
    return int(_ARITY[number]) if 0 < number < len(_ARITY) else 5


def of_connection(kfunc: str) -> bool:
    """Whether a kfunc returns a connection (net/netfilter/nf_conntrack_bpf.c)."""
    return kfunc.startswith(("bpf_skb_ct_", "bpf_xdp_ct_")) or kfunc == "bpf_ct_insert_entry"
