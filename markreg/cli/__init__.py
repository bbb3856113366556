"""The command line: the only place that prints or exits. One module a command, found by being here."""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module
from pkgutil import iter_modules

import typer

from markreg import __version__

INTERRUPTED = 130
FAILED = 2


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"markreg {__version__}")
        raise typer.Exit


def _app() -> typer.Typer:
    app = typer.Typer(
        name="markreg",
        help="Who owns which bits of the packet mark, the connection mark and the connection label, and what collides.",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )

    @app.callback()
    def top(version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version.")) -> None:
        del version

    for module in iter_modules(__path__):
        if not module.name.startswith("_"):
            import_module(f"{__name__}.{module.name}").register(app)
    return app


def main() -> int:
    """Runs a command; the exit status of the process. A traceback is always a defect, and is shown only to who asks for it."""
    gc.disable()  # a run is short, and a large dump makes a hundred thousand objects that stay
    try:
        _app()()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("MARKREG_DEBUG"):
            raise
        typer.echo(f"markreg: internal error: {type(error).__name__}: {error} (MARKREG_DEBUG=1 shows where; please report it)", err=True)
        return FAILED
    return 0
