"""nftables that are not iptables': the ruleset as text, by libnftables' own bindings where they are, else by nft.

Only asked for where there are tables, so that nf_tables is loaded and nothing else is: what rules need is loaded with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from markreg.collect import programs
from markreg.collect.isolated import IsolatedError, call
from markreg.formats import by_name

if TYPE_CHECKING:
    from markreg.collect.tools import Live

NAME = "nft list ruleset"
_NOTATION = "nft"
_SHOWN = 5


def read(node: Live, tables: Sequence[str]) -> None:
    """The whole ruleset. ``tables``: family and name of those that iptables does not print."""
    which = ", ".join(tables[:_SHOWN]) + (f" and {len(tables) - _SHOWN} more" if len(tables) > _SHOWN else "")
    if by_name(_NOTATION) is None:
        node.unread("nftables", f"the rules of {which} are not iptables'; capture them with nft list ruleset", advise=False)
        return
    try:
        node.add(NAME, _NOTATION, "inet", call(_bindings, node.budget), NAME)
    except IsolatedError:
        output = programs.run(("nft", "list", "ruleset"), node.budget)
        if output.error:
            node.unread("nftables", f"the rules of {which}: {output.error}")
        else:
            node.add(NAME, _NOTATION, "inet", output.data, NAME)


def _bindings() -> bytes:
    import nftables

    status, said, error = nftables.Nftables().cmd("list ruleset")
    if status:
        raise ValueError(error)
    data: bytes = said.encode("utf-8", "surrogateescape")
    return data
