"""From the groups of a dump to uses: values, zones and datapaths filled in, equal statements of a place together."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from markreg.bits import BitsError, full, parse_int
from markreg.formats._openflow_fields import CONNECTION, width_of
from markreg.formats._openflow_groups import Lines, Listing, Match, Values, compared
from markreg.formats._openflow_meaning import BROUGHT, UNKNOWN, Statement, resolved
from markreg.formats._openflow_scan import GROUPS, MOST_ZONES, Scan, priority_of
from markreg.formats._openflow_zones import Guard, Zones, class_of
from markreg.model import Place, Scope, Use
from markreg.pipelines import Hop, Pipeline
from markreg.transfer import Predicate, Word

# So many values of a statement whose value is no plain constant are looked at one by one.
_MOST_VARIANTS = 64
_MOST_INTERVALS = 1000


@dataclass(frozen=True, slots=True)
class Found:
    """A statement with its lines; the zone that its packet brings along is not known yet. ``onward``: where its list sends the packet."""

    statement: Statement
    table: str
    priority: int
    guard: Guard
    lines: array[int]
    cookies: array[int]
    clause: str
    onward: str = ""


@dataclass(frozen=True)
class Scanned(Pipeline):
    """A dump's control flow with its statements: zones are found when all dumps of a bridge are there."""

    found: tuple[Found, ...] = ()


def guard_of(text: str) -> Guard:
    """What a flow matches of its metadata, as (value, mask); None for nothing, or no number."""
    value, slash, mask = text.partition("/")
    try:
        bits = parse_int(mask) & full(64) if slash else full(64)
        return (parse_int(value) & bits, bits) if text else None
    except BitsError:
        return None


def hops_of(scan: Scan) -> tuple[Hop, ...]:
    """The ways out of every table and group, each once. Those of ct without a table lead nowhere: they tell a zone."""
    hops: dict[Hop, None] = {}
    for there in scan.tables.values():
        guard = guard_of(there.metadata)
        for going in {g: None for listing in there.hops.values() for g in listing.meaning.goings}:
            target = f"group {going.target}" if going.kind == "group" else going.target
            if going.kind == "resubmit" and not target:
                target = there.table
            hops[Hop(there.table, going.kind, target, guard, going.metadata, going.zone)] = None  # type: ignore[arg-type]
    return tuple(hops)


def found_in(scan: Scan) -> Iterator[Found]:
    """Every statement of a dump, values filled in."""
    for (_, priority, match), (there, lines) in scan.matches.items():
        guard = guard_of(there.metadata)
        for statement, value, (numbers, cookies) in _tests(match, lines):
            text = f"{match.name}={value}{'/' if match.mask else ''}{match.mask}"
            yield Found(statement, there.table, priority_of(priority), guard, numbers, cookies, text)
    for (_, priority, _), (there, listing, lines) in scan.actions.items():
        guard = guard_of(there.metadata)
        onward = " ".join(dict.fromkeys(g.target for g in listing.meaning.goings if g.kind in ("resubmit", "goto", "group")))
        for statement, values, (numbers, cookies) in _acts(scan, listing, lines):
            text = listing.text(statement.start, statement.end, listing.filled(values))
            where = statement.table or there.table
            learned = bool(statement.table)
            yield Found(
                statement, where, priority_of(priority), None if learned else guard, numbers, cookies, text, "" if learned else onward
            )


def _tests(match: Match, lines: Lines) -> Iterator[tuple[Statement, str, tuple[array[int], array[int]]]]:
    """The reads of a match clause: one for each value, or one for many."""
    zone = ""
    accepted: dict[tuple[str, int], set[int]] = {}
    for (value,), where in lines.by.items():
        for name, mask, number in compared(match, value) or ():
            zone = "" if name not in CONNECTION else str(int(match.zone, 0)) if _is_number(match.zone) else BROUGHT
            if lines.together is None:
                yield Statement(name, "read", mask, 0, 0, predicate=Predicate.equals(name, number, mask), zone=zone), value, where
            else:
                accepted.setdefault((name, mask), set()).add(number)
    first = next(iter(lines.by))[0]
    for (name, mask), numbers in accepted.items():
        test_ = Predicate(name, mask, _intervals(numbers), next(iter(numbers)) if len(numbers) == 1 else None)
        yield Statement(name, "read", mask, 0, 0, predicate=test_, zone=zone), first, lines.together or (array("I"), array("Q"))


