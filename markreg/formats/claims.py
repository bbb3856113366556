"""claims.toml: bits that a component uses and that no dump here can show (BPF, socket marks, queue verdicts, configuration)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from markreg.bits import BitsError, format_mask, full, parse_bits, parse_word
from markreg.model import FIELDS, Hook, Place, Problem, Reading, Scope, Use
from markreg.source import Source
from markreg.transfer import Predicate, Word, masked_set

NAMES = ("claims",)
_KEYS = {"owner", "field", "mask", "value", "access", "via", "note"}
# Where a use of each kind may happen: design of the contract, "claims.toml".
_WRITES: dict[str, tuple[str, ...]] = {
    "bpf": ("tc-ingress", "socket"),
    "socket": ("socket",),
    "nfqueue": ("prerouting", "input", "forward", "output", "postrouting"),
}
_READS: dict[str, tuple[str, ...]] = {"bpf": ("route", "tc-egress"), "socket": (), "nfqueue": _WRITES["nfqueue"]}
for _table in (_WRITES, _READS):
    _table["config"] = tuple(dict.fromkeys(h for hooks in _table.values() for h in hooks))


def detect(source: Source) -> str | None:
    """By a ``[[claim]]`` table."""
    return NAMES[0] if re.search(r"(?m)^\[\[claim\]\]", source.head()) else None


def read(source: Source, name: str, scope: Scope) -> Reading:
    """Every claim as a write, a read, or both."""
    import tomli

    text = source.text().encode("utf-8", "replace").decode()
    lines = [n for n, line in enumerate(text.split("\n"), 1) if line.strip() == "[[claim]]"]
    uses: list[Use] = []
    problems: list[Problem] = []
    try:
        claims = tomli.loads(text).get("claim", [])
    except tomli.TOMLDecodeError as error:
        return Reading(source.path, name, scope, problems=(Problem(source.path, getattr(error, "lineno", 0), str(error)),))
    for number, claim in enumerate(claims if isinstance(claims, list) else []):
        line = lines[number] if number < len(lines) else 0
        try:
            uses.extend(_uses(claim, source.path, line, scope))
        except (BitsError, KeyError, TypeError) as error:
            missing = f"needs {error}" if isinstance(error, KeyError) else str(error)
            problems.append(Problem(source.path, line, f"claim {number + 1}: {missing}"))
    return Reading(source.path, name, scope, tuple(uses), problems=tuple(problems), statements=len(lines), mark_statements=len(lines))


def _uses(claim: dict[str, object], path: str, line: int, scope: Scope) -> Iterator[Use]:
    if unknown := claim.keys() - _KEYS:
        raise BitsError(f"unknown key {min(unknown)!r}")
    field = FIELDS.get(str(claim["field"]))
    if field is None:
        raise BitsError(f"unknown field {claim['field']!r}")
    mask = parse_bits(str(claim["mask"]), field.width) if "mask" in claim else full(field.width)
    value = parse_word(str(claim["value"]), field.width) if "value" in claim else None
    via, access, owner = (str(claim.get(k, d)) for k, d in (("via", "config"), ("access", "both"), ("owner", "")))
    if via not in _WRITES or access not in ("read", "write", "both") or not owner:
        raise BitsError(f"via {via!r}, access {access!r} and owner {owner!r} do not say who uses the bits where")
    kept = Word.entry(field.name, field.width)
    hooks = tuple(Hook(h, 0) for h in _WRITES[via])
    clause = f'mask = "{claim["mask"]}"' if "mask" in claim else ""

    def use(kind: str, at: tuple[Hook, ...], effect: Word | None, predicate: Predicate | None) -> Use:
        place = Place("claim", f"{owner} by {via}", scope.family, hooks=at)
        where = (field.name, kind, mask, place, scope, path, (line,), clause)
        return Use(*where, effect, predicate, statement=format_mask(mask), target=owner, basis="claimed", possible=kind == "write")  # type: ignore[arg-type]

    if access != "read":
        written = Word.unknown(field.width).masked_into(kept, mask) if value is None else masked_set(field.name, field.width, mask, value)
        yield use("write", hooks, written | kept, None)
    if access != "write" and _READS[via]:
        predicate = None if value is None else Predicate.equals(field.name, value & mask, mask)
        yield use("read", tuple(Hook(h, 0) for h in _READS[via]), None, predicate)
