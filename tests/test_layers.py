"""The house has one way through: what may import what, who may print, and how long a module may be. See docs/architecture.md."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.support import ROOT

# From the ground up. A module may import its own layer and those below; inside a layer there are no circles.
LAYERS = (
    ("", "bits"),
    ("transfer",),
    ("model", "rows", "pipelines", "switching", "devices", "tunnels", "programs", "deployment", "chains", "flow", "source", "resources"),
    ("formats", "bpf", "manifests", "archives", "inputs", "repository", "collect"),
    ("paths", "attribution", "registry"),
    ("node", "captures", "deployed", "northbound"),
    ("checks", "decode", "observation", "nodemap", "report", "catalogue", "plan", "fleet"),
    ("audit", "ignores", "baseline", "annotate"),
    ("cli", "__main__"),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
LONGEST = 400

ONLY_IN = {
    "collect": ("subprocess", "socket", "pyroute2", "iptc", "nftables", "ctypes"),
    "cli": ("typer", "click"),
}
WHEN_NEEDED = ("lark", "yaml", "rich", "elftools", "tomlkit", *ONLY_IN["collect"][2:5])
# A child that was forked for one call ends without the cleaning up of its parent.
MAY_EXIT = {"collect.isolated": "os._exit"}
SPEAKS = ("print", "exit", "quit", "SystemExit", "sys.exit", "sys.stdout", "sys.stderr", "os._exit")

PACKAGE = ROOT / "markreg"
MODULES = sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    """The dotted name below markreg; empty for the package itself."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").removesuffix(".")


def layer(name: str) -> str:
    return name.partition(".")[0]


NAMES = {module_name(path) for path in MODULES}


def imported(node: ast.AST, module: str) -> Iterator[str]:
    """The full names that an import statement imports; those of ``from X import Y`` as X.Y."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (f"{'markreg.' if node.level else ''}{node.module or ''}.{alias.name}" for alias in node.names)


def own(name: str) -> str | None:
    """The module of markreg that an imported name is or comes from."""
    if name != "markreg" and not name.startswith("markreg."):
        return None
    inner = name.removeprefix("markreg").removeprefix(".")
    return inner if inner in NAMES else inner.rpartition(".")[0]


def at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """Everything that runs when a module is imported."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from at_import(node)


def faults(source: str, module: str) -> list[str]:
    """What a module does that its layer may not."""
    tree = ast.parse(source)
    here = layer(module)
    found = []
    if source.count("\n") > LONGEST:
        found.append(f"longer than {LONGEST} lines")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            found.append("relative import")
        for name in imported(node, module):
            target = own(name)
            if target is not None and (RANK[layer(target)] > RANK[here] or here == "bits"):
                found.append(f"imports {name}")
            found += [
                f"imports {name}, which is for {where}" for where, names in ONLY_IN.items() if name.split(".")[0] in names and here != where
            ]
        if isinstance(node, ast.Name | ast.Attribute) and (said := ast.unparse(node)) in SPEAKS and here not in ("cli", "__main__"):
            if MAY_EXIT.get(module) == said:
                continue
            found.append(f"uses {ast.unparse(node)}, which is for cli")
    for node in at_import(tree):
        found += [f"imports {name} when it is imported itself" for name in imported(node, module) if name.split(".")[0] in WHEN_NEEDED]
    return found


def test_every_module_has_a_layer() -> None:
    assert {layer(name) for name in NAMES} <= RANK.keys()


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_a_module_keeps_to_its_layer(path: Path) -> None:
    assert not faults(path.read_text(), module_name(path))


def test_nothing_imports_in_circles() -> None:
    graph: dict[str, set[str]] = {}
    for path in MODULES:
        name = module_name(path)
        names = (own(n) for node in at_import(ast.parse(path.read_text())) for n in imported(node, name))
        graph[name] = {target for target in names if target not in (None, name)}
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("bits", "from markreg.transfer import Word"),
        ("bits", "import markreg.source"),
        ("transfer", "from markreg import model"),
        ("model", "def f():\n    from markreg.formats import detect"),
        ("formats.nft", "if TYPE_CHECKING:\n    from markreg.checks import run"),
        ("formats.nft", "from lark import Lark"),
        ("formats.nft", "try:\n    import yaml\nexcept ImportError:\n    pass"),
        ("formats.nft", "class A:\n    from rich.table import Table"),
        ("formats.nft", "from . import iptables"),
        ("formats.nft", "def f():\n    import subprocess"),
        ("registry.load", "import typer"),
        ("report.text", "print(1)"),
        ("report.text", "import sys\nsys.stdout.write('a')"),
        ("checks.facts", "raise SystemExit(1)"),
        ("checks.facts", "\n" * 401),
    ],
)
def test_a_fault_is_seen(module: str, source: str) -> None:
    assert faults(source, module)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("formats.nft", "def f():\n    from lark import Lark"),
        ("formats.nft", "if TYPE_CHECKING:\n    from lark import Lark"),
        ("collect.live", "import subprocess"),
        ("cli.audit", "import typer\nprint(1)"),
        ("checks.facts", "from markreg.registry import load"),
    ],
)
def test_what_is_allowed_is_no_fault(module: str, source: str) -> None:
    assert not faults(source, module)
