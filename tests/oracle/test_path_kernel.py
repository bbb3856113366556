"""Packets say whether one owner's marks decide another's match; markreg must say the same of generated nodes.

60 nodes; ``python -m tests.oracle.path_kernel --count 400 --seed 2`` runs as many as wanted.
"""

from __future__ import annotations

import pytest

from tests.oracle.path_kernel import outside

pytestmark = pytest.mark.oracle


def test_what_markreg_reports_packets_show_and_what_packets_show_it_reports() -> None:
    differences, met = outside(60, 1)
    assert not differences, differences[0]
    assert met["nodes"] == 60
    # Had nothing met, nothing would have differed.
    assert met["shown by packets"] >= 20
    assert met["MK101 shown"] >= 15
    assert met["pairs"] > 200
    for what in ("backends mixed", "connection marks", "routing rules"):
        assert met[what] >= 20, what
