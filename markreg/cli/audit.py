"""markreg audit: the main job on files, folders, standard input, or this node."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from markreg.cli import _common as common


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @app.command()
    def audit(
        paths: Annotated[list[str] | None, typer.Argument(metavar="[PATH]...", help="Captured files or folders, - for stdin.")] = None,
        registry: common.RegistryOption = None,
        form: common.FormatOption = "text",
        output: common.OutputOption = None,
        notation: common.AsOption = None,
        select: common.SelectOption = "",
        ignore: common.IgnoreOption = "",
        fail_on: common.FailOnOption = "error",
        exit_zero: common.ExitZeroOption = False,
        strict: common.StrictOption = False,
        color: common.ColorOption = "auto",
        quiet: common.QuietOption = False,
        verbose: common.VerboseOption = False,
    ) -> None:
        """Who uses which mark bits on a node, and what collides. Without PATH: this node, live."""
        from markreg import audit as engine
        from markreg.collect import live
        from markreg.inputs import gather

        common.check_words(form, notation, fail_on, color)
        known = common.load_registry(registry)
        gathered = gather(paths, sys.stdin.buffer, notation) if paths else live()
        if paths and (not gathered.known or gathered.empty):
            common.refuse_inputs(gathered)
        done = engine.audit(gathered, known)
        done = common.choose(done, select, ignore)
        sources = engine.sources(gathered, done.node)
        common.report(done, sources, form, output, color, quiet, verbose)
        raise typer.Exit(common.status(done, "never" if exit_zero else fail_on, strict))
