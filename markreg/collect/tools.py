"""Captures by the node's own programs, as sources like those of files."""

from __future__ import annotations

import re
from collections.abc import Sequence

from markreg.collect import kernel, nftables
from markreg.collect.limits import SECONDS, Budget
from markreg.collect.programs import Output, find, run
from markreg.formats import by_name
from markreg.inputs import Gathered, Known
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


def live(seconds: float = SECONDS) -> Gathered:
    """What the network namespace of this process holds: iptables rules, legacy and nft, of IPv4 and IPv6, the sets with marks that
    they name, policy routing rules, xfrm policies and states.

    Nothing is loaded, created or locked, and no key is read. ``seconds``: for the whole run. What is there and could not be
    read is in ``unread``.
    """
    node = _Live(seconds)
    node.legacy()
    node.nft()
    node.sets()
    node.rules()
    node.xfrm()
    return node.gathered


class _Live:
    def __init__(self, seconds: float) -> None:
        self.gathered = Gathered()
        self.budget = Budget(seconds)

    def legacy(self) -> None:
        """Legacy tables, only where the kernel has some: asking for a table makes it (net/netfilter/x_tables.c xt_find_table_lock)."""
        for family, program in _PROGRAMS.items():
            name = f"{program}-legacy-save"
            try:
                there = kernel.legacy_tables(family)
            except OSError as error:
                self._unread(name, f"/proc/net/{family}_tables_names: {error.strerror}")
                continue
            if there:
                words = _backend(program, "legacy", self.budget)
                self._capture(name, "iptables-save", family, (*words, *_NO_MODPROBE))

    def nft(self) -> None:
        """What iptables keeps in nftables, and which other tables there are."""
        if not (kernel.netlink(kernel.NETLINK_NETFILTER) and kernel.module("nf_tables")):
            return
        try:
            tables = nftables.tables(self.budget)
        except OSError as error:
            self._unread("nftables", str(error.strerror or error))
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
                self._add(name, "iptables-save", family, b"")
                continue
            output = self._capture(name, "iptables-save", family, (*_backend(program, "nft", self.budget), *_NO_MODPROBE))
            others += [f"{family} {t.decode('utf-8', 'replace')}" for t in _FOREIGN.findall(output.data + output.said.encode())]
        if others:
            which = ", ".join(others[:5]) + (f" and {len(others) - 5} more" if len(others) > 5 else "")
            self._unread("nftables", f"the rules of {which} are not iptables'; capture them with nft list ruleset", advise=False)

    def sets(self) -> None:
        """The ipsets, if one has marks. A rule that names a set proves that the kernel's part is there already."""
        if not any(_NAMES_SET.search(k.source.data) for k in self.gathered.known):
            return
        listed = run(("ipset", "list", "-terse"), self.budget)
        if listed.error:
            self._unread("ipset", listed.error)
            return
        if any(b"skbinfo" in m[2].split() or b"mark" in m[1].partition(b":")[2].split(b",") for m in _SET.finditer(listed.data)):
            self._capture("ipset save", "ipset-save", "inet", ("ipset", "save"))

    def rules(self) -> None:
        """Policy routing rules."""
        self._capture("ip rule", "ip-rule", "ip", ("ip", "rule", "show"))
        if kernel.ipv6():
            self._capture("ip -6 rule", "ip-rule", "ip6", ("ip", "-6", "rule", "show"))

    def xfrm(self) -> None:
        """xfrm policies and states, without keys; a socket of this protocol would load xfrm_user."""
        if kernel.netlink(kernel.NETLINK_XFRM):
            self._capture("ip xfrm policy", "ip-xfrm", "inet", ("ip", "xfrm", "policy"))
            self._capture("ip xfrm state", "ip-xfrm", "inet", ("ip", "xfrm", "state", "list", "nokeys"))

    def _capture(self, name: str, notation: str, family: str, words: Sequence[str]) -> Output:
        output = run(words, self.budget)
        if _INTERRUPTED in output.said:
            output = run(words, self.budget)
            if _INTERRUPTED in output.said and not output.error:
                self._unread(f"a part of {name}", "it changed while it was read, twice")
        if output.error:
            self._unread(name, output.error)
        else:
            self._add(name, notation, family, output.data)
        return output

    def _add(self, name: str, notation: str, family: str, data: bytes) -> None:
        form = by_name(notation)
        if form:
            self.gathered.known.append(Known(Source(name, data), form, notation, Scope(HOST, family)))

    def _unread(self, name: str, why: str, advise: bool = True) -> None:
        needed = "; this takes root (CAP_NET_ADMIN)" if advise and _DENIED.search(why) else ""
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
