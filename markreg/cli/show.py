"""markreg show: what the registry says of anything in any spelling."""

from __future__ import annotations

from typing import Annotated

import typer

from markreg.cli import _common as common


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @app.command()
    def show(
        what: Annotated[
            str,
            typer.Argument(help="A component, reservation, field, bit (skb_mark:18), mark (0x1/0xff), shift (1<<18), priority, chain …"),
        ],
        registry: common.RegistryOption = None,
        form: common.TwoFormatsOption = "text",
        output: common.OutputOption = None,
    ) -> None:
        """Who has this, where, how to tell, and what else is near."""
        from markreg.registry.show import NotFoundError, look_up, render

        common.check_words(form, ("json", "text"))
        known = common.load_registry(registry)
        try:
            answer = look_up(known, what)
        except NotFoundError as error:
            common.fail(str(error))
        if form == "text":
            text = render(answer)
        else:
            from markreg.report.parts import shown

            text = shown.document(answer, known)
        common.emit(text, output)
