"""What others print of datapaths, connections and OVN: read without a problem, and what names a mark is understood or told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from markreg.formats import by_name, detect
from markreg.model import Reading, Scope
from markreg.source import Source
from tests.support import SHARED, needs_shared

# Folder, notation, and what a line of a flow or an entry that names a mark looks like.
KINDS = {
    "dpctl-flows": (
        "odp",
        re.compile(r"^(?!#|\$).*?(?:skb_mark|ct_mark|ct_label)\((?!0/0\))[^()]*\).*actions:|actions:.*\bct\([^()]*(?:mark|label)="),
    ),
    "dpctl-conntrack": ("dpctl-conntrack", re.compile(r"orig=\(.*,(?:mark|labels)=")),
    "ovn-lflow": ("lflow", re.compile(r"match=\(.*(?<![\w.])(?:ct_mark|ct_label|pkt\.mark)\b[^\"]*\)\s*$")),
}
# Fixtures of test suites in their own notation (one statement a cell, templates), and quotations in documents: no dump of a tool.
FIXTURES = {
    "made_t1_ofproto_trace.txt": "the prints of ofproto/trace",
    "ovs-python_test_odp.jsonl": "single keys and actions",
    "ovs-suite_odp.tsv": "single keys and actions",
    "ovs-suite-lines_tunnel-push-pop-ipv6.txt": "a line cut off in its middle",
    "ovn-suite_actions.jsonl": "single actions",
}
CORPUS = [
    (folder, path)
    for folder in KINDS
    for path in (sorted((SHARED / "corpus" / folder).iterdir()) if SHARED.is_dir() else ())
    if path.name not in FIXTURES
]


def read(path: Path) -> tuple[str, Reading]:
    source = Source(str(path), path.read_bytes())
    found = detect(source)
    assert found, "its notation is known by its content"
    form, name = found
    return name, form.read(source, name, Scope())


@needs_shared
@pytest.mark.parametrize(("folder", "path"), CORPUS, ids=lambda x: x.name[-60:] if isinstance(x, Path) else "")
def test_a_dump_is_read(folder: str, path: Path) -> None:
    name, reading = read(path)
    assert name in (KINDS[folder][0], "ovsdb"), "rows of a database stand among the logical flows"
    assert not reading.problems
    assert reading.statements
    told = {line for use in reading.uses for line in use.lines} | {line for o in reading.opaque for line in o.lines}
    if name in ("odp", "lflow"):
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        named = {number for number, line in enumerate(lines, 1) if KINDS[folder][1].search(line)}
        assert named <= told


@needs_shared
def test_what_is_not_understood_is_little_and_known() -> None:
    opaque: dict[str, int] = {}
    marked = 0
    for _, path in CORPUS:
        _, reading = read(path)
        marked += reading.mark_statements
        for one in reading.opaque:
            opaque[path.name] = opaque.get(path.name, 0) + len(one.lines)
    # Marks that the suite's authors cut out of the text ("mark=<cleared>"), and a trace in a document.
    assert opaque == {"ovn-suite-lines_system-ovn.txt": 7, "amorenoz-ovs-dbg_offline_debugging.rst.61.txt": 1}
    assert marked > 600


@needs_shared
@pytest.mark.parametrize("name", FIXTURES)
def test_a_fixture_is_no_capture_but_can_be_asked_for(name: str) -> None:
    (path,) = (SHARED / "corpus").glob(f"*/{name}")
    source = Source(str(path), path.read_bytes())
    form = by_name(KINDS[path.parent.name][0])
    assert form
    assert form.detect(source) is None
    reading = form.read(source, KINDS[path.parent.name][0], Scope())
    assert not reading.uses or reading.statements


@needs_shared
def test_one_table_in_three_forms_is_one_reading() -> None:
    folder = SHARED / "corpus" / "ovn-lflow"
    by_form = [read(folder / f"made_t1_logical_flow_table{end}")[1] for end in (".csv", ".json")]
    said = [[(u.field, u.access, u.mask, u.value, u.place, u.scope, len(u.lines)) for u in r.uses] for r in by_form]
    assert said[0] == said[1]
    assert [r.uuid for r in by_form[0].rows] == [r.uuid for r in by_form[1].rows]
    listed = read(folder / "made_t1_lflow-list.txt")[1]
    assert {(u.field, u.access, u.mask, u.value, u.place.text) for u in by_form[0].uses} <= {
        (u.field, u.access, u.mask, u.value, u.place.text) for u in listed.uses
    }
