"""The command line: the only place that prints or exits. One module a command, found by being here."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from markreg import __version__

if TYPE_CHECKING:
    import typer

INTERRUPTED = 130
FAILED = 2


def _app(words: list[str]) -> typer.Typer:
    """The application with the command that the words name, or with all of them: for a command the others need not be loaded."""
    from importlib import import_module
    from pkgutil import iter_modules

    import typer

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
    def top(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
        if version:
            _say_version()
            raise typer.Exit

    commands = [m.name for m in iter_modules(__path__) if not m.name.startswith("_")]
    for name in words[:1] if words and words[0] in commands else commands:
        import_module(f"{__name__}.{name}").register(app)
    return app


def _say_version() -> None:
    sys.stdout.write(f"markreg {__version__}\n")
    sys.stdout.flush()


def main() -> int:
    """Runs a command; the exit status of the process. A traceback is always a defect, and is shown only to who asks for it."""
    gc.disable()  # a run is short, and a large dump makes a hundred thousand objects that stay
    try:
        _open_streams()
        if sys.argv[1:] == ["--version"]:
            _say_version()
        else:
            _app(sys.argv[1:])()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("MARKREG_DEBUG"):
            raise
        what = f"{type(error).__name__}: {error} (MARKREG_DEBUG=1 shows where; please report it)"
        sys.stderr.write(f"markreg: internal error: {what}\n")
        return FAILED
    return 0


def run() -> NoReturn:
    """`main` as a process of its own, which ends without taking down what was read: that is a tenth of a short run, and more of a long
    one. Where what was printed cannot be handed on, Python ends the process in its own way."""
    status: object
    try:
        status = main()
    except SystemExit as end:
        status = end.code
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
        if status is None or isinstance(status, int):
            os._exit(status or 0)
    sys.exit(status)


def _open_streams() -> None:
    """Python leaves None where a caller has closed a standard stream: reading one finds nothing, writing to one goes nowhere."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 (it stays open)
