"""The kernel says what marks packets and connections end up with; markreg must say the same from what nft prints, text and JSON.

500 rule sets; ``python -m tests.oracle.nft_kernel --count 10000 --seed 1`` runs as many as wanted. Operations on two marks at once
(`ct mark & 0xff00 | meta mark & 0xff`) this nft or kernel may lack: tests/formats/test_nft.py has them from captured listings.
"""

from __future__ import annotations

import pytest

from tests.oracle.nft_kernel import outside

pytestmark = pytest.mark.oracle


def test_composed_functions_are_the_kernels() -> None:
    differences, met = outside(500, 1)
    assert not differences, differences[0]
    assert met["rule sets"] == 500
    # Had nothing happened, nothing would have differed.
    assert met["packets marked"] > 1000
    assert met["packets with one outcome"] > 1000
    for what in ("write skb_mark", "write ct_mark", "write ct_label", "copy skb_mark", "copy ct_mark", "goto", "jump"):
        assert met[what] > 200, what
    for field in ("skb_mark", "ct_mark", "ct_label"):
        assert min(met[f"{field} holds"], met[f"{field} fails"]) > 500, field
