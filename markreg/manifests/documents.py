"""Documents of a source: every object of its streams and Lists, and what is embedded in them, each with its place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from markreg.manifests import nodes, plain
from markreg.manifests.kinds import kind_of
from markreg.manifests.nodes import Broken, at, child, entries, items, text

if TYPE_CHECKING:
    from yaml.nodes import Node, ScalarNode

    from markreg.source import Source

_JSON_OR_KEYS = re.compile(r"\s*[\[{]|(?:.*\n)*?[ \t]*[\w.\"'/-]+[ \t]*:(?:[ \t]|\r?$)", re.MULTILINE)
_MOST_LISTS = 10
# What is large, says nothing of settings, and would fill the memory of a run over many of them.
_SCHEMAS = ("CustomResourceDefinition",)
# Objects that carry another file in one of their fields: kind, path of the field, and whose values they are.
_CARRIERS = (
    ("NetworkAttachmentDefinition", "spec.config", ""),
    ("HelmChartConfig", "spec.valuesContent", "metadata.name"),
    ("HelmChart", "spec.valuesContent", "spec.chart"),
    ("HelmRelease", "spec.values", "spec.chart.spec.chart"),
    ("Application", "spec.source.helm.values", "spec.source.chart"),
    ("Application", "spec.source.helm.valuesObject", "spec.source.chart"),
)


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in a source: line, column and one-past-last column, from 1."""

    line: int
    column: int
    end: int


@dataclass(slots=True)
class Document:
    """One object or configuration file.

    ``file``: the name of the file, or the key of the ConfigMap that holds it. ``inside``: that ConfigMap's (or Secret's) name.
    ``root`` is None where only the head of an object is kept.
    ``processes`` (`workloads.Process`) are what it starts. ``chart``: whose Helm values they are, where an object says so.
    """

    path: str
    root: Node | None
    kind: str = ""
    api: str = ""
    name: str = ""
    namespace: str = ""
    file: str = ""
    inside: str = ""
    chart: str = ""
    secret: bool = False
    head: Node | None = None
    lines: int = 0
    columns: int = 0
    fixed: Spot | None = None
    annotations: list[tuple[str, ScalarNode]] = field(default_factory=list)
    processes: list[object] = field(default_factory=list)

    @property
    def kinds(self) -> tuple[str, ...]:
        """What signatures and settings may call it: its kind, alone and with its group, or its file's name."""
        marked = (f"annotation/{name}" for name, _ in self.annotations)
        return tuple(filter(None, (self.kind, f"{self.api}/{self.kind}" if self.api else "", self.file, *marked)))

    @property
    def types(self) -> tuple[str, ...]:
        """What an object says of its type: ``spec.….type``, and ``key=value`` for the plain settings of its spec."""
        spec = child(self.root, "spec")
        said = [
            text(node)
            for path in ("spec.type", "spec.defaultNetwork.type", "spec.cni.type", "spec.networkType")
            for node in at(self.root, path)
        ]
        plain_ones = [f"{key}={text(value)}" for key, _, value in entries(spec) if nodes.shape(value) == "scalar"]
        return tuple(filter(None, (*said, *plain_ones)))

    def spot(self, node: Node | None) -> Spot:
        """Where a node stands in the source; the beginning of the document for none."""
        if self.fixed:
            return self.fixed
        here: Any = node if node is not None else self.head
        if here is None or here.start_mark is None:
            return Spot(1 + self.lines, 1, 2)
        start, end = here.start_mark, here.end_mark
        column = start.column + 1 + self.columns
        last = end.column + 1 + self.columns if end is not None and end.line == start.line and end.column > start.column else column + 1
        return Spot(start.line + 1 + self.lines, column, last)


@dataclass(slots=True)
class Found:
    """What a source holds."""

    documents: list[Document] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)

    def new(self, node: Node) -> bool:
        """Whether a node was not looked at before: an alias is the node that it names, and may stand there a million times."""
        known = id(node) in self.seen
        self.seen.add(id(node))
        return not known and len(self.documents) < nodes.MOST


def read(source: Source) -> Found:
    """Every document of a source; never raises on content."""
    found = Found()
    name = PurePosixPath(source.path).name
    head = source.head(4096)
    form = plain.looks_like(head)
    if form:
        found.documents += _plain(Document(source.path, None, file=name), source.text(), form)
        return found
    roots, broken = nodes.compose(source)
    if broken:
        found.broken.append(broken)
    for root in roots:
        _add(found, source, Document(source.path, root, file=name), 0)
    return found


