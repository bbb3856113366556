"""markreg collect: what a live audit would read, in one archive, without secrets."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from markreg.cli import _common as common

if TYPE_CHECKING:
    from markreg.registry.model import Registry

_SHORTEST = 2


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @app.command()
    def collect(
        output: Annotated[
            Path, typer.Option("--output", "-o", envvar="MARKREG_OUTPUT", metavar="FILE", help="The archive to write, a .tar.gz.")
        ],
        anonymize: Annotated[
            bool, typer.Option("--anonymize", envvar="MARKREG_ANONYMIZE", help="Without addresses and names of host, devices, namespaces.")
        ] = False,
        registry: common.RegistryOption = None,
        netns: common.NetnsOption = None,
        all_netns: common.AllNetnsOption = False,
        timeout: common.TimeoutOption = 60,
        entries: common.MaxEntriesOption = common.MAX_ENTRIES,
        quiet: common.QuietOption = False,
    ) -> None:
        """Capture what a live audit would read, without keys, for an audit elsewhere."""
        from markreg import __version__
        from markreg.collect import archive
        from markreg.collect.anonymize import Anonymizer

        known = common.load_registry(registry) if anonymize else None
        taken = common.take(timeout, netns, all_netns, entries)
        captures, failures, host = list(taken.captures), list(taken.failures), os.uname().nodename
        if known:
            hidden = Anonymizer(host, _devices(known))
            captures, failures = [hidden.capture(c) for c in captures], [hidden.failure(f) for f in failures]
            host = "node"
        for failure in failures:
            common.say(f"MK903 {failure.name} could not be read: {failure.why}")
        if not captures:
            common.fail("nothing of this node could be read")
        about = archive.About(__version__, host, _now(), anonymize)
        try:
            archive.save(output, archive.pack(captures, failures, about))
        except (OSError, RuntimeError) as error:  # RuntimeError: a circle of links
            common.fail(f"{output}: {getattr(error, 'strerror', None) or error}")
        if not quiet:
            common.emit(f"{output}: {len(captures)} captures; markreg audit {output} reads them\n", None)


def _now() -> str:
    said = os.environ.get("SOURCE_DATE_EPOCH", "")
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(said) if said.isascii() and said.isdigit() else None))


def _devices(known: Registry) -> Callable[[str], bool]:
    """Whether a name is one that a component of the registry is known by; ``*`` alone knows nobody."""
    from markreg.registry.patterns import pattern

    globs = {word for rules in known.rules.values() for r in rules.recognise for word in r.device}
    patterns = [p for p in map(pattern, sorted(globs)) if len(p.core) >= _SHORTEST]
    return lambda name: any(p.matches(name) for p in patterns)
