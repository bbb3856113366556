"""Rows of OVSDB databases: one table in every form is one set of rows, and what rows say of marks and zones is read."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from markreg.formats import ct_zones, detect, ovs_vsctl, ovsdb
from markreg.model import Reading, Scope
from markreg.rows import Row
from markreg.source import Source

SAMPLE, COLLECTOR, APP, FIRST, SECOND = (f"{n}{'0' * 7}-0000-4000-8000-00000000000{n}" for n in range(1, 6))
_COLUMNS = "_uuid action direction external_ids label log match name network_function_group priority sample_new"
NAMES = _COLUMNS.split()
# The columns of two ACLs as ovn-nbctl prints values; the first match has a quote, a comma and a space.
ACLS = [
    [FIRST, "allow-related", "to-lport", "{}", "42", "false", r'"ip4 && outport == \"x, y\""', '"a b"', "[]", "1001", SAMPLE],
    [SECOND, "drop", "to-lport", '{apply-after-lb="true", k=v}', "0", "false", '"1"', "[]", "[]", "1", "[]"],
]


def as_list(names: list[str], rows: list[list[str]]) -> str:
    # The padding vanishes where a name is long: "network_function_group: []".
    return "\n\n".join("\n".join(f"{n:20}: {v}" for n, v in zip(names, row, strict=True)) for row in rows) + "\n"


def as_table(names: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(x) for x in column) for column in zip(names, *rows, strict=True)]
    lines = [" ".join(x.ljust(w) for x, w in zip(row, widths, strict=True)).rstrip() for row in (names, *rows)]
    return "\n".join((lines[0], " ".join("-" * w for w in widths), *lines[1:])) + "\n"


def as_csv(names: list[str], rows: list[list[str]]) -> str:
    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if '"' in text or "," in text else text

    return "\n".join(",".join(map(cell, row)) for row in (names, *rows)) + "\n"


def as_json(names: list[str], rows: list[list[str]]) -> str:
    def value(name: str, text: str) -> object:
        if text == "[]":
            return ["set", []]
        if text.startswith("{"):
            return ["map", [pair.replace('"', "").split("=") for pair in text[1:-1].split(", ") if pair]]
        if name == "_uuid" or text == SAMPLE:
            return ["uuid", text]
        return json.loads(text) if text[0] in '"0123456789' or text == "false" else text

    data = [[value(n, v) for n, v in zip(names, row, strict=True)] for row in rows]
    return json.dumps({"data": data, "headings": names}, separators=(",", ":")) + "\n"


FORMS = {"list": as_list, "table": as_table, "csv": as_csv, "json": as_json}


def read(text: str, name: str = "dump.txt") -> Reading:
    return ovsdb.read(Source(name, text.encode()), "ovsdb", Scope())


def plain(row: Row) -> tuple[str, str, dict[str, object]]:
    return row.table, row.uuid, {k: dict(v) if not isinstance(v, tuple) else v for k, v in row.columns.items() if v}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_the_same_rows(form: str) -> None:
    source = Source("dump.txt", FORMS[form](NAMES, ACLS).encode())
    found = detect(source)
    assert found
    assert found[1] == "ovsdb"
    reading = ovsdb.read(source, "ovsdb", Scope())
    first, second = reading.rows
    assert plain(first) == (
        "ACL",
        FIRST,
        {
            "action": ("allow-related",),
            "direction": ("to-lport",),
            "label": ("42",),
            "match": ('ip4 && outport == "x, y"',),
            "name": ("a b",),
            "priority": ("1001",),
            "sample_new": (SAMPLE,),
        },
    )
    assert plain(second)[2]["external_ids"] == {"apply-after-lb": "true", "k": "v"}
    assert (first.number("label"), first.text("sample_new"), second.text("sample_new"), second.values("name")) == (42, SAMPLE, "", ())
    assert all(row.uuid in source.line(row.line) for row in reading.rows), "a report shows the row"
    assert (reading.opaque, reading.problems, reading.uses) == ((), (), ())


@pytest.mark.parametrize("form", ["list", "table", "csv"])
def test_captions_say_which_table_it_is(form: str) -> None:
    made = FORMS[form]
    text = f"Sample table\n{made(['_uuid', 'metadata'], [[SAMPLE, '1012']])}\nSampling_App table\n{made(['_uuid', 'id'], [[APP, '43']])}"
    assert [(r.table, r.uuid, r.number("metadata"), r.number("id")) for r in read(text).rows] == [
        ("Sample", SAMPLE, 1012, None),
        ("Sampling_App", APP, None, 43),
    ]


def test_a_dump_in_json_is_one_document_a_line() -> None:
    samples = [[["uuid", SAMPLE], ["uuid", COLLECTOR], 7]]
    collectors = [[["uuid", COLLECTOR], 1, "c", 10]]
    documents = [
        {"caption": "Sample table", "data": samples, "headings": ["_uuid", "collectors", "metadata"]},
        {"caption": "Sample_Collector table", "data": collectors, "headings": ["_uuid", "id", "name", "set_id"]},
    ]
    text = "".join(json.dumps(d, separators=(",", ":")) + "\n" for d in documents)
    source = Source("dump.json", text.encode())
    rows = ovsdb.read(source, "ovsdb", Scope()).rows
    assert [(r.table, r.uuid) for r in rows] == [("Sample", SAMPLE), ("Sample_Collector", COLLECTOR)]
    assert [source.real(r.line, 1)[0] for r in rows] == [1, 2], "a reference to a row is not the row"


@pytest.mark.parametrize(
    ("columns", "name", "table"),
    [
        ("_uuid collectors metadata", "x", "Sample"),
        ("_uuid external_ids id name probability set_id", "x", "Sample_Collector"),
        ("_uuid external_ids id type", "x", "Sampling_App"),
        ("_uuid external_ids tunnel_key", "x", "Datapath_Binding"),
        ("_uuid bridge external_ids id ipfix local_group", "x", "Flow_Sample_Collector_Set"),
        ("_uuid id", "ovn-nbctl_list_Sampling_App.txt", "Sampling_App"),
        ("_uuid what ever", "x", ""),
    ],
)
def test_the_columns_or_the_file_say_which_table_it_is(columns: str, name: str, table: str) -> None:
    names = columns.split()
    rows = read(as_list(names, [[SAMPLE, *("1" for _ in names[1:])]]), name).rows
    assert [r.table for r in rows] == ([table] if table else [])


def listed(**columns: str) -> str:
    return as_list(["_uuid", *columns], [[SAMPLE, *columns.values()]])


def test_a_tunnel_marks_what_it_sends_and_its_key_is_blanked() -> None:
    text = listed(
        name="vxlan0", ofport="3", ingress_policing_rate="0", options='{egress_pkt_mark="100", psk="to p, secret", remote_ip="10.0.0.1"}'
    )
    source = Source("ovs-vsctl_list_Interface", text.encode())
    (use,) = ovsdb.read(source, "ovsdb", Scope()).uses
    assert (use.field, use.access, use.value, use.mask, use.place.text) == ("skb_mark", "write", 100, 0xFFFFFFFF, "ovs tunnel vxlan0")
    assert b"secret" not in source.data
    assert read(listed(name="vxlan0", ofport="3", ingress_policing_rate="0", options='{remote_ip="10.0.0.1"}')).uses == ()


def test_settings_of_policies_and_ipsec() -> None:
    policy = read(listed(action="reroute", match='"ip4"', nexthop="[]", options='{pkt_mark="4095"}', priority="10"))
    assert [(u.access, u.value, u.place.datapath) for u in policy.uses] == [("write", 4095, "router")]
    switch = read(listed(bridges="[]", other_config='{ipsec_skb_mark="0/0x1"}', ovs_version='"3.1.0"'))
    assert [(u.access, u.value, u.mask) for u in switch.uses] == [("read", 0, 1)]
    strange = read(listed(bridges="[]", other_config='{new_pkt_mark="5", use-mark="true"}', ovs_version='"3.1.0"'))
    assert (strange.uses, [o.lines for o in strange.opaque]) == ((), [(3,)])


def test_logical_flows_of_the_southbound_database_are_read_like_those_of_lflow_list() -> None:
    text = listed(
        actions='"ct_commit { ct_mark.blocked = 1; };"',
        external_ids="{stage-name=ls_in_acl}",
        match='"ct.est && ct_mark.natted"',
        pipeline="ingress",
        priority="100",
        table_id="8",
    )
    reading = read(text)
    assert [(u.access, u.mask, u.place.text, u.scope.zone, u.lines) for u in reading.uses] == [
        ("write", 1, "lflow ls_in_acl", "reg13", (2,)),
        ("read", 2, "lflow ls_in_acl", "reg13", (4,)),
    ]


def test_zones_of_a_bridge_have_names() -> None:
    text = listed(
        datapath_id="[]",
        external_ids='{ct-zone-sw0p1="4", ct-zone-lr0_snat="65600", other=x}',
        fail_mode="secure",
        name="br-int",
        ports="[]",
    )
    assert [(z.number, z.name) for z in read(text).zones] == [(4, "sw0p1")]


def test_what_names_a_mark_in_an_unknown_table_is_told() -> None:
    reading = read(listed(what='"ct_mark.blocked == 1"'))
    assert [o.lines for o in reading.opaque] == [(2,)]


@pytest.mark.parametrize(
    "text", ['{"data":[[1]],"headings":"x"}', '{"caption":"ACL table","data":[', '{"data":[],"headings":[]}[' + "[" * 200000]
)
def test_broken_json_is_told(text: str) -> None:
    assert [p.path for p in read(text).problems] == ["dump.txt"]


SCHEMA: dict[str, object] = {
    "name": "OVN_Northbound",
    "tables": {
        "ACL": {
            "columns": {
                "label": {"type": "integer"},
                "external_ids": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
                "name": {"type": {"key": "string", "min": 0, "max": 1}},
            }
        },
        "Logical_Switch": {"columns": {"acls": {"type": {"key": "uuid", "min": 0, "max": "unlimited"}}}},
    },
}
CHANGES: list[dict[str, object]] = [
    {
        "ACL": {FIRST: {"label": 42, "external_ids": ["map", [["a", "1"], ["b", "2"]]], "name": "x"}, SECOND: {"label": 7}},
        "Logical_Switch": {APP: {"acls": ["set", [["uuid", FIRST], ["uuid", SECOND]]]}},
    },
    {
        "_is_diff": True,
        "_comment": "ovn-nbctl",
        "ACL": {FIRST: {"label": 43, "external_ids": ["map", [["a", "3"], ["b", "2"]]], "name": "y"}, SECOND: None},
        "Logical_Switch": {APP: {"acls": ["uuid", SECOND]}},
        "Unknown": {SAMPLE: {"x": 1}},
    },
]


def logged(kind: str, documents: list[object]) -> str:
    lines = [json.dumps(d) for d in documents]
    return "".join(f"OVSDB {kind} {len(line) + 1} {'0' * 40}\n{line}\n" for line in lines)


@pytest.mark.parametrize("kind", ["JSON", "CLUSTER"])
def test_the_file_of_a_database_is_its_rows_after_all_records(kind: str) -> None:
    alone: list[object] = [SCHEMA, *CHANGES]
    cluster: list[object] = [{"prev_data": [SCHEMA, {}]}, {"vote": APP}, *({"term": 1, "data": [None, c]} for c in CHANGES)]
    source = Source("node1_nbdb", logged(kind, alone if kind == "JSON" else cluster).encode())
    found = detect(source)
    assert found
    assert found[1] == "ovsdb"
    reading = ovsdb.read(source, "ovsdb", Scope())
    assert [plain(r) for r in reading.rows] == [
        ("ACL", FIRST, {"label": ("43",), "external_ids": {"a": "3"}, "name": ("y",)}),
        ("Logical_Switch", APP, {"acls": (FIRST,)}),
    ]
    assert all(r.uuid in source.line(r.line) for r in reading.rows)
    assert not reading.problems


@pytest.mark.parametrize("end", ["OVSDB JSON 5 " + "0" * 40 + '\n{"a"', "more", "OVSDB JSON 5 " + "0" * 40 + "\n" + "[" * 100000])
def test_a_broken_file_of_a_database_is_told(end: str) -> None:
    assert read(logged("JSON", [SCHEMA]) + end).problems


ZONES = "lr0_dnat 7\nlr0_snat 5\nsw0p1 4\n9ab1-x 12 (pending)\n"


def test_zone_lists() -> None:
    for name, text in (("x", ZONES), ("ct-zone-list.txt", "sw0p1 4\n")):
        found = detect(Source(name, text.encode()))
        assert found
        assert found[1] == "ct-zones"
    reading = ct_zones.read(Source("x", ZONES.encode()), "ct-zones", Scope("blue"))
    assert [(z.netns, z.number, z.name) for z in reading.zones][::3] == [("blue", 7, "lr0_dnat"), ("blue", 12, "9ab1-x")]
    assert ct_zones.detect(Source("notes.txt", b"chapter 4\nverse 12\n")) is None


SHOW = f"""{SAMPLE}
    Bridge br-int
        fail_mode: secure
        Port vxlan0
            Interface vxlan0
                type: vxlan
                options: {{egress_pkt_mark="100", psk=hush, remote_ip="10.0.0.1"}}
    Bridge "br ex"
        Port "br ex"
            Interface "br ex"
                type: internal
    ovs_version: "3.1.0"
