"""What registry.toml and rules/components/*.toml may say: one class a table, one attribute a key.

This is the schema: `schema.read` takes allowed keys, types and defaults from these classes, and nothing else lists them. A key that
is a Python word carries an underscore here (``from_``). An attribute without default is a required key. ``origin`` is no
key: it tells where the table stands.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal

from markreg.registry.knobs import NOWHERE as NOWHERE
from markreg.registry.knobs import Interface as Interface
from markreg.registry.knobs import Knob as Knob
from markreg.registry.knobs import Limit as Limit
from markreg.registry.knobs import Origin as Origin
from markreg.registry.knobs import ReadAt as ReadAt
from markreg.registry.knobs import Recognise as Recognise
from markreg.registry.knobs import Refusal as Refusal
from markreg.registry.words import Dimension, Purpose, Scalar, Status, Texts, Via, When


@dataclass(frozen=True, slots=True)
class BitsFrom:
    """Bits that follow a knob: ``bit`` is 1 << value, ``mask`` the value itself (None: as the knob's type says)."""

    knob: str
    as_: Literal["bit", "mask"] | None = None


@dataclass(frozen=True, slots=True)
class Variant:
    """The bits mean this only while the reservation ``of`` holds one of these codes (in place)."""

    of: str
    values: Texts


@dataclass(frozen=True, slots=True)
class Reservation:
    """What some bits mean to a component; see registry.md section 3 for every key.

    ``value_from``: a knob whose value is the code, in place.
    """

    name: str
    field: str | None = None
    within: str | None = None
    bits: str | None = None
    bits_from: BitsFrom | None = None
    values: Mapping[str, str] = dataclasses.field(default_factory=dict)
    value_from: str | None = None
    value_range: str | None = None
    variant: Variant | None = None
    alternatives: tuple[str, ...] = ()
    access: Literal["read", "write", "read-write"] = "read-write"
    writes: Literal["masked", "whole", "none"] = "masked"
    via: Annotated[tuple[Via, ...], "one or many"] = ("netfilter",)
    write_at: Texts = ()
    read_at: Texts = ()
    when: When = dataclasses.field(default_factory=dict)
    since: str | None = None
    until: str | None = None
    scope: Texts = ()
    status: Status = "active"
    retired: date | None = None
    free_after: date | None = None
    replaced_by: str | None = None
    purpose: Purpose = "other"
    title: str = ""
    note: str = ""
    knob: str = ""
    source: Texts = dataclasses.field(kw_only=True)
    checked: date | None = None
    verified: bool = True
    origin: Origin = dataclasses.field(default=NOWHERE, compare=False, repr=False)

    @property
    def reads(self) -> bool:
        """Whether the component tests these bits."""
        return self.access != "write"

    @property
    def changes(self) -> bool:
        """Whether the component writes these bits."""
        return self.access != "read" and self.writes != "none"


@dataclass(frozen=True, slots=True)
class Minus:
    """Bits that are taken off a pool before it is drawn from."""

    mask: str
    when: When = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Draw:
    """A reservation that takes ``width`` bits from a pool, lowest first; a string is its name alone."""

    name: str
    width: int | Literal["rest"] = 1
    since: str | None = None
    until: str | None = None
    when: When = dataclasses.field(default_factory=dict)

    @staticmethod
    def from_text(text: str) -> Draw:
        """A draw of one bit."""
        return Draw(text)


@dataclass(frozen=True, slots=True)
class Pool:
    """Bits handed out in order from a mask knob."""

    name: str
    field: str
    from_: str
    minus: Annotated[tuple[Minus, ...], "one or many"] = ()
    draw: tuple[Draw, ...] = dataclasses.field(kw_only=True)
    note: str = ""
    origin: Origin = dataclasses.field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ComponentEntry:
    """A component: what it reserves, and (in a registry file) how to recognise it."""

    name: str
    title: str = ""
    homepage: str = ""
    note: str = ""
    reservation: tuple[Reservation, ...] = ()
    pool: tuple[Pool, ...] = ()
    recognise: tuple[Recognise, ...] = ()
    interface: tuple[Interface, ...] = ()
    knob: tuple[Knob, ...] = ()
    origin: Origin = dataclasses.field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Field:
    """A word that is shared, ``width`` in bits."""

    name: str
    width: int
    carrier: Literal["packet", "connection", "pipeline", "export"]
    title: str = ""
    note: str = ""
    origin: Origin = dataclasses.field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Scope:
    """A set of carriers. Two of one dimension are disjoint unless one is within the other or they may be equal.

    ``datapath``: of a bridge only the pipelines of one kind of logical datapath, ``switch`` or ``router``.
    """

    name: str
    dimension: Dimension
    within: Texts = ()
    zone_registers: Texts = ()
    zones: Texts = ()
    datapath: Literal["switch", "router"] | None = None
    may_equal: Texts = ()
    disjoint_from: Texts = ()
    title: str = ""
    note: str = ""
    origin: Origin = dataclasses.field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Owners (components or paths) that share bits on purpose; ``allows`` restricts some of them to read or write."""

    owners: tuple[str, ...]
    field: str
    bits: str
    allows: Mapping[str, Annotated[tuple[Literal["read", "write"], ...], "one or many"]] = dataclasses.field(default_factory=dict)
    reason: str = dataclasses.field(kw_only=True)
    source: Texts = ()
    origin: Origin = dataclasses.field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Conflict:
    """A known collision: it explains an overlap and never excuses it. ``releases`` are FROM-TO, half-open, each end optional."""

    between: tuple[str, ...]
    releases: Mapping[str, str] = dataclasses.field(default_factory=dict)
    mechanism: str = dataclasses.field(kw_only=True)
    way_out: str = ""
    note: str = ""
    source: Texts = ()
    origin: Origin = dataclasses.field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Accepted:
    """Findings that somebody has decided to live with, and why: of these owners, inside these ``bits`` of ``field``.

    From the day ``until`` on it hides nothing.
    """

    code: str
    owners: tuple[str, ...] = ()
    field: str | None = None
    bits: str | None = None
    reason: str = dataclasses.field(kw_only=True)
    until: date | None = None
    origin: Origin = dataclasses.field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class NodePool:
    """Nodes of one make: the components on them, their releases, and the settings that the plan pins."""

    name: str
    components: tuple[str, ...]
    releases: Mapping[str, str] = dataclasses.field(default_factory=dict)
    settings: Mapping[str, Mapping[str, Scalar]] = dataclasses.field(default_factory=dict)
    title: str = ""
    note: str = ""
    origin: Origin = dataclasses.field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class RegistryFile:
    """One registry.toml as it stands."""

    version: int
    kind: Literal["catalogue", "plan"] = "plan"
    extends: str | None = None
    field: tuple[Field, ...] = ()
    scope: tuple[Scope, ...] = ()
    node_pool: tuple[NodePool, ...] = ()
    component: tuple[ComponentEntry, ...] = ()
    agreement: tuple[Agreement, ...] = ()
    conflict: tuple[Conflict, ...] = ()
    accepted: tuple[Accepted, ...] = ()
    origin: Origin = dataclasses.field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Rules:
    """One rules/components/NAME.toml, or the same tables of a component in a registry file.

    ``pod_local``: in a Pod without the host's network, the component's marks are that Pod's own. ``release_image``: images (globs)
    whose tag is the component's release. ``makes``: what of a rule set the component makes: its own ``chains``, with all that is in them;
    whole ``tables``, so that what stands in their built-in chains under a mask of its own is its, too; or chains and ``no-marks`` in them:
    a mark there is the administrator's, who writes into them.
    """

    component: str
    recognise: tuple[Recognise, ...] = ()
    interface: tuple[Interface, ...] = ()
    knob: tuple[Knob, ...] = ()
    pod_local: bool = False
    release_image: Texts = ()
    makes: Literal["chains", "tables", "no-marks"] = "chains"
    note: str = ""
    origin: Origin = dataclasses.field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Registry:
    """Everything in force: the file that was used with what it extends, and the component files of markreg.

    ``path`` and ``sha256`` are of the file used. ``declared``: the components which that file itself declares. ``rules`` holds
    signatures and knobs by component, also of components that reserve nothing here.
    """

    path: str
    sha256: str
    kind: Literal["catalogue", "plan"]
    components: Mapping[str, ComponentEntry]
    rules: Mapping[str, Rules]
    fields: Mapping[str, Field]
    scopes: Mapping[str, Scope]
    node_pools: Mapping[str, NodePool]
    agreements: tuple[Agreement, ...]
    conflicts: tuple[Conflict, ...]
    accepted: tuple[Accepted, ...]
    declared: tuple[str, ...]
    files: tuple[str, ...] = ()

    def known(self, component: str) -> bool:
        """Whether a component is registered or at least recognised."""
        return component in self.components or component in self.rules

    def knob(self, component: str, name: str) -> Knob | None:
        """A knob of a component."""
        rules = self.rules.get(component)
        return next((k for k in rules.knob if k.name == name), None) if rules else None

    def rows(self, path: str) -> tuple[Reservation, ...]:
        """The reservations with a path ``component/name``: one for each of its layouts."""
        component, _, name = path.partition("/")
        entry = self.components.get(component)
        return tuple(r for r in entry.reservation if r.name == name) if entry else ()
