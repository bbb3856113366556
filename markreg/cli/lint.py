"""markreg lint: what a repository deploys, before it is merged."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from markreg import report as reports
from markreg.cli import _baseline
from markreg.cli import _common as common

if TYPE_CHECKING:
    from markreg.inputs import Gathered
    from markreg.registry.model import Registry

LintPathsArgument = Annotated[list[str], typer.Argument(metavar="PATH...", help="Files and folders of a repository; - for stdin.")]
PoolOption = Annotated[
    str, typer.Option("--node-pool", envvar="MARKREG_NODE_POOL", metavar="NAME", help="Add what the plan says runs beside them.")
]


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @app.command()
    def lint(
        paths: LintPathsArgument,
        registry: common.RegistryOption = None,
        form: common.FormatOption = "text",
        output: common.OutputOption = None,
        notation: common.AsOption = None,
        pool: PoolOption = "",
        select: common.SelectOption = "",
        ignore: common.IgnoreOption = "",
        fail_on: common.FailOnOption = "error",
        exit_zero: common.ExitZeroOption = False,
        strict: common.StrictOption = False,
        baseline: _baseline.BaselineOption = None,
        write_baseline: _baseline.WriteOption = False,
        color: common.ColorOption = "auto",
        quiet: common.QuietOption = False,
        verbose: common.VerboseOption = False,
    ) -> None:
        """What manifests, scripts and rule files will do to marks, and what will collide. Never looks at the node."""
        from markreg import audit as engine

        common.check_words(form, reports.names(), color, notation, fail_on)
        known = common.load_registry(registry)
        gathered = _gather(paths, notation, pool, known)
        done = common.choose(_baseline.settle(engine.audit(gathered, known), baseline, write_baseline), select, ignore)
        common.report(done, engine.sources(gathered, done.node), form, output, color, quiet, verbose)
        raise typer.Exit(common.status(done, "never" if exit_zero else fail_on, strict))


def _gather(paths: list[str], notation: str | None, pool: str, registry: Registry) -> Gathered:
    """What the paths hold; exit 2 if something named is of no use and there is nothing else, or for a pool that no plan has."""
    from markreg.registry.errors import did_you_mean
    from markreg.repository import gather

    if pool and pool not in registry.node_pools:
        common.fail(f"--node-pool: the registry has no pool {pool!r}{did_you_mean(pool, registry.node_pools)}")
    gathered = gather(paths, sys.stdin.buffer, notation)
    gathered.pool = pool
    if gathered.empty or (gathered.problems and not gathered.known):
        for problem in gathered.problems:
            common.say(f"MK902 {problem.path}: {problem.message}")
        raise typer.Exit(common.USAGE)
    return gathered
