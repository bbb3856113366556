"""Elements of nft sets and maps, named and anonymous: the marks among their keys, the marks and chains among their data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import reduce
from itertools import pairwise
from operator import and_, or_

from markreg.bits import BitsError, full, parse_int, parse_word
from markreg.transfer import Word

Intervals = tuple[tuple[int, int], ...]

# What nft prints for a set of marks and for a map to marks: the whole at once.
_PLAIN = re.compile(r"[\s0-9a-fA-Fx,]*")
_DATA = re.compile(r":\s*(0x[0-9a-fA-F]{1,8})\s*(?=,|\Z)")
_VERDICT = re.compile(r"(jump|goto)\s+([^\s,{}]+)")
# What stands after a key: how long it lives, what is counted for it.
_OPTION = re.compile(r"\s(?:timeout|expires|counter|quota|limit|comment|last|ct)\b.*", re.DOTALL)
_DOT = re.compile(r"\s\.\s|\s\.|\.\s")
_COLON = re.compile(r"\s:\s")
_ALL = full(32)
_MOST = 4096
_MOST_VALUES = 256


@dataclass(slots=True)
class NamedSet:
    """A set or map of a table: what its ``type`` or ``typeof`` line says, its elements as texts between braces.

    ``changing``: rules or time change its elements, so those that are listed are not all that there will be.
    """

    type: str = ""
    changing: bool = False
    bodies: list[str] = field(default_factory=list)

    def verdicts(self) -> Iterator[tuple[str, str]]:
        """The chains that its elements lead to, each once, as ``jump`` or ``goto`` and the name."""
        found: dict[tuple[str, str], None] = {}
        for body in self.bodies:
            found.update(dict.fromkeys(_VERDICT.findall(body)))
        return iter(found)

    @property
    def known(self) -> bool:
        """Whether its elements are all there are: a terse listing leaves them out."""
        return bool(self.bodies) and not self.changing


def elements(body: str) -> list[str]:
    """The elements between braces."""
    return [e for part in body.strip().removeprefix("{").removesuffix("}").split(",") if (e := part.strip())]


def keys(bodies: Iterable[str], position: int, mapped: bool) -> Intervals | None:
    """The marks at ``position`` (from 0) of each key, as ascending intervals; None for too many or for a wildcard.

    Raises BitsError for a key that is no number.
    """
    found: list[tuple[int, int]] = []
    for body in bodies:
        inner = body.strip().removeprefix("{").removesuffix("}")
        if not mapped and not position and inner.count("0x") == inner.count(",") + 1 and _PLAIN.fullmatch(inner):
            numbers = sorted({int(part, 16) for part in inner.split(",")})
            if numbers[-1] > _ALL:
                raise BitsError(f"{numbers[-1]:#x} does not fit into 32 bits")
            starts = [b for a, b in pairwise((-2, *numbers)) if b != a + 1]
            if len(starts) > _MOST:
                return None
            found += zip(starts, [a for a, b in pairwise((*numbers, -2)) if b != a + 1], strict=True)
            continue
        for element in elements(inner):
            parts = [p.strip() for p in _DOT.split(_OPTION.sub("", f"{_key(element) if mapped else element} ").strip())]
            if position >= len(parts) or parts[position] == "*":
                return None
            found.append(interval(parts[position]))
    merged = tuple(merge(found))
    return merged if len(merged) <= _MOST else None


def _key(element: str) -> str:
    """What stands before the colon; addresses have colons too."""
    spaced = _COLON.split(element, maxsplit=1)
    return spaced[0] if len(spaced) > 1 else element.split(":", 1)[0]


def interval(text: str) -> tuple[int, int]:
    """``5``, ``1-5`` or ``0x100/24`` as lowest and highest value."""
    low, dash, high = text.partition("-")
    if dash:
        return parse_word(low, 32), parse_word(high, 32)
    value, slash, bits = text.partition("/")
    if not slash:
        return (number := parse_word(value, 32)), number
    mask = prefix(bits)
    low_value = parse_word(value, 32) & mask
    return low_value, low_value | (_ALL & ~mask)


def prefix(bits: str) -> int:
    """The mask of a prefix length."""
    if (length := parse_int(bits)) > 32:
        raise BitsError(f"a prefix of {length} bits is longer than a mark")
    return _ALL & ~full(32 - length)


def merge(found: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Intervals in ascending order, those that touch joined."""
    last: tuple[int, int] | None = None
    for low, high in sorted(set(found)):
        if last and low <= last[1] + 1:
            last = (last[0], max(last[1], high))
        else:
            if last:
                yield last
            last = (low, high)
    if last:
        yield last


def data(bodies: Iterable[str], labels: bool = False) -> tuple[Word, Intervals] | None:
    """What the values of a map may be, and the values; None where no element says. Raises BitsError for one that is no number.

    ``labels``: the numbers are bits of a connection's label.
    """
    values: set[int] = set()
    for body in bodies:
        inner = body.strip().removeprefix("{").removesuffix("}")
        found = _DATA.findall(inner)
        if len(found) == inner.count(",") + 1:
            values.update(int(text, 16) for text in found)
            continue
        for element in elements(inner):
            text = _OPTION.sub("", f"{element.rsplit(':', 1)[-1]} ").strip()
            values.add(parse_word(text, 32))
    if not values:
        return None
    if labels:
        return _word({label(v) for v in values}, 128), ()
    if len(values) > _MOST:
        return _word(values, 32), ((min(values), max(values)),)
    exact = tuple(merge((v, v) for v in values)) if len(values) > 1 else ()
    return _word(values, 32), exact if len(exact) <= _MOST_VALUES else ((min(values), max(values)),)


def _word(values: set[int], width: int) -> Word:
    return Word(width, full(width) & ~reduce(and_, values), reduce(or_, values))


def label(number: int) -> int:
    """The bit of a label by its number."""
    if number > 127:
        raise BitsError(f"label {number} is outside a field of 128 bits")
    return 1 << number
