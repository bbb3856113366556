"""A bit that one owner sets for another to read, as the registry agrees: whoever undoes it takes the reader's own (MK102)."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from markreg.audit import audit
from markreg.inputs import gather
from markreg.model import Finding
from markreg.registry.load import load
from tests.paths.notation import iptables, nft

WRITTEN = {"iptables": ("iptables-save.txt", iptables), "nft": ("nft.txt", nft)}
LOUD = ("MK101", "MK102", "MK104")
NAMES = ("client", "masker", "other", "partner")
COMPONENTS = "version = 1\n" + "".join(
    f'[[component]]\nname = "{name}"\nrecognise = [{{ in = "iptables", chain = "{name}-*", confidence = "high" }}, '
    f'{{ in = "nft", table = "ip {name}", confidence = "high" }}]\n'
    for name in NAMES
)
AGREEMENT = '[[agreement]]\nowners = {owners}\nfield = "{field}"\nbits = "{bits}"\nreason = "asks to be masqueraded"\nsource = ["a/b#1"]\n'
AGREED = (
    COMPONENTS
    + AGREEMENT.format(owners='["client", "masker"]', field="skb_mark", bits="14")
    + AGREEMENT.format(owners='["partner", "masker"]', field="skb_mark", bits="14")
)

ASKS = "raw PREROUTING > client-w\nraw client-w | -j MARK --set-xmark 0x4000/0x4000\n"
READS = "nat POSTROUTING > masker-r\nnat masker-r | -m mark --mark 0x4000/0x4000 -j MASQUERADE\n"


def between(owner: str, rule: str) -> str:
    """A request, somebody's rule on the way, and who looks for the request."""
    return f"{ASKS}mangle FORWARD > {owner}-b\nmangle {owner}-b | {rule}\n{READS}"


CLEAR = "-j MARK --set-xmark 0x0/0x4000"
WHOLE = "-j MARK --set-xmark 0x10/0xffffffff"
RESTORE = "-j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff"

SILENT = {
    "nobody undoes it": ASKS + READS,
    "who asks takes it back": between("client", CLEAR),
    "who reads clears it": between("masker", CLEAR),
    "another who may write it": between("partner", CLEAR),
    "other bits are cleared": between("other", "-j MARK --set-xmark 0x0/0x8000"),
    "a chain that nobody calls": f"{ASKS}mangle other-b | {CLEAR}\n{READS}",
    "nobody asks": f"mangle FORWARD > other-b\nmangle other-b | {WHOLE}\n{READS}",
    "cleared before it is set": f"mangle FORWARD > other-b\nmangle other-b | {CLEAR}\n{ASKS}{READS}".replace(
        "mangle FORWARD", "raw PREROUTING"
    ).replace("mangle other", "raw other"),
    "cleared after the read": f"{ASKS}filter FORWARD > masker-r\nfilter masker-r | -m mark --mark 0x4000/0x4000 -j ACCEPT\n"
    f"mangle POSTROUTING > other-b\nmangle other-b | {CLEAR}\n",
    "asked again": f"{ASKS}mangle PREROUTING > other-b\nmangle other-b | {CLEAR}\nfilter FORWARD > client-a\n"
    f"filter client-a | -j MARK --set-xmark 0x4000/0x4000\n{READS}",
    "only what is not masqueraded": f"{ASKS}mangle FORWARD > other-b\nmangle other-b | -i lan0 {CLEAR}\n{READS}".replace(
        "-j MARK --set-xmark 0x4000/0x4000", "-i wan0 -j MARK --set-xmark 0x4000/0x4000"
    ),
}
COLLIDING = {
    "cleared": (between("other", CLEAR), "client"),
    "overwritten": (between("other", WHOLE), "client"),
    "restored from the connection": (between("other", RESTORE), "client"),
    "turned": (between("other", "-j MARK --set-xmark 0x4000/0x0"), "client"),
    "a partner's whole word": (between("partner", WHOLE), "client"),
    "a partner's request": (between("other", CLEAR).replace("client", "partner"), "partner"),
    "what the reader carries on": (
        f"{ASKS}mangle PREROUTING > masker-s\nmangle masker-s | -j CONNMARK --save-mark --nfmask 0x4000 --ctmask 0x4000\n"
        "mangle FORWARD > other-b\nmangle other-b | -j CONNMARK --set-xmark 0x10/0xffffffff\n"
        "nat POSTROUTING > masker-r\nnat masker-r | -m connmark --mark 0x4000/0x4000 -j MASQUERADE\n",
        None,
    ),
}


