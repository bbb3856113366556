"""The registry covers what the facts know: every use's bits, and every signature's names are recognised as that component."""

from __future__ import annotations

import tomllib
from functools import cache, reduce
from operator import or_

import pytest

from markreg.bits import BitsError, format_mask, parse_int
from markreg.registry.elsewhere import everywhere
from markreg.registry.load import load
from markreg.registry.model import Registry
from tests.support import ROOT, SHARED, needs_shared

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

@cache
def registry() -> Registry:
    return load(ROOT / "registry.toml")


def facts(kind: str) -> list[dict[str, object]]:
    found = []
    for name in ("kubernetes.toml", "other.toml"):
        if (SHARED / "facts" / name).is_file():
            found += tomllib.loads((SHARED / "facts" / name).read_text()).get(kind, [])
    return found

def number(text):
    try: return parse_int(str(text).split()[0])
    except BitsError: return None

if __name__=="__main__":
    for u in facts("use"):
        c=RENAMED.get(u["component"],u["component"]); n=u.get("use") or u["name"]
        m=number(u["mask"])
        if not m: print("NOMASK",c,n,u["mask"]); continue
        if c not in registry().components: print("NOCOMP",c,n); continue
        rows=[r for r in everywhere(registry(),registry().components[c]) if r.field==u["field"]]
        full={32:0xffffffff}
        cover=reduce(or_,(r.mask | (0xffffffff if r.reservation.writes=="whole" else 0) for r in rows),0)
        if m&~cover: print("MISS",c,n,u["field"],u["mask"],"have",hex(cover), [(r.reservation.name,hex(r.mask)) for r in rows][:12], u["write"],u["value"])
