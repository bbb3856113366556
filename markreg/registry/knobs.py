"""What says how a component shows and what can be set in it: one class a table, as in `model`, which has all others."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from markreg.registry.words import Globs, Kind, Marks, Ranges, Scalar, Texts, When


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a table stands: the file and the way to it, ``("component", 2, "reservation", 0)``."""

    path: str = ""
    keys: tuple[str | int, ...] = ()


NOWHERE = Origin()


@dataclass(frozen=True, slots=True)
class Recognise:
    """A signature: all keys must hold, a list is a choice. Strings are globs, numbers ranges, marks value/mask."""

    in_: Annotated[tuple[Kind, ...], "one or many"]
    family: Globs = ()
    priority: Ranges = ()
    table: Globs = ()
    chain: Globs = ()
    comment: Globs = ()
    set: Globs = ()
    device: Globs = ()
    fwmark: Marks = ()
    bridge: Globs = ()
    cookie: Ranges = ()
    stage: Globs = ()
    object: Globs = ()
    program: Globs = ()
    section: Globs = ()
    map: Globs = ()
    pin: Globs = ()
    process: Globs = ()
    kind: Globs = ()
    name: Globs = ()
    image: Globs = ()
    config_map: Globs = ()
    type: Globs = ()
    zone: Globs = ()
    confidence: Literal["high", "medium", "low"] = dataclasses.field(kw_only=True)
    shared_with: tuple[str, ...] = ()
    reservation: str | None = None
    note: str = ""
    example: Texts = ()
    not_: Texts = ()
    origin: Origin = dataclasses.field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Interface:
    """A chain that others may jump to: what happens inside is this component's use, whoever jumps."""

    in_: Annotated[tuple[Kind, ...], "one or many"]
    chain: Globs
    table: Globs = ()
    family: Globs = ()
    does: str | None = None
    note: str = ""
    origin: Origin = dataclasses.field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Limit:
    """What a knob's value must satisfy: a range of numbers, a least number of bits, bits that a mask must cover."""

    range: str | None = None
    min_bits: int | None = None
    must_cover: str | None = None
    when: When = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReadAt:
    """One place where a knob's value stands; ``number`` is how it is written there.

    ``values``: what words there (globs, whatever their case) mean to the knob; others are not about it. ``absent``: what it
    means that the container or object is there and this is not set in it. ``when``: settings at which the place counts.
    ``any_case``: the name of a variable is compared without regard to case. ``env`` with ``flag``, ``file`` with ``flag``: the
    variable or the list holds command line options.
    """

    kind: str = ""
    path: str = ""
    env: str = ""
    container: str = ""
    flag: str = ""
    process: str = ""
    config_map: str = ""
    key: str = ""
    file: str = ""
    helm: str = ""
    cni: str = ""
    annotation: str = ""
    unit: str = ""
    nb: str = ""
    secret: str = ""
    number: str = ""
    any_case: bool = False
    absent: Scalar | None = None
    values: Mapping[str, Scalar] = dataclasses.field(default_factory=dict)
    when: When = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Settings with which a component does not run: ``when`` they hold, all knobs of ``given`` are set by somebody."""

    why: str
    when: When = dataclasses.field(default_factory=dict)
    given: Texts = ()


@dataclass(frozen=True, slots=True)
class Knob:
    """A setting that decides about bits. ``default`` None: unset. ``read``: places in order of precedence.

    ``invalid``: what the component does about a value that it cannot read: it refuses to run, or takes the default.
    """

    name: str
    type: Literal["bit", "mask", "value", "integer", "boolean", "choice", "string"]
    default: Scalar | None = None
    choices: tuple[str, ...] = ()
    title: str = ""
    note: str = ""
    limits: tuple[Limit, ...] = ()
    read: tuple[ReadAt, ...] = ()
    refuses: tuple[Refusal, ...] = ()
    invalid: Literal["refused", "default"] = "refused"
    source: Texts = ()
    origin: Origin = dataclasses.field(default=NOWHERE, compare=False, repr=False)
