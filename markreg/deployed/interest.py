"""Which documents of a run are worth keeping until all are read: a repository may hold thousands that no component looks at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import cast

from markreg.deployed.places import TELLING, names, of_file
from markreg.deployed.recognise import Recogniser
from markreg.manifests import nodes
from markreg.manifests.documents import Document, plugins
from markreg.manifests.workloads import Process
from markreg.model import Reading
from markreg.registry.model import ReadAt, Registry

_GLOB = frozenset("*?[")
# Values that variables of a container may come from are short; a ConfigMap of longer ones is kept only by its name.
_LONG = 4096


class Interest:
    """What the signatures and the settings of a registry's components may look at."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._known: dict[tuple[str, str], bool] = {}

    @cached_property
    def _recogniser(self) -> Recogniser:
        return Recogniser(self.registry)

    @cached_property
    def _places(self) -> list[ReadAt]:
        return [place for rules in self.registry.rules.values() for knob in rules.knob for place in knob.read]

    @cached_property
    def _kinds(self) -> _Globs:
        return _Globs(p.kind for p in self._places)

    @cached_property
    def _maps(self) -> _Globs:
        return _Globs(p.config_map or p.secret for p in self._places)

    @cached_property
    def _files(self) -> list[str]:
        return list(dict.fromkeys(p.file for p in self._places if p.file))

    @cached_property
    def _programs(self) -> frozenset[str]:
        return frozenset(filter(None, (name for p in self._places for name in (p.container, p.process))))

    @cached_property
    def _annotations(self) -> _Globs:
        return _Globs(p.annotation for p in self._places)

    def keep(self, reading: Reading) -> Reading:
        """The reading with only the documents that a component may be recognised by, or that may say what is set in one."""
        if not reading.documents:
            return reading
        found = [cast(Document, d) for d in reading.documents]
        return replace(reading, documents=tuple(d for d in found if self._worth(d)))

    def _worth(self, document: Document) -> bool:
        if document.chart or any(self._kinds.hold(kind) for kind in document.kinds if len(kind) < _LONG):
            return True
        if document.annotations and any(self._annotations.hold(name) for name, _ in document.annotations):
            return True
        if document.kind in ("ConfigMap", "Secret"):
            return self._maps.hold(document.name) or self._recogniser.sees(document) or _short(document)
        processes = cast("Sequence[Process]", document.processes)
        if any(not self._programs.isdisjoint(names(p)) for p in processes):
            return True
        if not document.api and document.root is not None and not document.kind:
            return self._maps.hold(document.inside) or self._named(document) or any(True for _ in plugins(document)) or _telling(document)
        return not document.api or self._recogniser.sees(document)

    def _named(self, document: Document) -> bool:
        key = (document.path, document.file)
        if key not in self._known:
            self._known[key] = any(of_file(document, name) for name in self._files)
        return self._known[key]


class _Globs:
    """Names and globs, asked for often."""

    def __init__(self, words: Iterable[str]) -> None:
        found = {w for w in words if w}
        self.exact = {w for w in found if not _GLOB.intersection(w)}
        self.globs = found - self.exact
        self.known: dict[str, bool] = {}

    def hold(self, name: str) -> bool:
        """Whether one of them is this name."""
        if name not in self.known:
            self.known[name] = name in self.exact or any(fnmatchcase(name, glob) for glob in self.globs)
        return self.known[name]


def _short(document: Document) -> bool:
    """Whether variables may come from a ConfigMap; only its values are kept then."""
    root = document.root
    if root is not None and nodes.shape(root) == "mapping":
        root.value = [(k, v) for k, v in root.value if k.value in ("data", "stringData")]
    groups = [nodes.entries(nodes.child(document.root, g)) for g in ("data", "stringData")]
    return sum(len(nodes.text(value)) for group in groups for _, _, value in group) < _LONG


def _telling(document: Document) -> bool:
    """Whether a configuration file has a key that says it is about marks, or is too large to tell."""
    stack = [document.root]
    for _ in range(_LONG):
        here = stack.pop() if stack else None
        if here is None:
            return False
        if nodes.shape(here) == "sequence":
            stack += nodes.items(here)
        elif nodes.shape(here) == "mapping":
            for key, _, value in nodes.entries(here):
                if any(word in key.lower() for word in TELLING):
                    return True
                stack.append(value)
    return True
