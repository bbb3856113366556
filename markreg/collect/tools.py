"""Captures by the node's own programs, as sources like those of files."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from markreg.collect import bpf, connections, kernel, legacy, nftables, rulesets, sockets, switches, sysctls, traffic, tunnels
from markreg.collect.captured import Capture, Failure
from markreg.collect.limits import ENTRIES, SECONDS, Budget
from markreg.collect.programs import Output, find, run
from markreg.formats import by_name
from markreg.inputs import Gathered, Known, unreadable
from markreg.model import HOST, Problem, Scope
from markreg.source import Source

_PROGRAMS = {"ip": "iptables", "ip6": "ip6tables"}
# iptables keeps its rules in tables of these names; all others are nft's.
_TABLES = frozenset({"filter", "nat", "mangle", "raw", "security"})
# A program that is no program: iptables must not load a module of its own accord.
_NO_MODPROBE = ("-M", "/dev/null")
_FOREIGN = re.compile(rb"# Table `([^'\n]*)' is incompatible, use 'nft' tool")
_NAMES_SET = re.compile(rb" --(?:match-set|map-set|add-set|del-set) ")
_SET = re.compile(rb"^Name: \S+\nType: (\S+)\n(?:(?!Name:)[^\n]*\n)*?Header: ([^\n]*)", re.MULTILINE)
# How iproute2 says that the kernel set NLM_F_DUMP_INTR (lib/libnetlink.c rtnl_dump_filter_l).
_INTERRUPTED = "may be inconsistent"
_DENIED = re.compile(r"not permitted|permission denied|must be root", re.IGNORECASE)


def live(seconds: float = SECONDS, entries: int = ENTRIES) -> Gathered:
    """What the network namespace of this process holds: iptables rules, legacy and nft, of IPv4 and IPv6, the sets with marks that
    they name, other nftables, policy routing rules, xfrm policies and states, tc filters, BPF programs, tunnels, and what connections
    and sockets carry now.

    Nothing is loaded, created or locked, and no key is read. ``seconds``: for the whole run. What is there and could not be
    read is in ``unread``.
    """
    budget = Budget(seconds, entries=entries)
    gathered, more = everything(budget).gathered, machine(budget).gathered
    gathered.known += more.known
    gathered.unread += more.unread
    return gathered


def machine(budget: Budget) -> Live:
    """The captures that are of the whole machine, whatever network namespace this process is in."""
    node = Live(budget.seconds)
    node.budget = budget
    switches.read(node)
    return node


def everything(budget: Budget, progress: Callable[[str], None] | None = None) -> Live:
    """The captures of the network namespace of this process. ``progress`` is told what comes next."""
    node = Live(budget.seconds)
    node.budget = budget
    steps: list[tuple[str, Callable[[], None]]] = [
        ("iptables", node.legacy),
        ("nftables", node.nft),
        ("ipset", node.sets),
        ("ip rule", node.rules),
        ("ip xfrm", node.xfrm),
        ("tc", lambda: traffic.read(node)),
        ("BPF programs", lambda: bpf.read(node)),
        ("tunnels", lambda: tunnels.read(node)),
        ("conntrack", lambda: connections.read(node)),
        ("sockets", lambda: sockets.read(node)),
        ("sysctl", lambda: sysctls.read(node)),
    ]
    for name, step in steps:
        if progress:
            progress(name)
        step()
    return node


class Live:
    """The captures of one namespace."""

    def __init__(self, seconds: float) -> None:
        self.gathered = Gathered()
        self.captures: list[Capture] = []
        self.failures: list[Failure] = []
        self.budget = Budget(seconds)

    def legacy(self) -> None:
        """Legacy tables, only where the kernel has some: asking for a table makes it (net/netfilter/x_tables.c xt_find_table_lock)."""
        for family, program in _PROGRAMS.items():
            name = f"{program}-legacy-save"
            try:
                there = kernel.legacy_tables(family)
            except OSError as error:
                self.unread(name, f"/proc/net/{family}_tables_names: {error.strerror}")
                continue
            if there:
                words = _backend(program, "legacy", self.budget)
                if find(words[0]) is None and (text := legacy.text(family, there, self.budget)):
                    self.add(name, "iptables-save", family, text, legacy.COMMAND)
                else:
                    self.capture(name, "iptables-save", family, (*words, *_NO_MODPROBE))

    def nft(self) -> None:
        """What iptables keeps in nftables, and which other tables there are."""
        if not (kernel.netlink(kernel.NETLINK_NETFILTER) and kernel.module("nf_tables")):
            return
        try:
            tables = nftables.tables(self.budget)
        except OSError as error:
            self.unread("nftables", str(error.strerror or error))
            return
        others = [f"{family} {name}" for family, name in tables if family not in _PROGRAMS or name not in _TABLES]
        for family, program in _PROGRAMS.items():
            mine = [f"{family} {name}" for f, name in tables if f == family and name in _TABLES]
            # iptables asks nft_compat for the revisions of extensions and would load it. Rules of iptables itself loaded it already.
            if mine and not kernel.module("nft_compat"):
                others += mine
                continue
            name = f"{program}-nft-save"
            if not mine:
                self.add(name, "iptables-save", family, b"")
                continue
            output = self.capture(name, "iptables-save", family, (*_backend(program, "nft", self.budget), *_NO_MODPROBE))
            others += [f"{family} {t.decode('utf-8', 'replace')}" for t in _FOREIGN.findall(output.data + output.said.encode())]
        if others:
            rulesets.read(self, others)

    def sets(self) -> None:
        """The ipsets, if one has marks. A rule that names a set proves that the kernel's part is there already."""
        if not any(_NAMES_SET.search(k.source.data) for k in self.gathered.known):
            return
        listed = run(("ipset", "list", "-terse"), self.budget)
        if listed.error:
            self.unread("ipset", listed.error)
            return
        if any(b"skbinfo" in m[2].split() or b"mark" in m[1].partition(b":")[2].split(b",") for m in _SET.finditer(listed.data)):
            self.capture("ipset save", "ipset-save", "inet", ("ipset", "save"))

    def rules(self) -> None:
        """Policy routing rules."""
        self.capture("ip rule", "ip-rule", "ip", ("ip", "rule", "show"))
        if kernel.ipv6():
            self.capture("ip -6 rule", "ip-rule", "ip6", ("ip", "-6", "rule", "show"))

    def xfrm(self) -> None:
        """xfrm policies and states, without keys; a socket of this protocol would load xfrm_user."""
        if kernel.netlink(kernel.NETLINK_XFRM):
            self.capture("ip xfrm policy", "ip-xfrm", "inet", ("ip", "xfrm", "policy"))
            self.capture("ip xfrm state", "ip-xfrm", "inet", ("ip", "xfrm", "state", "list", "nokeys"))

    def capture(self, name: str, notation: str, family: str, words: Sequence[str]) -> Output:
        """What a program prints."""
        output = run(words, self.budget)
        if _INTERRUPTED in output.said:
            output = run(words, self.budget)
            if _INTERRUPTED in output.said and not output.error:
                self.unread(f"a part of {name}", "it changed while it was read, twice")
        if output.error:
            self.unread(name, output.error)
        else:
            self.add(name, notation, family, output.data, " ".join(words))
        return output

    def add(self, name: str, notation: str, family: str, data: bytes, command: str = "") -> None:
        """A capture. Where nothing reads its notation yet, that is said instead of what it holds."""
        self.captures.append(Capture(name, notation, HOST, family, command, data))
        if form := by_name(notation):
            self.gathered.known.append(Known(Source(name, data), form, notation, Scope(HOST, family)))
        else:
            self.gathered.unread.append(Problem(name, 0, unreadable(notation)))

    def unread(self, name: str, why: str, advise: bool = True) -> None:
        """Something that is there and could not be captured."""
        needed = "; this takes root (CAP_NET_ADMIN)" if advise and _DENIED.search(why) else ""
        self.failures.append(Failure(name, why + needed))
        self.gathered.unread.append(Problem(name, 0, why + needed))


def _backend(program: str, backend: str, budget: Budget) -> tuple[str, ...]:
    """The words that print the rules of a backend: the program that is named for it, else the plain one if it says that it is its."""
    named, plain = f"{program}-{backend}-save", f"{program}-save"
    if find(named) is None and find(plain):
        said = run((plain, "-V"), budget).data
        # Before there were two backends, the version named none.
        if (b"nf_tables" in said) == (backend == "nft"):
            return (plain,)
    return (named,)
