"""What commands share: options, inputs, the registry, printing, exit statuses.

Whatever only a run needs is imported by the function that needs it: ``--help`` costs no library.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn, cast

import typer

from markreg import report as reports

if TYPE_CHECKING:
    from markreg.collect.namespaces import Taken
    from markreg.inputs import Gathered
    from markreg.model import Audit, Finding
    from markreg.registry.model import Registry
    from markreg.report import Options
    from markreg.source import Source

USAGE = 2
_RANK = {"note": 0, "warning": 1, "error": 2, "never": 3}
_COLORS = ("auto", "always", "never")

PathsArgument = Annotated[list[str] | None, typer.Argument(metavar="[PATH]...", help="Captured files, folders, archives; - for stdin.")]
RegistryOption = Annotated[Path | None, typer.Option("--registry", envvar="MARKREG_REGISTRY", metavar="FILE", help="The registry file.")]
FormatOption = Annotated[
    str,
    typer.Option("--format", "--output-format", envvar="MARKREG_FORMAT", metavar="NAME", help=f"One of {', '.join(reports.names())}."),
]
TwoFormatsOption = Annotated[
    str, typer.Option("--format", "--output-format", envvar="MARKREG_FORMAT", metavar="NAME", help="One of json, text.")
]
CheckFormatOption = Annotated[
    str, typer.Option("--format", "--output-format", envvar="MARKREG_FORMAT", metavar="NAME", help="One of concise, json, text.")
]
OutputOption = Annotated[Path | None, typer.Option("--output", "-o", envvar="MARKREG_OUTPUT", metavar="FILE", help="Write to a file.")]
AsOption = Annotated[str | None, typer.Option("--as", envvar="MARKREG_AS", metavar="NAME", help="Read the inputs as this notation.")]
SelectOption = Annotated[
    str, typer.Option("--select", envvar="MARKREG_SELECT", metavar="CODE,…", help="Only these: codes, prefixes, names.")
]
IgnoreOption = Annotated[str, typer.Option("--ignore", envvar="MARKREG_IGNORE", metavar="CODE,…", help="All but these.")]
FailOnOption = Annotated[
    str,
    typer.Option(
        "--fail-on", envvar="MARKREG_FAIL_ON", metavar="LEVEL", help="Exit 1 from this severity on: error, warning, note; or never."
    ),
]
ExitZeroOption = Annotated[bool, typer.Option("--exit-zero", envvar="MARKREG_EXIT_ZERO", help="The same as --fail-on never.")]
StrictOption = Annotated[bool, typer.Option("--strict", envvar="MARKREG_STRICT", help="An incomplete run exits 1.")]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", envvar="MARKREG_TIMEOUT", metavar="SECONDS", min=0.1, help="For reading this node.")
]
WhyOption = Annotated[
    str, typer.Option("--why", envvar="MARKREG_WHY", metavar="FINGERPRINT", help="One finding: its whole path and what was assumed.")
]
NetnsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--netns", envvar="MARKREG_NETNS", metavar="NAME|PATH|PID", help="This network namespace of the node, instead of its own."
    ),
]
AllNetnsOption = Annotated[bool, typer.Option("--all-netns", envvar="MARKREG_ALL_NETNS", help="Every network namespace of the node.")]
MaxEntriesOption = Annotated[
    int,
    typer.Option("--max-entries", envvar="MARKREG_MAX_ENTRIES", metavar="N", min=1, help="Of this node's connections, and sockets."),
]
MAX_ENTRIES = 200_000
ColorOption = Annotated[
    str, typer.Option("--color", envvar="MARKREG_COLOR", metavar="WHEN", help="auto, always or never; NO_COLOR counts too.")
]
FieldsOption = Annotated[
    str,
    typer.Option("--fields", envvar="MARKREG_FIELDS", metavar="NAME,…", help="Registers to read too: reg0 … reg31, metadata, cb0 … cb4."),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", envvar="MARKREG_QUIET", help="Findings only.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", envvar="MARKREG_VERBOSE", help="More of everything.")]


def fields(text: str) -> frozenset[str]:
    """The registers that ``--fields`` names, with or without ``ovs.``; exit 2 for what is none."""
    from markreg.model import CONTROL_BLOCK, PIPELINE

    known = {f.name.removeprefix("ovs."): f.name for f in (*PIPELINE, *CONTROL_BLOCK)}
    words = [word.strip().removeprefix("ovs.") for word in text.split(",") if word.strip()]
    for word in words:
        if word not in known:
            fail(f"--fields: {word!r} is none of reg0 … reg31, metadata, cb0 … cb4")
    return frozenset(known[word] for word in words)


def field_name(word: str, known: Registry) -> str:
    """A field as the registry names it: registers of Open vSwitch with or without ``ovs.``."""
    return f"ovs.{word}" if word not in known.fields and f"ovs.{word}" in known.fields else word


def say(message: str) -> None:
    """A line for the user on standard error, whatever a file's name holds."""
    from markreg.report.parts.snippet import safe

    unicode = (sys.stderr.encoding or "").lower().startswith("utf")
    typer.echo(f"markreg: {safe(message, unicode)}", err=True)


