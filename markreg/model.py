"""What markreg knows of a node: plain frozen values that every format yields and every check reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from markreg.deployment import Deployed
    from markreg.devices import Device, Sysctl
    from markreg.flow import Guard
    from markreg.pipelines import Pipeline
    from markreg.programs import BpfProgram
    from markreg.rows import Row, ZoneName
    from markreg.transfer import Predicate, Word

Access = Literal["read", "write", "copy"]
Severity = Literal["error", "warning", "note"]
Confidence = Literal["high", "medium", "low"]
Basis = Literal["observed", "claimed", "manifest", "registry"]
HOST = "host"


@dataclass(frozen=True, slots=True)
class Field:
    """A word that is shared: its ``width`` in bits and what carries it (packet, connection, pipeline, export)."""

    name: str
    width: int
    carrier: str


SKB_MARK = Field("skb_mark", 32, "packet")
CT_MARK = Field("ct_mark", 32, "connection")
CT_LABEL = Field("ct_label", 128, "connection")
# Open vSwitch's registers (32 since 3.7) and metadata: a word each in every bridge. They are read only when asked for.
PIPELINE = (*(Field(f"ovs.reg{n}", 32, "pipeline") for n in range(32)), Field("ovs.metadata", 64, "pipeline"))
# The words of __sk_buff.cb, in which BPF programs hand marks to each other. They too are read only when asked for.
CONTROL_BLOCK = tuple(Field(f"cb{n}", 32, "packet") for n in range(5))
FIELDS = {f.name: f for f in (SKB_MARK, CT_MARK, CT_LABEL, *PIPELINE, *CONTROL_BLOCK)}


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """Where bits are the same bits: network namespace, address family (``ip``, ``ip6``; ``inet``: both), conntrack zone if known."""

    netns: str = HOST
    family: str = "inet"
    zone: str | None = None


@dataclass(frozen=True, slots=True, order=True)
class Hook:
    """A netfilter hook and the priority at which a place is run there."""

    hook: str
    priority: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a statement acts. ``kind`` as in the JSON contract; ``text`` is what reports print.

    An OpenFlow place has ``bridge``, ``table`` (its number), ``priority``, ``cookie`` (``0x…``) and ``datapath`` (``switch``, ``router``
    or empty). A BPF one has ``object`` (file name, or ``id 42``), ``program``, ``section`` and, where it is attached, ``attach`` (``tc``,
    ``tcx``, ``cgroup`` …), ``direction`` (``ingress``, ``egress``) and ``device``. A manifest's has
    ``object`` (kind and name) and ``section`` (the path in it).
    """

    kind: str
    text: str
    family: str = "inet"
    backend: str = ""
    table: str = ""
    chain: str = ""
    hooks: tuple[Hook, ...] = ()
    priority: int | None = None
    bridge: str = ""
    cookie: str = ""
    datapath: str = ""
    object: str = ""
    program: str = ""
    section: str = ""
    attach: str = ""
    direction: str = ""
    device: str = ""


