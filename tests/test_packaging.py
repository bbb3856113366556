"""What is installed finds its data: from a wheel, a source archive and a checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support import ROOT

KINDS = ("wheel", "sdist", "editable")


def run(*command: str | Path, cwd: Path, ok: tuple[int, ...] = (0,)) -> str:
    """What a command prints, run with nothing of this environment that could lead it to the checkout."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "MARKREG", "VIRTUAL_ENV"))}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in ok, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A source archive, and the wheel made of it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return {"wheel": next(folder.glob("*.whl")), "sdist": next(folder.glob("*.tar.gz")), "editable": ROOT}


@pytest.fixture(scope="module")
def dependencies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This environment's packages without markreg, so that nothing needs a network."""
    folder = tmp_path_factory.mktemp("dependencies")
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "markreg" not in entry.name and entry.suffix != ".pth":
            (folder / entry.name).symlink_to(entry)
    return folder


@pytest.fixture(scope="module", params=KINDS)
def installed(
    request: pytest.FixtureRequest, archives: dict[str, Path], dependencies: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A fresh environment with markreg installed in one way."""
    venv = tmp_path_factory.mktemp(request.param)
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=venv)
    (site,) = venv.glob("lib/python3*/site-packages")
    (site / "dependencies.pth").write_text(f"{dependencies}\n")
    editable = ["--editable"] if request.param == "editable" else []
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", *editable]
    run(venv / "bin" / "python", "-m", "pip", "install", *options, archives[request.param], cwd=venv)
    return venv / "bin"


def test_it_tells_its_version(installed: Path, tmp_path: Path) -> None:
    from markreg import __version__

    assert __version__ in run(installed / "markreg", "--version", cwd=tmp_path)


def test_it_explains_a_code(installed: Path, tmp_path: Path) -> None:
    assert "steered-match" in run(installed / "markreg", "explain", "MK101", cwd=tmp_path)


def test_it_audits_a_node(installed: Path, tmp_path: Path) -> None:
    said = run(installed / "markreg", "audit", ROOT / "docs" / "example-node", cwd=tmp_path, ok=(1,))
    assert "MK101" in said
    assert "calico" in said
    assert "tailscale" in said


def test_its_data_is_its_own(installed: Path, tmp_path: Path) -> None:
    root = Path(run(installed / "python", "-c", "from markreg import resources; print(resources.data_root())", cwd=tmp_path).strip())
    assert root == ROOT or root.is_relative_to(installed.parent)
    for name in ("grammar", "rules/components", "rules/checks", "registry.toml"):
        assert (root / name).exists()


def test_a_wheel_has_every_data_file_and_nothing_else(archives: dict[str, Path], tmp_path: Path) -> None:
    data = {p.relative_to(ROOT).as_posix() for folder in ("grammar", "rules") for p in (ROOT / folder).rglob("*") if p.is_file()}
    with zipfile.ZipFile(archives["wheel"]) as wheel:
        names = wheel.namelist()
    packed = {name.removeprefix("markreg/_data/") for name in names if name.startswith("markreg/_data/")}
    assert packed == data | {"registry.toml"}
    assert {name.split("/")[0].split("-")[0] for name in names} == {"markreg"}


def test_a_source_archive_can_be_tested(archives: dict[str, Path]) -> None:
    with tarfile.open(archives["sdist"]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"pyproject.toml", "registry.toml", "README.md", "LICENSE", "Makefile", ".ci/run", "tests/support.py", "bench/run.py"} <= names
    assert {p.relative_to(ROOT).as_posix() for p in (ROOT / "docs").rglob("*") if p.is_file()} <= names
