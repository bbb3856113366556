"""IPVS services by firewall mark: the whole mark is compared, and printed with a sign."""

from __future__ import annotations

import pytest

from markreg.formats import ipvs
from markreg.model import Reading, Scope
from markreg.source import Source
from tests.support import SHARED, needs_shared

SAVED = "-A -t 192.0.2.1:80 -s rr\n-a -t 192.0.2.1:80 -r 10.0.0.1:80 -m -w 1\n-A -f 256 -s rr -p 300\n-A -f -1 -6 -s wrr\n"
LISTED = """IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  192.0.2.1:80 rr
FWM  256 rr
  -> 10.0.0.1:0                   Masq    1      0          0
FWM  -1 IPv6 wrr
"""


def read(text: str) -> Reading:
    return ipvs.read(Source("x", text.encode()), "ipvs", Scope())


@pytest.mark.parametrize(("text", "lines"), [(SAVED, [3, 4]), (LISTED, [5, 7])], ids=["saved", "listed"])
def test_services_by_mark(text: str, lines: list[int]) -> None:
    assert ipvs.detect(Source("x", text.encode())) == "ipvs"
    reading = read(text)
    assert [(u.access, u.mask, u.value, u.scope.family) for u in reading.uses] == [
        ("read", 0xFFFFFFFF, 256, "ip"),
        ("read", 0xFFFFFFFF, 0xFFFFFFFF, "ip6"),
    ]
    assert [u.lines[0] for u in reading.uses] == lines
    assert (reading.statements, reading.mark_statements) == (3, 2)


def test_without_marks_it_is_silent_and_what_is_not_understood_is_said() -> None:
    assert not read("-A -t 192.0.2.1:80 -s rr\n").uses
    reading = read("-A -f web -s rr\nFWM  0 rr\n-A -f 99999999999 -s rr\n")
    assert [o.lines for o in reading.opaque] == [(1, 2, 3)]


@needs_shared
def test_no_other_notation_is_claimed() -> None:
    others = [p for p in (*SHARED.glob("corpus/*/*"), *SHARED.glob("incidents/**/*")) if p.is_file()]
    assert [p for p in others if ipvs.detect(Source(p.name, p.read_bytes()[:70000]))] == []
