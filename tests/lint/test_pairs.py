"""Components by their images alone, as they are deployed by default: who is known to live together, and who is known not to."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import pytest

from markreg.audit import audit
from markreg.model import Finding
from markreg.registry.load import load
from markreg.registry.model import Registry
from markreg.repository import gather
from markreg.resources import builtin_registry

IMAGES = {
    "antrea": "antrea/antrea-agent-ubuntu:v2.3.0",
    "aws-vpc-cni": "602401143452.dkr.ecr.eu-west-1.amazonaws.com/amazon-k8s-cni:v1.19.0",
    "azure-npm": "mcr.microsoft.com/containernetworking/azure-npm:v1.5.4",
    "calico": "quay.io/calico/node:v3.30.2",
    "cilium": "quay.io/cilium/cilium:v1.17.3@sha256:0123456789abcdef",
    "egressgateway": "ghcr.io/spidernet-io/egressgateway-agent:v0.6.4",
    "flannel": "ghcr.io/flannel-io/flannel:v0.26.0",
    "gke-netd": "gke.gcr.io/netd:v0.4",
    "istio": "docker.io/istio/install-cni:1.26.0",
    "kindnet": "docker.io/kindest/kindnetd:v20241212",
    "kube-ovn": "docker.io/kubeovn/kube-ovn:v1.13.0",
    "kube-proxy": "registry.k8s.io/kube-proxy:v1.31.0",
    "kube-router": "cloudnativelabs/kube-router:v2.2.1",
    "kube-vip": "ghcr.io/kube-vip/kube-vip:v0.9.1",
    "spiderpool": "ghcr.io/spidernet-io/spiderpool/spiderpool-agent:v1.0.0",
    "submariner": "quay.io/submariner/submariner-route-agent:0.20.0",
    "tailscale": "tailscale/tailscale:v1.96.0",
}
HEALTHY = [
    ("antrea", "kube-proxy"),
    ("aws-vpc-cni", "calico"),
    ("aws-vpc-cni", "kube-proxy"),
    ("azure-npm", "kube-proxy"),
    ("calico", "istio"),
    ("calico", "kube-proxy"),
    ("calico", "kube-vip"),
    ("calico", "spiderpool"),
    ("calico", "submariner"),
    ("cilium", "istio"),
    ("egressgateway", "kube-proxy"),
    ("flannel", "kube-proxy"),
    ("flannel", "kube-router"),
    ("flannel", "submariner"),
    ("gke-netd", "calico"),
    ("kindnet", "kube-proxy"),
    ("kube-proxy", "kube-router"),
    ("kube-proxy", "kube-vip"),
    ("kube-proxy", "tailscale"),
]
COLLIDING = [
    ("azure-npm", "cilium"),
    ("calico", "cilium"),
    ("calico", "kube-ovn"),
    ("calico", "kube-router"),
    ("calico", "tailscale"),
    ("cilium", "tailscale"),
    ("kube-ovn", "tailscale"),
    ("kube-router", "tailscale"),
]


@cache
def registry() -> Registry:
    return load(builtin_registry())


def found(folder: Path, names: tuple[str, str]) -> list[Finding]:
    for name in names:
        kernel = "      env: [{name: TS_USERSPACE, value: 'false'}]\n" if name == "tailscale" else ""
        spec = f"spec:\n  hostNetwork: true\n  containers:\n    - image: {IMAGES[name]}\n{kernel}"
        (folder / f"{name}.yml").write_text(f"apiVersion: v1\nkind: Pod\nmetadata: {{name: agent}}\n{spec}", encoding="utf-8")
    done = audit(gather([str(folder)], io.BytesIO()), registry())
    assert sorted(names) == [c.name for c in done.node.components]
    return list(done.findings)


@pytest.mark.parametrize("names", HEALTHY, ids=" and ".join)
def test_they_live_together(names: tuple[str, str], tmp_path: Path) -> None:
    assert [f for f in found(tmp_path, names) if f.severity != "note"] == []


@pytest.mark.parametrize("names", COLLIDING, ids=" and ".join)
def test_they_do_not(names: tuple[str, str], tmp_path: Path) -> None:
    (finding,) = [f for f in found(tmp_path, names) if f.severity == "error"]
    assert (finding.code, tuple(sorted(o.partition("/")[0] for o in finding.owners))) == ("MK305", names)
    assert {Path(place.path).stem for place in finding.locations} == set(names)
    assert finding.help