def _is_number(text: str) -> bool:
    try:
        return bool(text) and parse_int(text) >= 0
    except BitsError:
        return False


def _intervals(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Numbers as closed intervals; of very many the span that holds them all."""
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return tuple(found) if len(found) <= _MOST_INTERVALS else ((found[0][0], found[-1][1]),)


def _acts(scan: Scan, listing: Listing, lines: Lines) -> Iterator[tuple[Statement, Values, tuple[array[int], array[int]]]]:
    """The statements of an action list: those of each value, or of many together."""
    if lines.together is None:
        for values, where in lines.by.items():
            said = listing.with_values(values, scan.asked)
            for reason in said.strange:
                scan.opaque.setdefault(reason, []).extend(where[0])
            for statement in said.statements:
                yield statement, values, where
        return
    first = next(iter(lines.by))
    for statement in listing.meaning.statements:
        made = _slotted(listing, statement, lines) if statement.slots else _joined(scan, listing, statement, lines)
        yield made, first, lines.together


def _slotted(listing: Listing, statement: Statement, lines: Lines) -> Statement:
    """A statement whose value is made of constants alone, with all of its values."""
    # What metadata is set to tells lines apart as masks do: it is the same in all of them.
    at = [(listing.slots.index(slot) if slot in listing.slots else None, slot, shift, mask) for slot, shift, mask in statement.slots]
    numbers: set[int] = set()
    try:
        for values in {tuple(v[i] for i, _, _, _ in at if i is not None): v for v in lines.by}.values():
            number = 0
            for i, slot, shift, mask in at:
                whole = parse_int(listing.constants[slot] if i is None else values[i])
                number |= (whole << shift if shift >= 0 else whole >> -shift) & mask
            numbers.add(number)
    except BitsError:
        return _unknown(statement)
    ones = zeros = 0
    for number in numbers:
        ones |= number
        zeros |= ~number
    width = width_of(statement.field)
    effect = Word(width, zeros & full(width), ones).masked_into(Word.entry(statement.field, width), statement.mask)
    return replace(statement, effect=effect, values=() if len(numbers) == 1 else _intervals(numbers))


def _joined(scan: Scan, listing: Listing, statement: Statement, lines: Lines) -> Statement:
    """A statement that the values reach in some other way, as all of its variants together."""
    if statement.effect is None:
        return statement
    if len(lines.by) > _MOST_VARIANTS:
        return _unknown(statement)
    effect, values = statement.effect, statement.values
    for texts in lines.by:
        for other in listing.with_values(texts, scan.asked).statements:
            same = (other.field, other.start, other.table) == (statement.field, statement.start, statement.table)
            if same and other.effect is not None:
                effect |= other.effect
    mask = full(effect.width) & ~effect.keeps(statement.field) | statement.carried
    return replace(statement, effect=effect, values=values, mask=mask)


def _unknown(statement: Statement) -> Statement:
    width = width_of(statement.field)
    return replace(statement, effect=Word.unknown(width).masked_into(Word.entry(statement.field, width), statement.mask))


@dataclass(slots=True)
class _Group:
    clause: str
    lines: list[tuple[array[int], array[int]]]


def uses_of(scanned: Scanned, scope: Scope, zones: Zones, known: Mapping[int, str]) -> tuple[Use, ...]:
    """The uses of one dump, now that zones and datapaths are known."""
    groups: dict[tuple[object, ...], _Group] = {}
    statements: dict[tuple[object, ...], Statement] = {}
    for found in scanned.found:
        for statement in _zoned(found, zones):
            datapath = class_of(statement.zone if statement.access != "read" else "", found.guard, dict(known))
            key = (found.table, found.priority, datapath, found.onward, _same(statement))
            if key not in groups:
                groups[key] = _Group(found.clause, [])
                statements[key] = statement
            groups[key].lines.append((found.lines, found.cookies))
    uses = [_use(scanned, scope, statements[key], key, group) for key, group in groups.items()]
    return tuple(sorted(uses, key=lambda u: (u.lines[0], u.place.table, u.field, u.access, u.mask, u.scope.zone or "")))


def _zoned(found: Found, zones: Zones) -> Iterator[Statement]:
    """A statement in each zone that its packets may bring along."""
    statement = found.statement
    if statement.zone != BROUGHT and not statement.carried:
        yield statement
        return
    table, guard = found.table, found.guard
    came = (UNKNOWN,) if table == GROUPS else zones.at(table, guard)
    for zone in came:
        if (said := resolved(statement, zone)) is not None:
            yield said


def _same(statement: Statement) -> tuple[object, ...]:
    return (
        statement.field,
        statement.access,
        statement.mask,
        statement.effect,
        statement.predicate,
        statement.values,
        statement.zone,
    )


def _use(scanned: Scanned, scope: Scope, statement: Statement, key: tuple[object, ...], group: _Group) -> Use:
    table, priority, datapath = str(key[0]), key[1], str(key[2])
    lines, cookies = _lines(group.lines)
    bucket = table == GROUPS
    text = " ".join(filter(None, (scanned.bridge, GROUPS if bucket else f"table {table}", datapath and f"({datapath})")))
    place = Place(
        "openflow",
        text,
        scope.family,
        table="" if bucket else table,
        chain=GROUPS if bucket else "",
        priority=None if bucket else priority,  # type: ignore[arg-type]
        bridge=scanned.bridge,
        cookie=f"{cookies[0]:#x}" if len(set(cookies)) == 1 and not bucket else "",
        datapath=datapath,
    )
    zone = None if statement.zone == UNKNOWN or statement.field not in CONNECTION else statement.zone
    return Use(
        statement.field,
        statement.access,
        statement.mask,
        place,
        replace(scope, zone=zone),
        scanned.path,
        lines,
        group.clause,
        statement.effect,
        statement.predicate,
        statement.values,
        f"{text.removeprefix(scanned.bridge).strip()} {group.clause}",
        target=str(key[3]),
        cookies=() if bucket else cookies,
    )


def _lines(found: Sequence[tuple[array[int], array[int]]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Lines in their order, each once, and the cookies beside them."""
    if len(found) == 1:
        lines, cookies = found[0]
        if all(map(int.__lt__, lines, lines[1:])):
            return tuple(lines), tuple(cookies)
    pairs = dict(pair for two in found for pair in zip(*two, strict=True))
    ordered = sorted(pairs)
    return tuple(ordered), tuple(pairs[n] for n in ordered)


def zones_of(scan: Scan, hops: Sequence[Hop]) -> dict[str, frozenset[int] | None]:
    """The numbers that every register gets from which ct takes a zone."""
    found: dict[str, frozenset[int] | None] = {}
    for name in sorted({hop.zone for hop in hops if hop.zone and hop.zone.startswith("reg")}):
        # A register that nothing loads is loaded where the dump does not show it.
        texts = scan.loads.get(name, set()) if "[" not in name else set()
        try:
            numbers = {(parse_int(text) << shift if shift >= 0 else parse_int(text) >> -shift) & 0xFFFF for text, shift in texts}
        except BitsError:
            numbers = set()
        found[name] = frozenset(numbers) if numbers and len(texts) < MOST_ZONES else None
    return found


def ports_of(scan: Scan) -> dict[str, frozenset[str]]:
    """By table the ports to which its flows send."""
    found: dict[str, frozenset[str]] = {}
    for there in scan.tables.values():
        if there.ports:
            found[there.table] = found.get(there.table, frozenset()) | there.ports
    return found
