"""markreg registry: commands about the registry file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from markreg.cli import _catalogue
from markreg.cli import _common as common

if TYPE_CHECKING:
    from markreg.registry.model import Registry

_FORMATS = ("concise", "json", "text")
_DIFF_FORMATS = ("json", "markdown", "text")
_EXPORTS = ("component-schema", "json", "markdown", "schema")


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

    group.command()(fmt)
    group.command()(diff)
    group.command()(export)
    group.command()(_catalogue.pages)
    group.command("add-component")(_catalogue.add_component)


def fmt(
    files: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="Registry or component files; - for stdin.")] = None,
    registry: common.RegistryOption = None,
    check: Annotated[
        bool, typer.Option("--check", envvar="MARKREG_CHECK", help="Change nothing; exit 1 if something would change.")
    ] = False,
    diff: Annotated[
        bool, typer.Option("--diff", envvar="MARKREG_DIFF", help="Change nothing; print what would change, and exit 1 if something would.")
    ] = False,
) -> None:
    """Brings a registry file into its canonical order and layout. Comments stay."""
    import sys

    from markreg.registry.fmt import FormatError, formatted
    from markreg.registry.load import discover

    changed = 0
    for path in files or [discover(registry)]:
        name = "<stdin>" if str(path) == "-" else str(path)
        try:
            # Python's own newline handling would hide CRLF, which is one of the things to change.
            data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
            before = data.decode("utf-8")
            after = formatted(before)
        except OSError as error:
            common.fail(f"{name}: {error.strerror or error}")
        except UnicodeDecodeError:
            common.fail(f"{name}: is no UTF-8")
        except FormatError as error:
            common.fail(f"{name}: {error}")
        changed += before != after
        if diff:
            common.emit(_unified(before, after, name), None)
        elif str(path) == "-" and not check:
            common.emit(after, None)
        elif before != after:
            if not check:
                common.write(path, after)
            common.say(f"{name}: {'would be ' if check else ''}formatted")
    raise typer.Exit(int(changed > 0 and (check or diff)))


def _unified(before: str, after: str, name: str) -> str:
    from difflib import unified_diff

    lines = unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), name, f"{name} (formatted)")
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def diff(
    files: Annotated[list[Path] | None, typer.Argument(metavar="[BEFORE AFTER]", help="Two files; with --against one or none.")] = None,
    against: Annotated[
        str | None, typer.Option("--against", envvar="MARKREG_AGAINST", metavar="REV", help="Compare with a git revision.")
    ] = None,
    registry: common.RegistryOption = None,
    form: Annotated[
        str,
        typer.Option("--format", "--output-format", envvar="MARKREG_FORMAT", metavar="NAME", help="One of json, markdown, text."),
    ] = "text",
    output: common.OutputOption = None,
    exit_zero: common.ExitZeroOption = False,
    color: common.ColorOption = "auto",
) -> None:
    """Which bits a change takes, frees, moves or makes overlap. Exit 1 if it breaks a reservation."""
    from markreg.registry.changes import changes
    from markreg.registry.load import discover
    from markreg.report.parts import changed

    common.check_words(form, _DIFF_FORMATS, color)
    named = files or []
    if against is not None:
        if len(named) > 1:
            common.fail("--against takes one file, the registry in force if none is named")
        path = discover(named[0] if named else registry)
        before, names = _at(path, against), (against, str(path))
        after = common.load_registry(path)
    else:
        if len(named) != 2:
            common.fail("name two files, or --against REV")
        before, after = (common.load_registry(path) for path in named)
        names = (str(named[0]), str(named[1]))
    found = changes(before, after)
    common.emit(changed.render(found, form, common.options(output, color), names), output)
    raise typer.Exit(int(any(c.breaking for c in found) and not exit_zero))


def _at(path: Path, revision: str) -> Registry:
    """The registry as it was at a git revision."""
    from tempfile import TemporaryDirectory

    from markreg import resources
    from markreg.collect import git
    from markreg.registry.errors import RegistryError
    from markreg.registry.load import load

    with TemporaryDirectory(prefix="markreg-") as folder:
        try:
            there, top = git.snapshot(path, revision, Path(folder))
            shipped = resources.rules("components").resolve()
            # In markreg's own repository the component files belong to the revision too.
            own = shipped.is_relative_to(top) and Path(folder) / shipped.relative_to(top)
            return load(there, rules=own if own and own.is_dir() else None)
        except git.GitError as error:
            common.fail(f"--against {revision}: {error}")
        except RegistryError as error:
            common.fail(str(error).replace(folder, revision))


def export(
    components: Annotated[list[str] | None, typer.Argument(metavar="[COMPONENT]...", help="Only these.")] = None,
    registry: common.RegistryOption = None,
    form: Annotated[
        str, typer.Option("--format", "--output-format", envvar="MARKREG_FORMAT", metavar="NAME", help=f"One of {', '.join(_EXPORTS)}.")
    ] = "markdown",
    output: common.OutputOption = None,
) -> None:
    """The registry as a Markdown table or JSON; the JSON Schema of registry files, or of component files."""
    from markreg.registry import export as exports
    from markreg.registry.json_schema import ROOTS, text

    common.check_words(form, _EXPORTS)
    if form in ROOTS:
        common.emit(text(form), output)
        return
    known = common.load_registry(registry)
    for name in components or ():
        if name not in known.components:
            _unknown(name, known)
    render = exports.document if form == "json" else exports.markdown
    common.emit(render(known, components or ()), output)


def _unknown(name: str, known: Registry) -> NoReturn:
    from markreg.registry.errors import did_you_mean

    common.fail(f"no component {name!r}{did_you_mean(name, known.components)}")