def fail(message: str) -> NoReturn:
    """A usage error, or something without which nothing can be done: one line, exit 2."""
    say(message)
    raise typer.Exit(USAGE)


def check_words(form: str, forms: tuple[str, ...], color: str = "auto", notation: str | None = None, fail_on: str = "error") -> None:
    """Refuses words that options do not take."""
    _one_of("--format", form, forms)
    _one_of("--fail-on", fail_on, tuple(_RANK))
    _one_of("--color", color, _COLORS)
    if notation is not None:
        from markreg.formats import names

        _one_of("--as", notation, names())


def _one_of(option: str, word: str, words: tuple[str, ...]) -> None:
    if word not in words:
        from markreg.registry.errors import did_you_mean

        fail(f"{option}: {word!r} is none of {', '.join(words)}{did_you_mean(word, words)}")


def load_registry(path: Path | None) -> Registry:
    """The registry in force; exit 2 with its place when it is invalid."""
    from markreg.registry.errors import RegistryError
    from markreg.registry.load import load

    try:
        return load(path)
    except RegistryError as error:
        fail(str(error))
    except OSError as error:
        fail(f"the registry cannot be read: {error.filename}: {error.strerror}")


def gather(
    paths: list[str] | None,
    notation: str | None,
    timeout: float,
    netns: list[str] | None = None,
    all_netns: bool = False,
    entries: int = MAX_ENTRIES,
) -> Gathered:
    """What the paths name, or without any this node; exit 2 if there is nothing to go by."""
    if paths:
        from markreg.inputs import gather

        if netns or all_netns:
            fail("--netns and --all-netns are of this node; captured files say themselves of which namespace they are")
        gathered = gather(paths, sys.stdin.buffer, notation)
    else:
        gathered = take(timeout, netns, all_netns, entries).gathered()
    if gathered.known and not gathered.empty:
        return gathered
    for problem in gathered.problems:
        say(f"MK902 {problem.path}: {problem.message}")
    for problem in gathered.unread:
        say(f"MK903 {problem.path} could not be read: {problem.message}")
    if not paths:
        say("nothing of this node could be read; captured files can be named instead")
    raise typer.Exit(USAGE)


def take(timeout: float, netns: list[str] | None, all_netns: bool, entries: int) -> Taken:
    """This node's captures; exit 2 for a namespace that is none."""
    from markreg.collect import namespaces

    if netns and all_netns:
        fail("--netns and --all-netns exclude each other")
    try:
        wanted = namespaces.every() if all_netns else [namespaces.named(word) for word in dict.fromkeys(netns or ())]
    except namespaces.NamespaceError as error:
        fail(f"--netns: {error}")
    with progress() as tell:
        return namespaces.take(wanted or [namespaces.OWN], timeout, entries, tell)