def found(tmp_path: Path, kind: str, rules: str, registry: str = AGREED, codes: tuple[str, ...] = LOUD) -> list[Finding]:
    name, write = WRITTEN[kind]
    folder = tmp_path / "node"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(write(rules), encoding="utf-8")
    file = tmp_path / "registry.toml"
    file.write_text(registry, encoding="utf-8")
    findings = audit(gather([str(folder)], io.BytesIO()), load(file)).findings
    return [f for f in findings if f.code in codes and f.severity != "note"]


@pytest.mark.parametrize("kind", WRITTEN)
@pytest.mark.parametrize("case", SILENT)
def test_a_request_that_is_met_is_silent(case: str, kind: str, tmp_path: Path) -> None:
    assert not found(tmp_path, kind, SILENT[case])


def test_a_restore_of_other_bits_leaves_it(tmp_path: Path) -> None:
    assert not found(tmp_path, "iptables", between("other", "-j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff"))


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_clear_where_it_is_not_set_loses_nothing(kind: str, tmp_path: Path) -> None:
    findings = found(tmp_path, kind, between("other", "-m mark --mark 0x0/0x4000 -j MARK --set-xmark 0x0/0x4000"))
    assert [(f.code, f.owners) for f in findings] == [("MK101", ("client", "other"))]


@pytest.mark.parametrize("kind", WRITTEN)
@pytest.mark.parametrize("case", COLLIDING)
def test_a_request_that_is_lost_is_the_readers_loss(case: str, kind: str, tmp_path: Path) -> None:
    rules, victim = COLLIDING[case]
    # Where the loss is told, that both write is not told again.
    (finding,) = found(tmp_path, kind, rules, codes=(*LOUD, "MK103") if victim else LOUD)
    culprit = "partner" if case == "a partner's whole word" else "other"
    assert (finding.code, finding.severity, finding.owners) == ("MK102", "error", (culprit, "masker"))
    assert finding.mask == 0x4000
    assert [s["step"] for s in finding.path if s["step"] != "hop"] == ["victim", "write", "read"]
    if victim:
        assert {loc.owner for loc in finding.locations if loc.role == "victim"} == {victim}
        assert f"which {victim} set before for masker to read" in finding.message


@pytest.mark.parametrize("kind", WRITTEN)
@pytest.mark.parametrize(
    "agreement",
    [
        "",
        AGREEMENT.format(owners='["client", "masker"]', field="skb_mark", bits="13"),
        AGREEMENT.format(owners='["client", "masker"]', field="ct_mark", bits="14"),
    ],
    ids=["none", "other bits", "other field"],
)
def test_what_no_agreement_covers_is_no_request(agreement: str, kind: str, tmp_path: Path) -> None:
    findings = found(tmp_path, kind, ASKS + READS, COMPONENTS + agreement)
    assert [(f.code, f.owners) for f in findings] == [("MK101", ("client", "masker"))]
    assert "MK102" not in {f.code for f in found(tmp_path, kind, between("other", CLEAR), COMPONENTS + agreement)}


@pytest.mark.parametrize("kind", WRITTEN)
def test_an_agreement_says_who_may_write(kind: str, tmp_path: Path) -> None:
    reads = AGREED.replace('bits = "14"', 'bits = "14"\nallows = { client = ["read"] }', 1)
    assert [f.code for f in found(tmp_path, kind, ASKS + READS, reads)] == ["MK101"]
    assert "MK102" not in {f.code for f in found(tmp_path, kind, between("other", CLEAR), reads)}


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_statement_about_the_whole_word_is_no_request(kind: str, tmp_path: Path) -> None:
    rules = between("other", CLEAR).replace("--set-xmark 0x4000/0x4000", "--set-xmark 0x4000/0xffffffff")
    assert "MK102" not in {f.code for f in found(tmp_path, kind, rules)}
