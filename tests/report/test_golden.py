"""What each format prints for each sample, as files: `MARKREG_UPDATE=1 pytest tests/report` writes them anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from markreg import report
from markreg.checks import pages
from markreg.report import Options, json_, sarif
from tests.report.samples import SAMPLES

CASES = Path(__file__).parent / "cases"
NAMES = {
    "MK101": "steered-match",
    "MK203": "whole-mark-copy",
    "MK303": "unattributed-use",
    "MK304": "idle-reservation",
    "MK402": "ovn-subfields-overlap",
}
VARIANTS = {
    "text": ("text", Options()),
    "text-ascii": ("text", Options(unicode=False)),
    "text-verbose": ("text", Options(verbose=True)),
    "text-quiet": ("text", Options(quiet=True)),
    "text-color": ("text", Options(color=True)),
    "concise": ("concise", Options()),
    "json": ("json", Options()),
    "markdown": ("markdown", Options()),
    "github": ("github", Options()),
    "gitlab": ("gitlab", Options()),
    "junit": ("junit", Options()),
    "sarif": ("sarif", Options()),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("sample", SAMPLES)
def test_output_is_the_file(sample: str, variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "name", lambda code: NAMES[code])
    monkeypatch.setattr(pages, "page", lambda code: f"# {code} {NAMES[code]}\n\nWhat it is.\n")
    for module_with_version in (json_, sarif):
        monkeypatch.setattr(module_with_version, "__version__", "0")
    name, options = VARIANTS[variant]
    audit, sources = SAMPLES[sample]()
    module = report.by_name(name)
    assert module is not None
    printed = module.render(audit, options, sources)
    file = CASES / f"{sample}.{variant}"
    if os.environ.get("MARKREG_UPDATE"):
        file.write_text(printed, encoding="utf-8")
    assert printed == file.read_text(encoding="utf-8")
    assert printed == module.render(audit, options, sources)
