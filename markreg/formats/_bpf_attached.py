"""Loaded programs, as `bpf_xlated` knows them: what those that are attached do to marks, and where."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from markreg.formats._bpf_loaded import MARK, Attached, Capture, DocumentError, Loaded, bpftool, own
from markreg.formats.bpf_xlated import OWN
from markreg.model import Hook, Opaque, Place, Problem, Reading, Scope, Use
from markreg.programs import BpfProgram
from markreg.source import Source

if TYPE_CHECKING:
    from markreg.bpf import Context, Facts, Program

_FIRST, _LAST = -(1 << 31), (1 << 31) - 1
_BOTH = ("ingress", "egress")
# A program on a cgroup's packets runs as the packet leaves a socket's reach or comes to it: behind all rules of these hooks.
_PACKETS = {"ingress": Hook("input", _LAST), "egress": Hook("postrouting", _LAST)}
_MOST_PLACES, _MOST_VISITS, _MOST_STEPS = 16, 8_000_000, 2_000_000


def read(source: Source, name: str, scope: Scope, *, fields: frozenset[str] = frozenset()) -> Reading:
    """Every program that is attached, or that an attached one may call. ``fields``: words of ``cb`` that are read as marks are."""
    text = source.text()
    try:
        capture = own(json.loads(text), text) if OWN.match(text) else bpftool(text)
    except DocumentError as error:
        return Reading(source.path, name, scope, problems=(Problem(source.path, error.line, str(error)),))
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        return Reading(source.path, name, scope, problems=(Problem(source.path, line, "truncated, or no JSON"),))
    return _Reader(source.path, name, scope, fields, capture).reading()


@dataclass(slots=True)
class _Reader:
    path: str
    name: str
    scope: Scope
    fields: frozenset[str]
    capture: Capture
    uses: list[Use] = field(default_factory=list)
    programs: list[BpfProgram] = field(default_factory=list)
    opaque: list[Opaque] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unread: list[Problem] = field(default_factory=list)
    left: dict[str, list[str]] = field(default_factory=dict)
    known: dict[object, Facts] = field(default_factory=dict)
    concerned: int = 0
    visits: int = 0
    steps: int = 0

    def reading(self) -> Reading:
        """All programs, each at all of its places."""
        from markreg.formats._bpf_translated import context

        self.problems += (Problem(self.path, line, why) for line, why in self.capture.odd)
        for loaded in sorted(self.capture.programs.values(), key=lambda p: p.id):
            places = list(self._places(loaded))
            if not places:
                continue
            given = context(loaded.type, self.capture.offsets)
            if not loaded.code:
                # Other types have no mark that they could get at.
                if given or not loaded.type:
                    self._leave(loaded, "the capture does not hold their instructions")
            elif given and self.visits > _MOST_VISITS:
                self._leave(loaded, "the programs of this capture are too many to be analysed")
            elif given:
                self._program(loaded, places, given)
            elif context(loaded.type, {MARK: 0, "sock.sk_mark": 0}):
                self._leave(loaded, "the capture does not say where this kernel has the mark (its BTF does), and that is not guessed")
        for why, names in self.left.items():
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            self.unread.append(Problem(f"BPF {'program' if len(names) == 1 else 'programs'} {shown}", 0, why))
        return Reading(
            self.path,
            self.name,
            self.scope,
            uses=tuple(self.uses),
            opaque=tuple(self.opaque),
            problems=tuple(self.problems),
            statements=len(self.capture.programs),
            mark_statements=self.concerned,
            unread=tuple(self.unread),
            programs=tuple(self.programs),
        )

    def _leave(self, loaded: Loaded, why: str) -> None:
        self.left.setdefault(why, []).append(_called(loaded))

    def _places(self, loaded: Loaded) -> Iterator[Attached]:
        """Where a program runs: where it is attached itself, or where one is that may call it."""
        seen = {loaded.id}
        pending = [loaded]
        given: set[Attached] = set()
        while pending:
            one = pending.pop()
            self.steps += 1
            for place in one.attached:
                if place not in given:
                    given.add(place)
                    yield place
            if self.steps > _MOST_STEPS:
                self._leave(loaded, "so many programs call each other that not all of their places are known")
                return
            for caller in one.callers:
                if caller not in seen and (found := self.capture.programs.get(caller)):
                    seen.add(caller)
                    pending.append(found)

    def _program(self, loaded: Loaded, places: list[Attached], given: Context) -> None:
        from markreg.bpf import BpfError
        from markreg.formats._bpf_translated import program
        from markreg.formats._bpf_uses import program_of, touches, uses_of

        try:
            facts = self._facts(program(loaded, self.capture, given))
        except BpfError as error:
            self.problems.append(Problem(self.path, loaded.line, f"{_called(loaded)}: {error}"))
            return
        if not touches(facts):
            return
        self.concerned += 1
        pins = "".join(f" pin {pin}" for pin in loaded.pins)
        for place in _as_reported(loaded, facts.program.name, places):
            made = uses_of(facts, place, self.scope, self.path, self.fields)
            self.uses += (replace(use, statement=use.statement + pins) for use in made)
            self.programs.append(program_of(facts, place, self.path))

    def _facts(self, found: Program) -> Facts:
        """The same code is attached to many devices: it is looked at once."""
        from markreg.bpf import analyse

        image = found.image
        key = (tuple(image.code), tuple(image.refs.items()), tuple(image.calls.items()), found.context.name, found.context.cells)
        if key not in self.known:
            self.known[key] = analyse(found)
            self.visits += self.known[key].visits
        return replace(self.known[key], program=found)


def _called(loaded: Loaded) -> str:
    return f"id {loaded.id} ({' '.join(filter(None, (loaded.type, loaded.name)))})"


def _as_reported(loaded: Loaded, name: str, places: list[Attached]) -> Iterator[Place]:
    """A place for each; for each hook and direction where a program is on so many devices that their names say nothing."""
    if len(places) <= _MOST_PLACES:
        yield from (_place(loaded, name, attached) for attached in places)
        return
    groups: dict[tuple[str, str], list[Attached]] = {}
    for attached in places:
        groups.setdefault((attached.hook, attached.direction), []).append(attached)
    for (hook, direction), group in groups.items():
        where = " ".join(filter(None, (hook, direction)))
        hooks = tuple(sorted({found for attached in group for found in _hooks(loaded.type, attached)}))
        text = f"bpf {name} (id {loaded.id}) {where} at {len(group)} places"
        yield Place("bpf", text, hooks=hooks, object=f"id {loaded.id}", program=name, attach=hook, direction=direction)


def _place(loaded: Loaded, name: str, attached: Attached) -> Place:
    """The place as reports print it, and its hooks, by which paths have an order."""
    where = " ".join(filter(None, (attached.hook, attached.direction)))
    if attached.device:
        where += f" {attached.device}" if attached.hook == "cgroup" else f" dev {attached.device}"
    if attached.hook == "tc" and attached.told:
        where += f" pref {attached.priority}"
    return Place(
        "bpf",
        f"bpf {name} (id {loaded.id}) {where}",
        hooks=tuple(_hooks(loaded.type, attached)),
        priority=attached.priority,
        object=f"id {loaded.id}",
        program=name,
        attach=attached.hook,
        direction=attached.direction,
        device=attached.device,
    )


def _hooks(kind: str, attached: Attached) -> Iterator[Hook]:
    """Where packets meet a program. tcx comes before all filters of tc (net/core/dev.c sch_handle_ingress, sch_handle_egress); a packet
    that is sent on a netkit meets its primary's program last of all, one that comes out of it the peer's first of all."""
    directions = (attached.direction,) if attached.direction else _BOTH
    match attached.hook:
        case "tc":
            yield from (Hook(f"tc-{d}", attached.priority) for d in directions)
        case "tcx":
            yield from (Hook(f"tc-{d}", _FIRST // 2 + attached.priority) for d in directions)
        case "netkit":
            yield (
                Hook("tc-egress", _LAST + attached.priority)
                if attached.direction == "primary"
                else Hook("tc-ingress", _FIRST + attached.priority)
            )
        case "cgroup" if kind == "cgroup_skb":
            yield from (_PACKETS[d] for d in directions if d in _PACKETS)
        case "cgroup":
            yield Hook("socket", 0)
