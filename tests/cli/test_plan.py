"""``plan``: settings in each component's own words, and the reasons where there are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tomli

from tests.cli.running import markreg


def test_the_setting_that_ends_the_conflict_of_calico_and_tailscale() -> None:
    done = markreg("plan", "calico", "tailscale", "kube-proxy")
    assert done.returncode == 0
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines[0] == "calico, tailscale, kube-proxy: can share a node with 1 setting changed"
    assert "spec: { iptablesMarkMask: 4278190080 }" in lines
    assert '- { name: FELIX_IPTABLESMARKMASK, value: "0xff000000" }' in lines
    (pinned,) = (line for line in lines if line.startswith("settings = "))
    assert tomli.loads(pinned)["settings"]["calico"]["mark-mask"] == "0xff000000"


def test_the_same_for_programs() -> None:
    said = json.loads(markreg("plan", "calico", "tailscale", "--format", "json").stdout)
    assert (said["schema"], said["possible"]) == ("markreg.plan/1", True)
    (setting,) = said["settings"]
    assert (setting["component"], setting["knob"], setting["mask"]) == ("calico", "mark-mask", "0xff000000")
    assert {"where": "FelixConfiguration", "text": "spec: { iptablesMarkMask: 4278190080 }"} in setting["places"]


def test_what_has_no_solution_is_proved() -> None:
    done = markreg("plan", "calico", "tailscale", "kube-proxy", "--set", "calico.bpf=true")
    assert done.returncode == 1
    assert done.stdout.startswith("calico, tailscale cannot share a node (of calico, tailscale, kube-proxy; the\n")
    assert "calico with bpf = true insists on 0x1ff00000 in mark-mask" in " ".join(done.stdout.split())
    said = json.loads(markreg("plan", "calico", "tailscale", "--set", "calico.bpf=true", "--format", "json").stdout)
    assert said["possible"] is False
    assert said["cannot_share"] == ["calico", "tailscale"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("kube-proxy", "wireguard"), "iptables: { masqueradeBit: "),
        (("kube-proxy", "wireguard"), "--iptables-masquerade-bit="),
        (("netbird", "cni-portmap"), '"markMasqBit": '),
        (("pbr", "tailscale"), "uci set pbr.config.fw_mask="),
    ],
)
def test_each_component_has_its_own_syntax(words: tuple[str, ...], text: str) -> None:
    done = markreg("plan", *words)
    assert done.returncode == 0
    assert text in done.stdout


def test_what_lies_in_a_mask_goes_with_it() -> None:
    said = json.loads(markreg("plan", "pbr", "tailscale", "--format", "json").stdout)
    (mask,) = (int(s["mask"], 16) for s in said["settings"])
    (step,) = (int(f["after"], 16) for f in said["follow"])
    assert step == mask & -mask
    assert f"uci set pbr.config.uplink_mark={step:08x}" in markreg("plan", "pbr", "tailscale").stdout


def test_fixed_bits() -> None:
    done = markreg("plan", "calico", "--fixed", "edge=24-27", "--fixed", "kube-proxy=16")
    assert done.returncode == 0
    assert "calico mark-mask: 0xffff0000 (bits 16-31) -> 0xf0fe0000" in done.stdout
    done = markreg("plan", "kube-proxy", "--fixed", "edge=14", "--fixed", "kube-proxy=14")
    assert done.returncode == 1
    assert "kube-proxy, edge cannot share a node" in done.stdout


def test_a_pool_of_the_plan(tmp_path: Path) -> None:
    pool = '[[node_pool]]\nname = "w"\ncomponents = ["calico", "tailscale"]\n'
    (tmp_path / "registry.toml").write_text(f'version = 1\nextends = "builtin"\n{pool}')
    assert "0xff000000" in markreg("plan", "--node-pool", "w", cwd=tmp_path).stdout
    (tmp_path / "registry.toml").write_text(
        f'version = 1\nextends = "builtin"\n{pool}settings = {{ calico = {{ mark-mask = "0xffff0000" }} }}\n'
    )
    done = markreg("plan", "--node-pool", "w", cwd=tmp_path)
    assert done.returncode == 1
    assert "where mark-mask is pinned" in done.stdout
    assert markreg("registry", "check", cwd=tmp_path).returncode == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "name the components"),
        (("calco",), "did you mean 'calico'?"),
        (("calico", "--set", "calico.mark-msk=1"), "did you mean 'mark-mask'?"),
        (("calico", "--set", "calico.bpf=perhaps"), "must be true or false"),
        (("calico", "--set", "bpf"), "COMPONENT.KNOB=VALUE"),
        (("calico", "--fixed", "x"), "NAME=BITS"),
        (("calico", "--fixed", "x=99"), "outside a field of 32 bits"),
        (("calico", "--fixed", "x=nomark:1"), "no field is called"),
        (("--fixed", "kube-proxy=1-2"), "is one bit"),
        (("--fixed", "tailscale=1"), "no setting moves the bits of tailscale"),
        (("calico", "--release", "calico"), "COMPONENT=RELEASE"),
        (("calico", "--node-pool", "x"), "no pool 'x'"),
        (("calico", "--format", "yaml"), "is none of"),
    ],
)
def test_wrong_usage(words: tuple[str, ...], message: str) -> None:
    done = markreg("plan", *words)
    assert done.returncode == 2
    assert message in done.stderr