@dataclass(frozen=True, slots=True)
class Use:
    """One statement, or a group of equal ones at one place, that reads or writes a field.

    ``mask``: the bits examined (read) or whose value can change (write). A write has an ``effect``, a read a ``predicate``
    (None: the bits steer something that is no comparison). ``lines`` are 1-based line numbers in ``path``; ``clause`` is the
    text in those lines that says it. ``statement`` is the rule's text without what differs between equal statements.
    ``possible``: the statement may also do nothing to the field (a queue's verdict). ``open``: a variable or a template fills in
    the value, so that nobody can say here what it does. ``target``: where the rule jumps.
    ``set_name``: the ipset whose elements say what the rule does. ``cookies``: of flows, one for each of ``lines``.
    ``transient``: what a BPF program does to bits in between and puts back before anybody can see it.
    """

    field: str
    access: Access
    mask: int
    place: Place
    scope: Scope
    path: str
    lines: tuple[int, ...]
    clause: str
    effect: Word | None = None
    predicate: Predicate | None = None
    values: tuple[tuple[int, int], ...] = ()
    statement: str = ""
    comment: str = ""
    target: str = ""
    basis: Basis = "observed"
    possible: bool = False
    set_name: str = ""
    cookies: tuple[int, ...] = ()
    transient: Word | None = None
    open: bool = False

    @property
    def value(self) -> int | None:
        """The bits a write sets where it is one constant, the value a read compares with; None otherwise."""
        if self.predicate:
            return self.predicate.value
        if self.effect and not self.values:
            changed = self.effect.only(self.mask)
            if not (changed.copied() | changed.other | changed.zero & changed.one):
                return changed.one
        return None


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of rules. ``hooks`` is empty unless it is a base chain; ``policy`` as printed; ``kind``: ``filter``, ``nat``, ``route``."""

    name: str = ""
    policy: str = ""
    hooks: tuple[Hook, ...] = ()
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its chains by name, and how control moves between them.

    ``steps``: for each chain its jumps to other chains in the order of the rules, as lines and targets side by side;
    ``gotos`` are the lines of those that do not come back. ``ends``: for each chain the lines of rules that may end or leave it by
    a verdict, or take a packet's connection away (``notrack``). ``inserted``: lines whose rules stand before all others of their chain,
    the last one first. ``backend`` keeps tables of equal names apart (legacy, nft). ``offloads``: a rule hands connections to a
    flowtable; ``helps``: one has the kernel expect connections (``ct helper``). ``rewrites``: what rules change of packets' addresses and
    ports without a connection's doing (flow.NARROW). Large tables share Chain objects.
    """

    family: str
    backend: str
    name: str
    path: str
    netns: str
    chains: dict[str, Chain]
    steps: dict[str, tuple[list[int], list[str]]]
    gotos: set[int]
    ends: dict[str, list[int]] = field(default_factory=dict)
    inserted: set[int] = field(default_factory=set)
    offloads: bool = False
    helps: bool = False
    rewrites: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Opaque:
    """Statements that mention a mark and were not understood (MK901), with the reason.

    ``table``: family and name of the nft table they stand in, where it may be read better elsewhere.
    """

    path: str
    lines: tuple[int, ...]
    reason: str
    table: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an input is broken (MK902): truncated, corrupt, or not what it was said to be."""

    path: str
    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy routing rule or an xfrm policy or state: what it selects by mark (``use``, None if by none) and what it does.

    ``action``: ``lookup``, ``unreachable``, ``goto`` …; ``table`` the routing table as printed; ``selectors`` the rest of the
    selector, normalised. ``priority`` as ``ip rule`` or ``ip xfrm policy`` prints it. ``asks``: what a rule that selects by mark asks
    of packets beside it, where conditions can say it: the kinds of `flow.Guard`, and ``uid`` (``1000-1999``). Nothing under ``not``.
    """

    kind: Literal["rule", "xfrm"]
    scope: Scope
    path: str
    line: int
    priority: int
    action: str
    table: str = ""
    selectors: str = ""
    use: Use | None = None
    asks: tuple[Guard, ...] = ()


@dataclass(frozen=True, slots=True)
class MarkSet:
    """An ipset with marks: what ``--map-set … --map-mark`` writes and what a match of ``hash:ip,mark`` compares with.

    ``type`` is empty where only elements were seen. ``markmask``: the bits that a ``hash:ip,mark`` set examines (0 for other
    types). ``marks``: the distinct ``(value, mask)`` of its elements, ascending, as printed: ``skbmark`` pairs of a set with
    skbinfo, else the marks of elements under ``markmask``. ``complete`` is False where there are more than fit.
    """

    name: str
    family: str
    type: str
    markmask: int = 0
    marks: tuple[tuple[int, int], ...] = ()
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Seen:
    """A value that connections or sockets carry now: what somebody wrote before, no statement of anybody.

    ``mask``: the bits that are known. ``count``: how many carry it; ``line`` is that of the first.
    """

    field: str
    value: int
    mask: int
    zone: str | None
    count: int
    path: str
    line: int


