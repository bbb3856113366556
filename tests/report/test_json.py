"""JSON holds what the contract promises, every key in its order."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from markreg.model import Owned, Scope, Use
from markreg.report import Options, json_
from markreg.source import Source
from markreg.transfer import Predicate, Word
from markreg.transfer import Source as Copied
from tests.report.samples import RULE_PLACE, SAMPLES, collision, hostile, labels

COMMON = ["owner", "reservation", "attributed_by", "confidence", "basis", "scope"]
WRITE = ["id", "field", "access", "mask", "value", *COMMON, "effect", "place", "location"]
READ = ["id", "field", "access", "mask", "value", "negated", "accepts", *COMMON, "place", "location"]


def load(sample: str) -> Any:  # noqa: ANN401
    audit, sources = SAMPLES[sample]()
    return json.loads(json_.render(audit, Options(), sources))


def one(use: Use, source: Source | None = None) -> Any:  # noqa: ANN401
    audit, _ = collision()
    audit = replace(audit, node=replace(audit.node, uses=(Owned("u1", use, "x"),)), findings=())
    return json.loads(json_.render(audit, Options(), {source.path: source} if source else {}))["uses"][0]


def test_keys_are_the_contracts() -> None:
    said = load("collision")
    assert list(said) == ["schema", "version", "complete", "registry", "inputs", "components", "uses", "map", "findings", "summary"]
    assert said["schema"] == "markreg.audit/1"
    assert list(said["registry"]) == ["path", "sha256"]
    assert list(said["inputs"][0]) == ["path", "format", "scope", "statements", "mark_statements", "not_understood"]
    assert list(said["inputs"][0]["scope"]) == ["netns", "family"]
    assert list(said["components"][0]) == ["name", "layout", "release", "confidence", "evidence"]
    write, read = said["uses"][:2]
    assert list(write) == WRITE
    assert list(read) == [*READ, "lines", "occurrences"]
    assert list(write["scope"]) == ["netns", "family", "zone"]
    assert list(write["effect"]) == ["may_set", "may_clear", "may_keep", "toggle", "unknown", "copies", "values"]
    assert list(write["place"]) == ["kind", "text", "family", "table", "chain", "hooks"]
    assert write["place"]["hooks"] == [{"hook": "prerouting", "priority": -300}]
    assert list(write["location"]) == ["path", "line", "column", "end_column", "text"]
    assert list(said["map"][0]) == ["field", "scope", "bits"]
    assert list(said["map"][0]["scope"]) == ["netns", "zone"]
    assert list(said["map"][0]["bits"][0]) == ["bits", "mask", "owners", "writers", "readers", "reserved_by"]
    finding = said["findings"][0]
    assert list(finding) == [
        *["code", "name", "severity", "field", "mask", "owners", "message", "help", "occurrences"],
        *["related", "locations", "path", "fingerprint", "id"],
    ]
    assert list(finding["locations"][0]) == ["role", "use", "owner", "place", "path", "line", "column", "end_column", "text"]
    assert said["summary"] == {"errors": 1, "warnings": 1, "notes": 1}


def test_a_use_says_what_it_does_and_where() -> None:
    write, read, *_ = load("collision")["uses"]
    assert (write["mask"], write["value"], write["reservation"]) == ("0x40000", "0x40000", "calico/scratch0")
    assert write["effect"] == {
        "may_set": "0x40000",
        "may_clear": "0x0",
        "may_keep": "0xfffbffff",
        "toggle": "0x0",
        "unknown": "0x0",
        "copies": [],
        "values": None,
    }
    at = write["location"]
    assert at["text"][at["column"] - 1 : at["end_column"] - 1] == "--set-xmark 0x40000/0x40000"
    assert read["accepts"] == [["0x40000", "0x40000"]] and read["negated"] is False
    assert (read["lines"], read["occurrences"], read["location"]["line"]) == ([6, 7], 2, 6)


def test_map_rows_are_runs_of_bits_that_are_alike() -> None:
    rows = {row["bits"]: row for row in load("collision")["map"][0]["bits"]}
    assert list(rows) == ["0-7", "8-11", "12-13", "14", "15", "16-17", "18", "19-23", "24-31"]
    assert rows["14"]["reserved_by"] == ["kube-proxy/masquerade"]
    assert rows["18"]["writers"] == ["calico", "unattributed:filter/LOCAL"]
    assert rows["18"]["readers"] == ["tailscale", "unattributed:filter/LOCAL"]
    assert load("clean")["map"][0]["bits"][0]["mask"] == "0x30000"


def test_fields_in_other_scopes_have_maps_of_their_own() -> None:
    audit, sources = collision()
    moved = [replace(o, use=replace(o.use, scope=Scope("pod", "ip"))) for o in audit.node.uses[:2]]
    audit = replace(audit, node=replace(audit.node, uses=(*audit.node.uses[:2], *moved)))
    scopes = [entry["scope"] for entry in json.loads(json_.render(audit, Options(), sources))["map"]]
    assert scopes == [{"netns": "host", "zone": None}, {"netns": "pod", "zone": None}]


def test_copies_and_values() -> None:
    copy, table = load("labels")["uses"]
    assert copy["effect"]["copies"] == [{"to": hex(0xFFFF << 80), "from": "ovs.reg0", "shift": -80, "inverted": False}]
    assert table["effect"]["values"] == [["0x1", "0x2"]] and table["value"] is None
    byte = Word.make(32, 0, 0, {Copied("skb_mark"): 0xFFFFFF00, Copied("ct_mark", -8): 0xFF}, 0)
    use = Use("skb_mark", "copy", 0xFF, RULE_PLACE, Scope(), "f", (1,), "x", byte)
    assert one(use)["effect"]["copies"] == [{"to": "0xff", "from": "ct_mark", "shift": 8, "inverted": False}]


def test_an_effect_that_may_not_happen_may_keep_its_bits() -> None:
    effect = Word.make(32, 0, 0x1, {Copied("skb_mark"): 0xFFFFFFFC, Copied("skb_mark", 0, True): 0x2}, 0)
    use = Use("skb_mark", "write", 0x3, RULE_PLACE, Scope(), "f", (1,), "x", effect)
    assert one(use)["effect"]["may_keep"] == "0xfffffffc" and one(use)["effect"]["toggle"] == "0x2"
    assert one(replace(use, possible=True))["effect"]["may_keep"] == "0xffffffff"
    unknown = one(replace(use, effect=None))["effect"]
    assert (unknown["unknown"], unknown["may_keep"]) == ("0x3", "0xfffffffc")


def test_a_read_that_is_no_comparison_accepts_nothing_known() -> None:
    use = Use("skb_mark", "read", 0xFF, RULE_PLACE, Scope(), "f", (1,), "x")
    said = one(use)
    assert said["accepts"] is None and said["place"] == {
        "kind": "rule",
        "text": "ip rule 5210",
        "family": "ip",
        "priority": 5210,
        "table": "52",
    }
    never = replace(use, predicate=Predicate.equals("skb_mark", 0x100, 0xFF))
    assert one(never)["accepts"] == []


def test_large_groups_list_their_first_lines() -> None:
    use = Use("skb_mark", "read", 0xFF, RULE_PLACE, Scope(), "f", tuple(range(1, 501)), "x")
    said = one(use)
    assert said["lines"] == list(range(1, 101)) and said["occurrences"] == 500


def test_a_very_long_line_is_shown_around_the_clause() -> None:
    source = Source("n.json", b"x" * 50_000 + b"HERE" + b"y" * 50_000)
    said = one(Use("skb_mark", "read", 0xFF, RULE_PLACE, Scope(), "n.json", (1,), "HERE"), source)["location"]
    assert (said["column"], said["end_column"]) == (50_001, 50_005)
    assert "xHEREy" in said["text"] and len(said["text"]) < 1100 and said["text"][0] == said["text"][-1] == "…"


def test_what_has_no_line_has_none() -> None:
    presumed = load("collision")["uses"][-1]
    assert presumed["basis"] == "registry" and presumed["location"]["line"] is None
    idle = load("collision")["findings"][-1]
    assert (idle["field"], idle["mask"], idle["locations"]) == (None, None, [])


def test_equal_fingerprints_have_different_ids() -> None:
    first, second = load("labels")["findings"]
    assert first["fingerprint"] == second["fingerprint"] and first["id"] != second["id"]


@pytest.mark.parametrize("sample", SAMPLES)
def test_output_is_ascii_without_lone_surrogates_and_the_same_again(sample: str) -> None:
    audit, sources = SAMPLES[sample]()
    printed = json_.render(audit, Options(), sources)
    assert printed == json_.render(audit, Options(unicode=False, color=True, width=20), sources)
    assert printed.isascii() and "\x7f" not in printed and printed.endswith("}\n")
    json.dumps(json.loads(printed), ensure_ascii=False).encode()


def test_undecodable_bytes_stand_as_escapes() -> None:
    audit, sources = hostile()
    assert "\\xff" in json.loads(json_.render(audit, Options(), sources))["components"][0]["name"]


def test_fields_wider_than_words_keep_their_width() -> None:
    audit, sources = labels()
    assert json.loads(json_.render(audit, Options(), sources))["uses"][0]["effect"]["may_keep"] == hex((1 << 128) - 1 & ~(0xFFFF << 80))
