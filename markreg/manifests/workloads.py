"""The processes that documents start: containers of Pods and of everything that makes Pods, and systemd units."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from markreg.manifests import nodes, plain
from markreg.manifests.documents import Document
from markreg.manifests.nodes import at, child, items, text

if TYPE_CHECKING:
    from yaml.nodes import Node

_POD_SPECS = ("spec.template.spec", "spec.jobTemplate.spec.template.spec")
# Of anything in one Pod: more are aliases of an attacker.
_MOST = 1000
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a command line and the node it stands in."""

    text: str
    node: Node


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of a process: its text, or where it comes from: kind, name, key and whether that may be missing."""

    text: str | None
    node: Node
    source: tuple[str, str, str, bool] | None = None


@dataclass(slots=True)
class Process:
    """A container, or the main process of a unit. ``several``: variables that all come from one object: kind, name, prefix, optional."""

    document: Document
    name: str
    image: str
    image_node: Node | None
    host_network: bool
    words: list[Word] = field(default_factory=list)
    variables: dict[str, Variable] = field(default_factory=dict)
    several: list[tuple[str, str, str, bool, Node]] = field(default_factory=list)

    def expanded(self, value: str, depth: int = 0) -> str:
        """A value with ``$(NAME)`` filled in from the process's own variables, as Kubernetes does; unknown names stay."""
        if "$(" not in value or depth > 4:
            return value
        for name, variable in self.variables.items():
            if variable.text is not None and f"$({name})" in value and f"$$({name})" not in value:
                value = value.replace(f"$({name})", self.expanded(variable.text, depth + 1)[:4096])
        return value[:65536]


def processes(document: Document) -> Iterator[Process]:
    """The processes of one document."""
    root = document.root
    if document.kind == "Unit":
        yield _unit(document)
        return
    spec = child(root, "spec") if document.kind == "Pod" else None
    for path in _POD_SPECS:
        spec = spec or next(at(root, path), None)
    if spec is None:
        return
    host = text(child(spec, "hostNetwork")) == "true"
    for group in _CONTAINERS:
        for container in items(child(spec, group))[:_MOST]:
            if nodes.shape(container) == "mapping":
                yield _container(document, container, host)


def _container(document: Document, container: Node, host: bool) -> Process:
    image = child(container, "image")
    made = Process(document, text(child(container, "name")), text(image), image, host)
    for key in ("command", "args"):
        value = child(container, key)
        for node in items(value)[:_MOST] or ([value] if value is not None and text(value) else []):
            made.words += _words(node) if text(node) else []
    for entry in items(child(container, "env"))[:_MOST]:
        name, value, given = text(child(entry, "name")), child(entry, "value"), child(entry, "valueFrom")
        if not name:
            continue
        made.variables.pop(name, None)  # the last of two counts
        if given is None:
            made.variables[name] = Variable(text(value), value if value is not None else entry)
        else:
            made.variables[name] = Variable(None, entry, _reference(given))
    for entry in items(child(container, "envFrom")):
        prefix = text(child(entry, "prefix"))
        for kind, key in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if (reference := child(entry, key)) is not None:
                optional = text(child(reference, "optional")) == "true"
                made.several.append((kind, text(child(reference, "name")), prefix, optional, entry))
    return made


def _reference(given: Node) -> tuple[str, str, str, bool] | None:
    for kind, key in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
        if (found := child(given, key)) is not None:
            return kind, text(child(found, "name")), text(child(found, "key")), text(child(found, "optional")) == "true"
    return None


def _words(node: Node) -> list[Word]:
    """The words of one argument: one, or those of a shell's command line."""
    whole = text(node)
    if not any(blank in whole for blank in " \n\t"):
        return [Word(whole, node)]
    return [Word(whole, node), *(Word(w, node) for w in split(whole))]


def split(line: str) -> list[str]:
    """The words of a shell's line; by blanks alone where its quotes do not close."""
    try:
        return shlex.split(line[:65536], comments=True)
    except ValueError:
        return line[:65536].split()


def _unit(document: Document) -> Process:
    made = Process(document, document.file, "", None, True)
    for key, node in plain.unit_words(document.root):  # type: ignore[arg-type]
        if key.startswith("Exec"):
            made.words += [Word(w.lstrip("-@+!:"), node) for w in split(text(node))]
        elif key == "Environment":
            for word in split(text(node)):
                name, equals, value = word.partition("=")
                if equals:
                    made.variables[name] = Variable(value, node)
    return made
