"""``--format json`` keeps to the contract, and is the same for the same input, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import COLLIDES, OPAQUE, markreg
from tests.support import ROOT, SHARED, needs_shared

TOP = ("schema", "version", "complete", "registry", "inputs", "components", "uses", "map", "findings", "summary")
INPUT = {"path", "format", "scope", "statements", "mark_statements", "not_understood"}
COMPONENT = {"name", "layout", "release", "confidence", "evidence"}
USE = {
    "id",
    "field",
    "access",
    "mask",
    "value",
    "owner",
    "reservation",
    "attributed_by",
    "confidence",
    "basis",
    "scope",
    "place",
    "location",
}
EFFECT = {"may_set", "may_clear", "may_keep", "toggle", "unknown", "copies", "values"}
MAP = {"field", "scope", "bits"}
BITS = {"bits", "mask", "owners", "writers", "readers", "reserved_by"}
FINDING = {
    *("code", "name", "severity", "field", "mask", "owners", "message", "help", "occurrences"),
    *("related", "locations", "path", "fingerprint", "id"),
}
LOCATION = {"role", "use", "owner", "place", "path", "line", "column", "end_column", "text"}
KINDS = {"netfilter", "rule", "openflow", "bpf", "socket", "route", "trace", "tc", "xfrm", "manifest", "claim"}
INPUTS = ["docs/example-node"]


def is_mask(text: object) -> bool:
    return isinstance(text, str) and text == f"{int(text, 16):#x}"


def check(document: dict[str, object]) -> None:
    """Everything that contract.md promises of a document."""
    said = json.loads(json.dumps(document))
    assert tuple(said) == TOP
    assert said["schema"] == "markreg.audit/1"
    assert set(said["registry"]) == {"path", "sha256"}
    assert all(set(entry) == INPUT and set(entry["scope"]) == {"netns", "family"} for entry in said["inputs"])
    assert all(set(entry) == COMPONENT for entry in said["components"])
    ids = [use["id"] for use in said["uses"]]
    assert ids == [f"u{n}" for n in range(1, len(ids) + 1)]
    for use in said["uses"]:
        extra = {"negated", "accepts"} if use["access"] == "read" else {"effect"}
        assert USE | extra <= set(use) <= USE | extra | {"lines", "occurrences", "means"}
        assert use["access"] in ("read", "write", "copy")
        assert use["basis"] in ("observed", "claimed", "manifest", "registry")
        assert is_mask(use["mask"])
        assert use["value"] is None or is_mask(use["value"])
        assert use["place"]["kind"] in KINDS
        if "effect" in extra:
            assert set(use["effect"]) == EFFECT
    for entry in said["map"]:
        assert set(entry) == MAP
        assert all(set(run) == BITS and is_mask(run["mask"]) for run in entry["bits"])
    for finding in said["findings"]:
        assert set(finding) == FINDING
        assert finding["severity"] in ("error", "warning", "note")
        assert finding["fingerprint"]
        assert all(set(place) == LOCATION for place in finding["locations"])
        assert {place["use"] for place in finding["locations"]} - {None} <= set(ids)
        counts = [sum(place["role"] == role for place in finding["locations"]) for role in ("writer", "reader", "victim", "carrier")]
        assert max(counts) <= 3
        assert all({"step", "place"} <= set(step) for step in finding["path"])
    assert len({finding["id"] for finding in said["findings"]}) == len(said["findings"])
    severities = [finding["severity"] for finding in said["findings"]]
    assert said["summary"] == {f"{s}s": severities.count(s) for s in ("error", "warning", "note")}


@pytest.mark.parametrize("data", [COLLIDES, OPAQUE, COLLIDES + OPAQUE], ids=["collides", "opaque", "both"])
def test_small_dumps(data: bytes) -> None:
    check(json.loads(markreg("audit", "-", "--format", "json", stdin=data).stdout))


def test_the_example_node_twice_whatever_the_seed_of_hashes() -> None:
    runs = [
        markreg("audit", "docs/example-node", "--format", "json", cwd=ROOT, env={"PYTHONHASHSEED": seed}).stdout
        for seed in ("0", "1", "4242")
    ]
    assert runs[0] == runs[1] == runs[2]
    assert runs[0].isascii()
    check(json.loads(runs[0]))


def test_text_is_the_same_whatever_the_seed_of_hashes() -> None:
    runs = [markreg("audit", "docs/example-node", cwd=ROOT, env={"PYTHONHASHSEED": seed}).stdout for seed in ("0", "77")]
    assert runs[0] == runs[1]


@needs_shared
@pytest.mark.parametrize("seed", ["0", "31"])
def test_incidents(seed: str, tmp_path: Path) -> None:
    """Every third incident: a document that keeps to the contract."""
    for folder in sorted((SHARED / "incidents").glob("[0-9]*"))[int(seed) % 3 :: 6]:
        done = markreg("audit", folder, "--format", "json", env={"PYTHONHASHSEED": seed})
        if done.returncode != 2:
            check(json.loads(done.stdout))
