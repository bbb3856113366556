"""markreg registry: commands about the registry file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from markreg.cli import _common as common

_FORMATS = ("concise", "json", "text")


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="Commands about the registry file.", no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(group, name="registry")

    @group.callback()
    def top() -> None:
        """Commands about the registry file."""

    @group.command()
    def check(
        file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="The registry file, as with --registry.")] = None,
        registry: common.RegistryOption = None,
        form: common.CheckFormatOption = "text",
        output: common.OutputOption = None,
        fail_on: common.FailOnOption = "error",
        exit_zero: common.ExitZeroOption = False,
        color: common.ColorOption = "auto",
        quiet: common.QuietOption = False,
    ) -> None:
        """Whether the registry file is valid, and whether its reservations can live together."""
        from markreg.registry import overlaps
        from markreg.registry.errors import RegistryError
        from markreg.registry.load import discover, load
        from markreg.report.parts import checked

        common.check_words(form, _FORMATS, color, fail_on=fail_on)
        path = discover(file or registry)
        try:
            known = load(path)
        except RegistryError as error:
            done = checked.Checked(error.path, None, (checked.invalid(error),))
        else:
            done = checked.Checked(known.path, known, checked.fingerprints(overlaps.check(known)))
        common.emit(checked.render(done, form, common.options(output, color, quiet)), output)
        if done.registry is None:
            raise typer.Exit(common.USAGE)
        level = "never" if exit_zero else fail_on
        stale = level != "never" and any(f.code == "MK308" for f in done.findings)
        raise typer.Exit(int(stale or common.loud(done.findings, level)))