@dataclass(frozen=True, slots=True)
class Reading:
    """All that a format made of one input. ``documents``: the objects of a manifest (`manifests.documents.Document`).
    ``unread``: what the input names and does not hold (MK903).
    """

    path: str
    format: str
    scope: Scope
    uses: tuple[Use, ...] = ()
    tables: tuple[Table, ...] = ()
    rules: tuple[Rule, ...] = ()
    opaque: tuple[Opaque, ...] = ()
    problems: tuple[Problem, ...] = ()
    statements: int = 0
    mark_statements: int = 0
    sets: tuple[MarkSet, ...] = ()
    seen: tuple[Seen, ...] = ()
    rows: tuple[Row, ...] = ()
    zones: tuple[ZoneName, ...] = ()
    documents: tuple[object, ...] = ()
    pipelines: tuple[Pipeline, ...] = ()
    unread: tuple[Problem, ...] = ()
    programs: tuple[BpfProgram, ...] = ()
    devices: tuple[Device, ...] = ()
    sysctls: tuple[Sysctl, ...] = ()


@dataclass(frozen=True, slots=True)
class Owned:
    """A use with its owner: a component's slug or ``unattributed:<place>``, and what says so.

    ``reservation`` is the registry path (``calico/scratch0``) where one is known. ``id`` is ``u1``, ``u2``, … in report order.
    ``means``: the registry's names of the codes that it writes or looks for (``cilium/magic 0x300: SNAT done``).
    """

    id: str
    use: Use
    owner: str
    reservation: str | None = None
    attributed_by: str = ""
    confidence: Confidence = "high"
    means: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Component:
    """A component that was recognised on the node, by what evidence; ``layout`` names the releases whose bits fit."""

    name: str
    confidence: Confidence
    evidence: tuple[str, ...]
    layout: str | None = None
    release: str | None = None


@dataclass(frozen=True, slots=True)
class Input:
    """One input that was read: how many statements it held, how many of them concern marks, how many were not understood."""

    path: str
    format: str
    scope: Scope
    statements: int
    mark_statements: int
    not_understood: int


@dataclass(frozen=True, slots=True)
class Node:
    """Everything known about one machine. ``skipped`` counts files of a directory that no format
    recognised; ``unread`` is what a live node would not show (MK903). ``repository``: the inputs are what a repository deploys,
    to nodes of the plan's ``pool`` where one was named."""

    inputs: tuple[Input, ...]
    components: tuple[Component, ...]
    uses: tuple[Owned, ...]
    tables: tuple[Table, ...] = ()
    rules: tuple[Rule, ...] = ()
    opaque: tuple[Opaque, ...] = ()
    problems: tuple[Problem, ...] = ()
    unread: tuple[Problem, ...] = ()
    skipped: int = 0
    seen: tuple[Seen, ...] = ()
    pipelines: tuple[Pipeline, ...] = ()
    rows: tuple[Row, ...] = ()
    zones: tuple[ZoneName, ...] = ()
    deployed: tuple[Deployed, ...] = ()
    repository: bool = False
    pool: str = ""
    programs: tuple[BpfProgram, ...] = ()
    devices: tuple[Device, ...] = ()
    sysctls: tuple[Sysctl, ...] = ()


@dataclass(frozen=True, slots=True)
class Location:
    """One line of a finding: what part it plays (writer, reader, victim, carrier) and where it stands."""

    role: str
    owner: str
    place: str
    path: str
    line: int
    column: int
    end_column: int
    text: str
    use: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault, as every report prints it. ``mask`` is the contested bits of ``field``; ``owners`` writer first.

    ``related``: fingerprints of findings about the same statements.
    """

    code: str
    severity: Severity
    message: str
    field: str = ""
    mask: int = 0
    owners: tuple[str, ...] = ()
    locations: tuple[Location, ...] = ()
    help: str = ""
    occurrences: int = 1
    path: tuple[dict[str, object], ...] = ()
    fingerprint: str = ""
    related: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Audit:
    """A node with its findings, and which registry they were held against."""

    node: Node
    findings: tuple[Finding, ...]
    complete: bool
    registry_path: str
    registry_sha256: str
