"""Shell scripts, units and templates as text: the commands in them that concern marks, and for units what the process is."""

from __future__ import annotations

from markreg.model import Reading, Scope
from markreg.source import Source

NAMES = ("script",)


def detect(source: Source) -> str | None:
    """Never: what a script would do is of interest where somebody asks for it, and no capture of a node."""
    del source
    return None


def read(source: Source, name: str, scope: Scope) -> Reading:
    """Its commands, by the grammars of what they are for."""
    from markreg.manifests import documents, plain
    from markreg.manifests.commands import commands, of_text
    from markreg.manifests.workloads import processes

    unit = plain.looks_like(source.head(4096)) == "ini"
    found = documents.read(source).documents if unit else []
    said = commands(source, found, scope) if unit else of_text(source, scope)
    for document in found:
        document.processes += processes(document)
    return Reading(
        source.path,
        name,
        scope,
        uses=said.uses,
        tables=said.tables,
        rules=said.rules,
        opaque=said.opaque,
        statements=said.statements + len(found),
        mark_statements=said.mark_statements,
        documents=tuple(found),
    )
