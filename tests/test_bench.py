"""The benchmark's input is what it says: rules that iptables takes, of the size asked for, always the same."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pytest

from bench import manifests, nft, openflow
from bench.kubeproxy import LINES_OF_A_SERVICE, dump, write
from bench.measure import best
from markreg.audit import audit
from markreg.registry.load import load
from markreg.repository import gather
from markreg.resources import builtin_registry


def test_it_grows_by_the_service_and_is_always_the_same() -> None:
    sizes = ["".join(dump(n)).count("\n") for n in (0, 1, 50)]
    assert [size - sizes[0] for size in sizes] == [0, LINES_OF_A_SERVICE, 50 * LINES_OF_A_SERVICE]
    assert "".join(dump(7)) == "".join(dump(7))


def test_every_jump_has_its_chain() -> None:
    lines = "".join(dump(20)).splitlines()
    chains = {line.split()[0][1:] for line in lines if line.startswith(":")}
    assert {line.split(" -j ")[1].split()[0] for line in lines if " -j KUBE" in line} <= chains


def test_a_process_is_measured_whole() -> None:
    cost = best(["python3", "-c", "import time, sys; time.sleep(0.2); x = b'x' * 50_000_000; sys.exit(3)"], times=2)
    assert 0.2 < cost.seconds < 10
    assert cost.peak > 50_000_000
    assert cost.status == 3


def test_a_tree_of_manifests_is_always_the_same_and_holds_one_collision(tmp_path: Path) -> None:
    manifests.write(tmp_path / "tree", 3)
    assert len(list((tmp_path / "tree").iterdir())) == 3
    assert manifests.manifest(7) == manifests.manifest(7)
    done = audit(gather([str(tmp_path / "tree")], io.BytesIO()), load(builtin_registry()))
    assert [f.code for f in done.findings] == ["MK305"]


@pytest.mark.oracle
def test_iptables_takes_it(tmp_path: Path) -> None:
    path = tmp_path / "iptables-save.txt"
    write(path, 100)
    with path.open() as file:
        subprocess.run(["unshare", "--net", "iptables-legacy-restore", "--test"], stdin=file, check=True, timeout=60)


@pytest.mark.oracle
@pytest.mark.parametrize("kind", nft.KINDS)
def test_nft_takes_it(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "nft.txt"
    nft.write(path, kind, 300)
    subprocess.run(["unshare", "--net", "nft", "-c", "-f", path], check=True, timeout=60)


@pytest.mark.oracle
@pytest.mark.parametrize("kind", ["bare", "bare-distinct"])
def test_ovs_ofctl_takes_the_flows(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "flows.txt"
    openflow.write(path, kind, 2000)
    said = subprocess.run(["ovs-ofctl", "-O", "OpenFlow15", "parse-flows", path], check=True, timeout=60, capture_output=True, text=True)
    assert said.stdout.count("ADD table:") + said.stdout.count("ADD priority") == 2000
