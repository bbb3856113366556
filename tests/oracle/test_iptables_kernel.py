"""The kernel says what marks packets and connections end up with; markreg must say the same from what iptables-save prints.

500 rule sets by default; ``python -m tests.oracle.iptables_kernel --count 10000 --seed 1`` runs as many as wanted.
"""

from __future__ import annotations

import json

import pytest

from tests.oracle.iptables_kernel import BACKENDS, outside, start
from tests.oracle.iptables_rulesets import HOOKS

pytestmark = pytest.mark.oracle


def test_composed_functions_are_the_kernels() -> None:
    differences, met = outside(500, 1)
    assert not differences, differences[0]
    assert met["rule sets"] == 500
    # Had nothing happened, nothing would have differed.
    for table in HOOKS:
        for what in ("write skb_mark", "write ct_mark", "write ct_label", "copy skb_mark", "copy ct_mark"):
            assert met[f"{what} in {table}"] > 20, (what, table)
    for what in ("goto", "jump", "untracked", "no connection", "exclusive or of two fields"):
        assert met[what] > 20, what
    for field in ("skb_mark", "ct_mark", "ct_label"):
        assert min(met[f"{field} holds"], met[f"{field} fails"]) > 500, field


def test_what_hashes_sets_and_sockets_do_is_allowed_for() -> None:
    process = start("tests.oracle.iptables_special")
    printed, _ = process.communicate()
    assert process.returncode == 0
    found: dict[str, list[str]] = json.loads(printed)
    assert len(found) == 5 * len(BACKENDS) * 2
    assert not [text for texts in found.values() for text in texts]
