"""Settings of OVSDB rows that are statements about marks: a tunnel's egress_pkt_mark, a router policy's pkt_mark."""

from __future__ import annotations

import re
from collections.abc import Mapping

from markreg.bits import BitsError, full, parse_word
from markreg.formats._ovn_language import Deed
from markreg.formats._ovn_uses import Uses, datapath_class
from markreg.formats._ovs_ports import egress_mark
from markreg.model import SKB_MARK, Place
from markreg.rows import Row
from markreg.transfer import Predicate, Word

# How the place of a northbound row begins, beside that of a flow made of it.
NORTHBOUND = "northbound "
_NUMBER = re.compile(r"(?:0[xX][0-9a-fA-F]+|[0-9]+)(?:/(?:0[xX][0-9a-fA-F]+|[0-9]+))?")


def place_of(row: Row, stage: str) -> Place:
    """Where what a row says acts: a logical flow in its stage, a tunnel where it sends, a northbound row in the ``stage`` of its flows."""
    if row.table == "Logical_Flow":
        said = row.pairs("external_ids").get("stage-name", "")
        name = said or f"table {row.text('table_id')}"
        return Place("lflow", f"lflow {name}", table=said, priority=row.number("priority"), datapath=datapath_class(said))
    if row.table == "Interface":
        # The packet that the tunnel sends is made here, like one of a socket (ofproto/tunnel.c tnl_port_send).
        return Place("socket", f"ovs tunnel {row.text('name')}".rstrip())
    if row.table == "Open_vSwitch":
        # ovs-monitor-ipsec writes it into policies that let such packets pass unencrypted (ipsec/ovs-monitor-ipsec.in).
        return Place("xfrm", "xfrm policy out by ipsec_skb_mark")
    return Place("lflow", f"{NORTHBOUND}{row.table}", table=stage, datapath=datapath_class(stage))


def said(uses: Uses, row: Row, place: Place, settings: Mapping[str, str], line: int) -> None:
    """What settings whose names have a mark in them and whose values are numbers do."""
    for key, value in settings.items():
        if "mark" not in key or not _NUMBER.fullmatch(value):
            continue
        try:
            deed = _setting(row.table, key, value)
        except BitsError as error:
            uses.opaque(f"{key}: {error}", line)
        except KeyError:
            uses.opaque(f"a setting of {row.table} that names a mark and is not known", line)
        else:
            if deed:
                uses.add([deed], place, line)


_READS = {("Open_vSwitch", "ipsec_skb_mark")}
_WRITES = {("Interface", "egress_pkt_mark"), ("Logical_Router_Policy", "pkt_mark"), ("QoS", "mark")}


def _setting(table: str, key: str, text: str) -> Deed | None:
    """What a setting does, None for 0, which is none. Raises KeyError for one that is not known, BitsError for a number too large."""
    width = SKB_MARK.width
    if table == "Interface":
        text = str(egress_mark(text))
    value, slash, mask = text.partition("/")
    number, bits = parse_word(value, width), parse_word(mask, width) if slash else full(width)
    if (table, key) in _READS:
        return Deed("read", SKB_MARK.name, bits, key, predicate=Predicate.equals(SKB_MARK.name, number, bits))
    if (table, key) not in _WRITES:
        raise KeyError(key)
    return Deed("write", SKB_MARK.name, full(width), key, Word.const(number, width)) if number else None
