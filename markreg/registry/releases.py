"""Releases as dotted integers, and half-open intervals of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

# Ascending tuples; trailing zeros do not count, so 3.30 and 3.30.0 are one. () is below every release.
Release = tuple[int, ...]
_EXACT = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,7}")
_LEADING = re.compile(r"[^0-9]{0,40}?v?([0-9]{1,9}(?:\.[0-9]{1,9}){0,7})")


class ReleaseError(ValueError):
    """A text that is no release; the message is for users."""


@lru_cache(maxsize=1024)  # every row of every layout asks
def parse(text: str) -> Release:
    """A release as the registry writes it. Raises ReleaseError."""
    if not _EXACT.fullmatch(text):
        raise ReleaseError(f"{text[:40]!r} is no release (dotted integers such as 3.30 or 22.03.1)")
    return _number(text)


def lenient(text: str) -> Release | None:
    """The release in an image tag or version string: ``v3.29.1-eksbuild.2`` is 3.29.1; None where there is none."""
    match = _LEADING.match(text)
    return _number(match[1]) if match else None


def _number(text: str) -> Release:
    numbers = [int(n) for n in text.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


@dataclass(frozen=True, slots=True)
class Interval:
    """Releases from ``since`` on and before ``until``; None: no end on that side. Texts as the registry writes them."""

    since: str | None = None
    until: str | None = None

    @property
    def low(self) -> Release:
        """The lowest release in the interval."""
        return parse(self.since) if self.since else ()

    @property
    def high(self) -> Release | None:
        """The lowest release above the interval."""
        return parse(self.until) if self.until else None

    @property
    def name(self) -> str:
        """What reports print: ``3.30 and newer``, ``before 3.30``, ``3.20 to before 3.30``."""
        if self.since and self.until:
            return f"{self.since} to before {self.until}"
        return f"{self.since} and newer" if self.since else f"before {self.until}" if self.until else "all releases"

    def __contains__(self, release: Release) -> bool:
        return self.low <= release and (self.until is None or release < parse(self.until))

    def meets(self, other: Interval) -> bool:
        """Whether a release is in both."""
        low = max(self.low, other.low)
        return low in self and low in other

    def empty(self) -> bool:
        """Whether no release is in it."""
        return self.low not in self


def span(text: str) -> Interval:
    """``FROM-TO``, half-open, each end optional: ``26.03-``, ``-3.30``. Raises ReleaseError."""
    since, dash, until = text.replace(" ", "").partition("-")
    if not dash:
        raise ReleaseError(f"{text[:40]!r} is no FROM-TO (half-open, each end optional, such as 26.03-)")
    for end in (since, until):
        if end:
            parse(end)
    return Interval(since or None, until or None)


def intervals(cuts: Iterable[str]) -> tuple[Interval, ...]:
    """All releases, cut at these; oldest first, without gaps."""
    by_number = {parse(cut): cut for cut in sorted(cuts, key=lambda c: (-len(c), c))}
    by_number.pop((), None)
    ends = [by_number[number] for number in sorted(by_number)]
    return tuple(Interval(since, until) for since, until in zip([None, *ends], [*ends, None], strict=True))
