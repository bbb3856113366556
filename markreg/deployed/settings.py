"""The settings of deployed components: the first place that says something counts, each knob by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from markreg.deployed.places import Places
from markreg.deployed.recognise import Found, Recognised, mention, netns
from markreg.deployed.words import UNKNOWN, Elsewhere, Refused, Unknown, holds, meaning
from markreg.deployment import Deployed, Setting
from markreg.manifests.documents import Document
from markreg.registry.model import Knob, ReadAt, Registry
from markreg.registry.words import Scalar

if TYPE_CHECKING:
    from yaml.nodes import Node

_MOST = 3
_CONTAINER = "spec.template.spec.containers[]"


def settled(seen: Recognised, documents: Sequence[Document], registry: Registry) -> tuple[Deployed, ...]:
    """Every component with what is set, in the order of names."""
    places = Places(documents, seen)
    done = []
    for name, found in sorted(seen.components.items()):
        knobs = _Knobs(places, found, registry)
        best = found.best()
        done.append(
            Deployed(
                name,
                found.confidence,
                tuple(mention(document, node) for _, _, document, node in best[:_MOST]),
                tuple(dict.fromkeys(said for _, said, _, _ in best))[:_MOST],
                knobs.all(),
                found.releases.copy().pop() if len(found.releases) == 1 else None,
                netns(found, registry),
            )
        )
    return tuple(done)


def _key(place: ReadAt) -> str:
    """Where in its object or file a setting stands, as a path of keys."""
    if place.env or place.process:
        return f"{_CONTAINER}.env[{place.env}]" if place.env else f"{_CONTAINER}.command[{place.flag}]"
    if place.annotation:
        return f"metadata.annotations[{place.annotation}]"
    if place.config_map or place.secret:
        key, colon, path = place.key.partition(":")
        return f"data[{key}]{colon}{path}"
    return place.path or place.helm or place.key


class _Knobs:
    """The knobs of one component."""

    def __init__(self, places: Places, found: Found, registry: Registry) -> None:
        self.places = places
        self.found = found
        rules = registry.rules.get(found.name)
        self.knobs = {k.name: k for k in (rules.knob if rules else ())}
        self.made: dict[str, Setting | None] = {}

    def all(self) -> tuple[Setting, ...]:
        """What is set, in the order of the component's file."""
        return tuple(s for s in (self.setting(name) for name in self.knobs) if s is not None)

    def setting(self, name: str) -> Setting | None:
        """What a knob is set to; None where nothing sets it."""
        if name not in self.made:
            self.made[name] = None  # a place that depends on itself does not count
            self.made[name] = self._find(self.knobs[name])
        return self.made[name]

    def _value(self, name: str) -> Scalar | None:
        knob = self.knobs[name]
        setting = self.setting(name)
        if setting is not None:
            return None if setting.refused else setting.value
        unset: dict[str, Scalar] = {"boolean": False, "choice": "", "string": ""}
        return knob.default if knob.default is not None else unset.get(knob.type)

    def _find(self, knob: Knob) -> Setting | None:
        for place in knob.read:
            counts = holds(place, {name: self._value(name) for name in place.when})
            if counts is False:
                continue
            for standing in self.places.find(place, self.found):
                made = self._made(knob, place, standing.word, standing.form, standing.quoted, standing.document, standing.node, counts)
                if made is not None:
                    return made
            if place.absent is not None and counts:
                for document, node in self.places.holders(place, self.found):
                    return Setting(knob.name, place.absent, mention(document, node))
        return None

    def _made(
        self,
        knob: Knob,
        place: ReadAt,
        word: str | None,
        form: str,
        quoted: bool,
        document: Document,
        node: Node | None,
        counts: bool | None,
    ) -> Setting | None:
        shown = "" if document.secret else word or ""
        where = replace(mention(document, node, shown), key=_key(place))
        if place.number == "presence":
            return Setting(knob.name, word != "", mention(document, node, ""))
        try:
            value = (
                UNKNOWN
                if word is None or place.number == "elsewhere"
                else meaning(knob, place, word, "yaml" if form == "yaml" else "go", quoted)
            )
        except Refused as refused:
            if knob.invalid == "default":
                return Setting(knob.name, knob.default, where)
            why = "it is no number that it reads" if document.secret else str(refused)
            return Setting(knob.name, None, where, f"{knob.name}: {why}")
        if isinstance(value, Elsewhere):
            return None
        if isinstance(value, Unknown) or counts is None:
            return Setting(knob.name, None, where)
        return Setting(knob.name, value, where)
