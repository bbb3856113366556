"""Real manifests, and the facts' examples of settings with the bits that they give."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from functools import cache, reduce
from operator import or_
from pathlib import Path
from typing import Any

import pytest
import tomli

from markreg.audit import audit
from markreg.deployed import deploy, resolver
from markreg.deployed.uses import uses
from markreg.formats import manifest
from markreg.model import Scope, Use
from markreg.registry.effective import Resolver
from markreg.registry.load import load
from markreg.registry.model import Registry
from markreg.repository import gather
from markreg.resources import builtin_registry
from markreg.source import Source
from tests.support import SHARED, needs_shared

# Where the registry names or divides what the facts call a use otherwise: component, or component and use.
COMPONENTS = {
    "portmap": "cni-portmap",
    "netd": "gke-netd",
    "spidernet-egressgateway": "egressgateway",
    "istio-sidecar": "istio",
    "istio-ambient": "istio",
    "ztunnel": "istio",
    "wg-quick": "wireguard",
    "openwrt-pbr": "pbr",
}
USES = {
    ("aws-vpc-cni", "primary_eni_pkt"): ("primary-eni",),
    ("antrea", "egress_snat_id"): ("egress",),
    ("calico", "bpf_seen"): ("bpf-flags",),
    ("calico", "scratch1_bpf"): ("scratch1",),
    ("calico", "wireguard_bpf"): ("wireguard",),
    ("cilium", "encrypt"): ("magic", "ipsec-key", "ipsec-node"),
    ("cilium", "decrypt"): ("magic", "ipsec-node"),
    ("cilium", "proxy_socket"): ("proxy-socket",),
    ("kube-ovn", "service_masq"): ("service-masq",),
    ("mwan3", "interface-mark"): ("mark",),
    ("mwan3", "default"): ("mark",),
    ("mwan3", "blackhole"): ("mark",),
    ("mwan3", "unreachable"): ("mark",),
    ("netbird", "redirected"): ("mark",),
    ("netbird", "control-plane-rule"): ("control-plane",),
    ("netd", "hairpin_save"): ("hairpin-conn",),
    ("netd", "hairpin_pkt"): ("hairpin",),
    ("tailscale", "subnet-route"): ("fwmark",),
    ("tailscale", "bypass-rule"): ("fwmark",),
    ("tailscale", "bypass-socket"): ("bypass",),
    ("tailscale", "claimed-byte"): ("fwmark",),
    ("tailscale", "connmark-restore-nft"): ("connmark-restore",),
    ("wg-quick", "tunnel-fwmark"): ("tunnel",),
    ("wg-quick", "connmark-save"): ("connmark",),
    ("ztunnel", "socket_mark"): ("ztunnel-socket",),
}
# In a row of the registry read and written together, or told apart by what the facts call the backend.
SHARED_ROWS = {
    ("tailscale", "subnet-route-read"),
    ("tailscale", "connmark-restore-iptables"),
    ("calico", "scratch1"),
    ("calico", "wireguard"),
}
FULL = 0xFFFFFFFF


@cache
def registry() -> Registry:
    return load(builtin_registry())


def examples() -> list[dict[str, Any]]:
    path = SHARED / "facts" / "knobs.toml"
    found: list[dict[str, Any]] = tomli.loads(path.read_text(encoding="utf-8"))["example"] if path.is_file() else []
    return found


def names(component: str, use: str) -> tuple[str, ...]:
    return USES.get((component, use), (use, use.replace("_", "-")))


def deployed(example: dict[str, Any]) -> tuple[list[Use], Resolver, list[str]]:
    """The uses that an example gives, and why components refuse it."""
    reading = manifest.read(Source("example.yaml", str(example["input"]).lstrip("\n").encode()), "manifest", Scope())
    assert not reading.problems
    said = re.search(r"\d+\.\d+", str(example["version"]))
    found = [
        replace(
            d, release=d.release or (said[0] if said and d.name in (*COMPONENTS, "calico", "kubelet", "kube-proxy", "antrea") else None)
        )
        for d in deploy([reading], registry())
    ]
    known = resolver(registry(), found)
    refused = [why for d in found for why in (*known.faults(d.name), *(s.refused for s in d.settings if s.refused))]
    return list(uses(registry(), known, found)), known, refused


def drawn(known: Resolver, component: str) -> int:
    """All that a component's pools hand out."""
    entry = registry().components[component]
    found = [known.at(f"{component}/{d.name}") for pool in entry.pool for d in pool.draw]
    return reduce(or_, (row.mask for row in found if row), 0)


