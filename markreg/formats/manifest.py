"""Manifests: what is deployed to a cluster, as YAML or JSON. Their settings become uses when the node is put together."""

from __future__ import annotations

import re

from markreg.model import Problem, Reading, Scope
from markreg.source import Source

NAMES = ("manifest",)

_OBJECT = re.compile(r"^[ \t{,-]*[\"']?kind[\"']?[ \t]*:[ \t]*[\"']?[A-Z]\w+", re.MULTILINE)
_API = re.compile(r"^[ \t{,-]*[\"']?apiVersion[\"']?[ \t]*:", re.MULTILINE)


def detect(source: Source) -> str | None:
    """By ``apiVersion`` and ``kind`` of the first object."""
    head = source.head(16384)
    return NAMES[0] if _API.search(head) and _OBJECT.search(head) else None


def read(source: Source, name: str, scope: Scope) -> Reading:
    """The documents of a stream, and the commands in them that concern marks. What is broken is said, the rest is read."""
    from markreg.manifests import documents
    from markreg.manifests.commands import commands
    from markreg.manifests.workloads import processes

    found = documents.read(source)
    problems = [Problem(source.path, b.line, b.message) for b in found.broken if not b.template]
    unread = [Problem(source.path, b.line, b.message) for b in found.broken if b.template]
    said = commands(source, found.documents, scope)
    for document in found.documents:
        document.processes += processes(document)
        if document.processes and document.api:
            document.root = None  # a cluster has thousands, and nothing else of them is asked for
    return Reading(
        source.path,
        name,
        scope,
        uses=said.uses,
        tables=said.tables,
        rules=said.rules,
        opaque=said.opaque,
        unread=tuple(unread),
        problems=tuple(problems),
        statements=len(found.documents) + said.statements,
        mark_statements=said.mark_statements,
        documents=tuple(found.documents),
    )
