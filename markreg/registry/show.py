"""What a registry says of anything in any spelling: the look-up behind ``markreg show``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import or_

from markreg.bits import BitsError, format_bits, format_mask, full, parse_bits, parse_int, split_field
from markreg.registry.effective import Effective
from markreg.registry.elsewhere import everywhere
from markreg.registry.errors import did_you_mean
from markreg.registry.model import Recognise, Registry
from markreg.registry.numbers import extract, parse_ranges
from markreg.registry.patterns import pattern
from markreg.registry.releases import Interval
from markreg.registry.signatures import test_keys

_SHIFT = re.compile(r"(\w+)\s*<<\s*(\w+)")
_LONGEST = 200
_WORD = 32


class NotFoundError(LookupError):
    """Nothing in the registry has this name, bit or value; the message is for users."""


@dataclass(frozen=True, slots=True)
class Match:
    """One reservation that answers the question. ``releases`` and ``settings`` say when it is in force; empty: always."""

    path: str
    component: str
    field: str
    bits: str
    mask: int
    values: tuple[tuple[str, str], ...]
    releases: str
    settings: str
    in_force: bool
    access: str
    scope: tuple[str, ...]
    purpose: str
    title: str
    note: str
    source: tuple[str, ...]
    why: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """All that matches ``what``. ``near``: reservations that share a bit with a match. ``tells``: how a component is recognised."""

    what: str
    meaning: str
    matches: tuple[Match, ...]
    near: tuple[Match, ...] = ()
    tells: tuple[str, ...] = ()
    homepage: str = ""


def look_up(registry: Registry, what: str) -> Answer:
    """Who, where, how to tell, what else is near. Raises NotFoundError."""
    what = what.strip()
    if not what or len(what) > _LONGEST:
        raise NotFoundError("nothing to look up" if not what else "too long to be a name, a bit or a value")
    rows = _rows(registry)
    for way in (_component, _path, _number, _field, _name, _chain):
        answer = way(registry, rows, what)
        if answer:
            return answer
    known = {*registry.components, *registry.fields, *(r.path for r in rows), *(r.reservation.name for r in rows)}
    raise NotFoundError(f"nothing in the registry is called {what!r}{did_you_mean(what, known)}")


@lru_cache(maxsize=2)
def _rows(registry: Registry) -> tuple[Effective, ...]:
    return tuple(row for entry in registry.components.values() for row in everywhere(registry, entry))


def _component(registry: Registry, rows: Sequence[Effective], what: str) -> Answer | None:
    if not registry.known(what):
        return None
    entry = registry.components.get(what)
    own = [r for r in rows if r.component == what]
    title = entry.title if entry and entry.title else what
    return _answer(registry, rows, what, f"component {title}", own, what, entry.homepage if entry else "")


def _path(registry: Registry, rows: Sequence[Effective], what: str) -> Answer | None:
    own = [r for r in rows if r.path == what]
    return _answer(registry, rows, what, f"reservation {what}", own, what.partition("/")[0]) if own else None


def _field(registry: Registry, rows: Sequence[Effective], what: str) -> Answer | None:
    try:
        name, text = split_field(what)
        field = registry.fields.get(name)
        if field is None:
            return None
        mask = full(field.width) if text is None else parse_bits(text, field.width)
    except BitsError as error:
        if what.partition("[")[0].partition(":")[0] in registry.fields:
            raise NotFoundError(str(error)) from None
        return None
    own = [r for r in rows if r.field == name and r.mask & mask]
    said = name if text is None else f"{name} bits {format_bits(mask)}"
    return _answer(registry, rows, what, said, own, near=False)


def _number(registry: Registry, rows: Sequence[Effective], what: str) -> Answer | None:
    """A mask, ``value/mask``, a shift, or a decimal that may be a value, a bit, a priority or a table."""
    try:
        value, mask, exact = _value_mask(what)
    except BitsError:
        return None
    marks = [r for r in rows if registry.fields[r.field].carrier in ("packet", "connection") and registry.fields[r.field].width == _WORD]
    if mask is not None:
        own = [r for r in marks if r.mask & mask and _holds(r, value, mask)]
        return _answer(
            registry, rows, what, f"value {format_mask(value)} in mask {format_mask(mask)} (bits {format_bits(mask)})", own, near=False
        )
    own = [r for r in marks if any(code == value for code, _ in r.codes)]
    if not exact:
        own += [r for r in marks if r.mask & value and r not in own]
        return _answer(registry, rows, what, f"value {format_mask(value)} (bits {format_bits(value)})", own, near=False)
    bit = [r for r in rows if value < registry.fields[r.field].width and r.mask >> value & 1 and r not in own] if value < 1024 else []
    tells = [line for c in registry.rules for line in _numbered(registry, c, what)]
    said = f"value {format_mask(value)}" + (f", bit {value}" if value < 128 else "") + ", priority or table"
    answer = _answer(registry, rows, what, said, [*own, *bit], near=False)
    return Answer(what, said, answer.matches, (), tuple(tells))


def _value_mask(what: str) -> tuple[int, int | None, bool]:
    """Value, mask if there is one, and whether it is a plain decimal. Raises BitsError."""
    if shift := _SHIFT.fullmatch(what):
        amount = parse_int(shift[2])
        if amount > 127:
            raise BitsError("beyond every field")
        return parse_int(shift[1]) << amount, None, False
    value, slash, mask = what.partition("/")
    if slash:
        return parse_int(value), parse_int(mask), False
    return parse_int(value), None, not value.lower().startswith("0x")


def _holds(row: Effective, value: int, mask: int) -> bool:
    """Whether a row's bits may be what the value says under the mask: of coded bits some code must agree."""
    common = row.mask & mask
    if not row.codes and row.ranges is None:
        return True
    if row.codes:
        return any(code & common == value & common for code, _ in row.codes) or not value & common
    number = extract(value, row.mask)
    return common != row.mask or any(low <= number <= high for low, high in row.ranges or ()) or not number


