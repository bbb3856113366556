"""What commands share: options, the registry, printing, exit statuses."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, NoReturn, cast

import typer

from markreg import report as reports
from markreg.formats import names as notations
from markreg.inputs import Gathered
from markreg.model import Audit
from markreg.registry.model import Registry
from markreg.source import Source

USAGE = 2
_RANK = {"note": 0, "warning": 1, "error": 2, "never": 3}
_COLORS = ("auto", "always", "never")

RegistryOption = Annotated[Path | None, typer.Option("--registry", envvar="MARKREG_REGISTRY", metavar="FILE", help="The registry file.")]
FormatOption = Annotated[
    str, typer.Option("--format", "--output-format", envvar="MARKREG_FORMAT", help=f"One of {', '.join(reports.names())}.")
]
OutputOption = Annotated[Path | None, typer.Option("--output", "-o", envvar="MARKREG_OUTPUT", metavar="FILE", help="Write to a file.")]
AsOption = Annotated[str | None, typer.Option("--as", envvar="MARKREG_AS", metavar="NAME", help="Read the inputs as this notation.")]
SelectOption = Annotated[
    str, typer.Option("--select", envvar="MARKREG_SELECT", metavar="CODE,…", help="Only these: codes, prefixes, names.")
]
IgnoreOption = Annotated[str, typer.Option("--ignore", envvar="MARKREG_IGNORE", metavar="CODE,…", help="All but these.")]
FailOnOption = Annotated[
    str, typer.Option("--fail-on", envvar="MARKREG_FAIL_ON", help="Exit 1 from this severity on: error, warning, note; or never.")
]
ExitZeroOption = Annotated[bool, typer.Option("--exit-zero", envvar="MARKREG_EXIT_ZERO", help="The same as --fail-on never.")]
StrictOption = Annotated[bool, typer.Option("--strict", envvar="MARKREG_STRICT", help="An incomplete run exits 1.")]
ColorOption = Annotated[str, typer.Option("--color", envvar="MARKREG_COLOR", help="auto, always or never; NO_COLOR counts too.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", envvar="MARKREG_QUIET", help="Findings only.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", envvar="MARKREG_VERBOSE", help="More of everything.")]


def fail(message: str) -> NoReturn:
    """A usage error, or something without which nothing can be done: one line, exit 2."""
    typer.echo(f"markreg: {message}", err=True)
    raise typer.Exit(USAGE)


def check_words(form: str, notation: str | None, fail_on: str, color: str) -> None:
    """Refuses words that options do not take."""
    _one_of("--format", form, reports.names())
    _one_of("--fail-on", fail_on, tuple(_RANK))
    _one_of("--color", color, _COLORS)
    if notation is not None:
        _one_of("--as", notation, notations())


def _one_of(option: str, word: str, words: tuple[str, ...]) -> None:
    if word not in words:
        fail(f"{option}: {word!r} is none of {', '.join(words)}")


def load_registry(path: Path | None) -> Registry:
    """The registry in force; exit 2 with its place when it is invalid."""
    from markreg.registry.errors import RegistryError
    from markreg.registry.load import load

    try:
        return load(path)
    except RegistryError as error:
        typer.echo(f"markreg: {error}", err=True)
    except OSError as error:
        typer.echo(f"markreg: the registry cannot be read: {error.filename}: {error.strerror}", err=True)
    raise typer.Exit(USAGE)


def refuse_inputs(gathered: Gathered) -> NoReturn:
    """No usable input."""
    for problem in gathered.problems:
        typer.echo(f"markreg: MK902 {problem.path}: {problem.message}", err=True)
    raise typer.Exit(USAGE)


def choose(done: Audit, select: str, ignore: str) -> Audit:
    """The audit with the findings that --select and --ignore leave; exit 2 for a word that names nothing."""
    from markreg.audit import selected
    from markreg.checks import pages

    names = {code: pages.name(code) for code in pages.codes()}
    words = tuple(tuple(w.strip() for w in text.split(",") if w.strip()) for text in (select, ignore))
    for word in (*words[0], *words[1]):
        if not any(code.startswith(word) or word == name for code, name in names.items()):
            fail(f"{word!r} names no code; see markreg explain")
    return selected(done, words[0], words[1], names)


def report(
    done: Audit, sources: Mapping[str, Source], form: str, output: Path | None, color: str, quiet: bool = False, verbose: bool = False
) -> None:
    """Prints an audit, or writes it to a file as a whole."""
    from markreg.report.parts import terminal

    renderer = reports.by_name(form)
    if renderer is None:
        fail(f"no format {form!r}")
    how = cast('Literal["auto", "always", "never"]', color)
    options = terminal.detect(sys.stdout, "never" if output and how == "auto" else how, os.environ, quiet, verbose)
    text = renderer.render(done, options, sources)
    if output:
        write(output, text)
    else:
        sys.stdout.write(text)
        sys.stdout.flush()


def write(path: Path, text: str) -> None:
    """Writes a file completely or not at all."""
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            file.write(text)
        Path(file.name).chmod(0o644)
        Path(file.name).replace(path)
    except OSError as error:
        fail(f"{path}: {error.strerror}")


def status(done: Audit, fail_on: str, strict: bool) -> int:
    """The exit status: 1 for findings at or above ``fail_on``, or an incomplete run with --strict."""
    loud = any(_RANK[f.severity] >= _RANK[fail_on] for f in done.findings)
    return int(loud or (strict and not done.complete))
