"""WireGuard's firewall mark: ``wg show``, ``wg show all fwmark``, ``wg show all dump``, ``wg showconf`` and the files of wg-quick.

The kernel gives it to every encrypted packet that a tunnel sends (drivers/net/wireguard/socket.c). Only the words of a mark are ever
kept of a line, and keys are blanked: a dump has the private key in the same line.
"""

from __future__ import annotations

import re

from markreg.model import Reading, Scope
from markreg.source import Source

NAMES = ("wg",)

NAME = r"[^\s:/]{1,15}"
_KEY = r"(?:[A-Za-z0-9+/]{43}=|\*{44}|\(none\))"
DUMPED = re.compile(rf"(?:({NAME})\t)?{_KEY}\t{_KEY}\t\d+\t(\S+)")
_SHOWN = re.compile(rf"^interface: {NAME}\n(?:  [a-z ]+: .*\n)*(?:  public key: |  listening port: |  fwmark: )", re.MULTILINE)
_CONFIG = re.compile(
    rf"^\[(?:Interface|Peer)\][ \t\r]*\n(?:[^\[\n]*\n)*?[ \t]*(?:(?:Private|Public)Key[ \t]*=[ \t]*{_KEY}|FwMark[ \t]*=)",
    re.MULTILINE | re.IGNORECASE,
)
_LIST = re.compile(rf"\A(?:{NAME}\t(?:off|0x[0-9a-f]+)\r?\n)*{NAME}\t(?:off|0x[0-9a-f]+)\r?\n?\Z")
_DUMP = re.compile(rf"\A{DUMPED.pattern}\r?$", re.MULTILINE)
_FOREIGN = re.compile(r"^(?:#!|apiVersion:|kind:|```|---[ \t\r]*$|\*[a-z]+[ \t\r]*$|table \w+ \S+ \{)", re.MULTILINE)


def detect(source: Source) -> str | None:
    """By an interface with its keys, a section of a configuration, or a list of names and marks."""
    head = source.head()
    if _FOREIGN.search(head):
        return None
    return NAMES[0] if any(p.search(head) for p in (_SHOWN, _CONFIG, _LIST, _DUMP)) else None


def read(source: Source, name: str, scope: Scope) -> Reading:
    """The mark of every tunnel that has one. Keys are blanked in the source itself, because reports print lines of it."""
    from markreg.formats import _wireguard_tunnels

    return _wireguard_tunnels.read(source, name, scope)
