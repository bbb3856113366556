"""JUnit XML: a test case a finding, which fails; a clean complete run is one case that passes."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree

from markreg.model import Audit, Finding
from markreg.report import Options
from markreg.report.parts.forges import NOWHERE, details, first, message, missing, relative, title
from markreg.report.parts.words import what_was_read
from markreg.source import Source

NAME = "junit"


def render(audit: Audit, options: Options, sources: Mapping[str, Source]) -> str:
    """One test suite. Notes are cases that pass with their text; an incomplete run is an error."""
    cases = [_case(finding) for finding in audit.findings]
    if said := missing(audit):
        case = ElementTree.Element("testcase", name="complete", classname=NOWHERE)
        ElementTree.SubElement(case, "error", message=said, type="incomplete")
        cases.insert(0, case)
    elif not cases:
        cases = [ElementTree.Element("testcase", name="no findings", classname=NOWHERE)]
        ElementTree.SubElement(cases[0], "system-out").text = what_was_read(audit)
    numbers = {
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "errors": str(sum(case.find("error") is not None for case in cases)),
    }
    suites = ElementTree.Element("testsuites", {"name": NOWHERE, **numbers})
    suite = ElementTree.SubElement(suites, "testsuite", {"name": NOWHERE, **numbers})
    suite.extend(cases)
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _case(finding: Finding) -> ElementTree.Element:
    place = first(finding)
    case = ElementTree.Element(
        "testcase", name=f"{title(finding)}: {message(finding)}", classname=relative(place.path) if place else NOWHERE
    )
    if place and place.line:
        case.set("file", relative(place.path))
        case.set("line", str(place.line))
    text = "\n".join([message(finding), *details(finding)])
    if finding.severity == "note":
        ElementTree.SubElement(case, "system-out").text = text
    else:
        ElementTree.SubElement(case, "failure", message=message(finding), type=finding.severity).text = text
    return case
