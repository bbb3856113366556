"""The ownership map by itself, as ``markreg map`` prints it, and which bits are free."""

from __future__ import annotations

from collections.abc import Iterator

from markreg.bits import format_bits, format_mask
from markreg.model import Audit
from markreg.registry.free import Free, Holders, bits
from markreg.report import Options
from markreg.report.parts.snippet import safe
from markreg.report.parts.terminal import paint, wrap
from markreg.report.parts.usejson import Json
from markreg.report.parts.words import plural, what_was_read

_SCHEMA = "markreg.map/1"


def text(audit: Audit, free: tuple[Free, ...], options: Options) -> str:
    """Head and maps as in an audit's text, then a block for each field whose free bits were asked for."""
    from markreg.report.text import head, joined, ownership

    blocks = [head(audit, options), ownership(audit, options)]
    if not audit.node.uses:
        said = "nothing here uses marks" if audit.complete else "nothing that was understood uses marks"
        blocks.append(wrap(f"{said}: no map in {what_was_read(audit)}", options.width))
    blocks += [list(_free(entry, audit, options)) for entry in free]
    return "".join(line + "\n" for line in joined(blocks))


def _free(free: Free, audit: Audit, options: Options) -> Iterator[str]:
    left = free.mask
    said = f"{format_bits(left)} ({format_mask(left)}), {left.bit_count()} of {plural(free.width, 'bit')}" if left else "none"
    yield from (paint(line, "bold", options) for line in wrap(f"free in {free.field}: {said}", options.width, rest="    "))
    if not audit.complete:
        yield from wrap("as far as it was understood: what was not may use more", options.width, "  ", "    ")
    yield from _held("used on this node", free.used, options)
    yield from _held("reserved by components on this node", free.reserved, options)
    path = safe(audit.registry_path, options.unicode)
    if free.planned is None:
        yield from wrap(f"no plan is in force: {path} is a catalogue", options.width, "  ", "    ")
    else:
        yield from _held(f"reserved in the plan {path}", free.planned, options)
    if free.whole:
        whole = ", ".join(f"{safe(owner, options.unicode)} {' and '.join(does)} it" for owner, does in free.whole)
        yield from wrap(f"statements about the whole field take no bit, but touch any that you take: {whole}", options.width, "  ", "    ")


def _held(what: str, holders: Holders, options: Options) -> Iterator[str]:
    by = ", ".join(f"{safe(name, options.unicode)} {format_bits(mask)}" for name, mask in holders)
    mask = bits(holders)
    said = f"{what}: {format_bits(mask)} ({format_mask(mask)}): {by}" if mask else f"{what}: none"
    yield from wrap(said, options.width, "  ", "    ")


def document(audit: Audit, free: tuple[Free, ...] | None) -> str:
    """The map as JSON; ``free`` is a key of it where it was asked for."""
    from markreg.report.json_ import dumped, ownership, preamble

    said: dict[str, Json] = {**preamble(audit, _SCHEMA), "map": ownership(audit)}
    if free is not None:
        said["free"] = [_free_json(entry) for entry in free]
    return dumped(said)


def _free_json(free: Free) -> Json:
    return {
        "field": free.field,
        "bits": format_bits(free.mask),
        "mask": format_mask(free.mask),
        "count": free.mask.bit_count(),
        "used": _holders_json("owner", free.used),
        "reserved": _holders_json("reservation", free.reserved),
        "planned": None if free.planned is None else _holders_json("reservation", free.planned),
        "whole_field": [{"owner": owner, "access": [word.removesuffix("s") for word in does]} for owner, does in free.whole],
    }


def _holders_json(key: str, holders: Holders) -> Json:
    return [{key: name, "bits": format_bits(mask), "mask": format_mask(mask)} for name, mask in holders]
