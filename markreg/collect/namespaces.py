"""Network namespaces: which there are, what they are called, and their captures, each by a child process that goes into it."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from markreg.collect import tools
from markreg.collect.captured import Capture, Failure
from markreg.collect.isolated import IsolatedError, call
from markreg.collect.limits import ENTRIES, SECONDS, Budget
from markreg.formats import by_name
from markreg.inputs import Gathered, Known, unreadable
from markreg.model import HOST, Problem, Scope
from markreg.source import Source

_NAMED = (Path("/run/netns"), Path("/var/run/netns"), Path("/run/docker/netns"))
_SELF, _FIRST = Path("/proc/self/ns/net"), "/proc/1/ns/net"
_LENGTH = struct.Struct("=Q")

Progress = Callable[[str], None]


class NamespaceError(Exception):
    """Why a namespace that was named cannot be read."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace: what reports call it, and its file; none for the one that this process is in."""

    name: str
    path: str = ""


OWN = Namespace(HOST)


def named(word: str) -> Namespace:
    """The namespace that ``--netns`` names: a name of ip netns, a path, or a process. Raises NamespaceError."""
    if "/" in word:
        path = Path(word)
    else:
        known = (folder / word for folder in _NAMED)
        path = next((p for p in known if p.exists()), Path(f"/proc/{word}/ns/net") if word.isdigit() else _NAMED[0] / word)
    try:
        identity = _identity(path)
    except OSError as error:
        raise NamespaceError(f"{word!r} is no network namespace: {path}: {error.strerror}") from error
    # The first process's is the host, also from a container that sees the host's /proc; to who may not see it, this process's own.
    if path.as_posix().endswith(_FIRST) or identity == (_quietly(Path(_FIRST)) or _quietly(_SELF)):
        return Namespace(HOST, str(path))
    name = next((n.name for n in _of_names() if _quietly(Path(n.path)) == identity), None)
    return Namespace(name or (f"pid-{path.parts[-3]}" if path.parts[-2:] == ("ns", "net") else path.name), str(path))


def every() -> list[Namespace]:
    """This process's own, which is the host, those that have a name, and those that only processes hold."""
    found = {_quietly(_SELF): OWN}
    for namespace in _of_names():
        found.setdefault(_quietly(Path(namespace.path)), namespace)
    for process in sorted(int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()):
        path = Path(f"/proc/{process}/ns/net")
        if (identity := _quietly(path)) is not None:
            found.setdefault(identity, Namespace(f"pid-{process}", str(path)))
    return [namespace for identity, namespace in found.items() if identity is not None or not namespace.path]


def _of_names() -> list[Namespace]:
    names: dict[str, Namespace] = {}
    for folder in _NAMED:
        try:
            for file in sorted(folder.iterdir()):
                names.setdefault(file.name, Namespace(file.name, str(file)))
        except OSError:
            continue
    return list(names.values())


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _quietly(path: Path) -> tuple[int, int] | None:
    try:
        return _identity(path)
    except OSError:
        return None


@dataclass(frozen=True, slots=True)
class Taken:
    """The captures of a run, and what could not be captured."""

    captures: tuple[Capture, ...]
    failures: tuple[Failure, ...]

    def gathered(self) -> Gathered:
        """As the inputs of an audit."""
        gathered = Gathered()
        for one in self.captures:
            if form := by_name(one.notation):
                gathered.known.append(Known(Source(one.name, one.data), form, one.notation, Scope(one.netns, one.family)))
            else:
                gathered.unread.append(Problem(one.name, 0, unreadable(one.notation)))
        gathered.unread += [Problem(failure.name, 0, failure.why) for failure in self.failures]
        return gathered


def take(
    namespaces: Sequence[Namespace] = (OWN,),
    seconds: float = SECONDS,
    entries: int = ENTRIES,
    progress: Progress | None = None,
) -> Taken:
    """Everything that the namespaces hold. ``seconds``: for all of them together. ``progress`` is told what comes
    next."""
    budget = Budget(seconds, entries=entries)
    captures: list[Capture] = []
    failures: list[Failure] = []
    for namespace in namespaces:
        if progress and namespace.path:
            progress(f"netns {namespace.name}")
        if not namespace.path:
            node = tools.everything(budget, progress)
            captures += node.captures
            failures += node.failures
            continue
        try:
            inside = _unpack(call(lambda: _pack(tools.everything(budget)), budget, namespace.path))
        except IsolatedError as error:
            needed = "; this takes root (CAP_SYS_ADMIN)" if "not permitted" in str(error) else ""
            failures.append(Failure(f"netns {namespace.name}", f"{error}{needed}"))
            continue
        budget.bytes -= sum(len(c.data) for c in inside.captures)
        captures += [replace(c, name=_called(c.name, namespace), netns=namespace.name) for c in inside.captures]
        failures += [replace(f, name=_called(f.name, namespace)) for f in inside.failures]
    if any(namespace.name == HOST for namespace in namespaces):
        if progress:
            progress("Open vSwitch")
        node = tools.machine(budget)
        captures += node.captures
        failures += node.failures
    return Taken(tuple(captures), tuple(failures))


def _called(name: str, namespace: Namespace) -> str:
    return name if namespace.name == HOST else f"{name} (netns {namespace.name})"


def _pack(node: tools.Live) -> bytes:
    """Everything as one string of bytes: a list of what there is, then the data."""
    heads = [[c.name, c.notation, c.netns, c.family, c.command, len(c.data)] for c in node.captures]
    head = json.dumps({"captures": heads, "failures": [[f.name, f.why] for f in node.failures]}).encode()
    return b"".join((_LENGTH.pack(len(head)), head, *(c.data for c in node.captures)))


def _unpack(data: bytes) -> Taken:
    at = _LENGTH.size + _LENGTH.unpack_from(data)[0]
    head = json.loads(data[_LENGTH.size : at])
    captures = []
    for name, notation, netns, family, command, size in head["captures"]:
        captures.append(Capture(name, notation, netns, family, command, data[at : at + size]))
        at += size
    return Taken(tuple(captures), tuple(Failure(*failure) for failure in head["failures"]))
