"""Which components manifests deploy: by images, kinds and names of objects, ConfigMaps, CNI plugins, processes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from markreg.deployment import Mention
from markreg.manifests import nodes
from markreg.manifests.documents import Document, plugins
from markreg.manifests.kinds import VALUES
from markreg.manifests.workloads import Process
from markreg.model import HOST, Confidence
from markreg.registry.model import Registry
from markreg.registry.signatures import RANKS, Facts, Index

if TYPE_CHECKING:
    from yaml.nodes import Node

_TAG = re.compile(r"v?(\d+\.\d+(?:\.\d+)?)(?![.\w]*:)")
_STARTERS = 4  # words of a command line among which the program stands


@dataclass(slots=True)
class Found:
    """One component: where it was seen and as what, in which processes and documents, and which releases images name."""

    name: str
    confidence: Confidence = "medium"
    seen: list[tuple[int, str, Document, Node | None]] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)
    releases: set[str] = field(default_factory=set)

    def best(self) -> list[tuple[int, str, Document, Node | None]]:
        """The sightings, the surest first."""
        return sorted(self.seen, key=lambda s: s[0])


@dataclass(slots=True)
class Recognised:
    """What a set of documents holds."""

    components: dict[str, Found] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)


def recognised(documents: Sequence[Document], registry: Registry) -> Recognised:
    """Every component that a signature of any confidence but ``low`` sees."""
    work = Recogniser(registry)
    for document in documents:
        work.look(document)
    return work.result


def mention(document: Document, node: Node | None, text: str | None = None) -> Mention:
    """The place of a node of a document, with what stands there."""
    spot = document.spot(node)
    place = "/".join(filter(None, (document.kind or document.file, document.name))) or "manifest"
    return Mention(document.path, spot.line, spot.column, spot.end, nodes.text(node) if text is None else text, place)


class Recogniser:
    """Looks at documents one by one; ``result``: what they have shown so far."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.index = Index(registry)
        self.result = Recognised()
        tables = [r for rules in registry.rules.values() for r in rules.recognise if r.type and r.kind]
        self.typed = {kind.rpartition("/")[2] for table in tables for kind in table.kind}
        tests = [dict(s.tests) for s in self.index.all if "manifest" in s.kinds]
        self.kinds = [p for test in tests if "name" not in test for p in test.get("kind", ())]
        named = [p for test in tests for key in ("name", "config_map") for p in test.get(key, ())]
        self.names = {p.prefix for p in named if p.tail == "nothing"}
        self.globs = [p for p in named if p.tail != "nothing"]
        self.alone: dict[str, bool] = {}

    def _worth(self, document: Document) -> bool:
        """Whether a signature may be about an object: a cheap look, for most objects of a cluster are none's."""
        if document.chart or document.kind in self.typed or document.name in self.names:
            return True
        for kind in document.kinds:
            if kind not in self.alone:
                self.alone[kind] = any(p.matches(kind) for p in self.kinds)
            if self.alone[kind]:
                return True
        return any(p.matches(document.name) for p in self.globs)

    def sees(self, document: Document) -> bool:
        """Whether a document shows a component; nothing is remembered of it."""
        before, self.result = self.result, Recognised()
        self.look(document)
        seen, self.result = bool(self.result.components), before
        return seen

    def look(self, document: Document) -> None:
        """What one document shows."""
        if self._worth(document):
            self._object(document)
        for name, node, _ in plugins(document):
            self._note(("cni-conf",), {"type": (name,)}, document, node)
        for process in document.processes:
            assert isinstance(process, Process)
            self.result.processes.append(process)
            self._process(process)

    def _object(self, document: Document) -> None:
        facts: dict[str, Sequence[str]] = {"kind": document.kinds, "name": (document.name,) if document.name else ()}
        if document.kind == "ConfigMap":
            facts["config_map"] = (document.name,)
        if document.kind in self.typed and (types := document.types):
            facts["type"] = types
        if document.chart:
            facts = {"kind": (VALUES,), "name": (document.chart,)}
        self._note(("manifest",), facts, document, _named(document))

    def _process(self, process: Process) -> None:
        image = f"/{process.image}" if process.image else ""
        programs = tuple(dict.fromkeys(w.text.rpartition("/")[2] for w in process.words[:_STARTERS] if w.text and " " not in w.text))
        for key, words in (("image", (image,) if image else ()), ("process", programs)):
            if not words:
                continue
            node = process.image_node if key == "image" else process.words[0].node
            for name in self._note(("manifest",), {key: words}, process.document, node):
                found = self.result.components[name]
                if not any(p is process for p in found.processes):
                    found.processes.append(process)
                self._release(found, process)

    def _release(self, found: Found, process: Process) -> None:
        rules = self.registry.rules.get(found.name)
        repository, _, tag = process.image.partition("@")[0].rpartition(":")
        if rules and repository and any(fnmatchcase(f"/{repository}", glob) for glob in rules.release_image) and (got := _TAG.match(tag)):
            found.releases.add(got[1])

    def _note(self, kinds: tuple[str, ...], facts: Facts, document: Document, node: Node | None) -> list[str]:
        """The components that facts speak for; each is noted."""
        names = []
        for signature, _ in self.index.matches(kinds, facts):
            if signature.confidence == "low":
                continue
            found = self.result.components.setdefault(signature.component, Found(signature.component))
            if signature.confidence == "high":
                found.confidence = "high"
            said = " ".join(word.removeprefix("/") for key in signature.keys for word in facts[key][:1])
            found.seen.append((RANKS[signature.confidence], said, document, node))
            if not any(d is document for d in found.documents):
                found.documents.append(document)
            names.append(signature.component)
        return names


def _named(document: Document) -> Node | None:
    metadata = nodes.child(document.root, "metadata")
    return nodes.child(metadata, "name") or nodes.child(document.root, "kind") or document.head


def netns(found: Found, registry: Registry) -> str:
    """Whose network namespace a component's marks are in: the host's, or a Pod's that is not on the host's network."""
    rules = registry.rules.get(found.name)
    if rules is None or not rules.pod_local or any(p.host_network for p in found.processes):
        return HOST
    _, _, document, _ = found.best()[0]
    if not found.processes and not document.api:
        return HOST  # a configuration file of the machine itself
    return f"pod {document.namespace or 'default'}/{document.name}"
