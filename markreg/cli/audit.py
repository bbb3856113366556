"""markreg audit: the main job on files, folders, standard input, or this node."""

from __future__ import annotations

import typer

from markreg import report as reports
from markreg.cli import _baseline, _bpf
from markreg.cli import _common as common


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @app.command()
    def audit(
        paths: common.PathsArgument = None,
        registry: common.RegistryOption = None,
        form: common.FormatOption = "text",
        output: common.OutputOption = None,
        notation: common.AsOption = None,
        select: common.SelectOption = "",
        ignore: common.IgnoreOption = "",
        fail_on: common.FailOnOption = "error",
        exit_zero: common.ExitZeroOption = False,
        strict: common.StrictOption = False,
        baseline: _baseline.BaselineOption = None,
        write_baseline: _baseline.WriteOption = False,
        fields: common.FieldsOption = "",
        bpf_const: _bpf.ConstOption = None,
        why: common.WhyOption = "",
        netns: common.NetnsOption = None,
        all_netns: common.AllNetnsOption = False,
        timeout: common.TimeoutOption = 60,
        entries: common.MaxEntriesOption = common.MAX_ENTRIES,
        color: common.ColorOption = "auto",
        quiet: common.QuietOption = False,
        verbose: common.VerboseOption = False,
    ) -> None:
        """Who uses which mark bits on a node, and what collides. Without PATH: this node, live."""
        from markreg import audit as engine

        common.check_words(form, reports.names(), color, notation, fail_on)
        known = common.load_registry(registry)
        gathered = _bpf.with_constants(common.gather(paths, notation, timeout, netns, all_netns, entries), bpf_const)
        found = engine.audit(gathered, known, common.fields(fields))
        done = common.choose(_baseline.settle(found, baseline, write_baseline), select, ignore)
        if why:
            common.explain(done, engine.sources(gathered, done.node), why, output, color)
            raise typer.Exit(0)
        common.report(done, engine.sources(gathered, done.node), form, output, color, quiet, verbose)
        raise typer.Exit(common.status(done, "never" if exit_zero else fail_on, strict))
