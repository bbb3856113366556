"""Uses that no signature explains, joined into groups that may be one owner each: ``unattributed:<place>``.

All uncommented rules in built-in chains of a namespace are one group, a native nft table is one; equal comment tags, equal mask and
value, a value that one sets as the whole mark and the other looks for, a jump between two user chains or to both under a test of the same
bits, or a map that two BPF programs share join groups. A group is named after its places, whatever their order.
The flows of a bridge are one group, because they go on to each other; where a component has flows there, too, a cookie tells strangers
apart, as long as there are few of them: many controllers give every flow a cookie of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from markreg.attribution.evidence import comments, compat, mark_keys, suffix
from markreg.bits import full
from markreg.model import FIELDS, Reading, Table, Use

PREFIX = "unattributed:"
Node = tuple[str, ...]
_LONGEST_TAG = 40
_MOST_COOKIES = 16
_BUILT_IN = "built-in"
_MAP = re.compile(r"(?<!\S)map (\S+)")


@dataclass(frozen=True, slots=True)
class Unclaimed:
    """A use without an owner: its input, its table where there is one, and whether it stands in a base chain.

    ``hosted``: it stands in a chain of a component that makes no marks, where the administrator's rules have their place.
    """

    use: Use
    reading: Reading
    table: Table | None
    base: bool
    hosted: bool = False


class _Groups:
    """Union-find over places."""

    def __init__(self) -> None:
        self._above: dict[Node, Node] = {}
        self._labels: dict[Node, str] = {}
        self._writing: set[Node] = set()

    def root(self, node: Node) -> Node:
        path = []
        while (above := self._above.setdefault(node, node)) != node:
            path.append(node)
            node = above
        for passed in path:
            self._above[passed] = node
        return node

    def join(self, a: Node, b: Node) -> None:
        self._above[self.root(b)] = self.root(a)

    def place(self, node: Node, label: str, use: Use) -> None:
        """A node that can give its group a name: built-in chains before others, then who writes, then by the alphabet."""
        self._labels.setdefault(node, label)
        if use.access != "read":
            self._writing.add(node)

    def names(self) -> dict[Node, str]:
        """The name of every group, by root."""
        first: dict[Node, tuple[bool, bool, str, Node]] = {}
        for node, label in self._labels.items():
            root = self.root(node)
            order = (node[0] != _BUILT_IN, node not in self._writing, label, node)
            first[root] = min(first.get(root, order), order)
        names: dict[Node, str] = {}
        taken: dict[str, int] = {}
        for root, (_, _, label, _) in sorted(first.items(), key=lambda item: item[1]):
            taken[label] = taken.get(label, 0) + 1
            names[root] = label if taken[label] == 1 else f"{label}#{taken[label]}"
        return names


def group(found: Sequence[Unclaimed], claimed: Callable[[Reading, Table, str], bool], hosts: Collection[tuple[str, str]] = ()) -> list[str]:
    """The owner of each use, in order. ``claimed``: whether a user chain belongs to a component.

    ``hosts``: the bridges (`bridge_of`) on which components have flows.
    """
    groups = _Groups()
    cookies: dict[tuple[str, str], set[int]] = {}
    for item in found:
        if item.use.place.kind == "openflow":
            cookies.setdefault(bridge_of(item.use), set()).update(item.use.cookies)
    apart = {bridge for bridge, known in cookies.items() if bridge in hosts and len(known) <= _MOST_COOKIES}
    nodes = [_flow(groups, item.use, apart) if item.use.place.kind == "openflow" else _place(groups, item) for item in found]
    for node, item in zip(nodes, found, strict=True):
        for tag in comments(item.use):
            groups.join(node, ("comment", item.use.scope.netns, _tag(tag)))
        if item.use.place.kind != "openflow":
            for key in mark_keys(item.use):
                groups.join(node, ("mark", item.use.scope.netns, *map(str, key)))
    _values(groups, nodes, found)
    _jumps(groups, found, claimed)
    names = groups.names()
    return [PREFIX + names[groups.root(node)] for node in nodes]


def _values(groups: _Groups, nodes: Sequence[Node], found: Sequence[Unclaimed]) -> None:
    """Joins who sets the whole mark to a value and who looks for that value, under whatever mask; and chains that are entered alike.

    Who sets the whole mark does not say which of its bits he means; his reader does. A test of some bits before a chain, such as
    ``--mark 0x0/0xff -j ISP1``, says that its author knows what the chain makes of them, and so it is with a second chain.
    """
    # A flow's mark is that of its zone or its bridge.
    each = [(n, i.use) for n, i in zip(nodes, found, strict=True) if i.use.place.kind != "openflow"]
    told = [(node, use, ("value", use.scope.netns, use.field, str(use.value))) for node, use in each]
    whole = {key for _, use, key in told if use.value and use.access != "read" and use.mask == _full(use)}
    for node, use, key in told:
        if key in whole and (use.access == "read" or use.mask == _full(use)):
            groups.join(node, key)
    for node, item in zip(nodes, found, strict=True):
        use, table = item.use, item.table
        if item.base and use.access == "read" and table and use.target in table.chains and use.mask.bit_count() > 1:
            groups.join(node, ("entered", use.scope.netns, use.place.family, table.name, use.field, f"{use.mask:#x}"))


def _full(use: Use) -> int:
    return full(FIELDS[use.field].width) if use.field in FIELDS else 0


def bridge_of(use: Use) -> tuple[str, str]:
    """The bridge of a flow: its namespace and its name, else the dump it is in."""
    return use.scope.netns, use.place.bridge or use.path


def _flow(groups: _Groups, use: Use, apart: Collection[tuple[str, str]]) -> Node:
    """The place of a flow; flows that do the same under several cookies are one owner's."""
    bridge = bridge_of(use)
    name = use.place.bridge or f"openflow/{use.path.rpartition('/')[2]}"
    cookies = sorted(set(use.cookies)) if bridge in apart else []
    node: Node = ("openflow", *bridge)
    for number, cookie in enumerate(cookies):
        told: Node = ("openflow", *bridge, f"{cookie:#x}")
        groups.place(told, f"{name}/cookie {cookie:#x}{suffix(use.scope.netns)}", use)
        if number:
            groups.join(node, told)
        node = told
    if not cookies:
        groups.place(node, name + suffix(use.scope.netns), use)
    return node