def _numbered(registry: Registry, component: str, what: str) -> Iterable[str]:
    for table in registry.rules[component].recognise:
        for key in ("priority", "table"):
            for text in getattr(table, key):
                wanted = pattern(text, "range" if key == "priority" else "glob")
                if wanted.matches(what):
                    yield f"{component}: {'/'.join(table.in_)} {key} {text} ({table.confidence})"


def _name(registry: Registry, rows: Sequence[Effective], what: str) -> Answer | None:
    own = [r for r in rows if r.reservation.name == what]
    return _answer(registry, rows, what, f"reservations called {what}", own) if own else None


def _chain(registry: Registry, rows: Sequence[Effective], what: str) -> Answer | None:
    """The name of a chain, a comment, a table, a device."""
    found: dict[str, list[str]] = {}
    for component, rules in registry.rules.items():
        for table in rules.recognise:
            for key in ("chain", "comment", "table", "device", "set", "program", "stage"):
                hit = next((t for t in getattr(table, key) if t != "*" and pattern(t).matches(what)), None)
                if hit is not None:
                    found.setdefault(component, []).append(f"{component}: {'/'.join(table.in_)} {key} {hit} ({table.confidence})")
    if not found:
        return None
    own = [r for r in rows if r.component in found]
    answer = _answer(registry, rows, what, f"a name that {', '.join(found)} would use", own, near=False)
    return Answer(what, answer.meaning, answer.matches, (), tuple(line for lines in found.values() for line in lines))


def _answer(
    registry: Registry,
    rows: Sequence[Effective],
    what: str,
    meaning: str,
    own: Sequence[Effective],
    component: str = "",
    homepage: str = "",
    near: bool = True,
) -> Answer:
    own = sorted(own, key=lambda row: not row.in_force)
    around: list[Effective] = []
    if near:
        masks: dict[str, int] = {}
        for row in own:
            masks[row.field] = reduce(or_, (row.mask,), masks.get(row.field, 0))
        owners = {row.component for row in own}
        around = [r for r in rows if r.mask & masks.get(r.field, 0) and r.component not in owners and r.in_force]
    tells = tuple(_tells(registry, component)) if component else ()
    return Answer(what, meaning, tuple(map(_match, own)), tuple(map(_match, around)), tells, homepage)


def _tells(registry: Registry, component: str) -> Iterable[str]:
    rules = registry.rules.get(component)
    for table in rules.recognise if rules else ():
        yield f"{'/'.join(table.in_)} {_asked(table)} ({table.confidence})"
    for knob in rules.knob if rules else ():
        default = "" if knob.default is None else f", default {str(knob.default).lower()}"
        yield f"knob {knob.name} ({knob.type}{default})"


def _asked(table: Recognise) -> str:
    said = ((key, getattr(table, attribute)) for attribute, key, _ in test_keys(Recognise))
    return ", ".join(f"{key} {' or '.join(str(v) for v in values)}" for key, values in said if values)


def _match(row: Effective) -> Match:
    r = row.reservation
    values = [(format_mask(code), meaning) for code, meaning in row.codes]
    if r.value_range:
        values.append((f"numbers {', '.join(f'{a}-{b}' if a != b else str(a) for a, b in parse_ranges(r.value_range))}", ""))
    settings = ", ".join(f"{k} = {' or '.join(str(v).lower() or 'unset' for v in vs)}" for k, vs in r.when.items())
    access = r.access if r.writes != "whole" or not r.changes else f"{r.access}, whole field"
    return Match(
        row.path,
        row.component,
        row.field,
        format_bits(row.mask),
        row.mask,
        tuple(values),
        Interval(r.since, r.until).name if r.since or r.until else "",
        settings,
        row.in_force,
        access,
        row.scope,
        r.purpose,
        r.title,
        r.note,
        r.source,
        row.why,
    )


def render(answer: Answer) -> str:
    """The answer as text, one reservation a paragraph."""
    lines = [f"{answer.what}: {answer.meaning}"]
    if answer.homepage:
        lines.append(f"  {answer.homepage}")
    lines += [line for match in answer.matches for line in ("", *_paragraph(match))]
    if not answer.matches:
        lines += ["", "no reservation"]
    if answer.tells:
        lines += ["", "how to tell:", *(f"  {line}" for line in answer.tells)]
    if answer.near:
        lines += ["", "near (shares a bit):"]
        lines += [f"  {m.path}  {m.field} {m.bits}{f'  {m.title}' if m.title else ''}" for m in answer.near]
    return "\n".join(lines) + "\n"


def _paragraph(match: Match) -> Iterable[str]:
    place = f"{match.field} {match.bits} ({format_mask(match.mask)})" if match.mask else f"{match.field}, no bits here"
    yield f"{match.path}  {place}  {match.title}".rstrip()
    yield f"  {match.purpose}; {match.access}; scope {', '.join(match.scope)}"
    for value, meaning in match.values:
        yield f"  {value}{f' = {meaning}' if meaning else ''}"
    when = "; ".join(filter(None, (match.releases, match.settings and f"with {match.settings}")))
    if when:
        yield f"  {when}"
    if not match.in_force and match.why:
        yield f"  not in force at defaults: {match.why}"
    if match.note:
        yield f"  {match.note}"
    yield f"  source: {'; '.join(match.source)}"
