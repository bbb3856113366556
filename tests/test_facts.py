"""The registry and the component files hold what the shared facts know: uses, codes, overlaps and signatures, fact by fact."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache, reduce
from operator import or_
from typing import Any

import pytest

from markreg.bits import BitsError, full, parse_int
from markreg.decode import Decoder
from markreg.registry.effective import Effective
from markreg.registry.elsewhere import everywhere
from markreg.registry.load import load
from markreg.registry.model import Registry
from markreg.registry.signatures import Index
from tests.support import ROOT, SHARED, needs_shared

Fact = dict[str, Any]
# What the facts call otherwise than the registry does.
RENAMED = {
    "azure-vnet-cni": "azure-cni",
    "istio-ambient": "istio",
    "istio-sidecar": "istio",
    "kernel-tproxy-doc": "tproxy-guide",
    "multi-networkpolicy-iptables": "multi-networkpolicy",
    "netd": "gke-netd",
    "openwrt-pbr": "pbr",
    "portmap": "cni-portmap",
    "spidernet-egressgateway": "egressgateway",
    "v2ray-guides": "tproxy-guide",
    "wg-quick": "wireguard",
    "ztunnel": "istio",
}
# Facts that are no claim of a component's own.
NO_CLAIM = {
    ("fwmark-registry", "tailscale-row"): "a row of the list of 2020: tests/test_catalogue.py",
    ("fwmark-registry", "aws-appmesh-row"): "likewise",
    ("cilium", "k8s_reserved"): "numbers of Kubernetes that a header of Cilium repeats",
    ("ovn", "ct_commit_raw"): "what an action could write, not what northd does",
}
# Names of the facts that tell no component: anybody may use them, or a user's own rules stand there.
TELLS_NOBODY = {
    "docker": re.compile(r"DOCKER-USER"),
    "firewalld": re.compile(r"(PRE|POST|IN|OUT|FWD)_[^_]+"),
    "flannel": re.compile(r"cni0"),
    "openshift-sdn": re.compile(r"firewall overrides"),
    "pbr": re.compile(r"inet fw4"),
    "tproxy-guide": re.compile(r"DIVERT"),
    "shorewall": re.compile(r"excl\d|dynamic|logdrop|reject|\w+2\w+|\w+_(in|out|fwd|frwd)"),
    "neutron": re.compile(r"neutron-(filter|postrouting-bottom)-word"),  # the facts' pattern is wider than the names
    "android-netd": re.compile(r"\w+_word"),  # likewise
}
# The facts give these without the chain or comment that makes them the component's.
IN_TABLE = {"inet fw4": "handle_reject"}


@cache
def registry() -> Registry:
    return load(ROOT / "registry.toml")


@cache
def index() -> Index:
    return Index(registry())


@cache
def decoder() -> Decoder:
    return Decoder(registry())


def facts(kind: str) -> list[Fact]:
    """All facts of a kind; none where there is no shared folder, and the tests that ask for them are skipped."""
    files = [SHARED / "facts" / name for name in ("kubernetes.toml", "other.toml")]
    return [fact for file in files if file.is_file() for fact in tomllib.loads(file.read_text(encoding="utf-8")).get(kind, [])]


def slug(fact: Fact) -> str:
    return RENAMED.get(fact["component"], str(fact["component"]))


def rows(component: str, field: str) -> list[Effective]:
    return [row for row in everywhere(registry(), registry().components[component]) if row.field == field]


def covers(row: Effective) -> int:
    """The bits that a row speaks for: all of them, if it writes all or follows a setting of the user's that has no default."""
    whole = row.reservation.writes == "whole" or (row.reservation.bits_from is not None and not row.mask)
    return full(registry().fields[row.field].width) if whole else row.mask


def claims() -> Iterator[Fact]:
    for fact in facts("use"):
        if (fact["component"], fact.get("use") or fact["name"]) not in NO_CLAIM:
            yield fact


def values(fact: Fact) -> set[int]:
    """The numbers that a fact gives for the mark, without those that are masks or no marks at all."""
    texts = fact["value"] if isinstance(fact["value"], list) else [fact["value"]]
    found = {int(number, 16) for text in texts for number in re.findall(r"(?<![/&^~])\b0x[0-9a-f]+\b(?! (?:AND|<<))", text)}
    return found - {0, full(32), full(128)}


@needs_shared
def test_every_component_is_here() -> None:
    missing = {slug(fact) for kind in ("use", "signature") for fact in facts(kind)} - registry().components.keys() - {"fwmark-registry"}
    assert missing == set()


@needs_shared
def test_every_use_is_covered() -> None:
    open_: dict[str, str] = {}
    for fact in claims():
        mine = rows(slug(fact), fact["field"])
        try:
            mask = parse_int(str(fact["mask"]).split()[0])
        except BitsError:
            mask = 0 if mine else 1  # the user's own bits: some reservation follows a setting
        left = mask & ~reduce(or_, map(covers, mine), 0)
        if left and not all(decoded(slug(fact), fact["field"], value) for value in values(fact) or {left}):
            open_[f"{slug(fact)}: {fact.get('use') or fact['name']}"] = f"{left:#x}"
    assert open_ == {}


def decoded(component: str, field: str, value: int) -> bool:
    """Whether a value is explained in full by what this component reserves."""
    answer = decoder().decode(field, value)
    return component in answer.whole or any(r.component == component and not r.left for r in answer.readings)