def _place(groups: _Groups, item: Unclaimed) -> Node:
    """The place of a use: the node that stands for it, named."""
    use, place = item.use, item.use.place
    netns = use.scope.netns
    at = suffix(netns)
    if place.kind == "netfilter":
        native = "nft" in item.reading.format.split("-") or (item.table is not None and item.table.backend == "native")
        if native and not (item.table and compat(item.table)):
            node: Node = ("table", netns, place.family, place.table)
            label = f"{place.family}/{place.table}"
        elif item.hosted:
            node, label = (_BUILT_IN, netns), _BUILT_IN
        elif item.base:
            chain = use.target if item.table and use.target in item.table.chains else ""
            tags = comments(use)
            if chain:
                node, label = _chain(netns, place.family, place.table, chain), f"{place.table}/{chain}"
            elif tags:
                node, label = ("comment", netns, _tag(tags[0])), f"comment/{_tag(tags[0])}"
            else:
                node, label = (_BUILT_IN, netns), _BUILT_IN
        else:
            node, label = _chain(netns, place.family, place.table, place.chain), f"{place.table}/{place.chain}"
    elif place.kind in ("rule", "xfrm"):
        node = (place.kind, netns, place.family, str(place.priority), place.text)
        label = place.text if place.priority is None else f"{place.kind}/{place.priority}"
    elif place.kind in ("datapath", "lflow") or place.text.startswith("ovs tunnel "):
        node, label = (place.kind, netns, place.text), place.text
    elif place.object.startswith("id "):
        # Loaded programs that share a map are one owner's.
        node, label = ("bpf", netns, place.program), f"bpf/{place.program}"
        for name in _MAP.findall(use.statement):
            groups.join(node, ("map", netns, name))
    else:
        name = use.path.rpartition("/")[2]
        node, label = (place.kind, netns, use.path), f"{place.kind}/{name}"
    groups.place(node, label + at, use)
    return node


def _chain(netns: str, family: str, table: str, chain: str) -> Node:
    """A user chain; one of the same name for the other address family is the same tool's."""
    return ("chain", netns, "" if family in ("ip", "ip6", "inet") else family, table, chain)


def _tag(comment: str) -> str:
    """What several comments of one tool have in common: the text before a colon."""
    return (comment.partition(":")[0] or comment).strip()[:_LONGEST_TAG]


def _jumps(groups: _Groups, found: Iterable[Unclaimed], claimed: Callable[[Reading, Table, str], bool]) -> None:
    """Joins user chains that jump to each other, also over chains without marks; a base chain hosts everybody and joins nobody."""
    started: dict[int, tuple[Reading, Table, dict[str, None]]] = {}
    for item in found:
        table = item.table
        if table is None or item.use.place.kind != "netfilter":
            continue
        chain = item.use.target if item.base else item.use.place.chain
        if chain in table.chains:
            started.setdefault(id(table), (item.reading, table, {}))[2][chain] = None
    for reading, table, chains in started.values():
        callers: dict[str, list[str]] = {}
        for caller, (_, targets) in table.steps.items():
            if caller in table.chains and not table.chains[caller].hooks:
                for target in targets:
                    callers.setdefault(target, []).append(caller)
        seen = set(chains)
        queue = list(chains)
        while queue:
            chain = queue.pop()
            for other in {*callers.get(chain, ()), *table.steps.get(chain, ((), ()))[1]}:
                if other not in table.chains or table.chains[other].hooks or claimed(reading, table, other):
                    continue
                groups.join(_chain(table.netns, table.family, table.name, chain), _chain(table.netns, table.family, table.name, other))
                if other not in seen:
                    seen.add(other)
                    queue.append(other)
