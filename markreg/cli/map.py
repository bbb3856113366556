"""markreg map: only the ownership map, and which bits are free."""

from __future__ import annotations

from typing import Annotated

import typer

from markreg.cli import _common as common


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @app.command()
    def map(  # noqa: A001 (the command's name)
        paths: common.PathsArgument = None,
        free: Annotated[
            list[str] | None,
            typer.Option("--free", envvar="MARKREG_FREE", metavar="FIELD", help="Say which bits of a field are free here and in the plan."),
        ] = None,
        fields: common.FieldsOption = "",
        registry: common.RegistryOption = None,
        form: common.TwoFormatsOption = "text",
        output: common.OutputOption = None,
        notation: common.AsOption = None,
        strict: common.StrictOption = False,
        timeout: common.TimeoutOption = 60,
        color: common.ColorOption = "auto",
        quiet: common.QuietOption = False,
        verbose: common.VerboseOption = False,
    ) -> None:
        """Who has which bits on a node, and which are free. Without PATH: this node, live."""
        from markreg.model import Audit
        from markreg.node import build
        from markreg.registry.errors import did_you_mean
        from markreg.registry.free import free as free_bits
        from markreg.report.parts import mapped
        from markreg.resources import shown

        common.check_words(form, ("json", "text"), color, notation)
        known = common.load_registry(registry)
        wanted = [common.field_name(field, known) for field in dict.fromkeys(free or ())]
        for field in wanted:
            if field not in known.fields:
                common.fail(f"--free: no field is called {field!r}{did_you_mean(field, known.fields)}")
        asked = common.fields(fields) | {f for f in wanted if f.startswith("ovs.")}
        node = build(common.gather(paths, notation, timeout), known, asked)
        for problem in node.problems:
            common.say(f"MK902 {problem.path}: {problem.message}")
        for problem in node.unread:
            common.say(f"MK903 {problem.path} could not be read: {problem.message}")
        done = Audit(node, (), not (node.opaque or node.problems), shown(known.path), known.sha256)
        found = tuple(free_bits(node, known, field) for field in dict.fromkeys(wanted))
        if form == "json":
            text = mapped.document(done, found if free else None)
        else:
            text = mapped.text(done, found, common.options(output, color, quiet, verbose))
        common.emit(text, output)
        raise typer.Exit(int(bool(node.problems) or (strict and not done.complete)))