@contextmanager
def progress() -> Iterator[Callable[[str], None] | None]:
    """Says on a terminal what is being read; the line goes when it is done. Without a thread: the collectors fork."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("reading {task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as shown:
        task = shown.add_task("this node", total=None)

        def tell(name: str) -> None:
            shown.update(task, description=name, refresh=True)

        yield tell


def choose(done: Audit, select: str, ignore: str) -> Audit:
    """The audit with the findings that --select and --ignore leave; exit 2 for a word that names nothing."""
    if not (select or ignore):
        return done
    from markreg.audit import selected
    from markreg.checks import pages
    from markreg.registry.errors import did_you_mean

    names = {code: pages.name(code) for code in pages.codes()}
    words = tuple(tuple(w.strip() for w in text.split(",") if w.strip()) for text in (select, ignore))
    for word in (*words[0], *words[1]):
        if not any(code.startswith(word) or word == name for code, name in names.items()):
            fail(f"{word!r} names no code; see markreg explain{did_you_mean(word, (*names, *names.values()))}")
    return selected(done, words[0], words[1], names)


def options(output: Path | None, color: str, quiet: bool = False, verbose: bool = False) -> Options:
    """How to print; a file has no colour unless it is asked for, and is always UTF-8."""
    from dataclasses import replace

    from markreg.report.parts.terminal import detect

    how = cast('Literal["auto", "always", "never"]', color)
    found = detect(sys.stdout, how, os.environ, quiet, verbose)
    return replace(found, color=how == "always", unicode=True, width=80) if output else found


def report(
    done: Audit, sources: Mapping[str, Source], form: str, output: Path | None, color: str, quiet: bool = False, verbose: bool = False
) -> None:
    """Prints an audit, or writes it to a file as a whole."""
    renderer = reports.by_name(form)
    if renderer is None:
        fail(f"no format {form!r}")
    emit(renderer.render(done, options(output, color, quiet, verbose), sources), output)


def explain(done: Audit, sources: Mapping[str, Source], fingerprint: str, output: Path | None, color: str) -> None:
    """Prints one finding's whole path; exit 2 for a fingerprint (or the beginning of one) that no finding has, or several."""
    from markreg.report.parts import why

    found = {f.fingerprint: f for f in done.findings if f.fingerprint.startswith(fingerprint.lower())}
    if len(found) != 1:
        fail(f"--why {fingerprint}: {'several findings begin so' if found else 'no finding has this fingerprint; --verbose prints them'}")
    emit(why.render(next(iter(found.values())), done, options(output, color), sources), output)


def emit(text: str, output: Path | None) -> None:
    """Prints a result, or writes it to a file as a whole."""
    if output:
        write(output, text)
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        fail(f"standard output: {error.strerror}")


def write(path: Path, text: str) -> None:
    """Writes a file completely or not at all. What is there and no file (a device, a pipe) is written to, not replaced."""
    import tempfile

    temporary: Path | None = None
    try:
        path = path.resolve()
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
            return
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=f".{path.name[:100]}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(text)
        temporary.chmod(mode)
        temporary.replace(path)
        temporary = None
    except (OSError, RuntimeError) as error:  # RuntimeError: a circle of links
        fail(f"{path}: {getattr(error, 'strerror', None) or error}")
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def loud(findings: Iterable[Finding], fail_on: str) -> bool:
    """Whether a finding is at or above a severity."""
    return any(_RANK[f.severity] >= _RANK[fail_on] for f in findings)


def status(done: Audit, fail_on: str, strict: bool) -> int:
    """The exit status: 1 for findings at or above ``fail_on``, or an incomplete run with --strict."""
    return int(loud(done.findings, fail_on) or (strict and not done.complete))