@needs_shared
def test_every_value_is_explained() -> None:
    # The facts' codes of a parent are in words, and a number before << is no mark.
    spoken = {("chromeos-patchpanel", 0x28), ("azure-npm", 0xE00)}
    open_ = {
        f"{slug(fact)} {fact['field']} {value:#x}"
        for fact in claims()
        for value in values(fact)
        if (slug(fact), value) not in spoken
        and not decoded(slug(fact), fact["field"], value)
        and not any(row.reservation.bits_from and not row.mask for row in rows(slug(fact), fact["field"]))
    }
    assert open_ == set()


@needs_shared
def test_what_takes_the_whole_word_is_said_to() -> None:
    for fact in claims():
        if fact["write"] == "full":
            mine = rows(slug(fact), fact["field"])
            socket = "socket" in str(fact["where"]).lower()  # a packet is born with it: nothing is lost
            assert socket or any(r.reservation.writes == "whole" or "socket" in r.reservation.via for r in mine), fact


@needs_shared
def test_every_overlap_is_known() -> None:
    for fact in facts("overlap"):
        a, b = (RENAMED.get(name, name) for name in (fact["a"].partition("/")[0], fact["b"].partition("/")[0]))
        if a == b:
            continue  # the registry's own check explains what is inside a component
        known = [{name.partition("/")[0] for name in c.between} for c in registry().conflicts]
        known += [{name.partition("/")[0] for name in agreement.owners} for agreement in registry().agreements]
        said = any({a, b} <= names for names in known)
        assert said or fact["kind"] == "disjoint-context", fact
        if not said:
            mask = parse_int(fact["mask"])
            scopes = [{s for row in rows(c, fact["field"]) if row.mask & mask for s in row.scope} for c in (a, b)]
            assert scopes[0] != scopes[1], fact


def words(pattern: str) -> set[str]:
    """Names that a pattern of the facts is meant for: each alternative once, with a word in place of what is open."""
    text = pattern.strip("^$").replace(r"\(", "{").replace(r"\)", "}").replace("\\", "")
    while group := re.search(r"\(([^()]*)\)(\??)", text):
        return {
            w
            for choice in (*group[1].split("|"), *([""] if group[2] else []))
            for w in words(text[: group.start()] + choice + text[group.end() :])
        }
    for what, word in (
        (r"\[[0-9]+-?[0-9]*\]\+?|d\+", "1"),
        (r"\[A-F0-9\]\+|\[0-9a-f\]\+", "0A1B"),
        (r"\[[^\]]*\](\{\d+\})?", "4"),
        (r"\.[*+]|w\+", "word"),
    ):
        text = re.sub(what, word, text)
    return {text.replace("?", "").replace("{", "(").replace("}", ")")}


def places(fact: Fact) -> Iterator[tuple[str, frozenset[str], dict[str, tuple[str, ...]]]]:
    """Everything that a signature says shows its component: a word for it, the kind of input, and what is seen there."""
    saved = {"family": ("ip",), "table": ("mangle", "ip mangle", "filter", "ip filter")}
    for pattern in (*fact.get("iptables_chains", ()), *fact.get("iptables_chain_regex", ())):
        for name in sorted(words(pattern)):
            yield name, frozenset({"iptables"}), {**saved, "chain": (name,)}
    for pattern in (*fact.get("nft_tables", ()), *fact.get("nft_table", ())):
        (table,) = words(re.sub(r"\(.*", "", pattern).strip())
        family, _, name = table.rpartition(" ")
        families = (family,) if family else ("inet", "ip", "ip6")
        seen = {"family": families, "table": (name, *(f"{f} {name}" for f in families)), "chain": (IN_TABLE.get(table, "c"),)}
        yield table, frozenset({"nft"}), seen
    for pattern in (*fact.get("rule_comments", ()), *fact.get("comment_regex", ())):
        for comment in sorted(words(pattern)):
            yield comment, frozenset({"iptables", "nft"}), {**saved, "comment": (comment,)}
    for key, name in (("bpf_objects", "object"), ("bpf_programs", "program")):
        for word in fact.get(key, ()):
            shown = word.replace("tail_.*", "tail_handle_ipv4")
            yield shown, frozenset({"bpf", "tc"}), {name: (shown,)}


@needs_shared
def test_every_name_tells_its_component() -> None:
    wrong: dict[str, str] = {}
    for fact in facts("signature"):
        name = slug(fact)
        for word, kinds, seen in places(fact):
            if name in TELLS_NOBODY and TELLS_NOBODY[name].fullmatch(word):
                continue
            found = index().decide(kinds, seen, own_chain="comment" not in seen)
            sharing = found.signature.shared_with if found else ()
            if found is None or name not in (found.component, *sharing):
                wrong[f"{name}: {word}"] = found.component if found else "nobody"
    assert wrong == {}


@needs_shared
@pytest.mark.parametrize("fact", [f for f in facts("signature") if f.get("map_prefix") or f.get("bpf_map_prefix")], ids=slug)
def test_maps_tell_their_component(fact: Fact) -> None:
    found = index().decide(frozenset({"bpf"}), {"map": (f"{fact['bpf_map_prefix']}state",)})
    assert found is not None
    assert found.component == slug(fact)
