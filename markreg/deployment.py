"""What manifests say of a component: where it is recognised, and what is set there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markreg.model import Confidence


@dataclass(frozen=True, slots=True)
class Mention:
    """A place in an input: line and columns from 1, the end one past the last; ``text`` is what stands there.

    ``place``: the object or file that it is in (``DaemonSet/calico-node``). ``key``: where in that, of a setting.
    """

    path: str
    line: int
    column: int
    end_column: int
    text: str
    place: str = "manifest"
    key: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a manifest sets a component's knob to; ``value`` None: it is left open. ``refused``: why the component does not take it."""

    knob: str
    value: bool | int | str | None
    at: Mention
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Deployed:
    """A component that manifests deploy: where it is recognised, what is set there, and in whose network namespace it works."""

    name: str
    confidence: Confidence
    sightings: tuple[Mention, ...]
    evidence: tuple[str, ...]
    settings: tuple[Setting, ...] = ()
    release: str | None = None
    netns: str = "host"
