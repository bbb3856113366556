"""The shared incidents and controls: what is missed and what is a false alarm, held to the figure reached.

`incidents.txt` beside this file holds every complaint that is left, one a line; one that goes away is taken out, none may come.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.support import SHARED, needs_shared

LEFT = Path(__file__).with_name("incidents.txt")


@needs_shared
def test_no_complaint_is_new_and_none_is_kept_that_is_gone() -> None:
    script = SHARED / "tools" / "incidents.py"
    words = [sys.executable, str(script), "--markreg", f"{sys.executable} -m markreg", str(SHARED / "incidents"), str(SHARED / "controls")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=900, check=False)
    *complaints, totals = done.stdout.strip().splitlines()
    assert re.fullmatch(r"cases=\d+ .*", totals), done.stdout + done.stderr
    # What a broken case prints of a temporary folder differs from run to run.
    said = {re.sub(r"/\S+/tmp\w+", "FOLDER", line) for line in complaints}
    known = {line for line in LEFT.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")}
    assert said == known
