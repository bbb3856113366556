"""OVN's sampling ids in words: labels and collectors of connections, observation domains and points of IPFIX and psample.

A domain is the application id in the top 8 bits and the logical datapath's key in the 24 below; a point is Sample.metadata, an ACL's
label, or for sampled drops the cookie of the flow (ovn-nb.xml Sampling_App; lib/actions.c encode_SAMPLE).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from markreg.bits import BitsError, format_mask, full, parse_bits, parse_int
from markreg.model import FIELDS
from markreg.northbound import databases
from markreg.registry.model import Registry
from markreg.registry.numbers import extract, parse_ranges
from markreg.resources import rules
from markreg.rows import Row

_KEY_BITS = 24
_POINT_BITS = 32
APPLICATION, POINT = "ovn/sampling_app_id", "ovn/obs_point_id"


@dataclass(frozen=True, slots=True)
class Observation:
    """An observation domain and point. The names are what the registry and the node's databases say, empty where they say nothing.

    ``behind``: the ACLs or the logical flow that the point stands for, a line each.
    """

    domain: int
    point: int | None
    applications: tuple[str, ...] = ()
    datapath: str = ""
    reserved: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()

    @property
    def application(self) -> int:
        """The id of the application."""
        return self.domain >> _KEY_BITS

    @property
    def key(self) -> int:
        """The key of the logical datapath."""
        return self.domain & full(_KEY_BITS)


@dataclass(frozen=True, slots=True)
class _Identifier:
    field: str
    mask: int
    says: str
    reservations: tuple[str, ...]
    note: str


@cache
def _identifiers() -> tuple[_Identifier, ...]:
    data = tomllib.loads((rules("ovn") / "identifiers.toml").read_text(encoding="utf-8"))
    return tuple(
        _Identifier(e["field"], parse_bits(e["bits"], FIELDS[e["field"]].width), e["says"], tuple(e["reservations"]), e["note"])
        for e in data["identifier"]
    )


def parse(domain: str, point: str | None) -> tuple[int, int | None]:
    """Domain and point in any spelling; both as one number of 64 bits, as psample's cookie has them. Raises BitsError."""
    number = parse_int(domain)
    if point is None and number > full(32):
        if number > full(64):
            raise BitsError(f"{domain[:60]} does not fit into 64 bits")
        return number >> _POINT_BITS, number & full(_POINT_BITS)
    where = None if point is None else parse_int(point)
    for value in (number, where or 0):
        if value > full(32):
            raise BitsError(f"{value} does not fit into 32 bits")
    return number, where


def identified(field: str, value: int, mask: int, explained: Iterable[str], rows: Sequence[Row] = ()) -> tuple[tuple[str, ...], str]:
    """What a value of a connection's field says as an identifier, with what is behind it on the node; and where not to look for it.

    ``explained``: the registry's paths that take part in some reading of the value.
    """
    paths = set(explained)
    for one in _identifiers():
        number = extract(value & one.mask, one.mask)
        if one.field == field and number and not one.mask & ~mask and paths & set(one.reservations):
            behind = _acls(number, rows) if field == "ct_label" else _collectors(number, rows)
            return (f"{one.says} {number}", *behind), one.note
    return (), ""


def observed(domain: int, point: int | None, registry: Registry, rows: Sequence[Row] = ()) -> Observation:
    """What is known of a domain and a point."""
    app, key = domain >> _KEY_BITS, domain & full(_KEY_BITS)
    types = [kind for db in databases(rows) for kind, _ in db.applications().get(app, ())]
    behind: tuple[str, ...] = ()
    if point:
        behind = (*_acls(point, rows), *_flows(point, rows))
    return Observation(
        domain,
        point,
        tuple(dict.fromkeys((*types, *_reserved(registry, APPLICATION, app)))),
        _datapath(key, rows),
        _reserved(registry, POINT, point) if point else (),
        behind,
    )


def sentence(one: Observation) -> str:
    """An observation in a line."""
    names = f" ({', '.join(one.applications)})" if one.applications else ""
    where = f" ({one.datapath})" if one.datapath else ""
    said = f"application {one.application}{names} on datapath key {one.key}{where}"
    if one.point is None:
        return said
    behind = f" ({'; '.join((*one.reserved, *one.behind))})" if one.reserved or one.behind else ""
    return f"{said}, point {one.point}{behind}"


def _reserved(registry: Registry, parent: str, number: int) -> tuple[str, ...]:
    """Whose reservation inside a parent has a number, or what the parent says of it."""
    found = []
    for component in registry.components.values():
        for r in component.reservation:
            if r.within != parent and f"{component.name}/{r.name}" != parent:
                continue
            title = next((text for code, text in r.values.items() if _same(code, number)), "")
            if title:
                found.append(f"{component.name}/{r.name}: {title}")
            elif r.within == parent and r.value_range and _in(r.value_range, number):
                found.append(f"{component.name}/{r.name}")
    return tuple(dict.fromkeys(found))


def _same(code: str, number: int) -> bool:
    try:
        return parse_int(code) == number
    except BitsError:
        return False


def _in(ranges: str, number: int) -> bool:
    try:
        return any(low <= number <= high for low, high in parse_ranges(ranges))
    except BitsError:
        return False


def _acls(number: int, rows: Sequence[Row]) -> tuple[str, ...]:
    """The ACLs with a label or a sample of this number."""
    found = []
    for db in databases(rows):
        acls = list(db.labels().get(number, ()))
        sample = db.points().get(number)
        if sample:
            acls += db.sampling(sample)
            if not db.sampling(sample):
                found.append(f"sample {sample.uuid[:8]}, of no ACL that was given")
        for acl in acls:
            said = " ".join(filter(None, (acl.text("direction"), acl.text("action"))))
            name = acl.text("name") or acl.uuid[:8]
            found.append(f"ACL {name}, priority {acl.text('priority') or '?'}, {said}: {acl.text('match')}".rstrip(": "))
    return tuple(dict.fromkeys(found))


def _collectors(number: int, rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(
        f"collector {r.text('name') or r.uuid[:8]}, set {r.text('set_id') or '?'}"
        for r in rows
        if r.table == "Sample_Collector" and r.number("id") == number
    )


def _flows(number: int, rows: Sequence[Row]) -> tuple[str, ...]:
    """Logical flows whose UUID begins with the number: the cookie of their flows in OpenFlow."""
    cookie = f"{number:08x}"
    found = (r for r in rows if r.table == "Logical_Flow" and r.uuid.startswith(cookie))
    return tuple(f"cookie {format_mask(number)}, a flow of {r.pairs('external_ids').get('stage-name', 'no known stage')}" for r in found)


def _datapath(key: int, rows: Sequence[Row]) -> str:
    for row in rows:
        if row.table == "Datapath_Binding" and row.number("tunnel_key") == key:
            said = row.pairs("external_ids")
            kind = next((k for k in ("logical-switch", "logical-router") if k in said), "")
            return f"{kind.replace('-', ' ')} {said.get('name2') or said.get('name') or said.get(kind, '')}".strip()
    return ""