def _plain(document: Document, content: str, form: str) -> Iterator[Document]:
    document.root, document.kind = plain.read(content, form)
    document.head = document.root
    if not document.kind and (known := kind_of(document.root, document.path)):
        document.kind, document.chart = known.name, known.chart
    yield document


def _add(found: Found, source: Source, document: Document, depth: int) -> None:
    root = document.root
    if root is None or not found.new(root):
        return
    document.head = root
    top = {key: value for key, _, value in entries(root)}
    metadata = {key: value for key, _, value in entries(top.get("metadata"))}
    document.kind, document.api = text(top.get("kind")), text(top.get("apiVersion"))
    document.name, document.namespace = text(metadata.get("name")), text(metadata.get("namespace"))
    if document.kind.endswith("List") and (listed := items(top.get("items"))) and depth < _MOST_LISTS:
        for item in listed:
            _add(found, source, _like(document, item), depth + 1)
        return
    if document.kind:
        document.file = "" if depth == 0 and not document.inside else document.file
        document.head = top.get("kind")
        template = child(child(child(top.get("spec"), "template"), "metadata"), "annotations")
        for holder in (metadata.get("annotations"), template):
            document.annotations += [(k, v) for k, _, v in entries(holder) if nodes.shape(v) == "scalar"]  # type: ignore[misc]
    if document.kind in _SCHEMAS:
        document.root = None
    if not document.kind and not document.chart and root is not None and (known := kind_of(root, document.path)):
        document.kind, document.chart = known.name, known.chart
    found.documents.append(document)
    if depth >= _MOST_LISTS or document.root is None:
        return
    if document.kind in ("ConfigMap", "Secret"):
        document.secret = document.kind == "Secret"
        for group in ("data", "stringData"):
            if group == "data" and document.secret:
                continue
            for key, _, value in entries(child(root, group)):
                if nodes.shape(value) == "scalar":
                    _embed(found, source, document, key, value, depth)  # type: ignore[arg-type]
    for kind, path, owner in _CARRIERS:
        if document.kind == kind:
            chart = next((text(n) for n in at(root, owner)), "") if owner else ""
            for node in at(root, path):
                if nodes.shape(node) == "scalar":
                    _embed(found, source, document, "values.yaml" if owner else "config", node, depth, chart)  # type: ignore[arg-type]
                elif owner:
                    found.documents.append(_like(document, node, chart=chart, file="values.yaml"))


def _like(document: Document, root: Node, chart: str = "", file: str = "") -> Document:
    """Another document of the same text."""
    return Document(
        document.path,
        root,
        file=file or document.file,
        inside=document.inside,
        chart=chart,
        secret=document.secret,
        head=root,
        lines=document.lines,
        columns=document.columns,
        fixed=document.fixed,
    )


def _embed(found: Found, source: Source, around: Document, key: str, scalar: ScalarNode, depth: int, chart: str = "") -> None:
    """A file inside a value, if it is one."""
    content = str(scalar.value)
    if not found.new(scalar):
        return
    if len(content) < 5 or ("\n" not in content and content.lstrip()[:1] not in ("{", "[")):
        return
    document = Document(around.path, None, file=key, inside=around.name, chart=chart, secret=around.secret)
    document.lines, document.columns, document.fixed = placed(source, around, scalar)
    if form := plain.looks_like(content):
        found.documents += _plain(document, content, form)
        return
    if not _JSON_OR_KEYS.match(content[:20000]) or content.startswith("#!"):
        return
    root = nodes.compose_text(content)
    if root is not None:
        document.root = root
        _add(found, source, document, depth + 1)


def placed(source: Source, around: Document, scalar: ScalarNode) -> tuple[int, int, Spot | None]:
    """How many lines and columns an embedded text is off, or the one place where all of it stands."""
    mark: Any = scalar.start_mark
    if around.fixed or scalar.style != "|" or mark is None:
        return 0, 0, around.spot(scalar)
    first = mark.line + 1 + around.lines
    for number in range(first + 1, first + 20):
        if (line := source.line(number)).strip():
            return first, len(line) - len(line.lstrip(" ")), None
    return first, 0, None


def plugins(document: Document) -> Iterator[tuple[str, Node, Node]]:
    """The plugins of a CNI configuration: type, where that stands, and the plugin; none of any other document."""
    root = document.root
    if root is None or document.kind:
        return
    listed = items(child(root, "plugins"))
    for plugin in listed or ([root] if child(root, "cniVersion") is not None or child(root, "name") is not None else []):
        kind = child(plugin, "type")
        if kind is not None and text(kind):
            yield text(kind), kind, plugin
