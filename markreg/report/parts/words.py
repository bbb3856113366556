"""What reports say in words: what was read, what was found, who does what where."""

from __future__ import annotations

from markreg.bits import format_bits, format_mask
from markreg.model import Audit, Component, Finding, Location, Severity
from markreg.report.parts.ownership import Map

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
_VERBS = {"writer": "writes", "reader": "reads", "victim": "loses", "carrier": "carries"}


def plural(count: int, noun: str) -> str:
    """``1 input``, ``2 inputs``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def counts(audit: Audit) -> dict[Severity, int]:
    """How many findings there are of each severity."""
    return {severity: sum(f.severity == severity for f in audit.findings) for severity in SEVERITIES}


def what_was_read(audit: Audit) -> str:
    """``3 inputs, 412 statements, 17 about marks``."""
    inputs = audit.node.inputs
    said = [plural(len(inputs), "input"), plural(sum(i.statements for i in inputs), "statement")]
    said.append(f"{sum(i.mark_statements for i in inputs)} about marks")
    if audit.node.skipped:
        said.append(f"{plural(audit.node.skipped, 'file')} not recognised")
    return ", ".join(said)


def incomplete(audit: Audit) -> str:
    """The line that an incomplete report begins with; empty for a complete one."""
    if audit.complete:
        return ""
    missed = [i.not_understood for i in audit.node.inputs if i.not_understood]
    if missed:
        return f"incomplete: {plural(sum(missed), 'mark statement')} in {plural(len(missed), 'input')} not understood"
    return "incomplete: a part could not be read or analysed"


def totals(audit: Audit) -> str:
    """The last line: how many findings, or that there are none in what was read. Never sounds clean when it is incomplete."""
    if audit.findings:
        return ", ".join(plural(count, severity) for severity, count in counts(audit).items())
    if not audit.complete:
        return "incomplete, so no verdict: no findings in what was understood"
    if not audit.node.inputs and not audit.node.uses:
        return "nothing was read"
    if not audit.node.uses and not any(i.mark_statements for i in audit.node.inputs):
        return f"nothing here uses marks: no findings in {what_was_read(audit)}"
    return f"no findings in {what_was_read(audit)}"


def component(found: Component) -> str:
    """``calico 3.30.2 (before 3.30, medium confidence)``."""
    name = f"{found.name} {found.release}" if found.release else found.name
    about = [found.layout] if found.layout else []
    if found.confidence != "high":
        about.append(f"{found.confidence} confidence")
    return f"{name} ({', '.join(about)})" if about else name


def map_title(found: Map) -> str:
    """``ct_mark in netns host, zone 5``; ``ovs.reg0 in netns host, bridge br-int``."""
    zone = "" if found.zone is None else f", zone {found.zone}" if found.zone else ", untracked"
    return f"{found.field} in netns {found.netns}{zone}" + (f", bridge {found.bridge}" if found.bridge else "")


def bits_of(finding: Finding) -> str:
    """``skb_mark 18 (0x40000)``; empty for a finding about no bits."""
    if not finding.mask:
        return finding.field
    bits = f"{format_bits(finding.mask)} ({format_mask(finding.mask)})"
    return f"{finding.field} {bits}" if finding.field else bits


def part(location: Location) -> str:
    """``calico writes: iptables raw cali-PREROUTING``; the place alone where nobody does anything, as in a line that is broken."""
    if not location.owner:
        return location.place
    said = f"{location.owner} {_VERBS.get(location.role, location.role)}"
    return f"{said}: {location.place}" if location.place else said


def where(location: Location) -> str:
    """``path:line:column``, or the path alone where there is no line."""
    return f"{location.path}:{location.line}:{max(location.column, 1)}" if location.line else location.path


def steps(finding: Finding) -> tuple[str, list[str]]:
    """The way of the packet, place by place with what happens there, and what it assumes."""
    places: list[str] = []
    assumed: list[str] = []
    for step in finding.path:
        kind, place = str(step.get("step", "")), str(step.get("place", ""))
        places.append(place if kind == "hop" else f"{place} ({kind})" if place and kind else place or kind)
        assumes = step.get("assumes")
        assumed += [str(a) for a in assumes] if isinstance(assumes, list | tuple) else [str(assumes)] if assumes else []
    return " → ".join(places), list(dict.fromkeys(assumed))
