"""MK402: sub-fields of OVN that lie over each other and are used on one connection."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from markreg.bits import parse_bits
from markreg.checks import Context
from markreg.checks.located import location, location_at
from markreg.checks.words import bits_of
from markreg.model import CT_LABEL, Finding, Location, Owned

if TYPE_CHECKING:
    from markreg.rows import Row

_OVN = "ovn"
_HELP = "use one of the two features on a logical switch, not both"
_MOST = 40
# Sub-fields of the label that a flow's list writes, and those that a logical flow assigns: twice the same bits in one commit, one is lost.
_TARGET = re.compile(r"->NXM_NX_CT_LABEL\[(\d+)\.\.(\d+)\]")
_ASSIGNED = re.compile(r"\bct_label\.(\w+)\s*=(?!=)")
_DATAPATH = re.compile(r"(?<![\w-])metadata=(0x[0-9a-f]+)|Datapath: *(\"[^\"]*\"|\S+)")
_COMMIT = re.compile(r"exec\(|ct_commit\s*\{")


def check(context: Context, earlier: tuple[Finding, ...]) -> Iterator[Finding]:
    """Of northbound rows, then of commits, then of what samples and what is written beside it."""
    del earlier
    yield from _rows(context)
    yield from _commits(context)
    yield from _hidden(context)


def _label(row: Row) -> str:
    return "label" if row.text("label") not in ("", "0") else ""


def _sampled(row: Row) -> str:
    return next((column for column in ("sample_est", "sample_new") if row.values(column)), "")


def _sampled_later(row: Row) -> str:
    return "sample_est" if row.values("sample_est") else ""


def _persistent(row: Row) -> str:
    return "options" if row.pairs("options").get("persist-established", "").lower() == "true" else ""


def _function(row: Row) -> str:
    return "network_function_group" if row.values("network_function_group") else ""


# Which sub-fields two settings of one ACL need; each setting names its column.
_ACLS = (
    ("label", "obs_point_id", _label, _sampled),
    ("acl_id", "obs_unused", _persistent, _sampled_later),
    ("nf_id", "obs_unused", _function, _sampled_later),
    ("acl_id", "tun_if_id", _persistent, _function),
)


def _rows(context: Context) -> Iterator[Finding]:
    acls = [row for row in context.node.rows if row.table == "ACL"]
    for first, second, one, other in _ACLS:
        found = [row for row in acls if one(row) and other(row)]
        if found and (mask := _common(context, first, second)):
            places = [place for row in found[:3] for column in (one(row), other(row)) for place in _columns(context, row, column)]
            what = f"an ACL has {one(found[0])} and {other(found[0])}"
            yield _finding(context, first, second, mask, what, places, len(found))


def _columns(context: Context, row: Row, column: str) -> Iterator[Location]:
    """Where a column of a row stands, or the row where it is one line."""
    source = context.sources.get(row.path)
    for number in range(row.line, row.line + _MOST) if source else ():
        if source and source.line(number).partition(":")[0].strip() == column:
            yield location_at(context, "writer", row.path, number)
            return
    yield location_at(context, "writer", row.path, row.line)


def _commits(context: Context) -> Iterator[Finding]:
    """One commit that assigns the same bits twice."""
    mask = _common(context, "acl_id", "tun_if_id")
    found = [o for o in context.node.uses if mask and _mine(o) and o.use.effect is not None and o.use.mask & mask and _twice(context, o)]
    if found:
        places = tuple(location(context, "writer", o) for o in found[:3])
        yield _finding(context, "acl_id", "tun_if_id", mask, "one commit writes both", places, sum(len(o.use.lines) for o in found))


def _twice(context: Context, owned: Owned) -> bool:
    source = context.sources.get(owned.use.path)
    if source is None or not owned.use.lines:
        return False
    for part in _COMMIT.split(source.line(owned.use.lines[0]))[1:]:
        targets = _TARGET.findall(part.partition(")")[0])
        names = set(_ASSIGNED.findall(part.partition("}")[0]))
        if len(targets) > len(set(targets)) or {"acl_id", "tun_if_id"} <= names:
            return True
    return False


def _hidden(context: Context) -> Iterator[Finding]:
    """Sampling that wants the rest of the label to be zero, beside a network function's number that is looked for."""
    unused, number = _reserved(context, "obs_unused"), _reserved(context, "nf_id")
    if not (unused and number):
        return
    labels = [o for o in context.node.uses if o.use.field == CT_LABEL.name and o.use.predicate and _mine(o)]
    zero = [o for o in labels if not unused & ~o.use.mask and not (o.use.value or 0) & unused]
    samples = [o for o in zero if o.use.value or o.use.mask == unused]
    functions = [o for o in labels if o.use.mask == number and o.use.value]
    if _datapaths(context, samples) & _datapaths(context, functions):
        places = (location(context, "reader", samples[0]), location(context, "reader", functions[0]))
        yield _finding(context, "nf_id", "obs_unused", number, "flows sample, and look for a network function", places, len(samples))


def _datapaths(context: Context, uses: Iterable[Owned]) -> set[str]:
    """The logical datapaths of statements, as far as they are told: by the metadata that a flow matches, or the header above it."""
    found: set[str] = set()
    for owned in uses:
        source = context.sources.get(owned.use.path)
        if source is None:
            continue
        headers = (
            [n for n, text in enumerate(source.text().split("\n"), 1) if "Datapath:" in text] if owned.use.place.kind == "lflow" else []
        )
        for line in owned.use.lines:
            above = bisect_right(headers, line)
            told = _DATAPATH.search(source.line(headers[above - 1] if above else line))
            found.update(told.groups(default="") if told else ())
    return found - {""}


def _mine(owned: Owned) -> bool:
    return owned.owner == _OVN and owned.use.basis == "observed"


def _reserved(context: Context, name: str) -> int:
    rows = [row for row in context.registry.rows(f"{_OVN}/{name}") if row.bits and row.field == CT_LABEL.name]
    return parse_bits(rows[-1].bits or "", CT_LABEL.width) if rows else 0


def _common(context: Context, first: str, second: str) -> int:
    return _reserved(context, first) & _reserved(context, second)


def _finding(context: Context, first: str, second: str, mask: int, what: str, places: Iterable[Location], count: int) -> Finding:
    owners = (f"{_OVN}/{first}", f"{_OVN}/{second}")
    known = next((c for c in context.registry.conflicts if set(c.between) == set(owners)), None)
    message = f"{what}, and {owners[0]} and {owners[1]} share {bits_of(CT_LABEL.name, mask)}"
    if known:
        message += f": {known.mechanism}"
    help_ = known.way_out if known and known.way_out else _HELP
    return Finding("MK402", "error", message, CT_LABEL.name, mask, owners, tuple(places), help_, count)
