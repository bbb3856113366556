"""What ``markreg show`` prints as JSON."""

from __future__ import annotations

from markreg import __version__
from markreg.bits import format_mask
from markreg.registry.model import Registry
from markreg.registry.show import Answer, Match
from markreg.report.json_ import dumped
from markreg.report.parts.usejson import Json

_SCHEMA = "markreg.show/1"


def document(answer: Answer, registry: Registry) -> str:
    """The answer, with masks and values in hex."""
    return dumped(
        {
            "schema": _SCHEMA,
            "version": __version__,
            "registry": {"path": registry.path, "sha256": registry.sha256},
            "what": answer.what,
            "meaning": answer.meaning,
            "homepage": answer.homepage or None,
            "matches": [_match(match) for match in answer.matches],
            "near": [_match(match) for match in answer.near],
            "tells": list(answer.tells),
        }
    )


def _match(match: Match) -> Json:
    return {
        "reservation": match.path,
        "component": match.component,
        "field": match.field,
        "bits": match.bits,
        "mask": format_mask(match.mask),
        "values": [{"value": value, "meaning": meaning} for value, meaning in match.values],
        "access": match.access,
        "scope": list(match.scope),
        "purpose": match.purpose,
        "title": match.title,
        "note": match.note,
        "releases": match.releases or None,
        "settings": match.settings or None,
        "in_force": match.in_force,
        "why_not": match.why or None,
        "source": list(match.source),
    }
