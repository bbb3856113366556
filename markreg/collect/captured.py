"""What was captured of a node, before anything reads it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Capture:
    """What a source of the node said. ``name`` is what reports print; ``command`` says how it was asked."""

    name: str
    notation: str
    netns: str
    family: str
    command: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Failure:
    """What is there and could not be captured, and why."""

    name: str
    why: str