"""


def test_vsctl_show() -> None:
    source = Source("ovs-vsctl_show", SHOW.encode())
    found = detect(source)
    assert found
    assert found[1] == "ovs-vsctl-show"
    reading = ovs_vsctl.read(source, "ovs-vsctl-show", Scope())
    assert [(r.table, r.text("name"), r.text("bridge")) for r in reading.rows] == [
        ("Bridge", "br-int", ""),
        ("Interface", "vxlan0", "br-int"),
        ("Bridge", "br ex", ""),
        ("Interface", "br ex", "br ex"),
    ]
    assert [(u.value, u.lines) for u in reading.uses] == [(100, (7,))]
    assert b"hush" not in source.data


def test_damaged_texts_are_read(tmp_path: Path) -> None:
    words = [
        *' ,:[]{}="\n',
        "_uuid",
        SAMPLE,
        "ACL table\n",
        "match",
        "ct_mark",
        "{k=v}",
        '["uuid",',
        '{"data":[',
        '"headings":[',
        "-----",
        "\0",
        "\udcff",
        "egress_pkt_mark=1",
    ]
    chance = random.Random(11)
    for _ in range(300):
        data = "".join(chance.choice(words) for _ in range(60)).encode("utf-8", "surrogateescape")
        for form, name in ((ovsdb, "ovsdb"), (ovs_vsctl, "ovs-vsctl-show"), (ct_zones, "ct-zones")):
            form.detect(Source("x", data))
            form.read(Source("x", data), name, Scope())


def test_time_grows_no_faster_than_a_hostile_text() -> None:
    heads = (
        "",
        as_list(["_uuid"], [[SAMPLE]]),
        "ACL table\n_uuid match\n----- -----\n",
        "_uuid,match\n",
        '{"data":[["uuid",',
        "OVSDB JSON 9 " + "0" * 40 + "\n",
    )
    for piece in ("a", "a ", "ctl ", "-", "- ", '"', "{a=", "[", ",", ": ", "ACL table\n", "list ", '{"data":[', "\\", "ct_mark("):
        for head in heads:
            source = Source("x", (head + piece * (100_000 // len(piece))).encode())
            ovsdb.detect(source)
            ovsdb.read(source, "ovsdb", Scope())
            ovs_vsctl.read(source, "ovs-vsctl-show", Scope())
