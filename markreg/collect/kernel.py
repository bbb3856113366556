"""What the kernel of this node has already, so that nothing is asked that would load a module or create a table."""

from __future__ import annotations

import os
from pathlib import Path

NETLINK_SOCK_DIAG, NETLINK_XFRM, NETLINK_NETFILTER = 4, 6, 12
# A function of each part, by which it is found in a kernel that it is built into.
_SYMBOLS = {
    "br_netfilter": "br_nf_pre_routing",
    "inet_diag": "inet_diag_handler_cmd",
    "nf_conntrack_netlink": "ctnetlink_get_conntrack",
    "nf_tables": "nf_tables_newtable",
    "nft_compat": "nfnl_compat_get_rcu",
    "tcp_diag": "tcp_diag_dump",
    "udp_diag": "udp_diag_dump",
    "wireguard": "wg_newlink",
}


def module(name: str) -> bool:
    """Whether a part of the kernel is loaded or built in: asking one that is not for anything loads it."""
    try:
        loaded = Path("/proc/modules").read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return True  # a kernel without modules cannot load any
    except OSError:
        loaded = ""
    if any(line.partition(" ")[0] == name for line in loaded.splitlines()):
        return True
    return _built_in(name)


def _built_in(name: str) -> bool:
    try:
        listed = Path(f"/lib/modules/{os.uname().release}/modules.builtin").read_text(encoding="utf-8", errors="replace")
        return any(line.endswith(f"/{name}.ko") for line in listed.splitlines())
    except OSError:
        pass  # in a container there is no such file
    try:
        with Path("/proc/kallsyms").open("rb") as symbols:
            wanted = f" {_SYMBOLS[name]}\n".encode()
            return any(line.endswith(wanted) for line in symbols)
    except OSError:
        return False


def netlink(protocol: int) -> bool:
    """Whether the kernel listens to a netlink protocol in this namespace; a socket of one that it does not know loads a module."""
    try:
        rows = Path("/proc/net/netlink").read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return False
    return any(row.split()[1:3] == [str(protocol), "0"] for row in rows)


def legacy_tables(family: str) -> tuple[str, ...]:
    """The legacy tables of this namespace. Raises OSError where that may not be read (it takes root)."""
    try:
        return tuple(Path(f"/proc/net/{family}_tables_names").read_text(encoding="ascii").split())
    except FileNotFoundError:
        return ()


def ipv6() -> bool:
    """Whether this namespace speaks IPv6."""
    return Path("/proc/net/if_inet6").exists()


def mounted(kind: str) -> list[str]:
    """Where file systems of a kind (``cgroup2``, ``bpf``) are mounted, as this process sees it."""
    try:
        rows = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [words[1] for row in rows if len(words := row.split()) > 2 and words[2] == kind]
