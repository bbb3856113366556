"""What a word in a manifest means to a knob: booleans, numbers as the component reads them, choices; or that nobody knows."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import cache
from typing import Literal

from markreg.bits import full
from markreg.manifests.nodes import is_open
from markreg.registry import numbers
from markreg.registry.model import Knob, ReadAt
from markreg.registry.words import Scalar

_TRUE = {"true", "t", "1", "yes", "on", "y", "enabled"}
_FALSE = {"false", "f", "0", "no", "off", "n", "disabled", ""}
# YAML 1.1 as PyYAML and Kubernetes read it: 0x…, 0b…, octal by a leading 0, underscores, base 60.
_YAML = re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*(?::[0-5]?[0-9])*)")
# Go's strconv with base 0: prefixes in either case, underscores only beside one.
_GO = re.compile(r"[-+]?(?:0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO]?(?:_?[0-7])+|0|[1-9][0-9]*)")
_WIDTH = 32


class Refused(Exception):  # noqa: N818 (what the component says)
    """The component cannot read a value; the message says why."""


class Unknown:
    """A value that stands somewhere else, or in a template."""


class Elsewhere:
    """A word that is about something else than this knob."""


UNKNOWN = Unknown()
ELSEWHERE = Elsewhere()
Meaning = Scalar | Unknown | Elsewhere
Form = Literal["yaml", "go"]


def meaning(knob: Knob, place: ReadAt, word: str, form: Form, quoted: bool = False) -> Meaning:
    """What a word means. ``form``: which syntax of numbers counts there; ``quoted``: it is a string where a number belongs.

    Raises Refused.
    """
    if is_open(word):
        return UNKNOWN
    if place.values:
        found = next((v for glob, v in place.values.items() if fnmatchcase(word.lower(), glob.lower())), None)
        if found is not None or knob.type in ("boolean", "choice", "string"):
            return ELSEWHERE if found is None else numbers.knob_value(knob, found)
    if knob.type == "boolean":
        if word.lower() in _TRUE | _FALSE:
            return word.lower() in _TRUE
        raise Refused(f"{word!r} is neither true nor false")
    if knob.type in ("choice", "string"):
        if knob.choices:
            found = next((c for c in knob.choices if c.lower() == word.lower()), None)
            if found is None:
                raise Refused(f"{word!r} is none of {', '.join(c for c in knob.choices if c)}")
            return found
        return word
    number = _number(place.number, word, form, quoted)
    if number < 0 and knob.type != "integer":
        raise Refused(f"{word} is negative")
    if knob.type in ("mask", "value") and number > full(_WIDTH):
        raise Refused(f"{word} has more than {_WIDTH} bits")
    for limit in knob.limits if knob.invalid == "default" else ():
        if limit.min_bits and number.bit_count() < limit.min_bits:
            raise Refused(f"{word} has too few bits")
    return number


def _number(how: str, word: str, form: Form, quoted: bool) -> int:
    word = word.strip()
    if how == "first-word":
        lines = [line.split() for line in word.splitlines() if line.strip()]
        word = lines[-1][0].rstrip("+") if lines else ""
        how = "digits"
    if len(word) > 80:
        raise Refused(f"{word[:20]}… is no number")
    if how == "mask-of":
        _, slash, mask = word.partition("/")
        return _number("", mask, form, quoted) if slash else full(_WIDTH)
    if how == "value-of":
        word, how = word.partition("/")[0], ""
    if how == "digits":
        if not re.fullmatch(r"[0-9]+", word):
            raise Refused(f"{word!r} is no decimal number")
        return int(word)
    if how in ("bare-hex", "hex8"):
        if not re.fullmatch(r"(?:0[xX])?[0-9a-fA-F]+", word):
            raise Refused(f"{word!r} is no hexadecimal number")
        return int(word, 16)
    if form == "yaml" and how == "decimal":
        if quoted:
            raise Refused(f"{word!r} is a string where a number belongs")
        return _yaml(word)
    if not _GO.fullmatch(word):
        raise Refused(f"{word!r} is no number")
    return int(word, 0) if not re.fullmatch(r"[-+]?0[0-7_]+", word) else int(word, 8)


@cache
def _yaml(word: str) -> int:
    if not _YAML.fullmatch(word):
        raise Refused(f"{word!r} is no number")
    plain = word.replace("_", "")
    if ":" in plain:
        result = 0
        for part in plain.lstrip("+-").split(":"):
            result = result * 60 + int(part)
        return -result if plain.startswith("-") else result
    if re.fullmatch(r"[-+]?0[0-7]+", plain):
        return int(plain, 8)
    return int(plain, 0)


def holds(place: ReadAt, settings: dict[str, Scalar | None]) -> bool | None:
    """Whether a place counts at these settings; None where one that it asks for is not known."""
    return numbers.holds(place.when, settings)