@needs_shared
@pytest.mark.parametrize("example", examples(), ids=lambda e: str(e["name"]))
def test_an_example_gives_what_it_says(example: dict[str, Any]) -> None:
    found, known, refused = deployed(example)
    assert bool(refused) is bool(example.get("refused")) or example["name"] == "ambient-and-ztunnel-mismatch"
    for wanted in example["expect"]:
        name = COMPONENTS.get(wanted["component"], wanted["component"])
        mask = int(wanted["mask"], 16)
        if (name, wanted["use"]) in (("calico", "mark_space"), ("calico", "endpoint")):
            # The bits behind the others are drawn always and used only with IPVS.
            row = known.at("calico/endpoint")
            assert mask == (drawn(known, name) if wanted["use"] == "mark_space" else row.mask if row else 0)
            continue
        targets = [f"{name}/{use}" for use in names(wanted["component"], wanted["use"])]
        mine = [u for u in found if u.target in targets and u.field == wanted["field"]]
        rows = [row.mask for t in targets if (row := known.at(t)) and row.in_force]
        union = reduce(or_, rows, 0)
        assert mask in {u.mask for u in mine} | {union} or (wanted["use"] == "bpf_seen" and union & mask), (wanted, targets)


@needs_shared
@pytest.mark.parametrize("example", examples(), ids=lambda e: str(e["name"]))
def test_an_example_gives_nothing_that_it_must_not(example: dict[str, Any]) -> None:
    found, _, _ = deployed(example)
    expected = example["expect"]
    only = COMPONENTS.get(expected[0]["component"], expected[0]["component"]) if expected else ""
    for absent in example.get("absent", ()):
        component, slash, use = absent.rpartition("/")
        component = component if slash else only
        if (component, use) not in SHARED_ROWS:
            targets = {f"{COMPONENTS.get(component, component)}/{n}" for n in names(component, use)}
            assert not targets & {u.target for u in found}


def files() -> list[Path]:
    folders = (SHARED / "corpus" / "manifests", SHARED / "corpus" / "cni-conf")
    return sorted(p for folder in folders if folder.is_dir() for p in folder.iterdir()) + sorted(SHARED.glob("incidents/**/manifest.yaml"))


@needs_shared
def test_no_real_manifest_is_too_much() -> None:
    """Without a traceback, and each finding on a line that is there."""
    seen = 0
    for path in files():
        gathered = gather([str(path)], io.BytesIO())
        if not gathered.known:
            continue
        done = audit(gathered, registry())
        seen += 1
        for finding in done.findings:
            for place in finding.locations:
                lines = Source(str(path), path.read_bytes())
                assert place.line == 0 or len(lines.line(place.line)) == len(place.text), (path, finding)
    assert seen > 150


@needs_shared
def test_projects_manifests_are_healthy_by_themselves() -> None:
    """What a project ships for one cluster collides with nothing, but for one whose Cilium chaining does."""
    loud = set()
    for path in files():
        gathered = gather([str(path)], io.BytesIO())
        if gathered.known and any(f.severity != "note" for f in audit(gathered, registry()).findings):
            loud.add(path.name)
    assert loud == {"istio-istio_testdata_pre_non_json.conf", "kubeovn-kube-ovn_yamls_cilium-chaining.yaml"}
