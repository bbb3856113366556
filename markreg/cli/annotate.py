"""markreg annotate: a filter that says what the marks in a text mean."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

import typer

from markreg.cli import _common as common
from markreg.cli.decode import AuditOption, map_of_paths, node_map

DumpOption = Annotated[
    list[str] | None,
    typer.Option("--nb", envvar="MARKREG_NB", metavar="FILE", help="A dump of OVN's databases: ACLs, samples, datapaths. Repeatable."),
]

_CHUNK = 1 << 16
_INTERRUPTED = 130


def _chunks(descriptor: int) -> Iterator[bytes]:
    """What there is, as soon as it is there."""
    while data := os.read(descriptor, _CHUNK):
        yield data


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @app.command()
    def annotate(audit: AuditOption = None, dumps: DumpOption = None, registry: common.RegistryOption = None) -> None:
        """Copy standard input and append to every line with a mark what the mark means."""
        from markreg.annotate import Annotator, lines
        from markreg.decode import Decoder

        known = common.load_registry(registry)
        node = node_map(audit) if audit else None
        if dumps:
            found = map_of_paths(dumps, known, None)
            node = replace(node, rows=found.rows, zones=found.zones) if node else found
        annotator = Annotator(Decoder(known, node))
        try:
            for text in lines(annotator, _chunks(sys.stdin.fileno())):
                _write(sys.stdout.fileno(), text)
        except KeyboardInterrupt:
            raise typer.Exit(_INTERRUPTED) from None
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit from None
