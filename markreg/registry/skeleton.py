"""What a new component starts from: rules/skeleton with its name filled in, for the registry file and for rules/components."""

from __future__ import annotations

import re

from markreg import resources
from markreg.registry.accepted import today

_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_LONGEST = 60
_TABLES = re.compile(r"(?m)^\[\[(?:agreement|conflict|accepted)\]\]")


class SkeletonError(ValueError):
    """The name is none; the message is for users."""


def texts(name: str) -> tuple[str, str]:
    """The block for the registry file, and the component file. Raises SkeletonError for a name that is no slug."""
    if not _SLUG.fullmatch(name) or len(name) > _LONGEST:
        raise SkeletonError(f"{name[:_LONGEST]!r} is no slug: lower-case words and numbers joined by -, as in kube-proxy")
    files = (resources.rules("skeleton") / file for file in ("registry.toml", "component.toml"))
    entry, rules = (file.read_text(encoding="utf-8").replace("NAME", name) for file in files)
    return entry.replace("TODAY", today().isoformat()), rules


def added(registry: str, entry: str) -> str:
    """The text of a registry file with one more component, before what comes after components."""
    match = _TABLES.search(registry)
    at = match.start() if match else len(registry)
    before, after = registry[:at].rstrip("\n"), registry[at:]
    return "\n\n".join(part.rstrip("\n") for part in (before, entry, after) if part.strip()) + "\n"
