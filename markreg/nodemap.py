"""Who uses which marks on a node: from a node that was read, or from the JSON of an audit made elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from markreg.bits import BitsError, full, parse_int
from markreg.model import FIELDS, Node, Owned, Seen
from markreg.rows import Row

UNATTRIBUTED = "unattributed:"


class AuditError(ValueError):
    """A file that is no audit in JSON; the message is for users."""


@dataclass(frozen=True, slots=True)
class Known:
    """Statements of one owner with one value: ``value`` under ``mask``; ``high`` ends a range of values. ``count`` places."""

    owner: str
    reservation: str
    field: str
    access: str
    mask: int
    value: int
    high: int
    place: str
    path: str
    line: int
    count: int = 1

    @property
    def name(self) -> str:
        """The reservation where one is known, else the owner."""
        return self.reservation or self.owner

    def fits(self, value: int, mask: int) -> bool:
        """Whether a mark, of which the bits in ``mask`` are known, may come from this write or pass this test."""
        common = self.mask & mask
        if self.value == self.high:
            return bool(self.value & common) and value & common == self.value & common
        return common == self.mask and self.value <= value & self.mask <= self.high


@dataclass(frozen=True, slots=True)
class NodeMap:
    """What is known of a node: components that are present or own a statement, with their layouts (None: not known); what is
    written and tested; what connections carry; rows of databases, and what zones are called.
    """

    present: Mapping[str, str | None]
    known: tuple[Known, ...]
    seen: tuple[Seen, ...] = ()
    rows: tuple[Row, ...] = ()
    zones: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def of_node(node: Node) -> NodeMap:
        """The map of a node that was read here."""
        known = (k for owned in node.uses for k in _of_use(owned))
        made = NodeMap._made({c.name: c.layout for c in node.components}, _joined(known), node.seen)
        return replace(made, rows=node.rows, zones={str(z.number): z.name for z in node.zones})

    @staticmethod
    def _made(components: Mapping[str, str | None], known: tuple[Known, ...], seen: tuple[Seen, ...] = ()) -> NodeMap:
        owners = {k.owner: None for k in known if not k.owner.startswith(UNATTRIBUTED)}
        return NodeMap({**owners, **components}, known, seen)

    @staticmethod
    def of_audit(text: str) -> NodeMap:
        """The map in what ``markreg audit --format json`` wrote. Raises AuditError."""
        try:
            document = json.loads(text)
            if not isinstance(document, dict) or not str(document.get("schema", "")).startswith("markreg.audit/"):
                raise AuditError("is no audit in JSON (markreg audit --format json)")
            components = {str(c["name"]): c.get("layout") for c in document["components"]}
            return NodeMap._made(components, _joined(k for use in document["uses"] for k in _of_json(use)))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            if isinstance(error, AuditError):
                raise
            raise AuditError(f"is no audit in JSON: {type(error).__name__}") from None


def _of_use(owned: Owned) -> Iterable[Known]:
    use = owned.use
    base = Known(
        owned.owner,
        owned.reservation or "",
        use.field,
        use.access,
        use.mask,
        0,
        0,
        use.place.text,
        use.path,
        use.lines[0] if use.lines else 0,
        max(len(use.lines), 1),
    )
    if use.values:
        yield from (replace(base, value=low, high=high) for low, high in use.values)
    elif use.value:
        yield replace(base, value=use.value, high=use.value)


def _of_json(use: dict[str, object]) -> Iterable[Known]:
    known, place, location = FIELDS.get(str(use["field"])), use["place"], use["location"]
    if known is None or not isinstance(place, dict) or not isinstance(location, dict):
        return
    line, count = location.get("line"), use.get("occurrences", 1)
    base = Known(
        str(use["owner"]),
        str(use.get("reservation") or ""),
        known.name,
        str(use["access"]),
        _number(use["mask"], known.width),
        0,
        0,
        str(place["text"]),
        str(location.get("path", "")),
        line if isinstance(line, int) else 0,
        count if isinstance(count, int) else 1,
    )
    effect = use.get("effect")
    values = effect.get("values") if isinstance(effect, dict) else None
    if isinstance(values, list):
        pairs = (cast("list[object]", pair) for pair in values if isinstance(pair, list) and len(pair) == 2)
        yield from (replace(base, value=_number(a, known.width), high=_number(b, known.width)) for a, b in pairs)
    elif use.get("value") is not None and (value := _number(use["value"], known.width)):
        yield replace(base, value=value, high=value)


def _number(text: object, width: int) -> int:
    try:
        return parse_int(str(text)) & full(width)
    except BitsError:
        return 0


def _joined(found: Iterable[Known]) -> tuple[Known, ...]:
    """Equal ones of one owner as one, the first place kept."""
    result: dict[tuple[object, ...], Known] = {}
    for one in found:
        key = (one.name, one.field, one.access, one.mask, one.value, one.high)
        result[key] = replace(result[key], count=result[key].count + one.count) if key in result else one
    return tuple(result.values())
