"""What one rule of a chain does to a packet's way: on which conditions, and where the packet goes from there.

Every notation reads its own lines into this; the path analysis knows nothing of notations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# What a packet is asked that the path analysis follows; all other conditions may hold.
ASKED = ("iif", "oif", "proto", "state", "family")
# What is asked of addresses and ports, which matters only where two rules ask it: see Flow.narrow.
NARROW = ("src", "dst", "sport", "dport")


@dataclass(frozen=True, slots=True)
class Guard:
    """A condition on the packet. ``kind`` is one of ASKED or NARROW; it holds if one of ``values`` fits, or none if ``negated``.

    Devices may end in ``*`` for any ending; states are ``new``, ``established``, ``related`` or another word; addresses are one
    (``10.0.0.1``), a prefix (``fd00::/8``) or a range (``10.0.0.1-10.0.0.9``), ports a number or a range (``1000-2000``).
    """

    kind: str
    values: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a rule sends a packet: ``jump`` or ``goto`` to ``target``, ``return``, ``accept`` (this base chain ends), ``nat`` (all
    chains of type nat at this hook end), ``drop`` or ``reject`` (a drop with an answer)."""

    verb: str
    target: str = ""


@dataclass(frozen=True, slots=True)
class Flow:
    """One rule. ``others``: conditions that are not in ``guards``, as the rule writes them; empty where there are none.

    ``outcomes``: one of them is what happens when the rule holds; none: the next rule. ``stays``: the packet may go on to the next
    rule all the same. ``narrow``: what ``others`` asks of addresses and ports; ``loose``: it asks something else, too.
    ``untracks``: the packet goes on without a connection (``notrack``). ``choices``: the rules that this one stands for, of which at
    most one holds, where its outcomes depend on what is followed (a verdict map); each has all that this one asks.
    """

    guards: tuple[Guard, ...] = ()
    others: str = ""
    outcomes: tuple[Outcome, ...] = ()
    stays: bool = False
    narrow: tuple[Guard, ...] = ()
    loose: bool = True
    untracks: bool = False
    choices: tuple[Flow, ...] = ()


def unknown(targets: Sequence[Outcome]) -> Flow:
    """A rule of which only the outcomes are known."""
    return Flow((), "a condition", tuple(targets), True)
