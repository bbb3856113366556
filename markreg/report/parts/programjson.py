"""How far the analysis of BPF programs got, as JSON: the key ``programs`` of an audit that has any."""

from __future__ import annotations

from markreg.bits import format_mask
from markreg.model import Audit
from markreg.programs import BpfProgram, BpfSite
from markreg.report.parts.usejson import Json, place_json, word_json


def programs(audit: Audit) -> dict[str, Json]:
    """``programs`` with an entry for every program, in the order of the inputs; nothing where there is none."""
    return {"programs": [_program(p) for p in audit.node.programs]} if audit.node.programs else {}


def _program(program: BpfProgram) -> Json:
    words: dict[str, dict[str, Json]] = {}
    for key, masks in (("reads", program.reads), ("writes", program.writes), ("known", program.known)):
        for name, mask in masks:
            words.setdefault(name, {})[key] = format_mask(mask)
    fields: dict[str, Json] = {name: {**said} for name, said in words.items()}
    return {
        "path": program.path,
        "place": place_json(program.place),
        "type": program.type,
        "fields": fields,
        "sites": [_site(site) for site in program.sites],
        "tail_calls": [{"map": name, "slot": slot} for name, slot in program.tails],
        "maps": list(program.maps),
        "assumptions": list(program.assumptions),
        "notes": list(program.notes),
        "limits": list(program.limits),
        "visited": program.visits,
    }


def _site(site: BpfSite) -> Json:
    """One store. ``net``: whether what it stores may be there at the end; ``certain``: whether it hits this word."""
    said: dict[str, Json] = {
        "field": site.field,
        "text": site.clause,
        "mask": format_mask(site.mask),
        **word_json(site.effect, site.field),
        "keeps": format_mask(site.keeps),
        "from": list(site.origin),
        "bytes": site.size,
        "net": site.net,
        "certain": not site.possible,
    }
    if site.assumed:
        said["assumed"] = {"if": site.assumption, **word_json(site.assumed, site.field)}
    return said
