"""The answer of ``markreg decode`` as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator

from markreg.bits import format_bits, format_mask, format_value_mask
from markreg.decode import Answer, Part, Reading, meaning
from markreg.model import Seen
from markreg.nodemap import Known
from markreg.observation import Observation
from markreg.registry.model import Field
from markreg.report.parts.snippet import safe
from markreg.report.parts.usejson import Json

SCHEMA = "markreg.decode/1"
_MOST = 8


def text(answer: Answer, field: Field, unicode: bool, verbose: bool = False) -> str:
    """The likeliest readings first, one reservation a line; all of them with ``verbose``."""
    return "".join(f"{safe(line, unicode)}\n" for line in _lines(answer, field, verbose))


def _lines(answer: Answer, field: Field, verbose: bool) -> Iterator[str]:
    yield meaning(field, answer.value, answer.mask)
    if answer.identified:
        first, *behind = answer.identified
        yield ""
        yield f"{first} ({answer.note})"
        yield from (f"  {line}" for line in (behind if verbose else behind[:_MOST]))
        yield from _more(len(behind), verbose)
    if answer.node:
        yield ""
        yield "on this node:"
        for known in answer.node if verbose else answer.node[:_MOST]:
            yield _known(known, field.width)
        yield from _more(len(answer.node), verbose)
    called = dict(answer.zones)
    for seen in answer.seen:
        name = f" ({called[seen.zone]})" if seen.zone in called else ""
        zone = f", zone {seen.zone}{name}" if seen.zone is not None else ""
        yield f"  carried by {seen.count} connection{'s' * (seen.count != 1)}{zone}, first at {seen.path}:{seen.line}"
    if answer.readings:
        yield ""
        yield "by the registry, the likeliest first:"
    for reading in answer.readings if verbose else answer.readings[:_MOST]:
        yield from _reading(reading, field.width)
    yield from _more(len(answer.readings), verbose)
    if not answer.readings and answer.value:
        yield ""
        yield "nobody in the registry uses these bits so"
    if answer.whole:
        yield ""
        yield f"may hold any value: {', '.join(answer.whole)}"


def _more(count: int, verbose: bool) -> Iterator[str]:
    if count > _MOST and not verbose:
        yield f"  and {count - _MOST} more (--verbose)"


def _known(known: Known, width: int) -> str:
    value = format_value_mask(known.value, known.mask, width)
    if known.high != known.value:
        value = f"{format_mask(known.value)}-{format_mask(known.high)}/{format_mask(known.mask)}"
    verb = "tests" if known.access == "read" else "writes"
    where = f" ({known.path}:{known.line}{f', {known.count} places' if known.count > 1 else ''})" if known.line else ""
    return f"  {known.name} {verb} {value}: {known.place}{where}"


def _reading(reading: Reading, width: int) -> Iterator[str]:
    said = []
    if reading.present is not None:
        said.append("on this node" if reading.present else "not seen on this node")
    if reading.releases:
        said.append(reading.releases)
    said.append(f"leaves bits {format_bits(reading.left)}" if reading.left else "explains all")
    yield f"  {reading.component}: {'; '.join(said)}"
    for part in reading.parts:
        what = " - ".join(dict.fromkeys(filter(None, (part.meaning, part.title))))
        needs = f"  [with {part.settings}]" if part.settings and not part.in_force else ""
        yield f"    {part.path} ({format_value_mask(part.value, part.mask, width)}){f' {what}' if what else ''}{needs}"


def document(answer: Answer) -> str:
    """All of it for programs."""
    made: dict[str, Json] = {
        "schema": SCHEMA,
        "field": answer.field,
        "value": format_mask(answer.value),
        "mask": format_mask(answer.mask),
        "bits": format_bits(answer.value),
        "readings": [_reading_json(reading) for reading in answer.readings],
        "node": [_known_json(known) for known in answer.node],
        "seen": [_seen_json(seen) for seen in answer.seen],
        "any_value": list(answer.whole),
        "identified": list(answer.identified),
        "note": answer.note,
    }
    return json.dumps(made, indent=2) + "\n"


def observation(one: Observation, unicode: bool) -> str:
    """An observation domain and point, a part of it a line."""
    said = [f"observation domain {format_mask(one.domain)}{'' if one.point is None else f', point {one.point}'}", ""]
    named = ", ".join(one.applications) or "no name in the registry; Sampling_App of a northbound dump has its type"
    said.append(f"  application {one.application}: {named}")
    said.append(f"  datapath key {one.key}: {one.datapath or 'Datapath_Binding of a southbound dump has its name'}")
    if one.point is not None:
        known = (*one.reserved, *one.behind)
        none = "no ACL that was given; of sampled drops it is the flow's cookie"
        said += [f"  point {one.point}: {line}" for line in known] or [f"  point {one.point} ({format_mask(one.point)}): {none}"]
    return "".join(f"{safe(line, unicode)}\n" for line in said)


def observation_document(one: Observation) -> str:
    """The same for programs."""
    made: dict[str, Json] = {
        "schema": SCHEMA,
        "field": "obs",
        "domain": format_mask(one.domain),
        "application": {"id": one.application, "names": list(one.applications)},
        "datapath": {"key": one.key, "name": one.datapath},
        "point": one.point,
        "reserved_by": list(one.reserved),
        "behind": list(one.behind),
    }
    return json.dumps(made, indent=2) + "\n"


def _reading_json(reading: Reading) -> Json:
    return {
        "component": reading.component,
        "present": reading.present,
        "explained": format_mask(reading.explained),
        "unexplained": format_mask(reading.left),
        "releases": reading.releases,
        "in_force_at_defaults": reading.in_force,
        "parts": [_part_json(part) for part in reading.parts],
    }


def _part_json(part: Part) -> Json:
    return {
        "reservation": part.path,
        "mask": format_mask(part.mask),
        "bits": format_bits(part.mask),
        "value": format_mask(part.value),
        "meaning": part.meaning,
        "title": part.title,
        "settings": part.settings,
        "in_force_at_defaults": part.in_force,
    }


def _known_json(known: Known) -> Json:
    return {
        "owner": known.owner,
        "reservation": known.reservation or None,
        "access": known.access,
        "mask": format_mask(known.mask),
        "values": [format_mask(known.value), format_mask(known.high)],
        "place": known.place,
        "path": known.path,
        "line": known.line or None,
        "occurrences": known.count,
    }


def _seen_json(seen: Seen) -> Json:
    return {"value": format_mask(seen.value), "zone": seen.zone, "count": seen.count, "path": seen.path, "line": seen.line}
