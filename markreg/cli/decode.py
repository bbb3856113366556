"""markreg decode: what a mark seen in the wild says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from markreg.cli import _common as common

if TYPE_CHECKING:
    from markreg.nodemap import NodeMap
    from markreg.registry.model import Registry

AuditOption = Annotated[
    Path | None,
    typer.Option("--audit", envvar="MARKREG_AUDIT", metavar="FILE", help="A node's own map: what markreg audit --format json wrote."),
]


def node_map(path: Path) -> NodeMap:
    """The map in an audit's JSON; exit 2 if it is none."""
    from markreg.nodemap import AuditError, NodeMap

    try:
        return NodeMap.of_audit(path.read_text(encoding="utf-8", errors="replace"))
    except AuditError as error:
        common.fail(f"{path}: {error}")
    except OSError as error:
        common.fail(f"{path}: {error.strerror}")


def map_of_paths(paths: list[str], known: Registry, notation: str | None) -> NodeMap:
    """The map of the node that the paths hold."""
    from markreg.node import build
    from markreg.nodemap import NodeMap

    node = build(common.gather(paths, notation, 60), known)
    for problem in node.problems:
        common.say(f"MK902 {problem.path}: {problem.message}")
    return NodeMap.of_node(node)


def _observed(domain: str, words: list[str], audit: Path | None, known: Registry, form: str, notation: str | None) -> str:
    """The answer about an observation; the first of the words is its point, unless both are one number."""
    import sys

    from markreg.bits import BitsError
    from markreg.observation import observed, parse
    from markreg.report.parts import decoded

    if audit:
        common.fail("--audit says nothing of observations: name dumps of OVN's databases")
    point = words[0] if words and re.fullmatch(r"[0-9]+|0[xX][0-9a-fA-F]+", words[0]) else None
    paths = words[point is not None :]
    try:
        numbers = parse(domain, point)
    except BitsError as error:
        common.fail(str(error))
    rows = map_of_paths(paths, known, notation).rows if paths else ()
    one = observed(*numbers, known, rows)
    if form == "json":
        return decoded.observation_document(one)
    return decoded.observation(one, (sys.stdout.encoding or "").lower().startswith("utf"))


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @app.command()
    def decode(
        field: Annotated[str, typer.Argument(metavar="FIELD", help="skb_mark, ct_mark, ct_label, one that the registry declares, or obs.")],
        value: Annotated[str, typer.Argument(metavar="VALUE[/MASK]", help="Decimal, hexadecimal, or 1<<18; the mask says what is known.")],
        paths: common.PathsArgument = None,
        audit: AuditOption = None,
        registry: common.RegistryOption = None,
        form: common.TwoFormatsOption = "text",
        output: common.OutputOption = None,
        notation: common.AsOption = None,
        verbose: common.VerboseOption = False,
    ) -> None:
        """What a mark says: by the registry, and with --audit or PATHs by a node's own rules.

        `decode obs DOMAIN [POINT] [PATH]...` is for observation domain and point of IPFIX and psample: PATHs are dumps of OVN's databases.
        """
        import sys

        from markreg.bits import BitsError
        from markreg.decode import Decoder, parse
        from markreg.registry.errors import did_you_mean
        from markreg.report.parts import decoded

        common.check_words(form, ("json", "text"), notation=notation)
        if audit and paths:
            common.fail("--audit and PATHs exclude each other: both are a node")
        known = common.load_registry(registry)
        if field == "obs" and field not in known.fields:
            common.emit(_observed(value, paths or [], audit, known, form, notation), output)
            return
        field = common.field_name(field, known)
        if field not in known.fields:
            common.fail(f"no field is called {field!r}{did_you_mean(field, known.fields)}")
        try:
            bits, mask = parse(value, known.fields[field].width)
        except BitsError as error:
            common.fail(str(error))
        node = node_map(audit) if audit else map_of_paths(paths, known, notation) if paths else None
        answer = Decoder(known, node).decode(field, bits, mask)
        if form == "json":
            text = decoded.document(answer)
        else:
            unicode = (sys.stdout.encoding or "").lower().startswith("utf")
            text = decoded.text(answer, known.fields[field], unicode, verbose)
        common.emit(text, output)
