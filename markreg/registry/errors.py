"""What is wrong with a registry file, and where."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class RegistryError(ValueError):
    """The registry or a component file is invalid (MK307): the file, line and column from 1, and what is wrong, for users."""

    code = "MK307"

    def __init__(self, path: str, line: int, column: int, message: str) -> None:
        super().__init__(f"{path}:{line}:{column}: {self.code} {message}")
        self.path = path
        self.line = line
        self.column = column
        self.message = message


class Flaw(Exception):  # noqa: N818 (never leaves the package: load() turns it into a RegistryError)
    """Something wrong at a key of a file that was read; ``value`` tells whether the key's value is meant rather than the key."""

    def __init__(self, path: str, keys: tuple[str | int, ...], message: str, value: bool = True) -> None:
        super().__init__(message)
        self.path = path
        self.keys = keys
        self.message = message
        self.value = value


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: the nearest known one, or nothing."""
    near = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""
