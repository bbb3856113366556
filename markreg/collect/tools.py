"""Captures by the node's own programs, as sources like those of files."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markreg.formats import by_name
from markreg.inputs import Gathered, Known
from markreg.model import HOST, Problem, Scope
from markreg.source import Source

_SECONDS = 60


@dataclass(frozen=True, slots=True)
class _Command:
    """One capture: its name in reports, the notation, the family, the program's words, and what must exist before it is run."""

    name: str
    notation: str
    family: str
    words: tuple[str, ...]
    needs: str = ""


def _commands() -> Iterator[_Command]:
    """Legacy tables only where the kernel has some: asking for a table creates it (xt_find_table_lock)."""
    for family, program, names in (("ip", "iptables", "ip_tables_names"), ("ip6", "ip6tables", "ip6_tables_names")):
        yield _Command(f"{program}-legacy-save", "iptables-save", family, (f"{program}-legacy-save",), f"/proc/net/{names}")
        yield _Command(f"{program}-nft-save", "iptables-save", family, (f"{program}-nft-save",))
    yield _Command("ip rule", "ip-rule", "ip", ("ip", "rule", "show"))
    yield _Command("ip -6 rule", "ip-rule", "ip6", ("ip", "-6", "rule", "show"))
    yield _Command("ip xfrm policy", "ip-xfrm", "inet", ("ip", "xfrm", "policy"))
    yield _Command("ip xfrm state", "ip-xfrm", "inet", ("ip", "xfrm", "state", "list", "nokeys"))


def live() -> Gathered:
    """This node's iptables (legacy and nft, IPv4 and IPv6), policy routing rules and xfrm policies and states."""
    gathered = Gathered()
    for command in _commands():
        if command.needs and not _tables_there(command.needs):
            continue
        _capture(command, gathered)
    return gathered


def _tables_there(path: str) -> bool:
    try:
        return bool(Path(path).read_text(encoding="ascii").split())
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _capture(command: _Command, gathered: Gathered) -> None:
    program = shutil.which(command.words[0], path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    form = by_name(command.notation)
    if form is None:
        return
    if program is None:
        gathered.unread.append(Problem(command.name, 0, f"{command.words[0]} is not installed"))
        return
    environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}
    try:
        done = subprocess.run(
            [program, *command.words[1:]], capture_output=True, stdin=subprocess.DEVNULL, timeout=_SECONDS, env=environment, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        gathered.unread.append(Problem(command.name, 0, f"{command.words[0]} failed: {error}"))
        return
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().split("\n")[-1]
        gathered.unread.append(Problem(command.name, 0, said or f"{command.words[0]} exited with {done.returncode}"))
        return
    gathered.known.append(Known(Source(command.name, done.stdout), form, command.notation, Scope(HOST, command.family)))
