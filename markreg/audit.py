"""The main job: from gathered inputs to an audit."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from markreg import ignores
from markreg.checks import Context, run
from markreg.checks.fingerprint import fingerprinted
from markreg.inputs import Gathered
from markreg.model import Audit, Finding, Node
from markreg.node import build
from markreg.paths.asked import Asked
from markreg.registry import accepted
from markreg.registry.agreements import Side, agreed_bits
from markreg.registry.model import Registry
from markreg.resources import behind, shown
from markreg.source import Source

_RANK = {"error": 0, "warning": 1, "note": 2}
# What people write and keep secrets in.
_WRITTEN = ("manifest", "cni-conf", "script")
_INCOMPLETE = ("MK901", "MK902", "MK903", "MK904")


def audit(gathered: Gathered, registry: Registry, fields: frozenset[str] = frozenset()) -> Audit:
    """Everything markreg finds on the node that the inputs describe, in a stable order. ``fields``: registers that are asked for."""
    node = build(gathered, registry, fields)
    texts = sources(gathered, node)
    readers = {k.source.path: flow for k in gathered.known if (flow := getattr(k.format, "flow", None))}

    def granted(writer: str, reader: str, name: str) -> int:
        return agreed_bits(registry, Side(writer, "write"), Side(reader, "read"), name)

    context = Context(node, registry, texts, Asked(node, texts, readers, granted))
    found = accepted.apply(ignores.apply(run(context), context.sources), registry)
    findings = tuple(fingerprinted(context, sorted(found, key=_place)))
    complete = not (node.opaque or node.problems or node.unread or any(f.code in _INCOMPLETE for f in findings))
    return Audit(node, findings, complete, shown(registry.path), registry.sha256)


def sources(gathered: Gathered, node: Node) -> dict[str, Source]:
    """Every text that findings may point to: the inputs, and the registry where presumed uses stand."""
    found = {k.source.path: k.source for k in gathered.known}
    named = {o.use.path for o in node.uses if o.use.basis in ("registry", "manifest")}
    for path in (named | {at.path for d in node.deployed for at in d.sightings}) - found.keys():
        with suppress(OSError):
            found[path] = Source(path, behind(path).read_bytes())
    written = {k.source.path for k in gathered.known if k.name in _WRITTEN}
    told = {at.path for d in node.deployed for at in (*d.sightings, *(s.at for s in d.settings))}
    if shown_of := written & (told | {o.use.path for o in node.uses}):
        from markreg.manifests.redact import redacted

        found.update((path, redacted(found[path])) for path in shown_of)
    return found


def selected(done: Audit, select: tuple[str, ...], ignore: tuple[str, ...], names: dict[str, str]) -> Audit:
    """The audit with only the findings that ``select`` names (all when empty) and ``ignore`` does not: codes, prefixes, names."""

    def named(finding: Finding, words: tuple[str, ...]) -> bool:
        return any(finding.code.startswith(w) or names.get(finding.code) == w for w in words)

    kept = tuple(f for f in done.findings if (not select or named(f, select)) and not named(f, ignore))
    return replace(done, findings=kept)


def _place(finding: Finding) -> tuple[object, ...]:
    where = finding.locations[0] if finding.locations else None
    return (_RANK[finding.severity], finding.code, finding.field, -finding.mask, finding.owners, (where.path, where.line) if where else ())
