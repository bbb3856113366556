"""Fingerprints: equal for the same fault on two nodes, unchanged when lines move."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from markreg.model import Finding

if TYPE_CHECKING:
    from markreg.checks import Context

# What differs between two nodes with the same rules: hashes in chain names and comments, addresses, numbers of interfaces.
_INSTANCE = re.compile(r"\b[A-Za-z0-9_-]{11,}\b|\b[0-9A-F]{8,}\b|\d+\.\d+\.\d+\.\d+(?:/\d+)?|\b[a-z]+\d[\w.]*")


def fingerprinted(context: Context, findings: Iterable[Finding]) -> Iterator[Finding]:
    """The findings with their fingerprints: code, field, mask, owners, statements without instance names, shape of the path."""
    statements = {o.id: f"{o.use.place.table} {o.use.clause}" for o in context.node.uses}
    for finding in findings:
        yield replace(finding, fingerprint=fingerprint(finding, statements))


def fingerprint(finding: Finding, statements: Mapping[str, str]) -> str:
    """The fingerprint of a finding; ``statements`` by the ids of uses."""
    said = sorted({_INSTANCE.sub("*", statements.get(x.use, x.text)) for x in finding.locations})
    path = [str(step.get("step")) for step in finding.path]
    parts = (finding.code, finding.field, hex(finding.mask), *finding.owners, *said, *path)
    return sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:16]
