"""Flow strings of other projects: what markreg reads of mark and label is what Open vSwitch's own Python parser, `ovs.flow`, reads."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from markreg.formats import openflow
from markreg.formats._openflow_fields import MARKS, Part, clauses, parts
from markreg.formats._openflow_groups import Match, compared, parted
from markreg.formats._openflow_ops import Copy, Ct, Fill, Inner, Item, Learn, Look, Pop, Push, Set, Strange
from markreg.formats._openflow_parse import Parser
from markreg.model import Scope
from markreg.source import Source
from tests.formats.test_openflow import CASES
from tests.support import SHARED, needs_shared

CORPUS = SHARED / "corpus" / "ovs-flows"
NAMES = frozenset(f.name for f in MARKS.values())
# Placeholders of documentation, <mark>, are no flow that anybody can read.
_PLACEHOLDER = re.compile(r"<[a-z-]+>")
Said = Counter[tuple[Any, ...]]


def lines(path: Path) -> Iterator[str]:
    """The lines of a file that have actions and are no group."""
    for line in path.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        if "actions=" in line and "group_id=" not in line:
            yield line.strip()


def bits(found: tuple[Part, ...]) -> tuple[tuple[str, int], ...]:
    """The bits of marks among parts."""
    masks: dict[str, int] = {}
    for part in found:
        if part.field in NAMES:
            masks[part.field] = masks.get(part.field, 0) | part.mask
    return tuple(sorted(masks.items()))


def moved(kind: str, where: str, to: tuple[Part, ...], source: tuple[Part, ...]) -> Iterator[tuple[Any, ...]]:
    if bits(to) or bits(source):
        yield kind, where, bits(to), bits(source)


def mine(items: tuple[Item, ...], where: str = "") -> Iterator[tuple[Any, ...]]:
    """What markreg reads of marks in an action list."""
    for item in items:
        copies = [op for op in item.ops if isinstance(op, Copy)]
        if copies:
            yield from moved("move", where, tuple(c.to for c in copies), tuple(c.source for c in copies))
        for op in item.ops:
            if isinstance(op, Set) and op.field in NAMES:
                yield "set", where, op.field, op.mask, op.value
            elif isinstance(op, Push | Pop) and bits(op.parts):
                yield type(op).__name__, where, bits(op.parts)
            elif isinstance(op, Fill) and op.to.field in NAMES:
                yield "fill", where, bits((op.to,))
            elif isinstance(op, Look) and op.part.field in NAMES:
                yield "look", where, bits((op.part,))
            elif isinstance(op, Ct):
                yield from mine(op.body or (), "exec")
            elif isinstance(op, Inner):
                yield from mine(op.body, where or "inner")
            elif isinstance(op, Learn):
                for part, value in op.compares:
                    if part.field in NAMES:
                        yield "compare", bits((part,)), value is None, value or 0
                for write in op.writes:
                    name = write.field if isinstance(write, Set) else write.to.field
                    if name in NAMES:
                        yield "learned", name
            elif isinstance(op, Strange):
                yield "strange", op.reason


def part_of(said: dict[str, Any] | str) -> tuple[Part, ...]:
    """A sub-field as ovs.flow has it: parsed, or as text."""
    if isinstance(said, str):
        name, _, span = said.partition("[")
        return parts(name, f"[{span}" if span else "")
    span = f"[{said['start']}..{said['end']}]" if "start" in said else ""
    return parts(said["field"], span)


def theirs(actions: list[dict[str, Any]], where: str = "") -> Iterator[tuple[Any, ...]]:
    """What ovs.flow reads of marks in an action list."""
    for action in actions:
        for key, said in action.items():
            if key == "set_field":
                ((name, value),) = said["value"].items()
                if name in MARKS:
                    yield "set", where, MARKS[name].name, value.mask, value.value & value.mask
            elif key == "load":
                for part in part_of(said["dst"]):
                    if part.field in NAMES:
                        yield "set", where, part.field, part.mask, said["value"] << part.low
            elif key == "move":
                yield from moved("move", where, part_of(said["dst"]), part_of(said["src"]))
            elif key in ("push", "pop") and bits(part_of(said)):
                yield key.capitalize(), where, bits(part_of(said))
            elif key in ("multipath", "bundle_load", "check_pkt_larger") and bits(part_of(said["dst"])):
                yield "fill", where, bits(part_of(said["dst"]))
            elif key == "ct" and isinstance(said, dict):
                yield from theirs(said.get("exec", []), "exec")
            elif key in ("clone", "write_actions") and isinstance(said, list):
                yield from theirs(said, where or "inner")
            elif key == "learn":
                for spec in said:
                    for name, value in spec.items():
                        if name in MARKS:
                            yield "compare", ((MARKS[name].name, value.mask),), False, value.value
                        elif name == "load" and bits(part_of(value["dst"])):
                            yield "learned", part_of(value["dst"])[0].field


def matched(head: str) -> set[tuple[str, int, int]]:
    """What markreg reads of marks in a match."""
    found = set()
    for name, text in clauses(NAMES).findall(head):
        value, _, mask = text.partition("/")
        found |= set(compared(Match(name, mask, ""), value) or [])
    return found


def compare(line: str) -> str:
    """Holds one line; says which way it went."""
    from ovs.flow import ofp

    both = parted(line)
    assert both is not None
    items = Parser(both[1], (), NAMES).items()
    try:
        flow = ofp.OFPFlow(line)
    except Exception:  # noqa: BLE001 (it raises whatever comes)
        return "only ours" if not any(m[0] == "strange" for m in mine(items)) else "neither"
    match = {(MARKS[k].name, v.mask, v.value & v.mask) for k, v in flow.match.items() if k in MARKS}
    assert matched(both[0]) == match, line
    ours: Said = Counter(mine(items))
    assert ours == Counter(theirs(flow.actions)), line
    return "marks" if ours or match else "no marks"


@needs_shared
def test_corpus_as_ovs_flow_reads_it() -> None:
    met: Counter[str] = Counter()
    for path in sorted(CORPUS.iterdir()):
        if path.suffix not in (".jsonl", ".tsv"):
            met.update(compare(line) for line in lines(path) if not _PLACEHOLDER.search(line))
    assert met["marks"] > 600 and met["no marks"] > 5000, met
    # Table names, fields of bridge/dump-flows, doubled commas and the like are more than ovs.flow reads.
    assert met["only ours"] > 200, met
    assert met["neither"] <= 5, met


@needs_shared
@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()) if CORPUS.is_dir() else (), ids=lambda p: p.name)
def test_corpus_is_read_and_nothing_with_a_mark_is_lost(path: Path) -> None:
    source = Source(str(path), path.read_bytes())
    if openflow.detect(source) is None:
        return
    reading = openflow.read(source, "openflow", Scope())
    assert not reading.problems
    concerned = {n for u in reading.uses for n in u.lines} | {n for o in reading.opaque for n in o.lines}
    for number, line in enumerate(path.read_text(errors="surrogateescape").splitlines(), 1):
        if re.search(r"(?<![\w])(?:pkt_mark|ct_mark|ct_label|NXM_NX_(?:PKT_MARK|CT_MARK|CT_LABEL))(?!\w)", line):
            assert number in concerned or line.lstrip().startswith(("#", "delete")), line


def test_own_lines_as_ovs_flow_reads_them() -> None:
    met: Counter[str] = Counter()
    for case in CASES:
        found = [x.strip() for x in case["text"].splitlines() if "actions=" in x and "group_id" not in x and '"' not in x]
        # It wants a blank after a table.
        found = [re.sub(r"^table=(\d+), ?", r"table=\1, ", x) for x in found]
        # What it reads otherwise: fields in a sample or a port are no reads to it, and learn's targets are not all there.
        met.update(compare(line) for line in found if "opaque" not in case and not re.search(r"sample\(|output:NXM|learn\(", line))
    assert met["marks"] > 25, met
