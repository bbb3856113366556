"""--bpf-const: what a loader puts into the data sections of BPF objects."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from markreg.cli._common import fail

if TYPE_CHECKING:
    from markreg.inputs import Gathered

AS_BUILT = "as-built"
ConstOption = Annotated[
    list[str] | None,
    typer.Option(
        "--bpf-const",
        envvar="MARKREG_BPF_CONST",
        metavar="NAME=VALUE|as-built",
        help="What a loader gives a variable of BPF objects; as-built: what .rodata holds.",
    ),
]


def with_constants(gathered: Gathered, words: list[str] | None) -> Gathered:
    """The inputs with BPF objects read under these values; exit 2 for a word that is no NAME=VALUE."""
    if not words:
        return gathered
    from markreg.bits import BitsError, parse_int
    from markreg.bpf import Constants
    from markreg.formats import bpf_object

    values: dict[str, int] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if word == AS_BUILT:
            continue
        if not (sign and name):
            fail(f"--bpf-const: {word!r} is neither NAME=VALUE nor {AS_BUILT}")
        try:
            values[name] = parse_int(value)
        except BitsError as error:
            fail(f"--bpf-const: {error}")
    form = bpf_object.With(Constants(values, AS_BUILT in words))
    gathered.known = [replace(k, format=form) if k.name in bpf_object.NAMES else k for k in gathered.known]
    return gathered
