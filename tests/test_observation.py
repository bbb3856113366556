"""Sampling ids in words: labels, collectors, observation domains and points, with names from the registry and a northbound dump."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markreg.annotate import Annotator
from markreg.bits import BitsError
from markreg.decode import Decoder
from markreg.nodemap import NodeMap
from markreg.observation import observed, parse, sentence
from markreg.registry.load import load
from markreg.rows import Row
from tests.cli.running import markreg

NORTHBOUND = """ACL table
_uuid                                action        direction label match priority name    sample_new
------------------------------------ ------------- --------- ----- ----- -------- ------- ------------------------------------
00000001-0000-4000-8000-000000000001 allow-related to-lport  42    ip4   1001     allow-a []
00000002-0000-4000-8000-000000000002 allow-related to-lport  0     ip6   1001     allow-b 00000004-0000-4000-8000-000000000004

Sample table
_uuid                                collectors                             metadata
------------------------------------ -------------------------------------- --------
00000004-0000-4000-8000-000000000004 [00000006-0000-4000-8000-000000000006] 1012

Sample_Collector table
_uuid                                id name probability set_id
------------------------------------ -- ---- ----------- ------
00000006-0000-4000-8000-000000000006 3  obs  65535       10

Sampling_App table
_uuid                                id type
------------------------------------ -- -------
00000007-0000-4000-8000-000000000007 43 acl-new
"""
SOUTHBOUND = """_uuid               : 00000009-0000-4000-8000-000000000009
external_ids        : {logical-switch=x, name=sw0}
tunnel_key          : 3
"""
PLAN = """
version = 1
extends = "builtin"
[[component]]
name = "observability"
[[component.reservation]]
name = "new-connections"
within = "ovn/sampling_app_id"
value_range = "40-49"
source = "docs"
[[component.reservation]]
name = "points"
within = "ovn/obs_point_id"
value_range = "1000-1999"
source = "docs"
"""


@pytest.fixture(name="dumps")
def made(tmp_path: Path) -> tuple[Path, Path, Path]:
    files = tmp_path / "nb.txt", tmp_path / "sb.txt", tmp_path / "registry.toml"
    for file, text in zip(files, (NORTHBOUND, SOUTHBOUND, PLAN), strict=True):
        file.write_text(text, encoding="utf-8")
    return files


def test_a_label_is_an_acls_or_a_point() -> None:
    text = markreg("decode", "ct_label", "0x2a000000000000000000000000").stdout
    assert "ACL label or observation point 42" in text
    assert "obs_collector_id" in text, "people look for it here"
    assert "ct_mark[16..23]" in text
    assert "ACL label" not in markreg("decode", "ct_label", "0x2a").stdout


def test_a_collector_is_in_the_mark() -> None:
    text = markreg("decode", "ct_mark", "0x30002").stdout
    assert "collector 3 (obs_collector_id is in ct_mark, although people call it a label)" in text
    assert "collector" not in markreg("decode", "ct_mark", "0x2").stdout.partition("by the registry")[0]


def test_a_northbound_dump_names_the_acl_and_the_collector(dumps: tuple[Path, ...]) -> None:
    assert "ACL allow-a, priority 1001, to-lport allow-related: ip4" in markreg("decode", "ct_label", hex(42 << 96), dumps[0]).stdout
    assert "ACL allow-b, priority 1001, to-lport allow-related: ip6" in markreg("decode", "ct_label", hex(1012 << 96), dumps[0]).stdout
    assert "collector obs, set 10" in markreg("decode", "ct_mark", "0x30000", dumps[0]).stdout


def test_an_observation_has_names_from_the_registry_and_the_databases(dumps: tuple[Path, ...]) -> None:
    bare = markreg("decode", "obs", "0x2b000003", "1012").stdout
    assert "application 43: no name in the registry" in bare
    assert "datapath key 3" in bare
    assert "point 1012 (0x3f4)" in bare
    nb, sb, plan = dumps
    for words in (("0x2b000003", "1012"), ("721420291", "0x3f4"), ("0x2b000003000003f4",)):
        text = markreg("decode", "obs", *words, nb, sb, "--registry", plan).stdout
        assert "application 43: acl-new, observability/new-connections" in text
        assert "datapath key 3: logical switch sw0" in text
        assert "point 1012: observability/points" in text
        assert "point 1012: ACL allow-b, priority 1001, to-lport allow-related: ip6" in text
    said = json.loads(markreg("decode", "obs", "0x2b000003", "1012", nb, "--format", "json").stdout)
    assert (said["field"], said["application"], said["datapath"]) == ("obs", {"id": 43, "names": ["acl-new"]}, {"key": 3, "name": ""})
    assert said["behind"] == ["ACL allow-b, priority 1001, to-lport allow-related: ip6"]


def test_a_point_of_a_drop_is_the_cookie_of_a_flow() -> None:
    row = Row("Logical_Flow", "5f3c154e", {"external_ids": {"stage-name": "ls_out_acl_action"}}, "lflow-list", 3)
    one = observed(7 << 24 | 5, 0x5F3C154E, load(None), (row,))
    assert one.behind == ("cookie 0x5f3c154e, a flow of ls_out_acl_action",)


@pytest.mark.parametrize("words", [("x", "1"), ("1", "0x1ffffffff"), ("0x1ffffffff", "1"), (hex(1 << 64),)])
def test_a_mistake_is_said(words: tuple[str, ...]) -> None:
    done = markreg("decode", "obs", *words)
    assert done.returncode == 2
    assert done.stdout == ""


LINES = [
    (b"psample(group=10,cookie=0x2b000003000003f4)", b"application 43 (acl-new) on datapath key 3, point 1012"),
    (
        b"flow_sample(probability=65535,collector_set_id=10,obs_domain_id=721420291,obs_point_id=1012,output_port=3)",
        b"application 43 (acl-new)",
    ),
    (b"    Observation Domain Id: 721420291", b"application 43 (acl-new) on datapath key 3"),
    (b'{"observation_domain_id":721420291,"observation_point_id":1012}', b"point 1012 (ACL allow-b, "),
    (b"zone=7,mark=2,labels=0x2a000000000000000000000000,protoinfo=(state=X)", b"; ACL label or observation point 42 = ACL allow-a, "),
    (
        b"actions:ct(commit,zone=7,mark=0/0x1,label=0x2a000000000000000000000000/0xffffffff000000000000000000000000)",
        b"observation point 42",
    ),
    (b"actions:set(ipv6(label=0x2a)),sample(sample=50%,actions(2))", b""),
    (b"the observation domain of a town", b""),
]


@pytest.mark.parametrize(("line", "note"), LINES)
def test_streams_are_annotated(line: bytes, note: bytes, dumps: tuple[Path, ...]) -> None:
    done = markreg("annotate", "--nb", dumps[0], stdin=line + b"\n")
    said = done.stdout.encode()
    assert said.startswith(line)
    assert (note in said.removeprefix(line)) if note else said == line + b"\n"


def test_notes_keep_the_order_of_a_line() -> None:
    annotator = Annotator(Decoder(load(None), NodeMap({}, ())))
    said = annotator.chunk(b"ct_label=0x2a000000000000000000000000 obs_domain_id=721420291,obs_point_id=1012\nct_mark=0\n")
    assert said.splitlines()[0].endswith(b"  # ACL label or observation point 42; application 43 on datapath key 3, point 1012")
    assert said.splitlines()[1] == b"ct_mark=0"


@given(st.text(max_size=24), st.one_of(st.none(), st.text(max_size=12)))
def test_any_text_is_an_observation_or_refused(domain: str, point: str | None) -> None:
    try:
        one, two = parse(domain, point)
    except BitsError:
        return
    assert 0 <= one < 1 << 32
    assert sentence(observed(one, two, REGISTRY))


REGISTRY = load(None)
