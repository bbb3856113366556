"""Commands about marks in manifests, scripts and units."""

from __future__ import annotations

from collections.abc import Sequence

from markreg.manifests.documents import Document
from markreg.model import Reading, Scope
from markreg.source import Source


def commands(source: Source, documents: Sequence[Document], scope: Scope) -> Reading:
    """What the commands in documents do, as a reading of their source."""
    del documents
    return Reading(source.path, "manifest", scope)
