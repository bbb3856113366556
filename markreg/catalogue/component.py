"""A component's page: its bits as a ruler, what each means, its settings, how it is recognised, whom it gets in the way of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from markreg.bits import format_bits, format_mask
from markreg.catalogue.incompatible import Pair
from markreg.catalogue.words import LEGEND, cell, codes, picture, table
from markreg.registry.effective import Effective, Resolver, layouts
from markreg.registry.model import Conflict, Knob, ReadAt, Recognise, Registry
from markreg.registry.releases import Interval
from markreg.registry.signatures import test_keys

_READ = tuple(ReadAt.__dataclass_fields__)


def page(registry: Registry, name: str, pairs: Iterable[Pair]) -> str:
    """The page of a component, also of one that is only recognised."""
    entry = registry.components.get(name)
    lines = [f"# {name}", ""]
    if entry:
        about = (entry.title, f"<{entry.homepage}>" if entry.homepage else "", entry.note)
        lines += [line for text in about if text for line in (text, "")]
        lines += _bits(registry, name)
    lines += _knobs(registry, name)
    lines += _signs(registry, name)
    lines += _neighbours(registry, name, [p for p in pairs if name in (p.a, p.b)])
    return "\n".join(lines).rstrip("\n") + "\n"


def _bits(registry: Registry, name: str) -> Iterator[str]:
    entry = registry.components[name]
    resolvers = [(layout, Resolver(registry, releases={name: layout})) for layout in layouts(entry)]
    newest = resolvers[-1][1].rows(name)
    for field in dict.fromkeys(row.field for row in newest if row.mask):
        width = registry.fields[field].width
        rows = [row for row in newest if row.field == field and row.mask and not row.reservation.within]
        drawn = picture([(row.path.partition("/")[2], [row]) for row in rows if row.reservation.status != "retired"], width)
        yield from (f"## {field}", "")
        yield from ([f"{LEGEND}.", "", *drawn] if drawn else [])
        yield from table(("reservation", "bits", "mask", "meaning", "access", "in force"), map(_row, rows))
        yield from _codes(row for row in newest if row.field == field)
        yield from _moved(name, resolvers, field)
        yield from _sources(rows)


def _row(row: Effective) -> Iterator[str]:
    r = row.reservation
    yield f"`{r.name}`"
    yield format_bits(row.mask)
    yield f"`{format_mask(row.mask)}`"
    yield cell(". ".join(text.rstrip(".") for text in (r.title, r.note) if text))
    yield r.access + (", whole field" if r.writes == "whole" and r.changes else "")
    yield cell(_when(row))


def _when(row: Effective) -> str:
    r = row.reservation
    said = [Interval(r.since, r.until).name] if r.since or r.until else []
    said += [f"{k} = {' or '.join(str(v).lower() or 'unset' for v in vs)}" for k, vs in r.when.items()]
    said += [f"while `{r.variant.of}` is {', '.join(r.variant.values)}"] if r.variant else []
    said += [f"in {', '.join(row.scope)}"] if row.scope not in ((), ("host",)) else []
    said += [r.status + (f" {r.retired}" if r.retired else "")] if r.status != "active" else []
    said += ["number not seen in source"] if not r.verified else []
    return "; ".join(said) or "always"


def _codes(rows: Iterable[Effective]) -> list[str]:
    said = [(f"`{row.reservation.name}`", f"`{format_mask(code)}`", cell(meaning)) for row in rows for code, meaning in row.codes]
    return table(("field of", "value in place", "says"), said)


def _moved(name: str, resolvers: list[tuple[Interval, Resolver]], field: str) -> list[str]:
    """The layouts, where bits differ between releases."""
    if len(resolvers) < 2:
        return []
    seen: dict[str, dict[str, str]] = {}
    for layout, resolver in resolvers:
        for row in resolver.in_force(name):
            if row.field == field and row.mask:
                seen.setdefault(row.reservation.name, {})[layout.name] = format_bits(row.mask)
    spans = [layout.name for layout, _ in resolvers]
    moved = {held: bits for held, bits in seen.items() if len(set(bits.values())) > 1 or len(bits) < len(spans)}
    return table(("by release", *map(cell, spans)), ((f"`{held}`", *(bits.get(s, "") for s in spans)) for held, bits in moved.items()))


def _sources(rows: Iterable[Effective]) -> list[str]:
    named: dict[str, list[str]] = {}
    for row in rows:
        for source in row.reservation.source:
            named.setdefault(source, []).append(row.reservation.name)
    return [*(f"* {', '.join(dict.fromkeys(names))}: {codes([source])}" for source, names in named.items()), ""]


def _knobs(registry: Registry, name: str) -> list[str]:
    rules = registry.rules.get(name)
    rows = [_knob(knob) for knob in (rules.knob if rules else ())]
    return ["## Settings", "", *table(("knob", "type", "default", "where it is set", "note"), rows)] if rows else []


def _knob(knob: Knob) -> tuple[str, str, str, str, str]:
    default = "unset" if knob.default is None else f"`{str(knob.default).lower()}`" if str(knob.default) else "empty"
    return f"`{knob.name}`", knob.type, default, "; ".join(map(_place, knob.read)) or "nowhere", cell(knob.note or knob.title)


def _place(place: ReadAt) -> str:
    said = ((key, getattr(place, key)) for key in _READ if key != "number")
    return codes([" ".join(f"{key.replace('_', '-')} {value}" for key, value in said if value)])


def _signs(registry: Registry, name: str) -> list[str]:
    rules = registry.rules.get(name)
    rows = [_sign(entry) for entry in (rules.recognise if rules else ())]
    return ["## How it is recognised", "", *table(("in", "by", "confidence", "note"), rows)] if rows else []


def _sign(signature: Recognise) -> tuple[str, str, str, str]:
    tests = ((key, getattr(signature, attribute)) for attribute, key, _ in test_keys(Recognise))
    by = "; ".join(f"{key} {codes(map(str, values))}" for key, values in tests if values)
    shared = f"shared with {', '.join(signature.shared_with)}" if signature.shared_with else ""
    return ", ".join(signature.in_), by, signature.confidence, cell("; ".join(filter(None, (shared, signature.note))))


def _neighbours(registry: Registry, name: str, pairs: list[Pair]) -> list[str]:
    known = [c for c in registry.conflicts if any(side.partition("/")[0] == name for side in c.between)]
    lines = ["## Known collisions", "", *table(("between", "what happens", "way out"), map(_known, known))] if known else []
    met = [(f"[{o}]({o}.md)", p.field, format_bits(p.mask)) for p in pairs if p.severity == "error" for o in [p.b if p.a == name else p.a]]
    return lines + (["## Bits that others use too", "", *table(("component", "field", "bits"), met)] if met else [])


def _known(conflict: Conflict) -> tuple[str, str, str]:
    return codes(conflict.between), cell(conflict.mechanism), cell(conflict.way_out)
