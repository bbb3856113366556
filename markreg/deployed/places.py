"""Where settings stand: the words behind a knob's places, in the documents and processes of one run."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from markreg.deployed.recognise import Found, Recognised
from markreg.deployed.words import Form
from markreg.manifests import nodes
from markreg.manifests.documents import Document, plugins
from markreg.manifests.nodes import at, child
from markreg.manifests.workloads import Process, Variable, Word, split
from markreg.registry.model import ReadAt

if TYPE_CHECKING:
    from yaml.nodes import Node

_SWITCHED_ON = "true"
_PLAIN_STYLE = (None, "")
_REFERENCE = re.compile(r"(?<!\$)\$\(([\w.-]+)\)")
# Keys that no other program's file has: a file of any name is read for them.
TELLING = ("mark", "mask")


@dataclass(frozen=True, slots=True)
class Standing:
    """A word at a place: None where it is somewhere else. ``quoted``: a string where YAML would have a number."""

    word: str | None
    document: Document
    node: Node | None
    form: Form = "go"
    quoted: bool = False


class Places:
    """Finds what stands at the places of knobs."""

    def __init__(self, documents: Sequence[Document], seen: Recognised) -> None:
        self.kinds: dict[str, list[Document]] = {}
        for document in documents:
            for kind in document.kinds:
                self.kinds.setdefault(kind, []).append(document)
        self.maps: dict[tuple[str, str], list[Document]] = {}
        self.embedded: dict[str, list[Document]] = {}
        for document in documents:
            if document.kind in ("ConfigMap", "Secret") and document.root is not None:
                self.maps.setdefault((document.kind, document.name), []).append(document)
            if document.inside:
                self.embedded.setdefault(document.file, []).append(document)
        self.annotated = [d for d in documents if d.annotations]
        self.files = [d for d in documents if d.root is not None and not d.api]
        self.named: dict[str, list[Process]] = {}
        for process in seen.processes:
            for name in names(process):
                self.named.setdefault(name, []).append(process)
        self.plugins = [(name, node, d) for d in documents if not d.kind for name, _, node in plugins(d)]

    def find(self, place: ReadAt, found: Found) -> Iterator[Standing]:
        """Every word at a place, and for those with ``absent`` the holders in which there is none."""
        if place.env or place.process:
            yield from self._of_processes(place, found)
        elif place.kind:
            yield from self._of_kind(place)
        elif place.config_map or place.secret:
            yield from self._of_map(place)
        elif place.file:
            yield from self._of_file(place)
        elif place.cni:
            for name, plugin, document in self.plugins:
                if name == place.cni and (value := child(plugin, place.key)) is not None:
                    yield from _standing(document, value)
        elif place.annotation:
            for document in self.annotated:
                for name, scalar in document.annotations:
                    if fnmatchcase(name, place.annotation):
                        yield Standing(nodes.text(scalar), document, scalar)
        elif place.helm:
            for document in found.documents:
                if document.chart:
                    for node in at(document.root, place.helm):
                        yield from _standing(document, node)

    def holders(self, place: ReadAt, found: Found) -> list[tuple[Document, Node | None]]:
        """Containers, or objects, in which a place could be set."""
        if place.env or place.process:
            return [(p.document, p.image_node) for p in self._mine(place, found) if p.image_node is not None]
        return [(d, d.head) for d in self._matching(place.kind)] if place.kind else []

    def _mine(self, place: ReadAt, found: Found) -> list[Process]:
        """The processes that a place is about: the component's own, and others by the name it gives."""
        wanted = place.container or place.process
        # The image of a component may run in containers of several names.
        return self.named.get(wanted) or found.processes

    def _of_processes(self, place: ReadAt, found: Found) -> Iterator[Standing]:
        for process in self._mine(place, found):
            if place.env:
                variable = self._variable(process, place)
                if variable is None:
                    continue
                word, document, node = variable
                if place.flag:
                    yield from self._flags(document, [Word(w, node) for w in split(word)] if word is not None else [], place.flag, process)
                else:
                    yield Standing(word, document, node)
            elif place.flag:
                yield from self._flags(process.document, process.words, place.flag, process)

    def _variable(self, process: Process, place: ReadAt) -> tuple[str | None, Document, Node] | None:
        wanted = place.env.lower() if place.any_case else place.env
        for name, variable in process.variables.items():
            if (name.lower() if place.any_case else name) == wanted:
                return self._resolved(process, variable)
        for kind, source, prefix, optional, node in reversed(process.several):
            there = self._values(kind, source, process.document.namespace)
            for document, values in there:
                if place.env.startswith(prefix) and (value := values.get(place.env.removeprefix(prefix))) is not None:
                    return nodes.text(value), document, value
            if not there and not optional:
                return None, process.document, node
        return None

    def _resolved(self, process: Process, variable: Variable) -> tuple[str | None, Document, Node] | None:
        if variable.source is None:
            return process.expanded(variable.text or ""), process.document, variable.node
        kind, name, key, optional = variable.source
        for document, values in self._values(kind, name, process.document.namespace):
            if key in values:
                return nodes.text(values[key]), document, values[key]
            return None if optional else (None, process.document, variable.node)
        return None if optional else (None, process.document, variable.node)

    def _flags(self, document: Document, words: Sequence[Word], flag: str, process: Process | None) -> Iterator[Standing]:
        """What command line options say, the last one first: ``--flag=value``, ``--flag value``, or ``--flag`` alone."""
        for number in range(len(words) - 1, -1, -1):
            word = words[number]
            name, equals, value = word.text.partition("=")
            if name != flag:
                continue
            if not equals:
                following = words[number + 1].text if number + 1 < len(words) else ""
                value = _SWITCHED_ON if not following or following.startswith("-") else following
            yield Standing(self._expanded(process, value) if process else value, document, word.node)

    def _expanded(self, process: Process, value: str) -> str:
        """A value with ``$(NAME)`` filled in, also from ConfigMaps that are here."""
        for name in _REFERENCE.findall(value)[:8]:
            variable = process.variables.get(name)
            resolved = self._resolved(process, variable) if variable else None
            if resolved and resolved[0] is not None:
                value = value.replace(f"$({name})", resolved[0])
        return value

    def _values(self, kind: str, name: str, namespace: str) -> list[tuple[Document, dict[str, Node]]]:
        """The plain values of ConfigMaps (or Secrets) of a name; those of another namespace only if there is none in this one."""
        found = self.maps.get((kind, name), [])
        near = [d for d in found if d.namespace == namespace or not (d.namespace and namespace)] or found
        return [(d, {k: v for group in ("data", "stringData") for k, _, v in nodes.entries(child(d.root, group))}) for d in near]

    def _matching(self, kind: str) -> list[Document]:
        if not any(c in kind for c in "*?["):
            return self.kinds.get(kind, [])
        chosen = [d for name, found in self.kinds.items() if fnmatchcase(name, kind) for d in found]
        return list({id(d): d for d in chosen}.values())

    def _of_kind(self, place: ReadAt) -> Iterator[Standing]:
        # An object called default is the cluster's; others of its kind are for single nodes.
        for document in sorted(self._matching(place.kind), key=lambda d: d.name != "default"):
            if not place.path:
                yield Standing(_SWITCHED_ON, document, document.head)
            for node in at(document.root, place.path) if place.path else ():
                if place.flag:
                    yield from self._flags(document, [Word(f"--{nodes.text(n)}", n) for n in nodes.items(node)], place.flag, None)
                else:
                    yield from _standing(document, node)

    def _of_map(self, place: ReadAt) -> Iterator[Standing]:
        key, colon, path = place.key.partition(":")
        wanted, kind = (place.secret, "Secret") if place.secret else (place.config_map, "ConfigMap")
        for document in self.embedded.get(key, ()) if colon else ():
            if fnmatchcase(document.inside, wanted):
                for node in at(document.root, path):
                    yield from _standing(document, node)
        for (what, name), documents in self.maps.items() if not colon else ():
            for document in documents if what == kind and fnmatchcase(name, wanted) else ():
                for group in ("data", "stringData"):
                    if (value := child(child(document.root, group), key)) is not None:
                        word = nodes.text(value)
                        coded = kind == "Secret" and group == "data"
                        yield Standing(_decoded(word) if coded else word, document, value)

    def _of_file(self, place: ReadAt) -> Iterator[Standing]:
        last = place.path.rpartition(".")[2].lower()
        for document in self.files:
            if not of_file(document, place.file) and not any(word in last for word in TELLING):
                continue
            for node in at(document.root, place.path):
                yield from _standing(document, node)


def of_file(document: Document, name: str) -> bool:
    """Whether a document is the file that a place names, by its path or as a key of a ConfigMap."""
    return fnmatchcase(document.path, f"*{name}") or fnmatchcase(document.file, PurePosixPath(name).name)


def names(process: Process) -> set[str]:
    """What a process may be called: its container, its object, a program of its command line."""
    return {process.name, process.document.name, *(word.text.rpartition("/")[2] for word in process.words[:6])}


def _standing(document: Document, node: Node) -> Iterator[Standing]:
    """A scalar of a document, if it says anything; a list or mapping stands for being there."""
    if nodes.shape(node) != "scalar":
        yield Standing(_SWITCHED_ON, document, node)
    elif not nodes.is_null(node):
        yield Standing(nodes.text(node), document, node, "yaml", getattr(node, "style", None) not in _PLAIN_STYLE)


def _decoded(word: str) -> str | None:
    try:
        return base64.b64decode(word, validate=False).decode("utf-8", "replace")[:64]
    except (binascii.Error, ValueError):
        return None
