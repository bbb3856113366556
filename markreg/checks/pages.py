"""The pages of the codes: ``rules/checks/MKxxx.md``, whose first line is ``# MK101 steered-match``."""

from __future__ import annotations

import re
from functools import cache

from markreg import resources

_CODE = re.compile(r"MK[0-9]{3}")
_HEADING = re.compile(r"#\s*(MK[0-9]{3})\s+([a-z][a-z0-9-]*)\s*")


@cache
def codes() -> tuple[str, ...]:
    """Every code that has a page, in order."""
    return tuple(sorted(p.stem for p in resources.rules("checks").glob("MK*.md") if _CODE.fullmatch(p.stem)))


@cache
def page(code: str) -> str:
    """The page of a code in Markdown; empty if it has none."""
    return (resources.rules("checks") / f"{code}.md").read_text(encoding="utf-8") if code in codes() else ""


@cache
def name(code: str) -> str:
    """The kebab-case name of a code; the code itself if it has no page."""
    heading = _HEADING.fullmatch(page(code).partition("\n")[0])
    return heading[2] if heading and heading[1] == code else code
