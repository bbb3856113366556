"""Packets say whether one owner's marks decide another's match; markreg must say the same of generated nodes.

100 nodes; ``python -m tests.oracle.path_kernel --count 400 --seed 2`` runs as many as wanted.
"""

from __future__ import annotations

import pytest

from tests.oracle.path_kernel import outside
from tests.oracle.path_nodes import FOLLOWED

pytestmark = pytest.mark.oracle


def test_what_markreg_reports_packets_show_and_what_packets_show_it_reports() -> None:
    differences, met = outside(100, 1)
    assert not differences, differences[0]
    assert met["nodes"] == 100
    # Had nothing met, nothing would have differed.
    assert met["pairs"] > 400
    assert met["pairs that packets show"] >= 60
    assert met["pairs without a finding"] >= 150
    assert met["MK101 reported and shown"] >= 30
    for what in ("back ends mixed", "connection marks", "routing rule"):
        assert met[f"nodes: {what}"] >= 40, what
    for kind in FOLLOWED:
        assert met[f"nodes: {kind}"] >= 5, kind
        assert met[f"pairs that packets show: {kind}"] >= 1, kind
