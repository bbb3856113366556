"""Finds, reads and joins registry files and component files. Either everything is in order or a RegistryError says what is not."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TypeVar

import tomli

from markreg import resources
from markreg.model import FIELDS
from markreg.registry import positions
from markreg.registry.errors import Flaw, RegistryError, did_you_mean
from markreg.registry.merge import merge
from markreg.registry.model import Field, Origin, Registry, RegistryFile, Rules, Scope
from markreg.registry.schema import read
from markreg.registry.validate import check_file, check_registry, check_rules

T = TypeVar("T")
VARIABLE = "MARKREG_REGISTRY"
SYSTEM = Path("/etc/markreg/registry.toml")
BUILTIN = "builtin"
_LARGEST = 16 << 20


def discover(path: Path | None = None, cwd: Path | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """Which registry file counts: the one named, ``MARKREG_REGISTRY``, the nearest ``registry.toml`` upwards, /etc, the one that ships."""
    if path is not None:
        return path
    if named := environ.get(VARIABLE):
        return Path(named)
    folder = (cwd or Path.cwd()).absolute()
    for place in (folder, *folder.parents):
        if (place / "registry.toml").is_file():
            return place / "registry.toml"
    return SYSTEM if SYSTEM.is_file() else resources.builtin_registry()


def load(
    path: Path | None = None,
    *,
    cwd: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    rules: Path | None = None,
    text: str | None = None,
) -> Registry:
    """The registry in force. ``rules``: the folder of component files, those that ship by default. ``text``: what to read in place of
    what the file holds. Raises RegistryError (MK307)."""
    used = discover(path, cwd, environ)
    texts: dict[Path, _Text] = {}
    if text is not None:
        texts[used] = _Text(text, hashlib.sha256(text.encode()).hexdigest())
    try:
        files = _chain(used, texts)
        shipped = _rules(resources.rules("components") if rules is None else rules, texts)
        registry = _registry(files, shipped, texts)
    except Flaw as flaw:
        raise _located(flaw, texts) from None
    return registry


@dataclass(frozen=True, slots=True)
class _Text:
    """What a file holds, and the sum of its bytes."""

    text: str
    sha256: str


def _table(path: Path, texts: dict[Path, _Text]) -> dict[str, object]:
    """A TOML file as a table. Raises RegistryError at the place tomli names."""
    if path not in texts:
        texts[path] = _read(path)
    try:
        return tomli.loads(texts[path].text)
    except tomli.TOMLDecodeError as error:
        raise RegistryError(str(path), error.lineno, error.colno, f"is no TOML: {error.msg}") from None
    except (RecursionError, ValueError) as error:  # nested too deep; an integer of more digits than Python converts
        raise RegistryError(str(path), 1, 1, f"is no TOML: {error}") from None


def _read(path: Path) -> _Text:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise RegistryError(str(path), 1, 1, f"cannot be read: {error.strerror or error}") from None
    if len(data) > _LARGEST:
        raise RegistryError(str(path), 1, 1, f"is larger than {_LARGEST >> 20} MB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        raise RegistryError(
            str(path), before.count(b"\n") + 1, error.start - before.rfind(b"\n"), "is not UTF-8 here, as TOML must be"
        ) from None
    return _Text(text, hashlib.sha256(data).hexdigest())


def _chain(used: Path, texts: dict[Path, _Text]) -> list[RegistryFile]:
    """The file and what it extends, nearest first."""
    files: list[RegistryFile] = []
    seen: set[Path] = set()
    path: Path | None = used
    while path is not None:
        seen.add(path.resolve())
        file = read(RegistryFile, _table(path, texts), str(path))
        check_file(file)
        files.append(file)
        if file.extends is None:
            break
        base = resources.builtin_registry() if file.extends == BUILTIN else path.parent / file.extends
        if base.resolve() in seen:
            raise Flaw(str(path), ("extends",), f"extends {file.extends!r} leads back to {base}")
        if not base.is_file():
            raise Flaw(str(path), ("extends",), f"extends {file.extends!r}: there is no {base}{did_you_mean(file.extends, [BUILTIN])}")
        path = base
    return files


def _rules(folder: Path, texts: dict[Path, _Text]) -> dict[str, Rules]:
    """The component files of a folder, by component."""
    result: dict[str, Rules] = {}
    for path in sorted(folder.glob("*.toml")):
        entry = read(Rules, _table(path, texts), str(path))
        if entry.component in result:
            other = result[entry.component].origin.path
            raise Flaw(str(path), ("component",), f"component {entry.component!r} has a file already: {other}")
        check_rules(entry)
        result[entry.component] = entry
    return result


@cache
def builtin_fields() -> dict[str, Field]:
    """The fields that need no declaration (registry.md section 2)."""
    fields = [Field(f.name, f.width, f.carrier) for f in FIELDS.values()]  # type: ignore[arg-type]
    fields.append(Field("ovn.obs_domain_id", 32, "export"))
    return {f.name: f for f in fields}


@cache
def builtin_scopes() -> dict[str, Scope]:
    """The scopes that need no declaration."""
    scopes = [Scope(n, "netns") for n in ("host", "pod", "router-netns")]
    scopes += [Scope(n, "family") for n in ("ipv4", "ipv6")]
    scopes += [Scope("zone-0", "ct-zone", zones=("0",))]
    return {s.name: s for s in scopes}


def _registry(files: list[RegistryFile], shipped: dict[str, Rules], texts: dict[Path, _Text]) -> Registry:
    near = files[0]
    merged = files[-1]
    for file in reversed(files[:-1]):
        merged = merge(merged, file)
    rules = dict(shipped)
    for entry in merged.component:
        if entry.recognise or entry.interface or entry.knob:
            base = rules.get(entry.name, Rules(entry.name, origin=entry.origin))
            knobs = {k.name: k for k in (*base.knob, *entry.knob)}
            rules[entry.name] = replace(
                base,
                recognise=base.recognise + entry.recognise,
                interface=base.interface + entry.interface,
                knob=tuple(knobs.values()),
            )
    registry = Registry(
        path=near.origin.path,
        sha256=texts[Path(near.origin.path)].sha256,
        kind=near.kind,
        components=_named(merged.component),
        rules=rules,
        fields=builtin_fields() | _named(merged.field),
        scopes=builtin_scopes() | _named(merged.scope),
        node_pools=_named(merged.node_pool),
        agreements=merged.agreement,
        conflicts=merged.conflict,
        accepted=merged.accepted,
        declared=tuple(c.name for c in near.component),
        files=tuple(f.origin.path for f in files),
    )
    check_registry(registry, merged)
    return registry


def _named(entries: Iterable[T]) -> dict[str, T]:
    return {str(e.name): e for e in entries}  # type: ignore[attr-defined]


def _located(flaw: Flaw, texts: Mapping[Path, _Text]) -> RegistryError:
    known = texts.get(Path(flaw.path))
    found = positions.Positions(known.text) if known else positions.of_file(flaw.path)
    line, column, _ = found.find(flaw.keys, flaw.value)
    return RegistryError(flaw.path, line, column, flaw.message)


def locate(origin: Origin) -> tuple[int, int, int]:
    """Line, column and end column (from 1) of an entry of a loaded registry."""
    return positions.of_file(origin.path).find(origin.keys)
