"""markreg explain CODE: a rule's page."""

from __future__ import annotations

import typer

from markreg.checks import pages


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @app.command()
    def explain(code: str = typer.Argument(help="A code such as MK101, or a name such as steered-match.")) -> None:
        """Print the page of a code: what it means, an example, the fix."""
        by_name = {pages.name(c): c for c in pages.codes()}
        known = by_name.get(code, code.upper())
        if known not in pages.codes():
            typer.echo(f"markreg: no code {code!r}; there are {', '.join(pages.codes())}", err=True)
            raise typer.Exit(2)
        typer.echo(pages.page(known), nl=False)
