"""``--baseline FILE`` and ``--write-baseline``, for commands that print findings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from markreg.cli import _common as common

if TYPE_CHECKING:
    from markreg.baseline import Entry
    from markreg.model import Audit

BaselineOption = Annotated[
    Path | None, typer.Option("--baseline", envvar="MARKREG_BASELINE", metavar="FILE", help="Report only what this file does not hold.")
]
WriteOption = Annotated[
    bool,
    typer.Option(
        "--write-baseline",
        envvar="MARKREG_WRITE_BASELINE",
        help="Write the baseline: all findings of now; of one that exists, what is left.",
    ),
]


def settle(done: Audit, path: Path | None, write: bool) -> Audit:
    """The audit with the findings that the baseline does not hold; exit 2 for a file that is none."""
    if path is None:
        if write:
            common.fail("--write-baseline asks for --baseline FILE")
        return done
    from dataclasses import replace

    from markreg import baseline

    before = None if write and not path.exists() else _load(path)
    entries = before or ()
    if write:
        text = baseline.dump(done.findings, before)
        common.write(path, text)
        entries = baseline.load(text)
        common.say(f"{path}: {len(entries)} findings" + (f", {len(before) - len(entries)} fewer than before" if before is not None else ""))
    return replace(done, findings=baseline.apply(done.findings, entries, str(path)))


def _load(path: Path) -> tuple[Entry, ...]:
    from markreg import baseline

    try:
        return baseline.load(path.read_text(encoding="utf-8"))
    except OSError as error:
        common.fail(f"--baseline {path}: {error.strerror}")
    except (baseline.BaselineError, UnicodeDecodeError) as error:
        common.fail(f"--baseline {path}: {error}")
