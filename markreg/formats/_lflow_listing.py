"""Logical flows, as `lflow` knows them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from markreg.formats._ovn_language import MENTION, actions, match
from markreg.formats._ovn_uses import Uses, datapath_class
from markreg.formats.lflow import FLOW, HEADER
from markreg.model import Place, Problem, Reading, Scope
from markreg.rows import Row
from markreg.source import Source

_MIDDLE = re.compile(r"\), ?actions?=\(")
# `--ovs` prints the flows of OpenFlow below each logical one.
_OPENFLOW = re.compile(r"^ +(?:cookie=0x[0-9a-f]+, |table=\d+, )", re.MULTILINE)
_LONGEST = 40


def read(source: Source, name: str, scope: Scope) -> Reading:
    """What every logical flow does with marks; those with a UUID as rows of Logical_Flow, by which OpenFlow cookies are known."""
    uses = Uses(source.path, scope)
    rows: list[Row] = []
    shared: dict[tuple[str, ...], Mapping[str, tuple[str, ...] | Mapping[str, str]]] = {}
    places: dict[tuple[str, str], Place] = {}
    problems: list[Problem] = []
    statements = 0
    datapath, pipeline = "", ""
    physical: list[int] = []
    text = source.text().replace("\0", "\ufffd")
    for number, line in _logical_lines(text):
        if "Pipeline:" in line and (header := HEADER.search(line)):
            datapath, pipeline = header[2] or header[1] or header[3] or "", header[4]
            continue
        flow = FLOW.search(line) if "match=(" in line else None
        if flow is None:
            if _OPENFLOW.match(line):
                physical.append(number)
            elif MENTION.search(line) and not line.lstrip().startswith(("#", "$")):
                uses.opaque("names a mark and is no logical flow", number)
            continue
        statements += 1
        stage = flow["stage"]
        cut = _MIDDLE.search(line, flow.end())
        end = line.rfind(")")
        if cut is None or end < cut.end():
            problems.append(Problem(source.path, number, "truncated"))
            continue
        if flow["uuid"]:
            key = (stage, datapath, pipeline)
            if key not in shared:
                shared[key] = {"external_ids": {"stage-name": stage}, "logical_datapath": (datapath,), "pipeline": (pipeline,)}
            rows.append(Row("Logical_Flow", flow["uuid"].rjust(8, "0"), shared[key], source.path, number))
        if not MENTION.search(line, flow.end()):
            continue
        where = (stage, flow["priority"])
        if where not in places:
            places[where] = Place("lflow", f"lflow {stage}", table=stage, priority=int(where[1][:9]), datapath=datapath_class(stage))
        uses.said(match, line[flow.end() : cut.start()], places[where], number)
        uses.said(actions, line[cut.end() : end], places[where], number)
    reading = Reading(
        source.path,
        name,
        scope,
        uses.uses(),
        opaque=uses.opaques(),
        problems=tuple(problems),
        statements=statements,
        mark_statements=uses.marked,
        rows=tuple(rows),
    )
    return _with_openflow(source, text, physical, reading) if physical else reading


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines, with flows that a document broke into several made one again."""
    pending, start, count = "", 0, 0
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.rstrip("\r")
        if pending:
            if not line.strip() or count > _LONGEST or FLOW.search(line):
                yield start, pending
                pending = ""
            else:
                pending, count = f"{pending} {line.strip()}", count + 1
                if pending.endswith(")") and _MIDDLE.search(pending):
                    yield start, pending
                    pending = ""
                continue
        ended = line.rstrip()
        if "action" in line:
            broken = "match=(" in line and not ended.endswith(")") and line.lstrip().startswith(("table=", "uuid="))
        else:
            broken = "table=" in line and (ended.endswith((",", "&&", "||", "(")) or "match=(" in line)
        if broken:
            pending, start, count = ended, number, 0
        else:
            yield number, line
    if pending:
        yield start, pending


def _with_openflow(source: Source, text: str, physical: list[int], reading: Reading) -> Reading:
    """The reading with what the flows of ``--ovs`` say. They stand in the same lines, so that reports find them."""
    from markreg.formats import by_name

    form = by_name("openflow")
    if form is None:
        return reading
    wanted = set(physical)
    kept = "\n".join(line.strip() if number in wanted else "" for number, line in enumerate(text.split("\n"), 1))
    more = form.read(Source(source.path, kept.encode("utf-8", "surrogateescape")), "openflow", reading.scope)
    # The logical flows above them say the same.
    return replace(
        reading,
        opaque=(*reading.opaque, *more.opaque),
        statements=reading.statements + more.statements,
        mark_statements=reading.mark_statements + more.mark_statements,
    )
